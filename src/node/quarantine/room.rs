//! How much of what was refused is kept: of each deliverer so much, so that none can use up the room
//! of another, and in all so much that no disk is filled.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::provider::Timestamp;

/// Most refusals that are kept of one deliverer, of each kind.
pub const MOST_REFUSALS: usize = 256;

/// Most bytes of envelopes that are kept of one deliverer, of each kind.
pub const MOST_REFUSED_BYTES: u64 = 4 * 1024 * 1024;

/// As many times as much is kept of all deliverers together.
pub const DELIVERERS: usize = 16;

/// How long a refusal is kept, milliseconds: as long as an envelope lives.
pub const KEPT: u64 = crate::envelope::LIFETIME * 1000;

/// What is counted of a refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Who delivered it.
    pub by: String,
    /// When it came.
    pub received: Timestamp,
    /// How large its envelope is that is kept; 0 where only the reason is.
    pub bytes: u64,
    /// Whether it may become good.
    pub hopeful: bool,
}

/// What is kept, by digest of the envelope.
#[derive(Debug, Default)]
pub struct Room {
    places: BTreeMap<String, Place>,
    /// How often each of those that may become good was tried again.
    tried: BTreeMap<String, u32>,
}

/// What is to be done so that a refusal can be kept.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Admission {
    /// What it is counted as; nothing where there is no room for it.
    pub place: Option<Place>,
    /// What goes for it: it is too old, or of the deliverer of whom most is kept.
    pub gone: Vec<String>,
}

#[derive(Clone, Copy, Default)]
struct Sum {
    refusals: usize,
    bytes: u64,
}

impl Sum {
    fn fits(self, bytes: u64, times: usize) -> bool {
        let most = MOST_REFUSED_BYTES.saturating_mul(times as u64);
        self.refusals < MOST_REFUSALS * times && self.bytes.saturating_add(bytes) <= most
    }

    /// By which shares are compared: what a refusal takes by itself counts too.
    fn weight(self) -> u64 {
        const ONE: u64 = MOST_REFUSED_BYTES / MOST_REFUSALS as u64;
        (self.refusals as u64).saturating_mul(ONE).saturating_add(self.bytes)
    }
}

impl Room {
    /// With what is kept.
    pub fn new(places: BTreeMap<String, Place>) -> Self {
        Self { places, tried: BTreeMap::new() }
    }

    /// Whether this envelope is kept until it may be taken in.
    pub fn hopes_for(&self, digest: &str) -> bool {
        self.places.get(digest).is_some_and(|place| place.hopeful && place.bytes > 0)
    }

    /// Takes up room for a refusal. Of one that is hopeless the reason is kept where its envelope
    /// has no room.
    pub fn admit(&mut self, digest: &str, mut place: Place) -> Admission {
        let mut gone = self.take_old(place.received);
        let of_deliverer = self.sum(|other| other.by == place.by && other.hopeful == place.hopeful);
        if !of_deliverer.fits(place.bytes, 1) {
            if place.hopeful || !of_deliverer.fits(0, 1) {
                return Admission { place: None, gone };
            }
            place.bytes = 0;
        }
        while !self.sum(|other| other.hopeful == place.hopeful).fits(place.bytes, DELIVERERS) {
            let Some(oldest) = self.oldest_of_the_largest(&place) else {
                return Admission { place: None, gone };
            };
            self.forget(&oldest);
            gone.push(oldest);
        }
        self.places.insert(digest.to_owned(), place.clone());
        Admission { place: Some(place), gone }
    }

    /// What was kept long enough by now.
    pub fn take_old(&mut self, now: Timestamp) -> Vec<String> {
        let is_old = |place: &Place| now.0.saturating_sub(place.received.0) > KEPT;
        let old = self.places.extract_if(.., |_, place| is_old(place));
        old.map(|(digest, _)| digest).collect()
    }

    /// Some of what may become good: what was tried least.
    pub fn to_try(&mut self, limit: usize) -> Vec<String> {
        let hopeful = self.places.iter().filter(|(_, place)| place.hopeful && place.bytes > 0);
        let tried = |digest: &String| self.tried.get(digest).copied().unwrap_or_default();
        let mut waiting: Vec<_> =
            hopeful.map(|(digest, _)| (tried(digest), digest.clone())).collect();
        waiting.sort();
        waiting.truncate(limit);
        for (times, digest) in &waiting {
            self.tried.insert(digest.clone(), times.saturating_add(1));
        }
        waiting.into_iter().map(|(_, digest)| digest).collect()
    }

    /// It is hopeless after all.
    pub fn give_up(&mut self, digest: &str) -> Option<Place> {
        self.tried.remove(digest);
        let place = self.places.get_mut(digest)?;
        place.hopeful = false;
        Some(place.clone())
    }

    /// It is not kept any more.
    pub fn forget(&mut self, digest: &str) {
        self.tried.remove(digest);
        self.places.remove(digest);
    }

    fn sum(&self, which: impl Fn(&Place) -> bool) -> Sum {
        let mut sum = Sum::default();
        for place in self.places.values().filter(|place| which(place)) {
            sum.refusals += 1;
            sum.bytes += place.bytes;
        }
        sum
    }

    /// The oldest refusal of the deliverer of whom most is kept, unless that is the newcomer's own.
    fn oldest_of_the_largest(&self, newcomer: &Place) -> Option<String> {
        let mut sums: BTreeMap<&str, Sum> = BTreeMap::new();
        let same = |place: &&Place| place.hopeful == newcomer.hopeful;
        for place in self.places.values().filter(same) {
            let sum = sums.entry(&place.by).or_default();
            sum.refusals += 1;
            sum.bytes += place.bytes;
        }
        let (largest, _) = sums.into_iter().max_by_key(|(_, sum)| sum.weight())?;
        let of_largest = self.places.iter().filter(|(_, place)| same(place) && place.by == largest);
        let oldest = of_largest.min_by_key(|(_, place)| place.received)?.0;
        (largest != newcomer.by).then(|| oldest.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::{DELIVERERS, KEPT, MOST_REFUSALS, MOST_REFUSED_BYTES, Place, Room};
    use crate::provider::Timestamp;

    fn place(by: &str, at: u64, bytes: u64, hopeful: bool) -> Place {
        Place { by: by.into(), received: Timestamp(at), bytes, hopeful }
    }

    #[test]
    fn one_deliverer_takes_nothing_from_another_nor_from_what_may_become_good() {
        let mut room = Room::default();
        for number in 0..MOST_REFUSALS as u64 {
            let kept = room.admit(&format!("a{number}"), place("a", number, 1, false));
            assert!(kept.place.is_some() && kept.gone.is_empty());
        }
        assert_eq!(room.admit("x", place("a", 9, 1, false)).place, None);
        assert!(room.admit("y", place("b", 9, 1, false)).place.is_some());
        assert!(room.admit("z", place("a", 9, 1, true)).place.is_some());
    }

    #[test]
    fn of_a_hopeless_envelope_that_does_not_fit_the_reason_is_kept() {
        let mut room = Room::default();
        let most = MOST_REFUSED_BYTES;
        assert!(room.admit("a", place("a", 0, most, false)).place.is_some());
        assert_eq!(room.admit("b", place("a", 0, 1, false)).place, Some(place("a", 0, 0, false)));
        assert!(room.admit("c", place("a", 0, most, true)).place.is_some());
        assert_eq!(room.admit("d", place("a", 0, 1, true)).place, None, "of no use without it");
    }

    #[test]
    fn what_is_old_makes_room() {
        let mut room = Room::default();
        for number in 0..MOST_REFUSALS {
            room.admit(&number.to_string(), place("a", 0, 1, false));
        }
        let later = room.admit("x", place("a", KEPT + 1, 1, false));
        assert_eq!((later.place.is_some(), later.gone.len()), (true, MOST_REFUSALS));
    }

    #[test]
    fn when_all_is_full_the_oldest_of_the_largest_goes() {
        let mut room = Room::default();
        for by in 0..DELIVERERS {
            for number in 0..MOST_REFUSALS - usize::from(by != 3) {
                let at = number as u64;
                room.admit(&format!("{by}/{at}"), place(&by.to_string(), at, 0, false));
            }
        }
        for number in 0..DELIVERERS - 1 {
            let kept = room.admit(&format!("y/{number}"), place("y", 0, 0, false));
            assert!(kept.gone.is_empty());
        }
        let kept = room.admit("x/0", place("x", 0, 0, false));
        assert_eq!((kept.place.is_some(), &*kept.gone), (true, &["3/0".to_owned()][..]));
    }

    #[test]
    fn what_was_tried_least_is_tried_next() {
        let mut room = Room::default();
        for name in ["a", "b", "c"] {
            room.admit(name, place("a", 0, 1, true));
        }
        assert_eq!(room.to_try(2), ["a", "b"]);
        assert_eq!(room.to_try(2), ["c", "a"]);
    }
}
