//! What a witness rules on a signed checkpoint, from what it has co-signed before and nothing else.

use hdms::log::Hash;
use hdms::log::merkle::{empty_root, is_consistent};

/// So many leaves under this root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeHead {
    /// Leaves.
    pub size: u64,
    /// Their root.
    pub root: Hash,
}

impl TreeHead {
    /// The tree without leaves, with which every other begins.
    pub fn empty() -> Self {
        Self { size: 0, root: empty_root() }
    }
}

/// What a witness has co-signed of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cosigned {
    /// The newest tree, which is also the largest; the empty one at first.
    pub newest: TreeHead,
    /// The root it co-signed at the size that is asked for now, as far as it remembers.
    pub same_size: Option<Hash>,
}

/// What becomes of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// It continues what was co-signed: co-sign it and keep it.
    Cosign,
    /// It is the newest one itself: there is nothing to keep.
    CosignAgain,
    /// It says that it has fewer leaves than the tree it grew from.
    Malformed,
    /// Its proof begins at another size than that of the newest tree.
    OtherSize,
    /// Its proof does not hold; nothing speaks against the log itself.
    WrongProof,
    /// The log has signed two different trees, or can't show that it has not.
    Alarm(Kind),
}

/// What a log has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Two roots for one size. Both signatures together prove it.
    Fork,
    /// Went back behind what was co-signed, to a tree that the witness has never co-signed.
    Rollback,
    /// Grew without a proof that holds.
    Unproven,
}

impl Kind {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fork => "fork",
            Self::Rollback => "rollback",
            Self::Unproven => "unproven",
        }
    }
}

/// Rules on the tree `new` of a checkpoint that its log has signed, with a `proof` that it begins
/// with the first `old` leaves (C2SP tlog-witness, `add-checkpoint`).
pub fn rule(cosigned: Cosigned, old: u64, new: TreeHead, proof: &[Hash]) -> Ruling {
    let Cosigned { newest, same_size } = cosigned;
    let no_tree = new.size == 0 && new.root != empty_root();
    if old > new.size || no_tree {
        return Ruling::Malformed;
    }
    if same_size.is_some_and(|root| root != new.root) {
        return Ruling::Alarm(Kind::Fork);
    }
    if new.size < newest.size && new.size > 0 && same_size.is_none() {
        return Ruling::Alarm(Kind::Rollback);
    }
    if old != newest.size {
        return Ruling::OtherSize;
    }
    match is_consistent(old, &newest.root, new.size, &new.root, proof) {
        true if new == newest => Ruling::CosignAgain,
        true => Ruling::Cosign,
        false if new == newest || old == 0 => Ruling::WrongProof,
        false => Ruling::Alarm(Kind::Unproven),
    }
}

#[cfg(test)]
mod tests {
    use super::{Cosigned, Kind, Ruling, TreeHead, rule};
    use crate::base::log::tree::{self, Tree as Grown};
    use hdms::log::Hash;
    use hdms::log::merkle::leaf_hash;

    /// Sizes 0 to this are tried.
    const MOST: u64 = 9;

    /// Leaves from this one on differ in the fork.
    const FORKS_AT: u64 = 4;

    /// A log, and one that forks off from it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Branch {
        Log,
        Fork,
    }

    fn grown(branch: Branch, size: u64) -> Grown {
        let mut tree = Grown::default();
        for index in 0..size {
            let forked = branch == Branch::Fork && index >= FORKS_AT;
            tree.push(leaf_hash(&[u8::from(forked), index as u8]));
        }
        tree
    }

    fn tree(branch: Branch, size: u64) -> TreeHead {
        TreeHead { size, root: tree::root(&grown(branch, size), size).unwrap() }
    }

    fn trees() -> impl Iterator<Item = (Branch, u64)> {
        [Branch::Log, Branch::Fork].into_iter().flat_map(|b| (0..=MOST).map(move |size| (b, size)))
    }

    /// The right proof from `old` to `new` first, where there is one, and then wrong ones.
    fn proofs(branch: Branch, old: u64, new: u64) -> Vec<Vec<Hash>> {
        let right = match old {
            0 => Vec::new(),
            _ if old > new => vec![[1; 32]],
            _ => tree::consistency(&grown(branch, new), old, new).unwrap(),
        };
        let longer = [&right[..], &[[2; 32]]].concat();
        let mut proofs = vec![right.clone(), longer];
        if let Some((last, rest)) = right.split_last() {
            let altered = [rest, &[last.map(|byte| byte ^ 1)]].concat();
            proofs.extend([rest.to_vec(), altered, Vec::new()]);
        }
        proofs
    }

    fn is_same(one: (Branch, u64), other: (Branch, u64)) -> bool {
        one == other || (one.1 == other.1 && one.1 <= FORKS_AT)
    }

    /// Whether the larger of two trees begins with the smaller.
    fn agree(one: (Branch, u64), other: (Branch, u64)) -> bool {
        one.0 == other.0 || one.1.min(other.1) <= FORKS_AT
    }

    #[test]
    fn every_case_is_ruled_on_as_the_protocol_says() {
        for newest in trees() {
            for (new, remembered) in trees().flat_map(|new| [(new, true), (new, false)]) {
                let known = tree(newest.0, newest.1);
                let asked = tree(new.0, new.1);
                let at_newest = (asked.size == known.size && known.size > 0).then_some(known.root);
                let before = || tree(newest.0, asked.size).root;
                let earlier =
                    (remembered && asked.size > 0 && asked.size < known.size).then(before);
                let cosigned = Cosigned { newest: known, same_size: at_newest.or(earlier) };
                for old in 0..=MOST {
                    for (number, proof) in proofs(new.0, old, new.1).iter().enumerate() {
                        let ruling = rule(cosigned, old, asked, proof);
                        let contradicts =
                            cosigned.same_size.is_some() && !is_same((newest.0, asked.size), new);
                        let expected = if old > asked.size {
                            Ruling::Malformed
                        } else if contradicts {
                            Ruling::Alarm(Kind::Fork)
                        } else if asked.size < known.size && asked.size > 0 && earlier.is_none() {
                            Ruling::Alarm(Kind::Rollback)
                        } else if old != known.size {
                            Ruling::OtherSize
                        } else if number == 0 && is_same(newest, new) {
                            Ruling::CosignAgain
                        } else if number == 0 && agree(newest, new) {
                            Ruling::Cosign
                        } else if old == 0 || is_same(newest, new) {
                            Ruling::WrongProof
                        } else {
                            Ruling::Alarm(Kind::Unproven)
                        };
                        let case = (newest, new, remembered, old, number);
                        assert_eq!(ruling, expected, "{case:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn no_sequence_of_requests_gets_two_trees_co_signed_that_contradict_each_other() {
        /// Asks for everything at every step, as a log could that has signed both branches.
        fn ask(depth: u32, newest: (Branch, u64), history: &mut Vec<(Branch, u64)>) -> u32 {
            let known = tree(newest.0, newest.1);
            let mut cosigned = 0;
            for new in trees().filter(|_| depth > 0) {
                let at = history.iter().find(|at| at.1 == new.1).map(|at| tree(at.0, at.1).root);
                // What was co-signed long ago may be forgotten, but not the newest.
                let forgotten = at.filter(|_| new.1 == newest.1);
                for same_size in [at, forgotten] {
                    let asked = tree(new.0, new.1);
                    for proof in proofs(new.0, newest.1, new.1) {
                        let ruling =
                            rule(Cosigned { newest: known, same_size }, newest.1, asked, &proof);
                        if ruling == Ruling::Cosign {
                            assert!(history.iter().all(|earlier| agree(*earlier, new)));
                            assert!(new.1 >= newest.1);
                            history.push(new);
                            cosigned += 1 + ask(depth - 1, new, history);
                            history.pop();
                        }
                    }
                }
            }
            cosigned
        }
        assert!(ask(3, (Branch::Log, 0), &mut Vec::new()) > 100);
    }

    #[test]
    fn a_tree_without_leaves_has_one_root() {
        let nothing = Cosigned { newest: TreeHead::empty(), same_size: None };
        assert_eq!(rule(nothing, 0, TreeHead::empty(), &[]), Ruling::CosignAgain);
        let other = TreeHead { size: 0, root: [7; 32] };
        assert_eq!(rule(nothing, 0, other, &[]), Ruling::Malformed);
    }
}
