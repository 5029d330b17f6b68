//! The machine's clock and randomness.

use std::time::{SystemTime, UNIX_EPOCH};

use hdms::Error;
use hdms::provider::{Clock, Randomness, Timestamp};

/// The machine's wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        // A clock before 1970 is wrong anyway; at 0 every document is issued in the future.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(since.as_millis().try_into().unwrap_or(u64::MAX))
    }
}

/// The operating system's generator.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandomness;

impl Randomness for SystemRandomness {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), Error> {
        getrandom::fill(bytes).map_err(|_| Error::RandomnessFailed)
    }
}

#[cfg(test)]
mod tests {
    use super::{SystemClock, SystemRandomness};
    use hdms::provider::{Clock, Randomness, Timestamp};

    #[test]
    fn the_clock_shows_this_century_and_randomness_does_not_repeat() {
        assert!(SystemClock.now() > Timestamp::from_seconds(1_700_000_000));
        let (mut one, mut other) = ([0; 32], [0; 32]);
        SystemRandomness.fill(&mut one).unwrap();
        SystemRandomness.fill(&mut other).unwrap();
        assert_ne!(one, other);
    }
}
