//! The Doorman: who is admitted, and on what proof (docs/architecture.md). Admission takes two calls:
//! the node sends an [`AdmissionRequest`] signed with its signing key and gets a [`Challenge`]
//! sealed to its encryption key; it sends the request again with its [`ChallengeAnswer`] and gets
//! its card.

mod challenge;

use serde::{Deserialize, Serialize};

use crate::card::{self, Card, Role, SigningKeys, Subkeys};
use crate::endpoint::{self, Endpoint};
use crate::error::Error;
use crate::ids::{MessageId, NodeId};
use crate::jose::jws::{self, Kind, Unverified};
use crate::json;
use crate::jwk::RsaJwk;
use crate::network::LogKeys;
use crate::proof::WINDOW;
use crate::provider::{NodeKeys, Primitives, Timestamp};

pub use challenge::{Challenge, ChallengeAnswer, expected_answer};

/// Most bytes of an admission request: with all changes of keys that a node may have made, once more in
/// its last card.
pub const MAX_BYTES: usize = 160 * 1024;

const KIND: Kind = Kind { typ: "hdms-admission+jwt", longest: MAX_BYTES };

/// Most bytes of a card's claims: with header and signature it is none too long.
const MOST_CLAIMS: usize = (card::MAX_BYTES - 1024) / 4 * 3;

/// How old an admission request may be, and how long a challenge may be answered, seconds.
pub const PATIENCE: u64 = 300;

/// Longest name, and longest of what else an applicant says of itself, bytes of UTF-8.
const MAX_NAME: usize = 200;

/// What a node asks to be admitted as: the claims of a JWT signed with its signing key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename(deserialize = "closed"))]
pub struct AdmissionRequest {
    /// The node.
    pub iss: NodeId,
    /// Signed at, seconds.
    pub iat: u64,
    /// Unique.
    pub jti: MessageId,
    /// What it wants to be.
    pub role: Role,
    /// How people will call it; empty for a personal node, of whom nobody but those that it writes
    /// to need know.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub name: String,
    /// Base URL at which it is reached; none for a personal node.
    #[serde(
        skip_serializing_if = "Option::is_none",
        default,
        deserialize_with = "endpoint::usable"
    )]
    pub endpoint: Option<Endpoint>,
    /// What the operator needs to know it by; none for a personal node.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub about: Option<About>,
    /// Its thumbprint is the node id, unless `changes` lead from there to it.
    pub signing_key: RsaJwk,
    /// Its statement which other keys it has ([`card::Subkeys`]); the challenge is sealed to the encryption
    /// key.
    pub subkeys: String,
    /// Its statements that it changed its signing key ([`card::KeyChange`]), oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub changes: Vec<String>,
    /// A notary's log.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub log: Option<LogKeys>,
    /// The node's last card, for a Doorman who does not know its present signing key.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub card: Option<String>,
}

/// What an institution or a notary says of itself, for the operator to check by other ways. It is
/// shown to nobody else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename(deserialize = "closed"))]
pub struct About {
    /// Its number in a public register, with the register's name.
    pub registry_number: String,
    /// Postal address.
    pub address: String,
    /// Whom to call, and how.
    pub contact: String,
}

impl About {
    /// All that it says.
    pub fn texts(&self) -> [&String; 3] {
        [&self.registry_number, &self.address, &self.contact]
    }

    fn is_complete(&self) -> bool {
        self.texts().iter().all(|text| !text.trim().is_empty() && text.len() <= MAX_NAME)
    }
}

/// The Doorman's answer to a right answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admitted {
    /// The node's card, a JWT.
    pub card: String,
}

impl AdmissionRequest {
    /// Signs the request with the node's keys. Answers the JWT.
    pub async fn sign(&self, keys: &impl NodeKeys) -> Result<String, Error> {
        jws::sign_ps256(KIND.typ, self.iss.as_ref(), self, keys).await
    }

    /// Checks form, age, the claims that the role calls for, and self-signature.
    ///
    /// Errors: [`Error::AdmissionMalformed`], [`Error::EndpointRefused`],
    /// [`Error::PossessionUnproven`], [`Error::Expired`], [`Error::NotYetValid`].
    pub async fn verify(
        jwt: &str,
        now: Timestamp,
        primitives: &impl Primitives,
    ) -> Result<Self, Error> {
        let malformed = Error::AdmissionMalformed;
        let unverified = Unverified::parse(jwt, &KIND, malformed)?;
        let request: Self = json::read(unverified.payload().clone(), malformed)?;
        if request.endpoint.is_none() && !unverified.payload()["endpoint"].is_null() {
            return Err(Error::EndpointRefused);
        }
        request.stated_subkeys()?;
        // What costs nothing comes before the signatures.
        if request.iat > now.seconds() + WINDOW {
            return Err(Error::NotYetValid);
        }
        if now.seconds() > request.iat + PATIENCE {
            return Err(Error::Expired);
        }
        request.check_claims()?;
        let card = request.card(&request.iss, now);
        if json::write(&card)?.len() > MOST_CLAIMS {
            return Err(malformed);
        }
        let unproven = |_| Error::PossessionUnproven;
        SigningKeys::of(&card, primitives).await.map_err(unproven)?;
        let (node, key) = (&request.iss, &request.signing_key);
        let stated = Subkeys::verify(&request.subkeys, node, key, primitives).await;
        if stated.map_err(unproven)?.iat > now.seconds() + PATIENCE {
            return Err(Error::NotYetValid);
        }
        unverified.verify_ps256(&request.signing_key, primitives).await.map_err(unproven)?;
        Ok(request)
    }

    /// Whose request it claims to be. [`Error::AdmissionMalformed`].
    pub fn claimed_node(jwt: &str) -> Result<NodeId, Error> {
        let unverified = Unverified::parse(jwt, &KIND, Error::AdmissionMalformed)?;
        json::read(unverified.payload()["iss"].clone(), Error::AdmissionMalformed)
    }

    fn check_claims(&self) -> Result<(), Error> {
        let reachable = match (&self.role, &self.endpoint, &self.about) {
            (Role::Personal, None, None) => self.name.is_empty(),
            (Role::Institution | Role::Notary, Some(_), Some(about)) => {
                !self.name.trim().is_empty() && about.is_complete()
            }
            _ => false,
        };
        let logs = match &self.log {
            Some(keys) => self.role == Role::Notary && keys.are_sound(),
            None => self.role != Role::Notary,
        };
        let fits = reachable && logs && self.name.len() <= MAX_NAME;
        if fits { Ok(()) } else { Err(Error::AdmissionMalformed) }
    }

    /// What it states of its subkeys. [`Error::AdmissionMalformed`].
    pub fn stated_subkeys(&self) -> Result<Subkeys, Error> {
        Subkeys::claimed(&self.subkeys).map_err(|_| Error::AdmissionMalformed)
    }

    /// The card that the Doorman signs for this request.
    pub fn card(&self, doorman: &NodeId, now: Timestamp) -> Card {
        Card {
            iss: doorman.clone(),
            sub: self.iss.clone(),
            role: self.role,
            name: self.name.clone(),
            endpoint: self.endpoint.clone(),
            signing_key: self.signing_key.clone(),
            subkeys: self.subkeys.clone(),
            changes: self.changes.clone(),
            iat: now.seconds(),
            exp: now.seconds() + card::LIFETIME,
        }
    }
}
