//! A notary of the network whose log the tests play themselves, well or badly.

use hdms::Error;
use hdms::card::Role;
use hdms::doorman::AdmissionRequest;
use hdms::ids::NodeId;
use hdms::log::checkpoint::log_signature;
use hdms::log::merkle::leaf_hash;
use hdms::log::{Checkpoint, Hash, NoteKey, SignedCheckpoint, encode};
use hdms::network::NotaryLog;
use hdms_nodes::base::keys::{NotaryKeys, open_or_make_log};
use reqwest::header::CONTENT_TYPE;
use tlog_tiles::{HashReader, prove_tree, stored_hashes_for_record_hash, tree_hash};

use crate::common::{Net, id, keys, passphrase};

/// A tree, as an implementation of others keeps it.
#[derive(Clone, Default)]
pub struct Leaves {
    size: u64,
    stored: Vec<tlog_tiles::Hash>,
}

impl HashReader for Leaves {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::Error> {
        Ok(indexes.iter().map(|index| self.stored[*index as usize]).collect())
    }
}

impl Leaves {
    /// As many leaves, all of this text and their numbers.
    pub fn of(text: &str, size: u64) -> Self {
        let mut leaves = Self::default();
        (0..size).for_each(|number| leaves.push(&format!("{text} {number}")));
        leaves
    }

    pub fn push(&mut self, leaf: &str) {
        let hash = tlog_tiles::Hash(leaf_hash(leaf.as_bytes()));
        self.stored.extend(stored_hashes_for_record_hash(self.size, hash, self).unwrap());
        self.size += 1;
    }

    pub fn root(&self, size: u64) -> Hash {
        tree_hash(size, self).unwrap().0
    }

    /// That the first `new` leaves begin with the first `old`.
    pub fn proof(&self, old: u64, new: u64) -> Vec<Hash> {
        if old == 0 || old == new {
            return Vec::new();
        }
        prove_tree(new, old, self).unwrap().into_iter().map(|hash| hash.0).collect()
    }
}

/// See the module.
pub struct PlayedLog {
    pub id: NodeId,
    pub key: NoteKey,
    pub keys: NotaryKeys,
}

impl PlayedLog {
    /// Admitted as a notary, with the node keys of this number.
    pub async fn admitted(net: &Net, number: usize) -> Self {
        Self::admitted_at(net, number, "http://127.0.0.1:1").await
    }

    /// The same with this base URL.
    pub async fn admitted_at(net: &Net, number: usize, endpoint: &str) -> Self {
        let log = Self::stranger(net, number);
        let keys = keys(number);
        let asked = net.request(keys, Role::Notary, &format!("Played {number}")).await;
        let (endpoint, log_keys) = (endpoint.parse().ok(), Some(log.keys.public()));
        let request = AdmissionRequest { endpoint, log: log_keys, ..asked };
        assert_eq!(net.ask(keys, &request).await, Err(Error::AdmissionPending));
        net.operator().admit(log.id.clone()).await.unwrap();
        net.until(|trust| trust.notary(&log.id).is_ok()).await;
        log
    }

    /// Never admitted.
    pub fn stranger(net: &Net, number: usize) -> Self {
        let dir = net.dir.path().join(format!("played-{number}"));
        let (id, log_keys) = (id(keys(number)), open_or_make_log(&dir, &passphrase()).unwrap());
        let log = NotaryLog { notary: id.clone(), keys: log_keys.public(), until: None };
        Self { id, key: log.log_key(), keys: log_keys }
    }

    /// Of the first `size` leaves, signed.
    pub fn checkpoint(&self, leaves: &Leaves, size: u64) -> SignedCheckpoint {
        let (origin, root) = (self.key.name.clone(), leaves.root(size));
        let checkpoint = Checkpoint { origin, size, root };
        let signature = self.keys.sign_as_log(checkpoint.to_text().as_bytes()).unwrap();
        SignedCheckpoint::new(checkpoint, log_signature(&self.key, signature))
    }

    /// The body that submits the first `new` leaves with the right proof from `old`.
    pub fn submission(&self, leaves: &Leaves, old: u64, new: u64) -> String {
        body(old, &leaves.proof(old, new), &self.checkpoint(leaves, new))
    }
}

/// The body of a submission (C2SP tlog-witness), by hand.
pub fn body(old: u64, proof: &[Hash], checkpoint: &SignedCheckpoint) -> String {
    let proof: String = proof.iter().map(|hash| encode(hash) + "\n").collect();
    format!("old {old}\n{proof}\n{}", checkpoint.to_text())
}

/// What a witness answers: status, media type and text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub media_type: String,
    pub text: String,
}

/// Submits to the witness with this base URL.
pub async fn submit(
    http: &reqwest::Client,
    witness: &str,
    body: impl Into<reqwest::Body>,
) -> Answer {
    let url = format!("{witness}/witness/add-checkpoint");
    let response = http.post(url).body(body).send().await.unwrap();
    let media_type = response.headers()[CONTENT_TYPE].to_str().unwrap().to_owned();
    let status = response.status().as_u16();
    Answer { status, media_type, text: response.text().await.unwrap() }
}
