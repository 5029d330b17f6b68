//! A notary's log in memory, as plainly as RFC 9162 section 2.1 says it: everything is calculated
//! anew from the leaves. And the keys that sign and co-sign its checkpoints.

use ed25519_dalek::{Signer, SigningKey};
use hdms::Error;
use hdms::base64url::{decode, digest};
use hdms::ids::NodeId;
use hdms::log::checkpoint::{cosignature, cosigned_text, log_signature};
use hdms::log::merkle::{empty_root, leaf_hash, node_hash};
use hdms::log::{Checkpoint, Hash, NoteSignature, SignedCheckpoint, TlogProof};
use hdms::network::{Ed25519Key, LogKeys, NotaryLog, origin};

/// The leaves of a log, in their order.
#[derive(Clone, Debug, Default)]
pub struct Log(Vec<Vec<u8>>);

impl Log {
    /// Adds a leaf. Answers its index.
    pub fn append(&mut self, leaf: Vec<u8>) -> usize {
        self.0.push(leaf);
        self.0.len() - 1
    }

    /// What the log of `notary` says of itself now.
    pub fn checkpoint(&self, notary: &NodeId) -> Checkpoint {
        let (origin, size) = (origin(notary), self.0.len() as u64);
        Checkpoint { origin, size, root: root(&self.0) }
    }

    /// Proof that the leaf at `index` is in the tree of `checkpoint`, which is that of all leaves.
    pub fn prove(&self, index: usize, checkpoint: SignedCheckpoint) -> TlogProof {
        let hashes = path(index, &self.0);
        TlogProof { extra: None, index: index as u64, hashes, checkpoint }
    }
}

/// MTH(D) of RFC 9162 section 2.1.1.
pub fn root(leaves: &[Vec<u8>]) -> Hash {
    match leaves {
        [] => empty_root(),
        [leaf] => leaf_hash(leaf),
        _ => {
            let (left, right) = halves(leaves);
            node_hash(&root(left), &root(right))
        }
    }
}

/// PROOF(m, D) of RFC 9162 section 2.1.4.1; empty where there is nothing to prove.
pub fn consistency(old: usize, leaves: &[Vec<u8>]) -> Vec<Hash> {
    /// SUBPROOF(m, D, b).
    fn sub_proof(old: usize, leaves: &[Vec<u8>], whole: bool) -> Vec<Hash> {
        if old == leaves.len() {
            return if whole { Vec::new() } else { vec![root(leaves)] };
        }
        let (left, right) = halves(leaves);
        let (mut proof, sibling) = if old <= left.len() {
            (sub_proof(old, left, whole), root(right))
        } else {
            (sub_proof(old - left.len(), right, false), root(left))
        };
        proof.push(sibling);
        proof
    }
    if old == 0 || old >= leaves.len() { Vec::new() } else { sub_proof(old, leaves, true) }
}

/// PATH(m, D) of RFC 9162 section 2.1.3.1.
pub fn path(index: usize, leaves: &[Vec<u8>]) -> Vec<Hash> {
    if leaves.len() < 2 {
        return Vec::new();
    }
    let (left, right) = halves(leaves);
    let (mut path, sibling) = if index < left.len() {
        (path(index, left), root(right))
    } else {
        (path(index - left.len(), right), root(left))
    };
    path.push(sibling);
    path
}

/// Divided at the largest power of two that is smaller than their number.
fn halves(leaves: &[Vec<u8>]) -> (&[Vec<u8>], &[Vec<u8>]) {
    leaves.split_at(leaves.len().next_power_of_two() / 2)
}

/// A notary's keys for logs. They follow from its id and are public.
#[derive(Clone, Debug)]
pub struct LogSigner {
    listed: NotaryLog,
    log: SigningKey,
    witness: SigningKey,
}

impl LogSigner {
    /// Those of `notary`.
    pub fn of(notary: &NodeId) -> Result<Self, Error> {
        let key = |purpose: &str| {
            let seed = decode(digest(format!("{purpose} key of {notary}")));
            let seed: Hash =
                seed.and_then(|seed| seed.try_into().ok()).ok_or(Error::KeyMalformed)?;
            Ok(SigningKey::from_bytes(&seed))
        };
        let (log, witness) = (key("log")?, key("witness")?);
        let public = |key: &SigningKey| Ed25519Key(key.verifying_key().to_bytes());
        let keys = LogKeys { log_key: public(&log), witness_key: public(&witness) };
        let listed = NotaryLog { notary: notary.clone(), keys, until: None };
        Ok(Self { listed, log, witness })
    }

    /// As the Network Map lists it.
    pub fn listed(&self) -> &NotaryLog {
        &self.listed
    }

    /// Signs a checkpoint as the log.
    pub fn sign(&self, checkpoint: Checkpoint) -> SignedCheckpoint {
        let signature = self.log.sign(checkpoint.to_text().as_bytes()).to_bytes();
        SignedCheckpoint::new(checkpoint, log_signature(&self.listed.log_key(), signature))
    }

    /// Co-signs a checkpoint as a witness, at `time`, seconds.
    pub fn cosign(&self, checkpoint: &SignedCheckpoint, time: u64) -> NoteSignature {
        let text = cosigned_text(&checkpoint.note().text, time);
        let signature = self.witness.sign(text.as_bytes()).to_bytes();
        cosignature(&self.listed.witness_key(), time, signature)
    }
}

#[cfg(test)]
mod tests {
    use super::Log;
    use hdms::base64url::digest;

    #[test]
    fn every_leaf_is_proven_in_trees_of_every_shape() {
        let notary = digest("a notary").parse().unwrap();
        let signer = super::LogSigner::of(&notary).unwrap();
        let mut log = Log::default();
        for size in 1..20_usize {
            assert_eq!(log.append(vec![size as u8]), size - 1);
            let checkpoint = signer.sign(log.checkpoint(&notary));
            for index in 0..size {
                let proof = log.prove(index, checkpoint.clone());
                assert!(proof.includes(&[index as u8 + 1]));
                assert!(!proof.includes(&[index as u8]));
            }
        }
    }
}
