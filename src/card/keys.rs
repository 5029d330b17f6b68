//! The keys with which a node has signed, and the statements by which it changed them. A node id is
//! the thumbprint of the first signing key and stays; each later key is vouched for by the one
//! before it, so that nobody, the Doorman included, can give a node keys of another's. Its subkeys
//! are its own by the word of its signing key: the encryption key, which changes with each renewal of
//! its card, and the request key, which changes with the signing key.

use serde::{Deserialize, Serialize};

use super::Card;
use crate::error::Error;
use crate::ids::NodeId;
use crate::jose::jws::{self, Compact, Kind, Unverified};
use crate::json;
use crate::jwk::{EcJwk, RsaJwk};
use crate::provider::{CLOCK_SKEW, NodeKeys, Primitives};

const KEY_CHANGE: Kind = Kind::statement("hdms-key-change+jwt");
const SUBKEYS: Kind = Kind::statement("hdms-subkeys+jwt");

/// Most changes of keys that a card may carry.
pub const MAX_CHANGES: usize = 16;

/// A node's statement, signed with its former signing key, that it has a new one: the claims of an
/// `hdms-key-change+jwt`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "ReadChange")]
pub struct KeyChange {
    /// The node.
    pub iss: NodeId,
    /// Signed at, seconds: from then on the former key signs nothing new.
    pub iat: u64,
    /// The key that signs this statement.
    pub former_signing_key: RsaJwk,
    /// The new signing key.
    pub signing_key: RsaJwk,
}

/// As it is read. Statements of version 1 name encryption keys as well, which mean nothing now.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename(deserialize = "closed"))]
struct ReadChange {
    iss: NodeId,
    iat: u64,
    former_signing_key: RsaJwk,
    #[serde(rename = "former_encryption_key", default)]
    _former_encryption_key: Option<String>,
    signing_key: RsaJwk,
    #[serde(rename = "encryption_key", default)]
    _encryption_key: Option<RsaJwk>,
}

impl From<ReadChange> for KeyChange {
    fn from(read: ReadChange) -> Self {
        let ReadChange { iss, iat, former_signing_key, signing_key, .. } = read;
        Self { iss, iat, former_signing_key, signing_key }
    }
}

impl KeyChange {
    /// Signs the statement with the former key. Answers the JWT.
    pub async fn sign(&self, former: &impl NodeKeys) -> Result<String, Error> {
        jws::sign_ps256(KEY_CHANGE.typ, self.iss.as_ref(), self, former).await
    }

    /// What a statement says; its signature is not checked. [`Error::CardMalformed`].
    pub fn claimed(jwt: &str) -> Result<Self, Error> {
        let unverified = Unverified::parse(jwt, &KEY_CHANGE, Error::CardMalformed)?;
        json::read(unverified.payload().clone(), Error::CardMalformed)
    }

    /// Checks that the key which it names as the former one has signed it; whether that key was the
    /// node's is for [`SigningKeys::of`]. [`Error::CardMalformed`], [`Error::CardMismatch`].
    async fn verify(jwt: &str, primitives: &impl Primitives) -> Result<Self, Error> {
        let unverified = Unverified::parse(jwt, &KEY_CHANGE, Error::CardMalformed)?;
        let change: Self = json::read(unverified.payload().clone(), Error::CardMalformed)?;
        let signed = unverified.verify_ps256(&change.former_signing_key, primitives).await;
        signed.map_err(|_| Error::CardMismatch)?;
        Ok(change)
    }
}

/// A node's statement, signed with its signing key, which other keys it has: the claims of an
/// `hdms-subkeys+jwt`. So the Doorman can't give a node somebody else's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename(deserialize = "closed"))]
pub struct Subkeys {
    /// The node.
    pub iss: NodeId,
    /// Signed at, seconds.
    pub iat: u64,
    /// Seals what only the node may read.
    pub encryption: RsaJwk,
    /// Checks the node's requests to a server ([`crate::proof`]).
    pub request: EcJwk,
}

impl Subkeys {
    /// Signs the statement. Answers the JWT.
    pub async fn sign(&self, keys: &impl NodeKeys) -> Result<String, Error> {
        jws::sign_ps256(SUBKEYS.typ, self.iss.as_ref(), self, keys).await
    }

    /// What a statement says; its signature is not checked. [`Error::CardMalformed`].
    pub fn claimed(jwt: &str) -> Result<Self, Error> {
        let unverified = Unverified::parse(jwt, &SUBKEYS, Error::CardMalformed)?;
        json::read(unverified.payload().clone(), Error::CardMalformed)
    }

    /// Checks that the node whose card this is has made it with its present signing key.
    /// [`Error::CardMalformed`], [`Error::CardMismatch`].
    pub(crate) async fn verify(
        jwt: &str,
        node: &NodeId,
        signing_key: &RsaJwk,
        primitives: &impl Primitives,
    ) -> Result<Self, Error> {
        let unverified = Unverified::parse(jwt, &SUBKEYS, Error::CardMalformed)?;
        let statement: Self = json::read(unverified.payload().clone(), Error::CardMalformed)?;
        let signed = unverified.verify_ps256(signing_key, primitives).await;
        signed.map_err(|_| Error::CardMismatch)?;
        let is_of = statement.iss == *node && statement.encryption != *signing_key;
        if is_of { Ok(statement) } else { Err(Error::CardMismatch) }
    }
}

/// The signing keys of a node: the present one, and former ones for what they signed in their time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningKeys {
    node: NodeId,
    current: RsaJwk,
    changes: Vec<KeyChange>,
}

impl SigningKeys {
    /// Of the node that a card is about: the chain from its id to its present signing key.
    ///
    /// Errors: [`Error::CardMalformed`]; [`Error::CardMismatch`] when the chain is broken.
    pub async fn of(card: &Card, primitives: &impl Primitives) -> Result<Self, Error> {
        if card.changes.len() > MAX_CHANGES {
            return Err(Error::CardMalformed);
        }
        let mut thumbprint = card.sub.as_ref().to_owned();
        let mut changes: Vec<KeyChange> = Vec::with_capacity(card.changes.len());
        for jwt in &card.changes {
            let change = KeyChange::verify(jwt, primitives).await?;
            // What is dated ahead would keep the former key alive.
            let in_order = changes.last().is_none_or(|before| before.iat <= change.iat)
                && change.iat <= card.iat.saturating_add(CLOCK_SKEW);
            let follows = change.former_signing_key.thumbprint() == thumbprint;
            if change.iss != card.sub || !in_order || !follows {
                return Err(Error::CardMismatch);
            }
            thumbprint = change.signing_key.thumbprint();
            changes.push(change);
        }
        if card.signing_key.thumbprint() != thumbprint {
            return Err(Error::CardMismatch);
        }
        Ok(Self { node: card.sub.clone(), current: card.signing_key.clone(), changes })
    }

    /// Of a node that has never changed its key.
    pub fn first(key: &RsaJwk) -> Result<Self, Error> {
        let node = key.thumbprint().parse()?;
        Ok(Self { node, current: key.clone(), changes: Vec::new() })
    }

    /// The node.
    pub fn node(&self) -> &NodeId {
        &self.node
    }

    /// The statements, oldest first.
    pub fn changes(&self) -> &[KeyChange] {
        &self.changes
    }

    /// The key with this thumbprint, if it is or was one of the node's.
    pub fn with_thumbprint(&self, thumbprint: &str) -> Option<&RsaJwk> {
        let former = self.changes.iter().map(|change| &change.former_signing_key);
        let mut keys = former.chain([&self.current]);
        keys.find(|key| key.thumbprint() == thumbprint)
    }

    /// Whether the node has signed this, which says that it was signed at `dated`, seconds: with
    /// its present key, or with a former one before that was changed.
    ///
    /// Errors: [`Error::SignatureInvalid`], [`Error::AlgorithmRefused`].
    pub async fn check(
        &self,
        signed: &Compact,
        dated: u64,
        primitives: &impl Primitives,
    ) -> Result<(), Error> {
        let mut outcome = signed.check_ps256(&self.current, primitives).await;
        for change in self.changes.iter().rev() {
            if outcome == Err(Error::SignatureInvalid) && dated <= change.iat {
                outcome = signed.check_ps256(&change.former_signing_key, primitives).await;
            }
        }
        outcome
    }
}
