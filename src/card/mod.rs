//! Cards: who a node is, signed by the Doorman (docs/architecture.md).

mod keys;

use serde::{Deserialize, Serialize};

use crate::endpoint::{self, Endpoint};
use crate::error::Error;
use crate::ids::NodeId;
use crate::jose::jws::{self, Kind, Unverified};
use crate::json;
use crate::jwk::{EcJwk, RsaJwk};
use crate::provider::{CLOCK_SKEW, NodeKeys, Primitives};

pub use keys::{KeyChange, MAX_CHANGES, SigningKeys, Subkeys};

/// Most bytes of a card: with all changes of keys of 3072 bits, and so that it fits any answer.
pub const MAX_BYTES: usize = 60 * 1024;

const KIND: Kind = Kind { typ: "hdms-card+jwt", longest: MAX_BYTES };

/// How long a card is valid: 90 days, in seconds.
pub const LIFETIME: u64 = 90 * 24 * 3600;

/// What a node is, and so which messages it may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A patient's node, in a browser.
    Personal,
    /// A hospital's or a research institute's node.
    Institution,
    /// Keeps the verification keys of ledger entries.
    Notary,
}

/// The claims of a card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// Thumbprint of the Doorman's key.
    pub iss: NodeId,
    /// The node.
    pub sub: NodeId,
    /// What the node is.
    pub role: Role,
    /// How people call it; of a personal node only cards of version 1 say so.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub name: String,
    /// Base URL at which it is reached; personal nodes have none.
    #[serde(
        skip_serializing_if = "Option::is_none",
        default,
        deserialize_with = "endpoint::usable"
    )]
    pub endpoint: Option<Endpoint>,
    /// Checks what the node signs; its thumbprint is `sub` unless `changes` lead from there to it.
    pub signing_key: RsaJwk,
    /// The node's statement which other keys it has ([`Subkeys`]). None in cards of before there was
    /// one, which nobody takes any more.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub subkeys: String,
    /// The node's statements that it changed its signing key ([`KeyChange`]), oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub changes: Vec<String>,
    /// Issued at, seconds.
    pub iat: u64,
    /// Expires at, seconds.
    pub exp: u64,
}

/// A card whose chain to the pinned root key holds and which was neither expired, revoked nor
/// superseded when it was looked at: [`VerifiedCard::verify`] makes it. Of one by [`VerifiedCard::verify_chain`] or
/// [`VerifiedCard::vouched`] less is certain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedCard {
    card: Card,
    keys: SigningKeys,
    subkeys: Option<Subkeys>,
    jwt: String,
}

impl VerifiedCard {
    /// Form, signature, node id and keys: `signer` knows by thumbprint and time of issue, seconds, whose
    /// signature counts.
    pub(crate) async fn signed<'a>(
        jwt: &str,
        signer: impl FnOnce(&str, u64) -> Option<&'a RsaJwk>,
        primitives: &impl Primitives,
    ) -> Result<Self, Error> {
        let unverified = Unverified::parse(jwt, &KIND, Error::CardMalformed)?;
        let kid = unverified.header().kid.clone().ok_or(Error::CardMalformed)?;
        let card: Card = json::read(unverified.payload().clone(), Error::CardMalformed)?;
        let doorman = signer(&kid, card.iat).ok_or(Error::CardForged)?;
        unverified.verify_ps256(doorman, primitives).await.map_err(|error| match error {
            Error::SignatureInvalid => Error::CardForged,
            other => other,
        })?;
        if card.iss.as_ref() != kid {
            return Err(Error::CardForged);
        }
        Self::owned(card, jwt, primitives).await
    }

    /// Only form, node id and keys: for a card that somebody vouches for otherwise, as the signature of
    /// the Network Map that lists it does, and for the one that a node keeps as its own. It may name no
    /// subkeys: with such a one of its own a node reads what it has, until it gets another. Errors as
    /// [`SigningKeys::of`].
    pub async fn vouched(jwt: &str, primitives: &impl Primitives) -> Result<Self, Error> {
        let unverified = Unverified::parse(jwt, &KIND, Error::CardMalformed)?;
        let card: Card = json::read(unverified.payload().clone(), Error::CardMalformed)?;
        Self::owned(card, jwt, primitives).await
    }

    async fn owned(card: Card, jwt: &str, primitives: &impl Primitives) -> Result<Self, Error> {
        let keys = SigningKeys::of(&card, primitives).await?;
        let subkeys = match card.subkeys.as_str() {
            "" => None,
            statement => {
                let (node, key) = (&card.sub, &card.signing_key);
                let stated = Subkeys::verify(statement, node, key, primitives).await?;
                if stated.iat > card.iat.saturating_add(CLOCK_SKEW) {
                    return Err(Error::CardMismatch);
                }
                Some(stated)
            }
        };
        Ok(Self { card, keys, subkeys, jwt: jwt.to_owned() })
    }

    /// The node.
    pub fn id(&self) -> &NodeId {
        &self.card.sub
    }

    /// The claims.
    pub fn card(&self) -> &Card {
        &self.card
    }

    /// The keys with which it signs and has signed.
    pub fn keys(&self) -> &SigningKeys {
        &self.keys
    }

    /// Whether somebody has seen a card of the node since, with this many changes of keys: then the
    /// key of this one was given up.
    pub fn is_former(&self, changes_seen: usize) -> bool {
        self.keys.changes().len() < changes_seen
    }

    /// The key that seals what only the node may read. [`Error::CardMalformed`] of a card that names no
    /// subkeys.
    pub fn encryption_key(&self) -> Result<&RsaJwk, Error> {
        self.subkeys.as_ref().map(|stated| &stated.encryption).ok_or(Error::CardMalformed)
    }

    /// The key that checks the node's requests to a server. Errors as [`VerifiedCard::encryption_key`].
    pub fn request_key(&self) -> Result<&EcJwk, Error> {
        self.subkeys.as_ref().map(|stated| &stated.request).ok_or(Error::CardMalformed)
    }

    /// When the node said that these are its subkeys, seconds.
    pub fn subkeys_stated(&self) -> Option<u64> {
        self.subkeys.as_ref().map(|stated| stated.iat)
    }

    /// Whether it names this encryption key, by thumbprint, and this request key.
    pub fn names_subkeys(&self, kid: &str, request: &EcJwk) -> bool {
        self.is_present_encryption_key(kid) && self.request_key() == Ok(request)
    }

    /// Whether the key with this thumbprint is the node's encryption key, and no former one.
    pub fn is_present_encryption_key(&self, kid: &str) -> bool {
        self.encryption_key().is_ok_and(|key| key.thumbprint() == kid)
    }

    /// The signed document itself.
    pub fn jwt(&self) -> &str {
        &self.jwt
    }

    /// [`Error::TypeNotForRole`] unless the node is a `role`.
    pub fn expect_role(&self, role: Role) -> Result<(), Error> {
        if self.card.role == role { Ok(()) } else { Err(Error::TypeNotForRole) }
    }
}

/// The signing keys of a card that no Doorman's signature was checked of: for finding
/// out whether an envelope's signature and its card belong together. Errors as [`SigningKeys::of`].
pub(crate) async fn claimed_keys(
    jwt: &str,
    primitives: &impl Primitives,
) -> Result<SigningKeys, Error> {
    Ok(VerifiedCard::vouched(jwt, primitives).await?.keys)
}

/// Whose card it claims to be, and when it says that it was issued, seconds; nothing of it is
/// checked.
pub(crate) fn claimed(jwt: &str) -> Result<(NodeId, u64), Error> {
    let malformed = Error::CardMalformed;
    let unverified = Unverified::parse(jwt, &KIND, malformed)?;
    let time = unverified.payload()["iat"].as_u64().ok_or(malformed)?;
    Ok((json::read(unverified.payload()["sub"].clone(), malformed)?, time))
}

/// Signs a card with the Doorman's key, whose thumbprint is `card.iss`. Answers the JWT.
pub async fn issue(card: &Card, doorman: &impl NodeKeys) -> Result<String, Error> {
    jws::sign_ps256(KIND.typ, card.iss.as_ref(), card, doorman).await
}
