//! Providers for tests and transcripts: randomness that repeats itself and a clock that stands.
//! No node may run on them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Error;
use crate::provider::{Clock, Randomness, Timestamp};
use crate::software::Stream;

/// The same bytes for the same seed, native and wasm32. Clones draw from one stream.
#[derive(Clone)]
pub struct SeededRandomness(Arc<Mutex<Stream>>);

impl SeededRandomness {
    /// The stream of `seed`.
    pub fn new(seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[24..].copy_from_slice(&seed.to_be_bytes());
        Self(Arc::new(Mutex::new(Stream::new(bytes))))
    }
}

impl Randomness for SeededRandomness {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill(bytes);
        Ok(())
    }
}

/// Shows the time it was set to. Clones show the same.
#[derive(Clone, Debug)]
pub struct FixedClock(Arc<AtomicU64>);

impl FixedClock {
    /// Standing at `now`.
    pub fn new(now: Timestamp) -> Self {
        Self(Arc::new(AtomicU64::new(now.0)))
    }

    /// Moves the clock to `now`, forwards or back.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.0, Ordering::SeqCst);
    }

    /// Moves the clock forwards.
    pub fn advance(&self, milliseconds: u64) {
        self.0.fetch_add(milliseconds, Ordering::SeqCst);
    }
}

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::SeededRandomness;
    use crate::provider::Randomness;

    #[test]
    fn a_seed_always_gives_the_same_stream_and_another_seed_another() {
        let draw = |randomness: &SeededRandomness| {
            let mut bytes = [0; 40];
            randomness.fill(&mut bytes).unwrap();
            bytes
        };
        let one = SeededRandomness::new(1);
        let first = draw(&one);
        assert_eq!(first, draw(&SeededRandomness::new(1)));
        assert_ne!(first, draw(&one));
        assert_ne!(first, draw(&SeededRandomness::new(2)));
    }
}
