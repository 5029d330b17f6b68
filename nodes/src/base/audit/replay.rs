//! A log from its first leaf on: every leaf is read, every hash computed anew and held against what
//! the log serves and has signed.

use std::collections::BTreeMap;

use futures_util::stream::{self, StreamExt};
use hdms::ledger::Leaf;
use hdms::log::Hash;
use hdms::log::merkle::leaf_hash;

use super::fault::{Claim, Fault, Unchecked};
use super::fetch::Fetch;
use super::places::Places;
use super::plan::plan;
use super::report::{Counts, Faults};
use crate::base::log::tile_path::{Content, TilePath};
use crate::base::log::tree::{self, Tree};

/// Resources that are read at a time.
const AT_ONCE: usize = 16;

/// Groups of leaves that are looked at again, and leaves of one group.
const SUSPECTS: usize = 1000;

/// What was read so far.
pub struct Replay<'a> {
    fetch: &'a Fetch,
    url: &'a str,
    tree: Tree,
    places: Places,
    claims: BTreeMap<u64, Vec<Claim>>,
    bundle: Option<Vec<Hash>>,
    /// What was found.
    pub faults: Faults,
    /// How much was read.
    pub counts: Counts,
}

impl<'a> Replay<'a> {
    /// Of the log at `url`, that is to bear out the `claims`.
    pub fn new(fetch: &'a Fetch, url: &'a str, claims: Vec<Claim>, faults: Faults) -> Self {
        let mut by_size: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for claim in claims {
            by_size.entry(claim.size()).or_default().push(claim);
        }
        let mut replay = Self {
            fetch,
            url,
            tree: Tree::default(),
            places: Places::default(),
            claims: by_size,
            bundle: None,
            faults,
            counts: Counts::default(),
        };
        replay.hold_to_claims();
        replay
    }

    /// How many leaves were read.
    pub fn size(&self) -> u64 {
        self.tree.size()
    }

    /// Reads on until there are `size` leaves, telling how many there are. Ends before that where
    /// neither leaves nor their hashes can be had any more.
    pub async fn read_to(&mut self, size: u64, progress: &impl Fn(u64)) -> Result<(), Unchecked> {
        let (fetch, url) = (self.fetch, self.url);
        let read = async move |path| Ok((path, fetch.tile(url, path).await?));
        let mut read = stream::iter(plan(self.size(), size)).map(read).buffered(AT_ONCE);
        while let Some(read) = read.next().await {
            let (path, bytes) = read?;
            match path.content {
                Content::Entries => self.take_leaves(path, bytes),
                Content::Hashes(0) => {
                    if !self.take_tile(path, bytes) {
                        break;
                    }
                    progress(self.size());
                }
                Content::Hashes(_) => self.compare(path, bytes),
            }
        }
        Ok(())
    }

    /// The claims about more leaves than there are.
    pub fn unmet(&self) -> Vec<Claim> {
        self.claims.range(self.size() + 1..).flat_map(|(_, claims)| claims.clone()).collect()
    }

    fn take_leaves(&mut self, path: TilePath, bytes: Option<Vec<u8>>) {
        self.tree.forget_full();
        self.counts.bundles += 1;
        self.bundle = None;
        let Some(bytes) = bytes else { return self.faults.push(Fault::Missing(path)) };
        let Some(leaves) = self.fetch.leaves(&bytes, path) else {
            return self.faults.push(Fault::Malformed(path));
        };
        for (index, leaf) in path.range().zip(&leaves) {
            if index >= self.size() {
                self.take_leaf(index, leaf);
            }
        }
        self.bundle = Some(leaves.into_iter().map(leaf_hash).collect());
    }

    fn take_leaf(&mut self, index: u64, leaf: &[u8]) {
        if !self.fetch.has_entries() {
            return;
        }
        let Ok(Leaf { time, place, .. }) = Leaf::parse(leaf) else {
            return self.faults.push(Fault::LeafUnreadable(index));
        };
        self.places.take(index, &place);
        let before = self.counts.times.map_or(time, |times| times[1]);
        if time < before {
            self.faults.push(Fault::TimeBackwards { index, time, before });
        }
        self.counts.times = Some([self.counts.times.map_or(time, |times| times[0]), time]);
    }

    /// The tile over the last bundle. When that could not be read its hashes have to do; false when
    /// there is neither.
    fn take_tile(&mut self, path: TilePath, bytes: Option<Vec<u8>>) -> bool {
        let served = bytes.as_deref().and_then(|bytes| self.fetch.hashes(bytes, path));
        let Some(leaves) = self.bundle.take().or(served.map(<[_]>::to_vec)) else {
            self.compare(path, bytes);
            return false;
        };
        for (index, leaf) in path.range().zip(leaves) {
            if index == self.size() {
                self.tree.push(leaf);
                self.hold_to_claims();
            }
        }
        self.compare(path, bytes);
        true
    }

    /// Holds a tile against what was computed.
    fn compare(&mut self, path: TilePath, bytes: Option<Vec<u8>>) {
        self.counts.tiles += 1;
        let Some(bytes) = bytes else { return self.faults.push(Fault::Missing(path)) };
        let Some(served) = self.fetch.hashes(&bytes, path) else {
            return self.faults.push(Fault::Malformed(path));
        };
        let computed = path.position().and_then(|tile| self.tree.tile(tile)).unwrap_or_default();
        let both = path.range().zip(served.iter().zip(computed));
        let mut differing = both.filter(|(_, (served, computed))| served != computed);
        if let Some((first, _)) = differing.next() {
            let count = differing.count() + 1;
            self.faults.push(Fault::Altered { path, first, count });
        }
    }

    fn hold_to_claims(&mut self) {
        let size = self.tree.size();
        let Some(claims) = self.claims.get(&size) else { return };
        let root = tree::root(&self.tree, size);
        for claim in claims {
            self.counts.claims += 1;
            if root != Ok(claim.checkpoint.checkpoint().root) {
                self.faults.push(Fault::Contradicted(claim.clone()));
            }
        }
    }

    /// Holds the last leaf's time against when the checkpoint over it was co-signed.
    pub fn hold_to_time(&mut self, cosigned: Option<u64>) {
        let (Some([_, time]), Some(cosigned)) = (self.counts.times, cosigned) else { return };
        if time > cosigned {
            self.faults.push(Fault::TimeAhead { time, cosigned });
        }
    }

    /// Looks again at leaves that seem to take one place.
    pub async fn look_at_places(&mut self) -> Result<(), Unchecked> {
        self.counts.places = self.places.count();
        for suspects in self.places.suspects(SUSPECTS) {
            let mut taken = BTreeMap::new();
            for index in suspects {
                let Some(place) = self.place(index).await? else {
                    self.faults.push(Fault::LeafChanged(index));
                    continue;
                };
                if let Some(first) = taken.get(&place) {
                    self.faults.push(Fault::PlaceTaken { first: *first, second: index });
                } else {
                    taken.insert(place, index);
                }
            }
        }
        Ok(())
    }

    /// The place of a leaf that was read before, if the leaf still says the same.
    async fn place(&self, index: u64) -> Result<Option<Hash>, Unchecked> {
        let number = index / tree::WIDTH;
        let width = tree::WIDTH.min(self.size() - number * tree::WIDTH);
        let path = TilePath { content: Content::Entries, number, width };
        let bytes = self.fetch.tile(self.url, path).await?.unwrap_or_default();
        let leaves = self.fetch.leaves(&bytes, path).unwrap_or_default();
        let leaf =
            leaves.get((index % tree::WIDTH) as usize).and_then(|leaf| Leaf::parse(leaf).ok());
        let place = leaf.map(|leaf| leaf.place).filter(|place| self.places.had(index, place));
        Ok(place.map(|place| place.0))
    }
}
