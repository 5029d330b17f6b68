//! Whether no two leaves take one place, in 16 bytes of memory for each leaf. What is kept of a place
//! is its hash under a key that nobody knows, so that no log can make places that collide in it; the
//! few leaves that do are looked at again.

use std::hash::{BuildHasher, RandomState};

use hdms::ledger::Commitment;

/// The places that were taken so far.
#[derive(Debug, Default)]
pub struct Places {
    key: RandomState,
    taken: Vec<(u64, u64)>,
}

impl Places {
    /// Notes that the leaf at `index` takes `place`.
    pub fn take(&mut self, index: u64, place: &Commitment) {
        self.taken.push((self.key.hash_one(place), index));
    }

    /// How many leaves were noted.
    pub fn count(&self) -> usize {
        self.taken.len()
    }

    /// The leaves that may share a place: up to `most` groups of two to `most`, in their order.
    pub fn suspects(&mut self, most: usize) -> Vec<Vec<u64>> {
        self.taken.sort_unstable();
        let groups = self.taken.chunk_by(|one, other| one.0 == other.0);
        let groups = groups.filter(|group| group.len() > 1).take(most);
        let indexes = |group: &[(u64, u64)]| group.iter().take(most).map(|one| one.1).collect();
        let mut suspects: Vec<Vec<u64>> = groups.map(indexes).collect();
        suspects.sort_unstable();
        suspects
    }

    /// After [`Self::suspects`]: whether the leaf at `index` was noted with this place.
    pub fn had(&self, index: u64, place: &Commitment) -> bool {
        self.taken.binary_search(&(self.key.hash_one(place), index)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::Places;
    use hdms::ledger::Commitment;

    #[test]
    fn leaves_in_one_place_are_found_together() {
        let mut places = Places::default();
        for (index, place) in (0..).zip([7, 1, 2, 7, 3, 1, 7]) {
            places.take(index, &Commitment([place; 32]));
        }
        assert_eq!(places.suspects(10), [vec![0, 3, 6], vec![1, 5]]);
        assert_eq!(places.suspects(1).len(), 1);
        assert_eq!(places.count(), 7);
        assert!(places.had(3, &Commitment([7; 32])) && !places.had(3, &Commitment([1; 32])));
    }
}
