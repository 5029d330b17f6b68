//! Who really asks, where requests come by way of a proxy: the address that a proxy names counts
//! only when the operator trusts that proxy.

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::{Arc, Once};

use axum::http::HeaderMap;
use hdms::Error;

/// A block of addresses: `10.0.0.0/8`, `2001:db8::/32`, or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    address: IpAddr,
    length: u32,
}

impl Block {
    fn contains(&self, address: IpAddr) -> bool {
        let within = |difference: u128, width: u32| match width - self.length {
            rest if rest >= 128 => true,
            rest => difference >> rest == 0,
        };
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(block), IpAddr::V4(address)) => {
                within((block.to_bits() ^ address.to_bits()).into(), 32)
            }
            (IpAddr::V6(block), IpAddr::V6(address)) => {
                within(block.to_bits() ^ address.to_bits(), 128)
            }
            _ => false,
        }
    }
}

impl FromStr for Block {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let malformed = Error::CommandMalformed;
        let (address, length) = text.split_once('/').map_or((text, None), |(a, l)| (a, Some(l)));
        let address: IpAddr = address.parse().map_err(|_| malformed)?;
        let address = address.to_canonical();
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let length = length.map_or(Ok(longest), str::parse).map_err(|_| malformed)?;
        if length <= longest { Ok(Self { address, length }) } else { Err(malformed) }
    }
}

/// The proxies that the operator trusts.
#[derive(Clone, Debug, Default)]
pub struct Proxies(Arc<[Block]>);

impl From<Vec<Block>> for Proxies {
    fn from(blocks: Vec<Block>) -> Self {
        Self(blocks.into())
    }
}

impl Proxies {
    /// Whether this is the address of one.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|block| block.contains(address))
    }

    /// Who asks with these headers over a connection from `peer`: the last address in `Forwarded`
    /// (RFC 7239) or `X-Forwarded-For` that is not a proxy's. Whoever asks may have written what
    /// stands before it, and the header that the proxy does not write: where both are there and
    /// disagree, the proxy itself counts.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        if !self.trusts(peer) {
            if headers.contains_key("forwarded") || headers.contains_key("x-forwarded-for") {
                static SAID: Once = Once::new();
                SAID.call_once(|| {
                    tracing::info!(%peer, "a proxy that is not trusted asks for others: all count as one");
                });
            }
            return peer;
        }
        let hops = |name: &str, read: fn(&str) -> Option<IpAddr>| {
            let values = headers.get_all(name).iter().map(|value| value.to_str().unwrap_or(""));
            let hops: Vec<_> = values.flat_map(|value| value.split(',')).map(read).collect();
            (!hops.is_empty()).then(|| self.last_stranger(peer, hops))
        };
        match (hops("forwarded", forwarded), hops("x-forwarded-for", address)) {
            (Some(one), Some(other)) if one != other => peer,
            (Some(client), _) | (None, Some(client)) => client,
            (None, None) => peer,
        }
    }

    fn last_stranger(&self, peer: IpAddr, hops: Vec<Option<IpAddr>>) -> IpAddr {
        let mut last = peer;
        for hop in hops.into_iter().rev() {
            // What hides itself is known by who has named it.
            let Some(hop) = hop else { return last };
            last = hop;
            if !self.trusts(hop) {
                break;
            }
        }
        last
    }
}

/// The address in `for=…` of one element.
fn forwarded(element: &str) -> Option<IpAddr> {
    let named = element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then_some(value)
    });
    address(named?.trim().trim_matches('"'))
}

/// An address, with or without a port.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bracketed = text.strip_prefix('[').and_then(|text| text.split_once(']'));
    let host = match bracketed {
        Some((host, _)) => host,
        None => match text.split_once(':') {
            Some((host, port)) if !port.contains(':') => host,
            _ => text,
        },
    };
    host.parse().ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::{Block, Proxies};
    use axum::http::{HeaderMap, HeaderName};
    use std::net::IpAddr;

    fn client(peer: &str, headers: &[(&'static str, &str)]) -> IpAddr {
        let blocks = ["127.0.0.1", "10.0.0.0/8", "fd00::/8"];
        let blocks: Vec<Block> = blocks.iter().map(|block| block.parse().unwrap()).collect();
        let pairs = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, value);
        }
        Proxies::from(blocks).client(peer.parse().unwrap(), &headers)
    }

    #[test]
    fn the_last_address_before_the_trusted_proxies_is_who_asks() {
        for (peer, headers, expected) in [
            ("127.0.0.1", vec![("x-forwarded-for", "192.0.2.7")], "192.0.2.7"),
            ("127.0.0.1", vec![("x-forwarded-for", "1.1.1.1, 192.0.2.7, 10.1.2.3")], "192.0.2.7"),
            ("::ffff:127.0.0.1", vec![("x-forwarded-for", "192.0.2.7")], "192.0.2.7"),
            ("fd00::1", vec![("forwarded", "for=1.1.1.1, for=192.0.2.7;proto=https")], "192.0.2.7"),
            (
                "127.0.0.1",
                vec![("forwarded", "proto=https;For=\"[2001:db8::1]:4711\"")],
                "2001:db8::1",
            ),
            ("127.0.0.1", vec![("x-forwarded-for", "192.0.2.7:4711")], "192.0.2.7"),
            ("127.0.0.1", vec![("x-forwarded-for", "2001:db8::1")], "2001:db8::1"),
            (
                "127.0.0.1",
                vec![("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "192.0.2.7")],
                "192.0.2.7",
            ),
            (
                "127.0.0.1",
                vec![("forwarded", "for=192.0.2.7"), ("x-forwarded-for", "192.0.2.7")],
                "192.0.2.7",
            ),
        ] {
            assert_eq!(client(peer, &headers), expected.parse::<IpAddr>().unwrap(), "{headers:?}");
        }
    }

    #[test]
    fn what_strangers_write_does_not_count() {
        for (peer, headers, expected) in [
            ("192.0.2.9", vec![("x-forwarded-for", "192.0.2.7")], "192.0.2.9"),
            ("192.0.2.9", vec![("forwarded", "for=127.0.0.1")], "192.0.2.9"),
            ("127.0.0.1", vec![], "127.0.0.1"),
            ("127.0.0.1", vec![("forwarded", "for=unknown")], "127.0.0.1"),
            ("127.0.0.1", vec![("x-forwarded-for", "1.1.1.1, _hidden")], "127.0.0.1"),
            ("127.0.0.1", vec![("x-forwarded-for", "1.1.1.1, , 10.0.0.9")], "10.0.0.9"),
            (
                "127.0.0.1",
                vec![("forwarded", "for=1.1.1.1"), ("x-forwarded-for", "192.0.2.7")],
                "127.0.0.1",
            ),
        ] {
            assert_eq!(client(peer, &headers), expected.parse::<IpAddr>().unwrap(), "{headers:?}");
        }
    }

    #[test]
    fn blocks_are_addresses_with_a_length_that_they_have() {
        for text in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "a/8", "10.0.0.0/", "10.0.0.0/-1"] {
            assert!(text.parse::<Block>().is_err(), "{text}");
        }
        let all: Block = "0.0.0.0/0".parse().unwrap();
        assert!(
            all.contains("192.0.2.1".parse().unwrap()) && !all.contains("::1".parse().unwrap())
        );
        assert!("::/0".parse::<Block>().unwrap().contains("2001:db8::1".parse().unwrap()));
    }
}
