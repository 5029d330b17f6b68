//! Merkle trees over SHA-256 (RFC 9162 section 2.1), from the side of one who checks proofs.

use sha2::{Digest, Sha256};

/// A SHA-256 hash: of a leaf, of an inner node, of a whole tree.
pub type Hash = [u8; 32];

/// The root of the tree without leaves (RFC 9162 section 2.1.1).
pub fn empty_root() -> Hash {
    Sha256::digest(b"").into()
}

/// The hash of a leaf's bytes (RFC 9162 section 2.1.1).
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(leaf).finalize().into()
}

/// The hash of the node above `left` and `right` (RFC 9162 section 2.1.1).
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// The root that an inclusion proof leads to from the leaf hash `leaf` at `index` (from 0) of a tree
/// of `size` leaves (RFC 9162 section 2.1.3.2). `None` when there is no such leaf or the proof has
/// another length than one for it.
pub fn root_of_inclusion(index: u64, size: u64, leaf: Hash, proof: &[Hash]) -> Option<Hash> {
    if index >= size {
        return None;
    }
    let mut climb = Climb { node: index, last: size - 1 };
    let mut root = leaf;
    for sibling in proof {
        root = if climb.step()? { node_hash(sibling, &root) } else { node_hash(&root, sibling) };
    }
    (climb.last == 0).then_some(root)
}

/// Whether the tree of `new_size` leaves under `new_root` begins with the `old_size` leaves under
/// `old_root`, by a consistency proof (RFC 9162 section 2.1.4.2). For equal sizes and for an empty
/// old tree the proof is empty.
pub fn is_consistent(
    old_size: u64,
    old_root: &Hash,
    new_size: u64,
    new_root: &Hash,
    proof: &[Hash],
) -> bool {
    if old_size == 0 && *old_root != empty_root() || old_size == new_size && old_root != new_root {
        return false;
    }
    if old_size == 0 || old_size == new_size {
        return proof.is_empty();
    }
    old_size < new_size
        && roots_of_consistency(old_size, old_root, new_size, proof) == Some((*old_root, *new_root))
}

/// The old and the new root that a consistency proof leads to; sizes are 0 < old < new.
fn roots_of_consistency(
    old_size: u64,
    old_root: &Hash,
    new_size: u64,
    proof: &[Hash],
) -> Option<(Hash, Hash)> {
    // A complete old tree is a node of the new one, and the proof begins above it.
    let (start, proof) =
        if old_size.is_power_of_two() { (old_root, proof) } else { proof.split_first()? };
    let complete = old_size.trailing_zeros();
    let mut climb = Climb { node: (old_size - 1) >> complete, last: (new_size - 1) >> complete };
    let (mut old, mut new) = (*start, *start);
    for sibling in proof {
        if climb.step()? {
            old = node_hash(sibling, &old);
            new = node_hash(sibling, &new);
        } else {
            new = node_hash(&new, sibling);
        }
    }
    (climb.last == 0).then_some((old, new))
}

/// The way from a node up to the root: its number in its level, and that of the level's last node.
struct Climb {
    node: u64,
    last: u64,
}

impl Climb {
    /// One step, which takes one hash: true if that stands left of the node. `None` at the root.
    fn step(&mut self) -> Option<bool> {
        if self.last == 0 {
            return None;
        }
        let left = self.node & 1 == 1 || self.node == self.last;
        if left {
            // The last node of an odd level has no sibling there, and rises as it is.
            let alone = self.node.trailing_zeros();
            self.node = self.node.checked_shr(alone).unwrap_or(0);
            self.last = self.last.checked_shr(alone).unwrap_or(0);
        }
        self.node >>= 1;
        self.last >>= 1;
        Some(left)
    }
}
