//! How often strangers may ask from one address: a token bucket for each.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

use hdms::Error;
use hdms::provider::Timestamp;

/// Addresses remembered before those with a full bucket are forgotten.
const MANY: usize = 10_000;

/// A bucket for each address; all of one size, which refills within a minute.
#[derive(Debug)]
pub struct RateLimit {
    per_minute: f64,
    buckets: Mutex<HashMap<IpAddr, Bucket>>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    at: Timestamp,
}

impl RateLimit {
    /// Allows each address this many requests a minute, all at once if it likes.
    pub fn per_minute(requests: u32) -> Self {
        Self { per_minute: requests.into(), buckets: Mutex::default() }
    }

    /// [`Error::TooManyRequests`] when the address has used up what it may.
    pub fn take(&self, address: IpAddr, now: Timestamp) -> Result<(), Error> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MANY {
            buckets.retain(|_, bucket| self.filled(*bucket, now) < self.per_minute);
        }
        let full = Bucket { tokens: self.per_minute, at: now };
        let bucket = buckets.entry(subscriber(address)).or_insert(full);
        let tokens = self.filled(*bucket, now);
        *bucket = Bucket { tokens: (tokens - 1.0).max(0.0), at: now };
        if tokens < 1.0 { Err(Error::TooManyRequests) } else { Ok(()) }
    }

    fn filled(&self, bucket: Bucket, now: Timestamp) -> f64 {
        let minutes = now.0.saturating_sub(bucket.at.0) as f64 / 60_000.0;
        (bucket.tokens + minutes * self.per_minute).min(self.per_minute)
    }
}

/// One subscriber has a whole IPv6 /64.
fn subscriber(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::RateLimit;
    use hdms::Error;
    use hdms::provider::Timestamp;

    #[test]
    fn an_address_waits_once_its_minute_is_used_up_and_no_other_does() {
        let limit = RateLimit::per_minute(2);
        let take = |address: &str, second| {
            limit.take(address.parse().unwrap(), Timestamp::from_seconds(second))
        };
        assert_eq!(take("192.0.2.1", 100), Ok(()));
        assert_eq!(take("192.0.2.1", 100), Ok(()));
        assert_eq!(take("192.0.2.1", 100), Err(Error::TooManyRequests));
        assert_eq!(take("192.0.2.2", 100), Ok(()));
        assert_eq!(take("192.0.2.1", 131), Ok(()));
        assert_eq!(take("192.0.2.1", 131), Err(Error::TooManyRequests));
        assert_eq!(take("2001:db8::1", 100), Ok(()));
        assert_eq!(take("2001:db8::2", 100), Ok(()));
        assert_eq!(take("2001:db8::3", 100), Err(Error::TooManyRequests));
    }
}
