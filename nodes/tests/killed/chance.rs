//! What happens by chance, and the same for the same seed.

use hdms::provider::Randomness;
use hdms::testing::SeededRandomness;

/// A source of chance. Clones draw from one stream.
#[derive(Clone)]
pub struct Chance(SeededRandomness);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(SeededRandomness::new(seed))
    }

    /// Less than `end`.
    pub fn below(&self, end: usize) -> usize {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes).unwrap();
        (u64::from_le_bytes(bytes) % end as u64) as usize
    }

    /// How often something is delivered.
    pub fn times(&self) -> usize {
        [0, 1, 2, 5][self.below(4)]
    }

    pub fn shuffle<T>(&self, things: &mut [T]) {
        for last in (1..things.len()).rev() {
            things.swap(last, self.below(last + 1));
        }
    }
}
