//! The machine's clock and randomness.

use std::fmt;
use std::sync::Arc;
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

/// A clock that is chosen when a node starts: the machine's, or one that a test sets.
#[derive(Clone)]
pub struct NodeClock(Arc<dyn Clock + Send + Sync>);

impl NodeClock {
    /// Shows what `clock` shows.
    pub fn new(clock: impl Clock + Send + Sync + 'static) -> Self {
        Self(Arc::new(clock))
    }
}

impl Default for NodeClock {
    fn default() -> Self {
        Self::new(SystemClock)
    }
}

impl Clock for NodeClock {
    fn now(&self) -> Timestamp {
        self.0.now()
    }
}

impl fmt::Debug for NodeClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NodeClock").field(&self.now()).finish()
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
