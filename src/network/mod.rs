//! The network's signed documents and what a node trusts because of them: the Doorman's
//! certificates, the network parameters, the Network Map, the revocation list, and the manifest that
//! binds them (docs/architecture.md).

mod cards;
mod followed;
mod logs;
mod manifest;
mod names;
mod renewal;
mod signed;
mod split;
mod trust;
mod warnings;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::ids::NodeId;
use crate::jose::jws::{self, Kind};
use crate::jwk::RsaJwk;
use crate::log::Checkpoint;
use crate::provider::NodeKeys;

pub use logs::{
    Ed25519Key, LogKeys, ManifestsLog, NotaryLog, PinnedLog, TreeRoot, Witness, manifests_origin,
    notary_of, origin,
};
pub use manifest::{Logged, MAX_MANIFEST, Manifest, Numbered, leaf, majority};
pub(crate) use names::former_name;
pub use renewal::{RENEWAL_PAUSE, Renewal};
pub use signed::verify_by;
pub use split::{Split, keep_split, split};
pub use trust::Trust;
pub use warnings::{KeyWarning, dismiss, keep, warnings};

/// Largest document but a manifest, bytes: a map of some ten thousand nodes.
pub const MAX_DOCUMENT: usize = 32 * 1024 * 1024;

/// The version of the protocol that this code speaks.
pub const PROTOCOL_VERSION: u64 = 2;

/// The network's documents as the server offers them at `GET /network`, each a JWT.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkDocuments {
    /// The Doorman's keys, `hdms-doormen+jwt`, signed by the root key.
    pub doormen: String,
    /// Network parameters, `hdms-parameters+jwt`.
    pub parameters: String,
    /// Network Map, `hdms-map+jwt`.
    pub map: String,
    /// Revocation list, `hdms-revocations+jwt`.
    pub revocations: String,
    /// What binds the four, `hdms-manifest+jwt`.
    pub manifest: String,
    /// That it is the last leaf of the manifests' log: a C2SP tlog-proof, whose checkpoint has the
    /// cosignatures.
    pub proof: String,
    /// Consistency proof, base64, to its checkpoint from that of the last of `before`, or else from
    /// the size that was asked with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub consistency: Vec<String>,
    /// Earlier manifests that lead to it: those which changed who has to co-sign.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<Logged>,
}

/// The root's word which keys are the Doorman's. A key that was stolen is left out of the next
/// number, and with it every card that it signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doormen {
    /// Thumbprint of the root key.
    pub iss: NodeId,
    /// Issued at, seconds.
    pub iat: u64,
    /// Expires at, seconds.
    pub exp: u64,
    /// Grows with every change.
    pub number: u64,
    /// The keys.
    pub doormen: Vec<DoormanKey>,
    /// The log of the network's manifests; none in lists of before there was one, which count no
    /// more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<ManifestsLog>,
}

impl Doormen {
    /// The Doorman's key with this thumbprint, if it signed cards at `time`, seconds.
    pub fn key(&self, kid: &str, time: u64) -> Option<&RsaJwk> {
        let signed = |until: Option<u64>| until.is_none_or(|until| time < until);
        let mut doormen = self.doormen.iter();
        doormen
            .find(|doorman| doorman.key.thumbprint() == kid && signed(doorman.until))
            .map(|doorman| &doorman.key)
    }
}

/// One key of the Doorman.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoormanKey {
    /// The key; its thumbprint is `iss` and `kid` of what it signs.
    pub key: RsaJwk,
    /// When it was retired, seconds: cards that it signed before count until they expire, and it
    /// signs nothing else. None for the key that signs now.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub until: Option<u64>,
}

/// What all nodes of a network hold to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameters {
    /// Thumbprint of the Doorman's key.
    pub iss: NodeId,
    /// Issued at, seconds.
    pub iat: u64,
    /// Grows with every change.
    pub number: u64,
    /// The network's name.
    pub name: String,
    /// Thumbprint of the root key.
    pub root: NodeId,
    /// Largest envelope, bytes.
    pub max_envelope: u64,
    /// Lowest protocol version that may take part.
    pub minimum_version: u64,
    /// How old the revocation list may be when a card is checked against it, seconds.
    pub revocation_age: u64,
    /// The key with which the server identifies itself to push services (VAPID, RFC 8292): a P-256
    /// point, uncompressed, base64url. None where the server sends no web push.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub vapid: Option<String>,
    /// How many witnesses a receipt needs, oldest rule first; without a rule it needs none.
    #[serde(default)]
    pub witnesses: Vec<WitnessRule>,
    /// Logs of before there were witnesses, as they were then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pinned_logs: Vec<PinnedLog>,
}

/// From when on how many notaries must have co-signed a receipt's checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WitnessRule {
    /// Checkpoints co-signed from this time on, seconds; the first rule counts before it as well.
    pub since: u64,
    /// How many.
    pub needed: u64,
}

impl WitnessRule {
    /// Which of these, oldest first, counts at `time`, seconds. No time is before the first.
    pub fn at(rules: &[Self], time: u64) -> Option<&Self> {
        rules.iter().rev().find(|rule| rule.since <= time).or(rules.first())
    }
}

impl Parameters {
    /// How many witnesses a receipt needs whose checkpoint was co-signed at `time`, seconds. No time is
    /// before the first rule: nobody gets around it by an old date.
    pub fn witnesses_needed(&self, time: u64) -> usize {
        let rule = WitnessRule::at(&self.witnesses, time);
        rule.map_or(0, |rule| usize::try_from(rule.needed).unwrap_or(usize::MAX))
    }

    /// Whether this is, for the log of `notary`, a checkpoint of before there were witnesses.
    pub fn pins(&self, notary: &NodeId, checkpoint: &Checkpoint) -> bool {
        let mut pinned = self.pinned_logs.iter().filter(|pinned| pinned.notary == *notary);
        pinned.any(|pinned| (pinned.size, pinned.root.0) == (checkpoint.size, checkpoint.root))
    }
}

/// The institutions and notaries of the network; personal nodes are never listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkMap {
    /// Thumbprint of the Doorman's key.
    pub iss: NodeId,
    /// Issued at, seconds.
    pub iat: u64,
    /// Grows with every change.
    pub number: u64,
    /// Cards.
    pub nodes: Vec<String>,
    /// The log of every notary that was ever admitted.
    #[serde(default)]
    pub logs: Vec<NotaryLog>,
}

/// The nodes and the cards that no longer count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocations {
    /// Thumbprint of the Doorman's key.
    pub iss: NodeId,
    /// Issued at, seconds.
    pub iat: u64,
    /// Grows with every change.
    pub number: u64,
    /// Revoked nodes, in the order of their ids.
    pub revoked: Vec<NodeId>,
    /// Cards that their nodes' changes of keys have ended, at most one of each node: a key that was
    /// given up signs nothing by the card of its time. Left out once all such cards have expired.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub superseded: Vec<Superseded>,
}

/// The cards of a node that no longer count because it has changed its keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Superseded {
    /// The node.
    pub node: NodeId,
    /// Those that were issued before this time, seconds.
    pub before: u64,
}

/// A document that the Doorman signs.
pub trait NetworkDocument: Serialize + DeserializeOwned {
    /// The JWT's `typ`, and how long it may be.
    const KIND: Kind;
    /// Whose signature it claims.
    fn issuer(&self) -> &NodeId;
}

macro_rules! network_documents {
    ($($name:ident = $typ:literal),+) => {$(
        impl NetworkDocument for $name {
            const KIND: Kind = Kind { typ: $typ, longest: MAX_DOCUMENT };

            fn issuer(&self) -> &NodeId {
                &self.iss
            }
        }
    )+};
}

network_documents! {
    Doormen = "hdms-doormen+jwt",
    Parameters = "hdms-parameters+jwt",
    NetworkMap = "hdms-map+jwt",
    Revocations = "hdms-revocations+jwt"
}

/// Signs a network document with the key whose thumbprint is its issuer. Answers the JWT.
pub async fn sign<D: NetworkDocument>(document: &D, keys: &impl NodeKeys) -> Result<String, Error> {
    jws::sign_ps256(D::KIND.typ, document.issuer().as_ref(), document, keys).await
}
