//! Where pushes may go, and by which way.

use std::collections::BTreeMap;
use std::time::Duration;

use hdms::Error;
use reqwest::Url;

use crate::base::http::guarded::Guarded;
use crate::base::http::reach::Reach;

/// How long a push service may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What may be sent to.
#[derive(Debug)]
pub struct Endpoints {
    private: bool,
    /// Other origins to send to, by those that they stand for.
    via: BTreeMap<String, Url>,
    /// Goes to public addresses only.
    public: Guarded,
    /// Goes to whatever the operator allows.
    local: Guarded,
}

/// How one endpoint is reached.
#[derive(Debug)]
pub struct Route<'a> {
    /// Sends the request.
    pub client: &'a Guarded,
    /// Where to.
    pub url: Url,
    /// The endpoint's own origin, VAPID's `aud` (RFC 8292 section 2).
    pub origin: String,
}

impl Endpoints {
    /// With `private`, http and private networks are allowed too. `via` leads from origins to those
    /// that are sent to in their place.
    ///
    /// Errors: [`Error::CommandMalformed`] when one of them is no origin.
    pub fn new(private: bool, via: &BTreeMap<String, String>) -> Result<Self, Error> {
        let origin = |text: &str| {
            let url = Url::parse(text).ok().filter(|url| url.has_host() && url.path() == "/");
            url.ok_or(Error::CommandMalformed)
        };
        let pairs = via.iter().map(|(from, to)| {
            let from = origin(from)?.origin().ascii_serialization();
            Ok((from, origin(to)?))
        });
        let via = pairs.collect::<Result<_, Error>>()?;
        Ok(Self {
            private,
            via,
            public: Guarded::new(Reach::Public, PATIENCE)?,
            local: Guarded::new(Reach::Local, PATIENCE)?,
        })
    }

    /// The way to an endpoint. Whether its name leads to a public address is seen when it is gone.
    ///
    /// Errors: [`Error::PushSubscriptionRefused`] for anything but an https URL with a host name
    /// and without credentials, unless private ones are allowed.
    pub fn way(&self, endpoint: &str) -> Result<Route<'_>, Error> {
        let refused = Error::PushSubscriptionRefused;
        let url = Url::parse(endpoint).map_err(|_| refused)?;
        let web = matches!(url.scheme(), "https" | "http") && url.has_host();
        if !web || !url.username().is_empty() || url.password().is_some() {
            return Err(refused);
        }
        let origin = url.origin().ascii_serialization();
        if let Some(to) = self.via.get(&origin) {
            let mut there = to.clone();
            there.set_path(url.path());
            there.set_query(url.query());
            return Ok(Route { client: &self.local, url: there, origin });
        }
        if self.private {
            return Ok(Route { client: &self.local, url, origin });
        }
        // A name without a dot belongs to a local network; an address needs no look at a name.
        let public = url.domain().is_some_and(|name| name.trim_end_matches('.').contains('.'));
        if url.scheme() == "https" && public {
            Ok(Route { client: &self.public, url, origin })
        } else {
            Err(refused)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Endpoints;
    use std::collections::BTreeMap;

    fn endpoints(private: bool, via: &[(&str, &str)]) -> Endpoints {
        let pairs = via.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned()));
        Endpoints::new(private, &pairs.collect::<BTreeMap<_, _>>()).unwrap()
    }

    #[test]
    fn only_https_with_a_host_name_and_without_credentials_is_sent_to() {
        let strict = endpoints(false, &[]);
        let way = strict.way("https://push.example.net:8443/x?y").unwrap();
        assert_eq!(way.origin, "https://push.example.net:8443");
        for refused in [
            "",
            "push.example.net",
            "http://push.example.net/x",
            "ftp://push.example.net/x",
            "https://user@push.example.net/x",
            "https://:password@push.example.net/x",
            "https://127.0.0.1/x",
            "https://0x7f.1/x",
            "https://2130706433/x",
            "https://1.1.1.1/x",
            "https://[::1]/x",
            "https://[::ffff:10.0.0.1]/x",
            "https://localhost/x",
            "https://localhost./x",
            "https://intranet/x",
        ] {
            assert!(strict.way(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn private_ones_are_sent_to_only_where_the_operator_says_so() {
        let private = endpoints(true, &[]);
        for allowed in ["http://127.0.0.1:80/x", "http://localhost/x", "https://[::1]/x"] {
            assert!(private.way(allowed).is_ok(), "{allowed}");
        }
        for refused in ["file:///etc/passwd", "data:,x", "http://user@localhost/x"] {
            assert!(private.way(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn another_address_may_stand_for_an_origin() {
        let via = endpoints(false, &[("https://push.example.net", "http://127.0.0.1:8080")]);
        let way = via.way("https://push.example.net/a/../b?c=d").unwrap();
        assert_eq!(way.url.as_str(), "http://127.0.0.1:8080/b?c=d");
        assert_eq!(way.origin, "https://push.example.net");
        assert!(via.way("http://127.0.0.1:8080/b").is_err());
        let other = via.way("https://push.example.net:444/b").unwrap();
        assert_eq!(other.url.as_str(), "https://push.example.net:444/b");
        for odd in ["push.example.net", "https://push.example.net/path", ""] {
            assert!(Endpoints::new(false, &[(odd.to_owned(), odd.to_owned())].into()).is_err());
        }
    }
}
