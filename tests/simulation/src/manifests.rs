//! The log of the network's manifests, by an operator who may write it as an attacker would.

use std::collections::HashMap;

use ed25519_dalek::{Signer, SigningKey};
use hdms::ids::NodeId;
use hdms::log::checkpoint::log_signature;
use hdms::log::{Checkpoint, Hash, SignedCheckpoint, TlogProof, encode};
use hdms::network::{Ed25519Key, ManifestsLog, Witness, leaf};

use crate::log::{LogSigner, consistency, path, root};

/// See the module.
pub struct Manifests {
    key: SigningKey,
    leaves: Vec<Vec<u8>>,
    /// All that was ever signed, by its root.
    trees: HashMap<Hash, Vec<Vec<u8>>>,
}

impl Default for Manifests {
    fn default() -> Self {
        Self { key: SigningKey::from_bytes(&[7; 32]), leaves: Vec::new(), trees: HashMap::new() }
    }
}

impl Manifests {
    /// As the root's list of Doormen names it.
    pub fn listed(&self, witnesses: Vec<Witness>) -> ManifestsLog {
        ManifestsLog { log_key: Ed25519Key(self.key.verifying_key().to_bytes()), witnesses }
    }

    /// Makes this manifest the last one, with this number, whatever was there. Answers its proof.
    pub fn log(
        &mut self,
        network: &NodeId,
        number: u64,
        manifest: &str,
        cosigners: &[LogSigner],
        time: u64,
    ) -> String {
        let index = number - 1;
        self.leaves.truncate(index as usize);
        self.leaves.push(leaf(manifest).to_vec());
        self.trees.insert(root(&self.leaves), self.leaves.clone());
        let key = self.listed(Vec::new()).key(network);
        let checkpoint = Checkpoint {
            origin: key.name.clone(),
            size: self.leaves.len() as u64,
            root: root(&self.leaves),
        };
        let signature = self.key.sign(checkpoint.to_text().as_bytes()).to_bytes();
        let mut checkpoint = SignedCheckpoint::new(checkpoint, log_signature(&key, signature));
        for cosigner in cosigners {
            checkpoint.add(cosigner.cosign(&checkpoint, time));
        }
        let hashes = path(index as usize, &self.leaves);
        TlogProof { extra: None, index, hashes, checkpoint }.to_text()
    }

    /// The proof that the tree of this proof begins with the first `size` leaves, as far as there is
    /// one.
    pub fn consistency(&self, proof: &str, size: u64) -> Vec<String> {
        let Ok(proof) = TlogProof::parse(proof) else { return Vec::new() };
        let leaves = self.trees.get(&proof.checkpoint.checkpoint().root);
        let proof = leaves.map(|leaves| consistency(size as usize, leaves)).unwrap_or_default();
        proof.iter().map(|hash| encode(hash)).collect()
    }
}
