//! Whose limit counts for what comes from an address.

use std::net::{IpAddr, Ipv6Addr};

/// Whose limit counts for what comes from `address` and passes: one subscriber has a whole IPv6 /64.
pub fn subscriber(address: IpAddr) -> IpAddr {
    network(address, 64)
}

/// Whose limit counts for what stays of what came from `address`: one customer may have an IPv6 /48 for
/// himself (RFC 6177), as many subscribers as he likes.
pub fn customer(address: IpAddr) -> IpAddr {
    network(address, 48)
}

/// An IPv4 address, or the first bits of one of IPv6.
fn network(address: IpAddr, bits: u32) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let mask = u128::MAX << (u128::BITS - bits);
            Ipv6Addr::from_bits(address.to_bits() & mask).into()
        }
    }
}
