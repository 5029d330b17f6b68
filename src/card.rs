//! Cards: who a node is, signed by the Doorman (DESIGN section 4).

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::ids::NodeId;
use crate::jose::jwk::RsaJwk;
use crate::jose::jws::{self, Unverified};
use crate::json;
use crate::network::Trust;
use crate::provider::{NodeKeys, Primitives, Timestamp};

const TYP: &str = "hdms-card+jwt";

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
    /// How people call it; a personal node's may be empty.
    pub name: String,
    /// Base URL at which it is reached; personal nodes have none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub endpoint: Option<String>,
    /// Checks what the node signs; its thumbprint is `sub`.
    pub signing_key: RsaJwk,
    /// Seals what only the node may read.
    pub encryption_key: RsaJwk,
    /// Issued at, seconds.
    pub iat: u64,
    /// Expires at, seconds.
    pub exp: u64,
}

/// A card whose chain to the pinned root key holds and which was neither expired nor revoked when
/// it was looked at. Only [`VerifiedCard::verify`] makes one, and
/// [`VerifiedCard::verify_chain`] for a node's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedCard {
    card: Card,
    jwt: String,
}

impl VerifiedCard {
    /// Checks form, Doorman's signature, node id, expiry and revocation, in this order.
    ///
    /// Errors: [`Error::CardMalformed`], [`Error::CardForged`], [`Error::CardMismatch`],
    /// [`Error::CardExpired`], [`Error::CardRevoked`], [`Error::NetworkStale`].
    pub async fn verify(
        jwt: &str,
        trust: &Trust,
        now: Timestamp,
        primitives: &impl Primitives,
    ) -> Result<Self, Error> {
        let verified = Self::verify_chain(jwt, trust, primitives).await?;
        verified.check_validity(trust, now)?;
        Ok(verified)
    }

    /// Only form, Doorman's signature and node id: for a node's own card, with which it reads what
    /// it keeps however old the card or the revocation list. Others check the rest.
    pub async fn verify_chain(
        jwt: &str,
        trust: &Trust,
        primitives: &impl Primitives,
    ) -> Result<Self, Error> {
        if let Some(checked) = trust.checked(jwt) {
            return Ok(checked);
        }
        let unverified = Unverified::parse(jwt, TYP, Error::CardMalformed)?;
        let kid = unverified.header().kid.clone().ok_or(Error::CardMalformed)?;
        let doorman = trust.doorman(&kid).ok_or(Error::CardForged)?;
        let payload =
            unverified.verify_ps256(doorman, primitives).await.map_err(|error| match error {
                Error::SignatureInvalid => Error::CardForged,
                other => other,
            })?;
        let card: Card = json::read(payload, Error::CardMalformed)?;
        if card.iss.as_ref() != kid {
            return Err(Error::CardForged);
        }
        if card.signing_key.thumbprint() != card.sub.as_ref() {
            return Err(Error::CardMismatch);
        }
        let verified = Self { card, jwt: jwt.to_owned() };
        trust.remember(&verified);
        Ok(verified)
    }

    /// [`Error::CardExpired`], [`Error::CardRevoked`], or [`Error::NetworkStale`] when the
    /// revocation list is too old to say.
    pub fn check_validity(&self, trust: &Trust, now: Timestamp) -> Result<(), Error> {
        if now.seconds() >= self.card.exp {
            return Err(Error::CardExpired);
        }
        trust.check_revocation(&self.card.sub, now)
    }

    /// The node.
    pub fn id(&self) -> &NodeId {
        &self.card.sub
    }

    /// The claims.
    pub fn card(&self) -> &Card {
        &self.card
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

/// The signing key that a card claims, before anything of it is checked: for finding out whether
/// an envelope's signature and its card belong together.
pub(crate) fn claimed_signing_key(jwt: &str) -> Result<(NodeId, RsaJwk), Error> {
    let unverified = Unverified::parse(jwt, TYP, Error::CardMalformed)?;
    let card: Card = json::read(unverified.payload().clone(), Error::CardMalformed)?;
    if card.signing_key.thumbprint() != card.sub.as_ref() {
        return Err(Error::CardMismatch);
    }
    Ok((card.sub, card.signing_key))
}

/// Signs a card with the Doorman's key, whose thumbprint is `card.iss`. Answers the JWT.
pub async fn issue(card: &Card, doorman: &impl NodeKeys) -> Result<String, Error> {
    jws::sign_ps256(TYP, card.iss.as_ref(), card, doorman).await
}
