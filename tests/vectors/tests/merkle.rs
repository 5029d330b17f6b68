//! Proofs in Merkle trees against the trees of the crate `ct-merkle`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use hdms::log::Hash;
use hdms::log::merkle::{empty_root, is_consistent, leaf_hash, root_of_inclusion};
use proptest::prelude::*;
use sha2::Sha256;

/// Every tree up to this size is tried whole.
const SMALL: u64 = 70;

type Leaf = [u8; 8];

/// A tree that grows, and the root it had at every size.
struct Oracle {
    tree: MemoryBackedTree<Sha256, Leaf>,
    roots: Vec<Hash>,
}

impl Oracle {
    fn new() -> Self {
        Self { tree: MemoryBackedTree::new(), roots: vec![empty_root()] }
    }

    fn of(size: u64) -> Self {
        let mut oracle = Self::new();
        (0..size).for_each(|_| oracle.grow());
        oracle
    }

    fn grow(&mut self) {
        self.tree.push(leaf(self.tree.len()));
        self.roots.push((*self.tree.root().as_bytes()).into());
    }

    fn size(&self) -> u64 {
        self.tree.len()
    }

    fn root(&self, size: u64) -> &Hash {
        &self.roots[usize::try_from(size).unwrap()]
    }

    fn inclusion(&self, index: u64) -> Vec<Hash> {
        hashes(self.tree.prove_inclusion(usize::try_from(index).unwrap()).as_bytes())
    }

    /// From the tree of `size` leaves, at least one.
    fn consistency(&self, size: u64) -> Vec<Hash> {
        let added = usize::try_from(self.size() - size).unwrap();
        hashes(self.tree.prove_consistency(added).as_bytes())
    }

    /// Checks what is true of the leaf at `index`, and what is not.
    fn try_inclusion(&self, index: u64) {
        let (size, proof, hash) = (self.size(), self.inclusion(index), leaf_hash(&leaf(index)));
        let holds = |index, hash, proof: &[Hash]| {
            root_of_inclusion(index, size, hash, proof).as_ref() == Some(self.root(size))
        };
        assert!(holds(index, hash, &proof), "leaf {index} of {size}");
        assert!(!holds(index, leaf_hash(&leaf(index + 1)), &proof), "leaf {index} of {size}");
        for other in altered(&proof) {
            assert!(!holds(index, hash, &other), "leaf {index} of {size}");
        }
        for other in [index.wrapping_sub(1), index ^ 1, index + 1, size, size + 1, u64::MAX] {
            assert!(!holds(other, hash, &proof), "leaf {index} as {other} of {size}");
        }
        for length in (0..=proof.len() + 1).filter(|length| *length != proof.len()) {
            let other = proof.iter().copied().chain([[0; 32]]).cycle().take(length);
            let other: Vec<_> = other.collect();
            assert_eq!(
                root_of_inclusion(index, size, hash, &other),
                None,
                "leaf {index} of {size}"
            );
        }
    }

    /// Checks what is true of the tree of `old` leaves, and what is not.
    fn try_consistency(&self, old: u64) {
        let (new, proof) = (self.size(), self.consistency(old));
        let (former, root) = (self.root(old), self.root(new));
        assert!(is_consistent(old, former, new, root, &proof), "{old} to {new}");
        assert!(!is_consistent(old, &[1; 32], new, root, &proof), "{old} to {new}");
        assert!(!is_consistent(old, former, new, &[1; 32], &proof), "{old} to {new}");
        for other in altered(&proof).chain(lengthened_and_shortened(&proof)) {
            assert!(!is_consistent(old, former, new, root, &other), "{old} to {new}");
        }
        for other in [0, old - 1, old + 1, new + 1, u64::MAX] {
            assert!(!is_consistent(other, former, new, root, &proof), "{old} as {other} to {new}");
        }
        if old < new {
            assert!(!is_consistent(new, root, old, former, &proof), "{new} back to {old}");
        }
    }
}

fn leaf(number: u64) -> Leaf {
    number.to_be_bytes()
}

fn hashes(bytes: &[u8]) -> Vec<Hash> {
    bytes.chunks(32).map(|hash| hash.try_into().unwrap()).collect()
}

fn hex(hash: &Hash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The proof with one bit of one hash turned over: another bit for each hash.
fn altered(proof: &[Hash]) -> impl Iterator<Item = Vec<Hash>> {
    (0..proof.len()).map(|place| {
        let mut other = proof.to_vec();
        let bit = (place * 37 + proof.len() * 11) % 256;
        other[place][bit / 8] ^= 1 << (bit % 8);
        other
    })
}

fn lengthened_and_shortened(proof: &[Hash]) -> impl Iterator<Item = Vec<Hash>> {
    let last = proof.split_last().map(|(_, rest)| rest.to_vec());
    let first = proof.split_first().map(|(_, rest)| rest.to_vec());
    [last, first].into_iter().flatten().chain([[proof, &[[0; 32]]].concat()])
}

/// The leaves of Certificate Transparency's own vectors, and the roots of its trees of 1 to 8.
const VECTORS: [(&[u8], &str); 8] = [
    (b"", "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
    (b"\x00", "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"),
    (b"\x10", "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"),
    (b"\x20\x21", "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"),
    (b"01", "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"),
    (b"@ABC", "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef"),
    (b"PQRSTUVW", "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"),
    (b"`abcdefghijklmno", "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"),
];

#[test]
fn the_vectors_of_certificate_transparency_are_proven() {
    let mut tree = MemoryBackedTree::<Sha256, &[u8]>::new();
    let mut former = (0, empty_root());
    for (size, (leaf, expected)) in (1..).zip(VECTORS) {
        tree.push(leaf);
        let index = usize::try_from(size - 1).unwrap();
        let proof = hashes(tree.prove_inclusion(index).as_bytes());
        let root = root_of_inclusion(size - 1, size, leaf_hash(leaf), &proof).unwrap();
        assert_eq!(hex(&root), expected);
        let proof = match former.0 {
            0 => Vec::new(),
            _ => hashes(tree.prove_consistency(1).as_bytes()),
        };
        assert!(is_consistent(former.0, &former.1, size, &root, &proof));
        former = (size, root);
    }
}

#[test]
fn every_leaf_of_every_small_tree_is_proven_and_nothing_else() {
    let mut oracle = Oracle::new();
    for size in 1..=SMALL {
        oracle.grow();
        (0..size).for_each(|index| oracle.try_inclusion(index));
    }
}

#[test]
fn every_small_tree_is_consistent_with_every_smaller_and_nothing_else() {
    let mut oracle = Oracle::new();
    for size in 1..=SMALL {
        oracle.grow();
        (1..=size).for_each(|old| oracle.try_consistency(old));
    }
}

#[test]
fn no_bit_of_a_proof_can_be_turned_over() {
    let oracle = Oracle::of(13);
    let inclusion = oracle.inclusion(12);
    let consistency = oracle.consistency(7);
    for bit in 0..256 {
        let turned = |proof: &[Hash], place: usize| {
            let mut proof = proof.to_vec();
            proof[place][bit / 8] ^= 1 << (bit % 8);
            proof
        };
        for place in 0..inclusion.len() {
            let proof = turned(&inclusion, place);
            let root = root_of_inclusion(12, 13, leaf_hash(&leaf(12)), &proof);
            assert_ne!(root.as_ref(), Some(oracle.root(13)));
        }
        for place in 0..consistency.len() {
            let proof = turned(&consistency, place);
            assert!(!is_consistent(7, oracle.root(7), 13, oracle.root(13), &proof));
        }
    }
}

#[test]
fn the_empty_tree_is_the_beginning_of_every_tree_and_has_no_leaf() {
    let oracle = Oracle::of(3);
    let (empty, root) = (oracle.root(0), oracle.root(3));
    assert!(is_consistent(0, empty, 0, empty, &[]));
    assert!(is_consistent(0, empty, 3, root, &[]));
    assert!(!is_consistent(0, empty, 3, root, &[*root]));
    assert!(!is_consistent(0, root, 3, root, &[]));
    assert!(!is_consistent(0, root, 0, root, &[]));
    assert!(!is_consistent(3, root, 0, empty, &[]));
    assert_eq!(root_of_inclusion(0, 0, leaf_hash(b""), &[]), None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn larger_trees_are_proven(size in SMALL..3000, parts in prop::collection::vec(0.0..1.0, 20)) {
        let oracle = Oracle::of(size);
        for part in parts {
            let index = (part * size as f64) as u64;
            oracle.try_inclusion(index);
            oracle.try_consistency(index + 1);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// A proof is as long as its place asks for, up to the largest numbers.
    #[test]
    fn proofs_of_any_numbers_are_judged(
        index in any::<u64>(),
        size in any::<u64>(),
        length in 0_usize..130,
        root in any::<Hash>(),
    ) {
        let proof = vec![[7; 32]; length];
        let answer = root_of_inclusion(index, size, root, &proof);
        prop_assert_eq!(answer.is_some(), index < size && length == path_length(index, size));
        prop_assert!(!is_consistent(index, &root, size, &[1; 32], &proof));
    }
}

/// How many nodes of the way up from a leaf have a sibling (RFC 9162 section 2.1.3.1).
fn path_length(index: u64, size: u64) -> usize {
    let (mut length, mut index, mut size) = (0, index, size);
    while size > 1 {
        // The left half is the largest power of two below the size.
        let left = 1 << (63 - (size - 1).leading_zeros());
        (index, size) = if index < left { (index, left) } else { (index - left, size - left) };
        length += 1;
    }
    length
}
