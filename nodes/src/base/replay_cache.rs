//! The replay cache: which of the ids that may be used once were used, for as long as they could be used
//! again.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::digest;
use hdms::Error;
use hdms::provider::Timestamp;

use crate::base::private;

/// Bytes of an id as it is remembered, and in a file those of its time before it.
const ID: usize = 16;
const TIME: usize = 8;

/// Remembers ids for a while: two generations, the older of which is forgotten.
#[derive(Debug)]
pub struct ReplayCache {
    window: u64,
    generations: Mutex<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    since: u64,
    newer: HashSet<Id>,
    older: HashSet<Id>,
    journal: Option<UsedIds>,
}

/// The beginning of its SHA-256.
type Id = [u8; ID];

impl ReplayCache {
    /// Remembers every id for at least `window` seconds, and for less than three times that, until
    /// the process ends.
    pub fn new(window: u64) -> Self {
        Self { window, generations: Mutex::default() }
    }

    /// Remembers also what was seen before the process was started anew, however the one before
    /// ended: each id is in a file of `folder` before it is answered.
    ///
    /// Not on stable storage: a machine that loses power takes longer to come back than ids are
    /// good for, or loses the last few of them. [`Error::StoreFailed`].
    pub fn kept_in(folder: &Path, window: u64, now: Timestamp) -> Result<Self, Error> {
        let failed = |error| {
            tracing::error!(%error, "the ids of used proofs can't be kept");
            Error::StoreFailed
        };
        let since = now.seconds();
        let (journal, older) = UsedIds::open(folder, since, 3 * window).map_err(failed)?;
        let generations =
            Generations { since, older, journal: Some(journal), newer: HashSet::new() };
        Ok(Self { window, generations: Mutex::new(generations) })
    }

    /// Whether `id` came before, as far as is remembered.
    pub fn has(&self, id: &str) -> bool {
        let id = shortened(id);
        let generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        generations.older.contains(&id) || generations.newer.contains(&id)
    }

    /// Whether `id` comes for the first time.
    pub fn first_time(&self, id: &str, now: Timestamp) -> bool {
        let id = shortened(id);
        let now = now.seconds();
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        if now >= generations.since + self.window {
            generations.older = mem::take(&mut generations.newer);
            generations.since = now;
            generations.keep(UsedIds::rotate);
        }
        let first = !generations.older.contains(&id) && generations.newer.insert(id);
        if first {
            generations.keep(|journal| journal.append(now, &id));
        }
        first
    }
}

impl Generations {
    /// A full disk must not keep nodes from emptying their mailboxes: what can't be kept is
    /// remembered until the process ends.
    fn keep(&mut self, work: impl FnOnce(&mut UsedIds) -> io::Result<()>) {
        if let Some(Err(error)) = self.journal.as_mut().map(work) {
            tracing::error!(%error, "the id of a used proof was not kept");
        }
    }
}

fn shortened(id: &str) -> Id {
    let mut shortened = [0; ID];
    shortened.copy_from_slice(&digest::digest(&digest::SHA256, id.as_bytes()).as_ref()[..ID]);
    shortened
}

/// Two files of ids, each with its time: the one that grows, and the one before it.
#[derive(Debug)]
struct UsedIds {
    growing: PathBuf,
    before: PathBuf,
    file: File,
}

impl UsedIds {
    /// Answers also the ids of at most `age` seconds ago.
    fn open(folder: &Path, now: u64, age: u64) -> io::Result<(Self, HashSet<Id>)> {
        let (growing, before) = (folder.join("proofs.new"), folder.join("proofs.old"));
        let mut recent = Vec::new();
        for path in [&before, &growing] {
            let kept = fs::read(path).or_else(|error| match error.kind() {
                io::ErrorKind::NotFound => Ok(Vec::new()),
                _ => Err(error),
            })?;
            let records = kept.as_chunks::<{ TIME + ID }>().0.iter().copied();
            recent.extend(records.filter(|record| split(record).0 + age > now));
        }
        let moved = folder.join("proofs.tmp");
        let mut kept = private::made_anew(&moved)?;
        kept.write_all(recent.as_flattened())?;
        fs::rename(&moved, &before)?;
        let ids = recent.iter().map(|record| split(record).1).collect();
        let file = private::made_anew(&growing)?;
        Ok((Self { growing, before, file }, ids))
    }

    fn append(&mut self, now: u64, id: &Id) -> io::Result<()> {
        let mut record = [0; TIME + ID];
        record[..TIME].copy_from_slice(&now.to_le_bytes());
        record[TIME..].copy_from_slice(id);
        self.file.write_all(&record)
    }

    fn rotate(&mut self) -> io::Result<()> {
        fs::rename(&self.growing, &self.before)?;
        self.file = private::made_anew(&self.growing)?;
        Ok(())
    }
}

fn split(record: &[u8; TIME + ID]) -> (u64, Id) {
    let (mut time, mut id) = ([0; TIME], [0; ID]);
    time.copy_from_slice(&record[..TIME]);
    id.copy_from_slice(&record[TIME..]);
    (u64::from_le_bytes(time), id)
}

#[cfg(test)]
mod tests {
    use super::ReplayCache;
    use hdms::provider::Timestamp;

    #[test]
    fn an_id_is_new_once_within_the_window_and_forgotten_long_after() {
        let seen = ReplayCache::new(100);
        let first = |id: &str, second| seen.first_time(id, Timestamp::from_seconds(second));
        assert!(first("a", 1000));
        assert!(first("b", 1099));
        for second in [1001, 1099, 1100] {
            assert!(!first("a", second), "{second}");
        }
        assert!(!first("b", 1199));
        assert!(first("a", 1400));
    }

    #[test]
    fn an_id_used_before_a_restart_is_not_new_after_it_nor_after_many() {
        let dir = tempfile::tempdir().unwrap();
        let open = |second| {
            ReplayCache::kept_in(dir.path(), 100, Timestamp::from_seconds(second)).unwrap()
        };
        let first = |seen: &ReplayCache, id: &str, second| {
            seen.first_time(id, Timestamp::from_seconds(second))
        };
        let seen = open(1000);
        assert!(first(&seen, "a", 1000));
        assert!(first(&seen, "b", 1101), "in the next file");
        drop(seen);
        for second in [1101, 1120, 1199] {
            let seen = open(second);
            assert!(!first(&seen, "a", second));
            assert!(!first(&seen, "b", second));
            assert!(first(&seen, &second.to_string(), second));
        }
        assert!(!first(&open(1199), "1120", 1199));
        let bytes = || dir.path().join("proofs.old").metadata().unwrap().len();
        assert_eq!(bytes(), 5 * 24);
        assert!(first(&open(2000), "a", 2000));
        assert_eq!(bytes(), 0, "what is too old is dropped");
    }
}
