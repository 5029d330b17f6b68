//! The log's Merkle tree (RFC 9162 section 2.1) in tiles of 256 hashes (C2SP tlog-tiles). In memory
//! is what new leaves and their proofs need: the tiles on the right edge, and those that were
//! completed since the last publication.

use std::collections::HashMap;
use std::sync::Arc;

use hdms::Error;
use hdms::log::Hash;
use hdms::log::merkle::node_hash;
use tlog_tiles::{HashReader, Tile};

/// Levels of the tree in a tile.
pub const HEIGHT: u8 = 8;

/// Hashes in a full tile.
pub const WIDTH: u64 = 1 << HEIGHT;

/// Where a tile stands: its level, and its number in that level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// 0 for tiles of leaf hashes.
    pub level: u8,
    /// From 0.
    pub number: u64,
}

/// A tile's hashes, and those above them within the tile but for its root: they are asked for again
/// and again. Row 0 holds up to 256 hashes, row 7 two.
#[derive(Clone, Debug, Default)]
struct Rows([Vec<Hash>; HEIGHT as usize]);

impl Rows {
    /// Adds a hash to row 0. Answers the tile's root once it is full.
    fn push(&mut self, mut hash: Hash) -> Option<Hash> {
        for row in &mut self.0 {
            row.push(hash);
            let [.., left, right] = row.as_slice() else { return None };
            if row.len() % 2 == 1 {
                return None;
            }
            hash = node_hash(left, right);
        }
        Some(hash)
    }
}

/// A tree that grows. Clones share their tiles until one of them grows.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    size: u64,
    /// The last tile of each level, never full.
    edge: Vec<Arc<Rows>>,
    full: HashMap<Position, Arc<Rows>>,
}

impl Tree {
    /// The tree of `size` leaves whose tiles `read` answers, each at least as wide as asked for.
    pub fn load<E: From<Error>>(
        size: u64,
        read: impl Fn(Position, usize) -> Result<Vec<Hash>, E>,
    ) -> Result<Self, E> {
        let mut edge = Vec::new();
        for (position, width) in edge_of(size) {
            let mut rows = Rows::default();
            if width > 0 {
                let hashes = read(position, width)?;
                let hashes = hashes.get(..width).ok_or(Error::StoreCorrupt)?;
                for hash in hashes {
                    rows.push(*hash);
                }
            }
            edge.push(Arc::new(rows));
        }
        Ok(Self { size, edge, full: HashMap::new() })
    }

    /// How many leaves it has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf by its hash.
    pub fn push(&mut self, leaf: Hash) {
        let (mut hash, mut number) = (leaf, self.size / WIDTH);
        self.size += 1;
        for level in 0.. {
            if self.edge.len() == usize::from(level) {
                self.edge.push(Arc::default());
            }
            let rows = &mut self.edge[usize::from(level)];
            let Some(root) = Arc::make_mut(rows).push(hash) else { return };
            self.full.insert(Position { level, number }, std::mem::take(rows));
            (hash, number) = (root, number / WIDTH);
        }
    }

    /// The tiles that have changed since there were `size` leaves, with all their hashes.
    pub fn changed_since(&self, size: u64) -> impl Iterator<Item = (Position, &[Hash])> {
        Tile::new_tiles(HEIGHT, size, self.size).into_iter().filter_map(|tile| {
            let position = Position { level: tile.level(), number: tile.level_index() };
            Some((position, self.tile(position)?))
        })
    }

    /// Forgets the full tiles: proofs for the leaves so far are no longer made from memory.
    pub fn forget_full(&mut self) {
        self.full.clear();
    }

    /// The hashes of a tile that is in memory.
    pub fn tile(&self, position: Position) -> Option<&[Hash]> {
        self.rows(position).map(|rows| rows.0[0].as_slice())
    }

    fn rows(&self, position: Position) -> Option<&Rows> {
        let on_edge = self.size >> (u32::from(HEIGHT) * (u32::from(position.level) + 1));
        if position.number == on_edge {
            self.edge.get(usize::from(position.level)).map(|rows| &**rows)
        } else {
            self.full.get(&position).map(|rows| &**rows)
        }
    }

    fn hash(&self, index: u64) -> Option<Hash> {
        let (level, number) = tlog_tiles::split_stored_hash_index(index);
        let (row, above) = (level % HEIGHT, HEIGHT - level % HEIGHT);
        let position = Position { level: level / HEIGHT, number: number >> above };
        let place = number & ((1 << above) - 1);
        self.rows(position)?.0[usize::from(row)].get(usize::try_from(place).ok()?).copied()
    }
}

impl HashReader for Tree {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::Error> {
        let hashes = indexes.iter().map(|index| self.hash(*index).map(tlog_tiles::Hash));
        hashes.collect::<Option<_>>().ok_or(tlog_tiles::Error::IndexesNotInTree)
    }
}

/// The last tile of each level in a tree of `size` leaves, from the lowest, with its width: 0 to 255.
pub fn edge_of(size: u64) -> impl Iterator<Item = (Position, usize)> {
    let in_level =
        move |level: u8| size.checked_shr(u32::from(HEIGHT) * u32::from(level)).unwrap_or(0);
    (0..).take_while(move |level| in_level(*level) > 0).map(move |level| {
        let hashes = in_level(level);
        (Position { level, number: hashes / WIDTH }, (hashes % WIDTH) as usize)
    })
}

/// The root of the first `size` leaves. [`Error::StoreCorrupt`] when `tree` lacks what it takes,
/// here and below.
pub fn root(tree: &impl HashReader, size: u64) -> Result<Hash, Error> {
    tlog_tiles::tree_hash(size, tree).map(|hash| hash.0).map_err(|_| Error::StoreCorrupt)
}

/// The proof that the tree of the first `size` leaves has the one at `index` (RFC 9162 section
/// 2.1.3).
pub fn inclusion(tree: &impl HashReader, size: u64, index: u64) -> Result<Vec<Hash>, Error> {
    bytes(tlog_tiles::prove_record(size, index, tree))
}

/// The proof that the tree of the first `new` leaves begins with that of the first `old` (RFC 9162
/// section 2.1.4): empty when both are the same or the old one is.
pub fn consistency(tree: &impl HashReader, old: u64, new: u64) -> Result<Vec<Hash>, Error> {
    if old == 0 { Ok(Vec::new()) } else { bytes(tlog_tiles::prove_tree(new, old, tree)) }
}

fn bytes(proof: Result<Vec<tlog_tiles::Hash>, tlog_tiles::Error>) -> Result<Vec<Hash>, Error> {
    let proof = proof.map_err(|_| Error::StoreCorrupt)?;
    Ok(proof.into_iter().map(|hash| hash.0).collect())
}

#[cfg(test)]
mod tests {
    use super::{Position, Tree, consistency, inclusion, root};
    use hdms::Error;
    use hdms::log::Hash;
    use hdms::log::merkle::{is_consistent, leaf_hash, root_of_inclusion};
    use std::collections::HashMap;

    fn leaf(index: u64) -> Hash {
        leaf_hash(&index.to_be_bytes())
    }

    /// Grows in batches; keeps the tiles as a database does.
    #[derive(Default)]
    struct Kept {
        tree: Tree,
        tiles: HashMap<Position, Vec<Hash>>,
    }

    impl Kept {
        fn grow_to(&mut self, size: u64) {
            let before = self.tree.size();
            (before..size).for_each(|index| self.tree.push(leaf(index)));
            for (position, hashes) in self.tree.changed_since(before) {
                self.tiles.insert(position, hashes.to_vec());
            }
        }

        fn reopened(&self) -> Tree {
            let read = |position, _| self.tiles.get(&position).cloned().ok_or(Error::StoreCorrupt);
            Tree::load(self.tree.size(), read).unwrap()
        }
    }

    #[test]
    fn every_leaf_of_a_batch_is_proved_from_memory() {
        let mut kept = Kept::default();
        for size in [1, 2, 3, 255, 256, 257, 1000, 65_535, 65_537, 66_000] {
            let before = kept.tree.size();
            kept.grow_to(size);
            let root = root(&kept.tree, size).unwrap();
            for index in before..size {
                let proof = inclusion(&kept.tree, size, index).unwrap();
                assert_eq!(root_of_inclusion(index, size, leaf(index), &proof), Some(root));
            }
            kept.tree.forget_full();
        }
    }

    #[test]
    fn a_tree_opened_again_grows_on_as_if_it_had_never_been_closed() {
        let mut kept = Kept::default();
        for size in [0, 1, 255, 256, 511, 512, 65_536, 65_600, 70_000] {
            kept.grow_to(size);
            kept.tree = kept.reopened();
            kept.grow_to(size + 300);
            let mut fresh = Kept::default();
            fresh.grow_to(size + 300);
            let size = size + 300;
            assert_eq!(root(&kept.tree, size), root(&fresh.tree, size));
            assert_eq!(kept.tiles, fresh.tiles);
        }
    }

    #[test]
    fn an_earlier_tree_is_proved_to_be_the_beginning() {
        let mut kept = Kept::default();
        let sizes = [0, 1, 7, 256, 300, 65_536, 65_700];
        let mut roots = Vec::new();
        for size in sizes {
            kept.grow_to(size);
            roots.push(root(&kept.tree, size).unwrap());
        }
        let new = sizes.len() - 1;
        for (old_size, old_root) in sizes.iter().zip(&roots) {
            let proof = consistency(&kept.tree, *old_size, sizes[new]).unwrap();
            assert!(is_consistent(*old_size, old_root, sizes[new], &roots[new], &proof));
        }
    }
}
