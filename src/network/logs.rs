//! The logs of the network's notaries, as the Network Map lists them: also those of notaries that
//! are no longer members, so that what they logged in their time can be checked for ever.

use serde::{Deserialize, Serialize};

use crate::base64url::{decode, encode};
use crate::error::Error;
use crate::ids::NodeId;
use crate::log::note::{KeyKind, NoteKey};

const LOG: &str = "hdms-log/";
const WITNESS: &str = "hdms-witness/";
const MANIFESTS: &str = "hdms-manifests/";

/// A public Ed25519 key (RFC 8032), as base64url of its 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Ed25519Key(pub [u8; 32]);

/// The root of a log's tree, as base64url of its 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TreeRoot(pub [u8; 32]);

macro_rules! base64url {
    ($($name:ident = $malformed:ident),+) => {$(
        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(text: String) -> Result<Self, Error> {
                let bytes = decode(text).and_then(|bytes| bytes.try_into().ok());
                bytes.map(Self).ok_or(Error::$malformed)
            }
        }

        impl From<$name> for String {
            fn from(bytes: $name) -> String {
                encode(bytes.0)
            }
        }
    )+};
}

base64url!(Ed25519Key = KeyMalformed, TreeRoot = LogForged);

/// A log as it was before there were witnesses: receipts under this checkpoint need none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinnedLog {
    /// The notary.
    pub notary: NodeId,
    /// Leaves.
    pub size: u64,
    /// The root of their tree.
    pub root: TreeRoot,
}

/// The keys with which a notary signs its own log's checkpoints and co-signs others'.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename(deserialize = "closed"))]
pub struct LogKeys {
    /// Signs checkpoints (C2SP tlog-checkpoint).
    pub log_key: Ed25519Key,
    /// Co-signs other notaries' checkpoints (C2SP tlog-cosignature).
    pub witness_key: Ed25519Key,
}

impl LogKeys {
    /// Two keys, neither of which is of small order: with such a one anybody could sign, and the
    /// notary could deny what it has signed.
    pub fn are_sound(&self) -> bool {
        let sound = |key: &Ed25519Key| {
            ed25519_dalek::VerifyingKey::from_bytes(&key.0).is_ok_and(|key| !key.is_weak())
        };
        self.log_key != self.witness_key && sound(&self.log_key) && sound(&self.witness_key)
    }
}

/// A notary's log. In JSON the keys are members like the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Listed", into = "Listed")]
pub struct NotaryLog {
    /// The notary.
    pub notary: NodeId,
    /// Its keys.
    pub keys: LogKeys,
    /// When the notary ceased to be a member, seconds: nothing of it counts that was co-signed from
    /// then on.
    pub until: Option<u64>,
}

/// As the Network Map has it. serde could flatten it, by code that would cost the worker 2 KB.
#[derive(Serialize, Deserialize)]
struct Listed {
    notary: NodeId,
    log_key: Ed25519Key,
    witness_key: Ed25519Key,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    until: Option<u64>,
}

impl From<Listed> for NotaryLog {
    fn from(Listed { notary, log_key, witness_key, until }: Listed) -> Self {
        Self { notary, keys: LogKeys { log_key, witness_key }, until }
    }
}

impl From<NotaryLog> for Listed {
    fn from(
        NotaryLog { notary, keys: LogKeys { log_key, witness_key }, until }: NotaryLog,
    ) -> Self {
        Self { notary, log_key, witness_key, until }
    }
}

impl NotaryLog {
    /// The key that signs the log's checkpoints; its name is the log's origin.
    pub fn log_key(&self) -> NoteKey {
        let (name, key) = (origin(&self.notary), self.keys.log_key.0);
        NoteKey { name, kind: KeyKind::Log, key }
    }

    /// The key that co-signs other logs' checkpoints.
    pub fn witness_key(&self) -> NoteKey {
        self.witness().key()
    }

    /// The notary as a witness.
    pub fn witness(&self) -> Witness {
        Witness { notary: self.notary.clone(), witness_key: self.keys.witness_key }
    }

    /// Whether the notary is a member now.
    pub fn is_member(&self) -> bool {
        self.until.is_none()
    }

    /// Whether the notary was a member at `time`, seconds.
    pub fn counts_at(&self, time: u64) -> bool {
        self.until.is_none_or(|until| time < until)
    }
}

/// A notary that co-signs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Witness {
    /// The notary.
    pub notary: NodeId,
    /// With this key.
    pub witness_key: Ed25519Key,
}

impl Witness {
    /// The key with its name.
    pub fn key(&self) -> NoteKey {
        let (name, key) = (format!("{WITNESS}{}", self.notary), self.witness_key.0);
        NoteKey { name, kind: KeyKind::Witness, key }
    }
}

/// The log of a network's manifests, as the root key names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestsLog {
    /// Signs its checkpoints.
    pub log_key: Ed25519Key,
    /// Most of these must have co-signed the first manifest that binds the list which names them.
    pub witnesses: Vec<Witness>,
}

impl ManifestsLog {
    /// The key with its name, which is the log's origin.
    pub fn key(&self, root: &NodeId) -> NoteKey {
        NoteKey { name: manifests_origin(root), kind: KeyKind::Log, key: self.log_key.0 }
    }
}

/// The origin of the log of the manifests of the network with this root key.
pub fn manifests_origin(root: &NodeId) -> String {
    format!("{MANIFESTS}{root}")
}

/// The origin of a notary's log (C2SP tlog-checkpoint).
pub fn origin(notary: &NodeId) -> String {
    format!("{LOG}{notary}")
}

/// Whose log has this origin. [`Error::LogForged`].
pub fn notary_of(origin: &str) -> Result<NodeId, Error> {
    let id = origin.strip_prefix(LOG).ok_or(Error::LogForged)?;
    id.parse().map_err(|_| Error::LogForged)
}

#[cfg(test)]
mod tests {
    use super::{Ed25519Key, LogKeys};

    #[test]
    fn keys_with_which_anybody_could_sign_are_not_sound() {
        let key = |seed: u8| {
            let signing = ed25519_dalek::SigningKey::from_bytes(&[seed; 32]);
            Ed25519Key(signing.verifying_key().to_bytes())
        };
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let sound = |log_key, witness_key| LogKeys { log_key, witness_key }.are_sound();
        assert!(sound(key(1), key(2)));
        assert!(!sound(key(1), key(1)));
        assert!(!sound(Ed25519Key(neutral), key(2)));
        assert!(!sound(key(1), Ed25519Key([0; 32])));
    }
}
