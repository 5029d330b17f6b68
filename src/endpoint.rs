//! Where a node is reached: an address that came from a stranger, taken apart before anybody goes
//! there.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use crate::error::Error;

/// Longest endpoint, bytes.
pub const MAX_ENDPOINT: usize = 200;

/// Longest name of a host, and longest part of it between two dots (RFC 1035 section 2.3.4).
const MAX_HOST: usize = 200;
const MAX_LABEL: usize = 63;

/// Base URL at which a node is reached, in its one form: `https`, a host in lower case, a port that
/// is not the usual one, and segments of unreserved characters (RFC 3986). Nothing that a URL may
/// have besides: no credentials, no query, no fragment, no dot segments, no slash at its end. Plain
/// `http` only on loopback.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Endpoint {
    text: String,
    /// Where the host ends in `text`.
    host_end: usize,
}

const HTTPS: &str = "https://";
const HTTP: &str = "http://";

impl Endpoint {
    /// The host: a name, an IPv4 address or an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        let scheme = if self.text.starts_with(HTTPS) { HTTPS } else { HTTP };
        self.text.get(scheme.len()..self.host_end).unwrap_or_default()
    }

    /// The host's address, where it names none.
    pub fn address(&self) -> Option<IpAddr> {
        address(self.host())
    }

    /// Whether it leads to this very machine.
    pub fn is_loopback(&self) -> bool {
        is_loopback(self.host())
    }
}

/// An endpoint in a document of before there was this form: one of another form counts as none,
/// since nobody goes there.
pub fn usable<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Endpoint>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.and_then(|text| text.parse().ok()))
}

impl TryFrom<String> for Endpoint {
    type Error = Error;

    /// [`Error::EndpointRefused`] for any other form.
    fn try_from(text: String) -> Result<Self, Error> {
        match host_end(&text) {
            Some(host_end) => Ok(Self { text, host_end }),
            None => Err(Error::EndpointRefused),
        }
    }
}

impl FromStr for Endpoint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::try_from(text.to_owned())
    }
}

impl From<Endpoint> for String {
    fn from(endpoint: Endpoint) -> Self {
        endpoint.text
    }
}

impl AsRef<str> for Endpoint {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Where the host ends, if all of the text is an endpoint.
fn host_end(text: &str) -> Option<usize> {
    let secure = text.strip_prefix(HTTPS);
    let (rest, usual) =
        secure.map_or_else(|| Some((text.strip_prefix(HTTP)?, 80)), |rest| Some((rest, 443)))?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (host, port) = match authority.rfind([':', ']']) {
        Some(place) if authority[place..].starts_with(':') => {
            (&authority[..place], Some(&authority[place + 1..]))
        }
        _ => (authority, None),
    };
    let fits = text.len() <= MAX_ENDPOINT
        && is_host(host)
        && (secure.is_some() || is_loopback(host))
        && port.is_none_or(|port| is_port(port, usual))
        && is_path(path);
    fits.then(|| text.len() - rest.len() + host.len())
}

fn is_host(host: &str) -> bool {
    if address(host).is_some() {
        return true;
    }
    let is_label = |label: &str| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let ends = !label.starts_with('-') && !label.ends_with('-');
        (1..=MAX_LABEL).contains(&label.len()) && ends && label.bytes().all(plain)
    };
    // What ends in a number is read as an address by some (0x7f.1, 017700000001).
    let last = host.rsplit('.').next().unwrap_or_default();
    let name = last.starts_with(|first: char| first.is_ascii_lowercase());
    host.len() <= MAX_HOST && name && host.split('.').all(is_label)
}

/// The address, in its one form.
fn address(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(inner) => {
            let address: Ipv6Addr = inner.parse().ok()?;
            (address.to_string() == inner).then(|| address.into())
        }
        None => host.parse().ok().map(|address: Ipv4Addr| address.into()),
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || address(host).is_some_and(|address| address.is_loopback())
}

fn is_port(port: &str, usual: u16) -> bool {
    let number: Option<u16> = port.parse().ok();
    number.is_some_and(|number| number != 0 && number != usual && number.to_string() == port)
}

/// Nothing, or segments with a slash before each.
fn is_path(path: &str) -> bool {
    let is_segment = |segment: &str| {
        let unreserved =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
        !matches!(segment, "" | "." | "..") && segment.bytes().all(unreserved)
    };
    path.strip_prefix('/').map_or(path.is_empty(), |path| path.split('/').all(is_segment))
}

#[cfg(test)]
mod tests {
    use super::Endpoint;

    #[test]
    fn an_https_url_of_a_host_with_port_and_path_is_an_endpoint() {
        for (text, host) in [
            ("https://hospital.example", "hospital.example"),
            ("https://hospital.example:8443", "hospital.example"),
            ("https://hospital.example/hdms/node-1", "hospital.example"),
            ("https://xn--bcher-kva.example:1/a.b_c~d", "xn--bcher-kva.example"),
            ("https://192.0.2.1:8443/x", "192.0.2.1"),
            ("https://[2001:db8::1]/x", "[2001:db8::1]"),
            ("https://[2001:db8::1]:8443", "[2001:db8::1]"),
            ("http://127.0.0.1:8720", "127.0.0.1"),
            ("http://127.9.9.9", "127.9.9.9"),
            ("http://localhost:1/x", "localhost"),
            ("http://[::1]:8720", "[::1]"),
        ] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!((endpoint.host(), endpoint.as_ref()), (host, text));
        }
    }

    #[test]
    fn anything_else_is_none() {
        for text in [
            "",
            "hospital.example",
            "//hospital.example",
            "HTTPS://hospital.example",
            "ftp://hospital.example",
            "http://hospital.example",
            "http://127.0.0.1.example",
            "http://128.0.0.1",
            "http://[::ffff:127.0.0.1]",
            "https://",
            "https:///x",
            "https://Hospital.example",
            "https://hospital.example/",
            "https://hospital.example//x",
            "https://hospital.example/x/",
            "https://hospital.example/./x",
            "https://hospital.example/x/..",
            "https://hospital.example/%2e%2e/x",
            "https://hospital.example/x?",
            "https://hospital.example/x?y=z",
            "https://hospital.example?y",
            "https://hospital.example#",
            "https://hospital.example/x#y",
            "https://user@hospital.example",
            "https://user:secret@hospital.example",
            "https://hospital.example@127.0.0.1",
            "https://hospital.example:",
            "https://hospital.example:0",
            "https://hospital.example:443",
            "https://hospital.example:0443",
            "https://hospital.example:65536",
            "https://hospital.example:8443:8443",
            "http://127.0.0.1:80",
            "https://hospital.example\\x",
            "https://hospital.example /x",
            " https://hospital.example",
            "https://hospital.example\n",
            "https://hospital..example",
            "https://.example",
            "https://hospital.example.",
            "https://-hospital.example",
            "https://hospital_1.example",
            "https://häuser.example",
            "https://0x7f.1",
            "https://2130706433",
            "https://017700000001",
            "https://127.1",
            "https://127.0.0.01",
            "https://[2001:db8:0::1]",
            "https://[2001:DB8::1]",
            "https://[fe80::1%25eth0]",
            "https://2001:db8::1",
            "https://[2001:db8::1",
            "https://2001:db8::1]",
        ] {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
        let long = format!("https://hospital.example/{}", "x".repeat(200));
        assert!(long.parse::<Endpoint>().is_err());
    }

    /// Every text of a few parts is refused, or is what a URL of exactly these parts says: the parts
    /// put together again are the text.
    #[test]
    fn whatever_is_accepted_has_a_host_and_nothing_that_was_not_looked_at() {
        let schemes = ["https://", "http://", "https:/", "HTTPS://", ""];
        let hosts = ["a.example", "127.0.0.1", "[::1]", "localhost", "a@b", "a.example:1@b", "0.1"];
        let ports = ["", ":", ":1", ":443", ":80", ":01", ":99999", ":1:2"];
        let paths =
            ["", "/", "/a", "/a/b", "/a/../b", "//", "/a?b", "?b", "#b", "/a#b", "/%61", "\\a"];
        let mut accepted = 0;
        for scheme in schemes {
            for host in hosts {
                for port in ports {
                    for path in paths {
                        let text = format!("{scheme}{host}{port}{path}");
                        let Ok(endpoint) = text.parse::<Endpoint>() else { continue };
                        accepted += 1;
                        assert_eq!(endpoint.host(), host, "{text}");
                        assert!(["", "/a", "/a/b"].contains(&path), "{text}");
                        assert!(["", ":1", ":443", ":80"].contains(&port), "{text}");
                        assert!(scheme == "https://" || endpoint.is_loopback(), "{text}");
                    }
                }
            }
        }
        assert_eq!(accepted, (4 + 3) * 3 * 3);
    }
}
