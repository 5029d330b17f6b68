//! How often each may ask: a token bucket for each node, and for each address that strangers come
//! from.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hdms::Error;
use hdms::card::Role;
use hdms::ids::NodeId;
use hdms::provider::Timestamp;

/// For limits of a day, and of an hour.
pub const DAY: Duration = Duration::from_secs(24 * 3600);
pub const HOUR: Duration = Duration::from_secs(3600);

/// Buckets remembered before those that are full are forgotten.
const MANY: usize = 10_000;

/// How often an institution or a notary may ask, for each time that a personal node may: it speaks
/// with many.
const MEMBERS: u32 = 10;

/// How often each node may ask.
#[derive(Debug)]
pub struct NodeRates {
    personal: RateLimit<NodeId>,
    members: RateLimit<NodeId>,
}

impl NodeRates {
    /// Allows each personal node this many requests a minute.
    pub fn per_minute(requests: u32) -> Self {
        Self {
            personal: RateLimit::per_minute(requests),
            members: RateLimit::per_minute(requests.saturating_mul(MEMBERS)),
        }
    }

    /// [`Error::TooManyRequests`] when the node has used up what it may.
    pub fn take(&self, node: &NodeId, role: Role, now: Timestamp) -> Result<(), Error> {
        match role {
            Role::Personal => self.personal.take(node, now),
            Role::Institution | Role::Notary => self.members.take(node, now),
        }
    }
}

/// A bucket for each key; all of one size, which refills within the same time.
#[derive(Debug)]
pub struct RateLimit<K> {
    size: f64,
    /// Milliseconds in which an empty bucket is full again.
    refill: f64,
    buckets: Mutex<Buckets<K>>,
}

#[derive(Debug)]
struct Buckets<K> {
    of: HashMap<K, Bucket>,
    /// At this many, those that are full are looked for.
    sweep: usize,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    at: Timestamp,
}

impl<K: Hash + Eq + Clone> RateLimit<K> {
    /// Allows each this many requests a minute, all at once if it likes.
    pub fn per_minute(requests: u32) -> Self {
        Self::new(requests, Duration::from_secs(60))
    }

    /// The same in another time.
    pub fn new(requests: u32, refill: Duration) -> Self {
        let buckets = Buckets { of: HashMap::new(), sweep: MANY };
        let refill = refill.as_secs_f64() * 1000.0;
        Self { size: requests.into(), refill, buckets: Mutex::new(buckets) }
    }

    /// [`Error::TooManyRequests`] when `key` has used up what it may. To be refused costs it nothing:
    /// who shares it and asks on and on keeps it from no one.
    pub fn take(&self, key: &K, now: Timestamp) -> Result<(), Error> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.of.len() >= buckets.sweep {
            buckets.of.retain(|_, bucket| self.filled(*bucket, now) < self.size);
            buckets.sweep = MANY.max(2 * buckets.of.len());
        }
        let full = Bucket { tokens: self.size, at: now };
        let tokens = self.filled(buckets.of.get(key).copied().unwrap_or(full), now);
        if tokens < 1.0 {
            return Err(Error::TooManyRequests);
        }
        let bucket = Bucket { tokens: tokens - 1.0, at: now };
        match buckets.of.get_mut(key) {
            Some(kept) => *kept = bucket,
            None => drop(buckets.of.insert(key.clone(), bucket)),
        }
        Ok(())
    }

    /// Gives back what `key` took and was not used.
    pub fn give_back(&self, key: &K) {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        // One that was full meanwhile and is forgotten is full without it, too.
        if let Some(bucket) = buckets.of.get_mut(key) {
            bucket.tokens += 1.0;
        }
    }

    /// Whether `key` may take something now.
    pub fn has(&self, key: &K, now: Timestamp) -> bool {
        let buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.of.get(key).is_none_or(|bucket| self.filled(*bucket, now) >= 1.0)
    }

    fn filled(&self, bucket: Bucket, now: Timestamp) -> f64 {
        let passed = now.0.saturating_sub(bucket.at.0) as f64 / self.refill;
        (bucket.tokens + passed * self.size).min(self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::{DAY, RateLimit};
    use crate::base::http::addresses::subscriber;
    use hdms::Error;
    use hdms::provider::Timestamp;

    #[test]
    fn an_address_waits_once_its_minute_is_used_up_and_no_other_does() {
        let limit = RateLimit::per_minute(2);
        let take = |address: &str, second| {
            let address = subscriber(address.parse().unwrap());
            limit.take(&address, Timestamp::from_seconds(second))
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

    #[test]
    fn tries_in_vain_put_the_next_one_off_by_nothing() {
        let limit = RateLimit::new(20, DAY);
        let take = |half_hours: u64| limit.take(&0, Timestamp::from_seconds(half_hours * 1800));
        (0..20).for_each(|_| assert_eq!(take(0), Ok(())));
        assert_eq!((1..=50).filter(|at| take(*at).is_ok()).count(), 20, "one each 72 minutes");
    }
}
