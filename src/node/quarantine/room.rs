//! How much of what was refused is kept: of each deliverer so much, so that none can use up the room
//! of another, and in all so much that no disk is filled.

use std::collections::BinaryHeap;

use litemap::LiteMap;
use serde::{Deserialize, Serialize};

use super::Deliverer;
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
pub struct QuarantinePlace {
    /// Who delivered it.
    pub by: String,
    /// When it came.
    pub received: Timestamp,
    /// How large its envelope is that is kept; 0 where only the reason is.
    pub bytes: u64,
    /// Whether it may become good.
    pub hopeful: bool,
    /// Its place in the mailbox from which it came, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// From where it came, if from an address: what is tried again counts for the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}

impl QuarantinePlace {
    /// Whether it is kept until it may be taken in.
    pub fn is_hoped_for(&self) -> bool {
        self.hopeful && self.bytes > 0
    }
}

/// What is kept, by digest of the envelope.
#[derive(Debug, Default)]
pub struct Room(LiteMap<String, Kept>);

#[derive(Debug)]
struct Kept {
    place: QuarantinePlace,
    /// How often it was tried again.
    tried: u32,
}

/// What is to be done so that a refusal can be kept.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Admission {
    /// What it is counted as; nothing where there is no room for it.
    pub place: Option<QuarantinePlace>,
    /// What goes for it: it is too old, or of the deliverer of whom most is kept.
    pub gone: Vec<(String, QuarantinePlace)>,
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
    /// Counts what is kept.
    pub fn count(&mut self, digest: String, place: QuarantinePlace) {
        self.0.insert(digest, Kept { place, tried: 0 });
    }

    /// Whether this envelope is kept until it may be taken in.
    pub fn hopes_for(&self, digest: &str) -> bool {
        self.0.get(digest).is_some_and(|kept| kept.place.is_hoped_for())
    }

    /// Who delivered this envelope.
    pub fn by(&self, digest: &str) -> Deliverer {
        let Some(Kept { place, .. }) = self.0.get(digest) else { return Deliverer::Unknown };
        if let (Ok(id), Some(seq)) = (place.by.parse(), place.seq) {
            return Deliverer::Node { id, seq };
        }
        place.from.clone().map_or(Deliverer::Unknown, Deliverer::Address)
    }

    /// Takes up room for a refusal. Of one that is hopeless the reason is kept where its envelope
    /// has no room.
    pub fn admit(&mut self, digest: &str, mut place: QuarantinePlace) -> Admission {
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
            gone.extend(self.forget(&oldest).map(|place| (oldest, place)));
        }
        self.count(digest.to_owned(), place.clone());
        Admission { place: Some(place), gone }
    }

    /// What was kept long enough by now.
    pub fn take_old(&mut self, now: Timestamp) -> Vec<(String, QuarantinePlace)> {
        let is_old = |kept: &Kept| now.0.saturating_sub(kept.place.received.0) > KEPT;
        let old = self.0.iter().filter(|(_, kept)| is_old(kept));
        let old = old.map(|(digest, kept)| (digest.clone(), kept.place.clone())).collect();
        self.0.retain(|_, kept| !is_old(kept));
        old
    }

    /// Some of what may become good: what was tried least.
    pub fn next_to_try(&mut self, limit: usize) -> Vec<String> {
        let hopeful = self.0.iter().filter(|(_, kept)| kept.place.is_hoped_for());
        let waiting = hopeful.map(|(digest, kept)| (kept.tried, digest.clone()));
        let waiting = BinaryHeap::from_iter(waiting).into_sorted_vec();
        let least: Vec<_> = waiting.into_iter().take(limit).map(|(_, digest)| digest).collect();
        for digest in &least {
            if let Some(kept) = self.0.get_mut(digest) {
                kept.tried = kept.tried.saturating_add(1);
            }
        }
        least
    }

    /// It is hopeless after all.
    pub fn give_up(&mut self, digest: &str) -> Option<QuarantinePlace> {
        let kept = self.0.get_mut(digest)?;
        kept.place.hopeful = false;
        Some(kept.place.clone())
    }

    /// It is not kept any more.
    pub fn forget(&mut self, digest: &str) -> Option<QuarantinePlace> {
        self.0.remove(digest).map(|kept| kept.place)
    }

    fn sum(&self, which: impl Fn(&QuarantinePlace) -> bool) -> Sum {
        let mut sum = Sum::default();
        for place in self.places().filter(|place| which(place)) {
            sum.refusals += 1;
            sum.bytes += place.bytes;
        }
        sum
    }

    /// The oldest refusal of the deliverer of whom most is kept, unless that is the newcomer's own.
    fn oldest_of_the_largest(&self, newcomer: &QuarantinePlace) -> Option<String> {
        let mut sums: LiteMap<&str, Sum> = LiteMap::new();
        let same = |place: &&QuarantinePlace| place.hopeful == newcomer.hopeful;
        for place in self.places().filter(same) {
            let sum = sums.entry(place.by.as_str()).or_default();
            sum.refusals += 1;
            sum.bytes += place.bytes;
        }
        let (largest, _) = sums.into_iter().max_by_key(|(by, sum)| (sum.weight(), *by))?;
        let places = self.0.iter().map(|(digest, kept)| (digest, &kept.place));
        let of_largest = places.filter(|(_, place)| same(place) && place.by == largest);
        let oldest = of_largest.min_by_key(|(digest, place)| (place.received, *digest))?.0;
        (largest != newcomer.by).then(|| oldest.clone())
    }

    fn places(&self) -> impl Iterator<Item = &QuarantinePlace> {
        self.0.values().map(|kept| &kept.place)
    }
}

#[cfg(test)]
mod tests {
    use super::{DELIVERERS, KEPT, MOST_REFUSALS, MOST_REFUSED_BYTES, QuarantinePlace, Room};
    use crate::provider::Timestamp;

    fn place(by: &str, at: u64, bytes: u64, hopeful: bool) -> QuarantinePlace {
        QuarantinePlace {
            by: by.into(),
            received: Timestamp(at),
            bytes,
            hopeful,
            seq: None,
            from: None,
        }
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
        let gone: Vec<_> = kept.gone.iter().map(|(digest, _)| &**digest).collect();
        assert_eq!((kept.place.is_some(), gone), (true, vec!["3/0"]));
    }

    #[test]
    fn what_was_tried_least_is_tried_next() {
        let mut room = Room::default();
        for name in ["a", "b", "c"] {
            room.admit(name, place("a", 0, 1, true));
        }
        assert_eq!(room.next_to_try(2), ["a", "b"]);
        assert_eq!(room.next_to_try(2), ["c", "a"]);
    }
}
