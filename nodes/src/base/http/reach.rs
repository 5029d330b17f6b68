//! Which addresses a node goes to. They come from others, in cards and subscriptions: without this,
//! anybody could have a node knock at doors inside its own network (SSRF).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// How far a node goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// To addresses of the open internet, by TLS.
    #[default]
    Public,
    /// To those of private networks too, by TLS: where all of a network is inside one.
    Private,
    /// To this machine too, and without TLS: where all of a network is on it.
    Local,
}

/// The address is none that this node goes to.
#[derive(Clone, Copy, Debug)]
pub struct OutOfReach;

impl fmt::Display for OutOfReach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name has no address that this node goes to")
    }
}

impl std::error::Error for OutOfReach {}

impl Reach {
    /// Of a node whose server has this base URL: a server on this machine serves a network on this
    /// machine. Into private networks only where the operator says so.
    pub fn with_server(url: &str, private: bool) -> Self {
        let host = Url::parse(url).ok();
        let host = host.as_ref().and_then(Url::host_str).unwrap_or_default();
        let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
        match address {
            Some(address) if address.is_loopback() => Self::Local,
            None if host == "localhost" => Self::Local,
            _ if private => Self::Private,
            _ => Self::Public,
        }
    }

    /// Whether a request may go to this URL, as far as can be said before its name is looked up.
    pub fn admits(self, url: &Url) -> bool {
        let Some(host) = url.host_str() else { return false };
        let web = url.scheme() == "https" || (url.scheme() == "http" && self == Self::Local);
        let bare = url.username().is_empty() && url.password().is_none();
        let there = match host.trim_matches(['[', ']']).parse() {
            Ok(address) => self.allows(address),
            Err(_) => self == Self::Local || (host != "localhost" && !host.ends_with(".localhost")),
        };
        web && bare && there
    }

    /// Whether it goes to this address.
    pub fn allows(self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        match self {
            Self::Public => is_public(address),
            Self::Private => is_public(address) || is_private(address),
            Self::Local => is_public(address) || is_private(address) || address.is_loopback(),
        }
    }
}

/// Looks names up, and answers only addresses within reach. The connection goes to an address that
/// was looked at, whatever the name leads to a moment later.
impl Resolve for Reach {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = *self;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> = found.filter(|found| reach.allows(found.ip())).collect();
            if allowed.is_empty() {
                return Err(OutOfReach.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// Address blocks that are not globally reachable, or lead to other blocks (the IANA registries of
/// special-purpose addresses, RFC 6890), with the lengths of their prefixes.
const SPECIAL_V4: [(Ipv4Addr, u32); 15] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// Within [`GLOBAL_V6`]: protocol assignments with Teredo, documentation, 6to4.
const SPECIAL_V6: [(Ipv6Addr, u32); 4] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

/// All that is given out for global unicast (RFC 4291 section 2.4).
const GLOBAL_V6: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// Private networks, and those of providers' customers (RFC 1918, RFC 6598).
const PRIVATE_V4: [(Ipv4Addr, u32); 4] = [
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
];

/// Unique local addresses (RFC 4193).
const PRIVATE_V6: (Ipv6Addr, u32) = (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7);

/// Where clouds hand out credentials within private networks: nobody is sent there.
const METADATA: [IpAddr; 3] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
];

/// Whether an address is one of the open internet.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !SPECIAL_V4.iter().any(|block| within_v4(address, *block)),
        IpAddr::V6(address) => {
            within_v6(address, GLOBAL_V6)
                && !SPECIAL_V6.iter().any(|block| within_v6(address, *block))
        }
    }
}

fn is_private(address: IpAddr) -> bool {
    let private = match address {
        IpAddr::V4(address) => PRIVATE_V4.iter().any(|block| within_v4(address, *block)),
        IpAddr::V6(address) => within_v6(address, PRIVATE_V6),
    };
    private && !METADATA.contains(&address)
}

fn within_v4(address: Ipv4Addr, (block, length): (Ipv4Addr, u32)) -> bool {
    (address.to_bits() ^ block.to_bits()) >> (32 - length) == 0
}

fn within_v6(address: Ipv6Addr, (block, length): (Ipv6Addr, u32)) -> bool {
    (address.to_bits() ^ block.to_bits()) >> (128 - length) == 0
}

#[cfg(test)]
mod tests {
    use super::{OutOfReach, Reach};
    use reqwest::dns::Resolve;

    /// Public and private ones, those of this machine, and those where nobody goes.
    const ADDRESSES: [&[&str]; 4] = [
        &["1.1.1.1", "172.15.0.1", "172.32.0.1", "198.20.0.1", "2606:4700::1111"],
        &["10.1.2.3", "100.64.0.1", "172.31.255.255", "192.168.1.1", "fd00::1", "::ffff:10.0.0.1"],
        &["127.0.0.1", "127.255.0.1", "::1", "::ffff:127.0.0.1"],
        &[
            "0.0.0.0",
            "100.100.100.200",
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "198.19.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "64:ff9b::7f00:1",
            "fd00:ec2::254",
            "fe80::1",
            "ff02::1",
            "2001:0:1::1",
            "2001:db8::1",
            "2002:7f00:1::",
        ],
    ];

    #[test]
    fn each_reach_ends_where_the_next_begins_and_none_has_metadata_or_groups() {
        for (number, reach) in [Reach::Public, Reach::Private, Reach::Local].into_iter().enumerate()
        {
            for (kind, addresses) in ADDRESSES.iter().enumerate() {
                for address in *addresses {
                    let allowed = reach.allows(address.parse().unwrap());
                    assert_eq!(allowed, kind <= number, "{reach:?} {address}");
                }
            }
        }
    }

    #[test]
    fn only_who_has_its_server_on_this_machine_goes_there() {
        let reach = |url| Reach::with_server(url, false);
        for local in ["http://127.0.0.1:8700", "http://localhost:8700", "http://[::1]:8700"] {
            assert_eq!(reach(local), Reach::Local, "{local}");
        }
        for public in ["https://hdms.example", "https://10.0.0.1", "https://localhost.example", ""]
        {
            assert_eq!(reach(public), Reach::Public, "{public}");
        }
        assert_eq!(Reach::with_server("https://hdms.example", true), Reach::Private);
    }

    #[test]
    fn an_address_in_a_url_is_looked_at_however_it_is_written() {
        let admits = |reach: Reach, url: &str| reach.admits(&url.parse().unwrap());
        for refused in [
            "http://hospital.example/",
            "https://user@hospital.example/",
            "https://:secret@hospital.example/",
            "https://127.0.0.1/",
            "https://0x7f.1/",
            "https://2130706433/",
            "https://localhost/",
            "https://a.localhost/",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://169.254.169.254/latest/meta-data/",
            "file:///etc/passwd",
            "data:,x",
        ] {
            assert!(!admits(Reach::Public, refused), "{refused}");
        }
        assert!(admits(Reach::Public, "https://hospital.example:8443/x"));
        assert!(
            admits(Reach::Private, "https://10.0.0.1/")
                && !admits(Reach::Private, "http://10.0.0.1/")
        );
        assert!(admits(Reach::Local, "http://127.0.0.1:8720/"));
        assert!(!admits(Reach::Local, "http://169.254.169.254/latest/meta-data/"));
    }

    #[tokio::test]
    async fn a_name_of_this_machine_is_resolved_only_for_who_goes_there() {
        for reach in [Reach::Public, Reach::Private] {
            let resolved = reach.resolve("localhost".parse().unwrap()).await;
            assert!(resolved.err().unwrap().is::<OutOfReach>());
        }
        assert!(Reach::Local.resolve("localhost".parse().unwrap()).await.is_ok());
    }
}
