//! The challenge by which a node proves that it has its encryption key. It has a form of its own,
//! names the node and what it is for, and only a digest answers it: a server that gives a node
//! something else to decrypt learns nothing of it.

use serde::{Deserialize, Serialize};

use super::AdmissionRequest;
use crate::base64url::{decode, digest};
use crate::error::Error;
use crate::ids::NodeId;
use crate::jose::jwe;
use crate::jwk::RsaJwk;
use crate::provider::{NodeKeys, Primitives, Randomness};

/// What a challenge's protected header says it is.
const CTY: &str = "hdms-challenge";

/// First lines of its plaintext, and of what its answer is the digest of.
const LABEL: &str = "hdms-challenge/v2";
const ANSWER_LABEL: &str = "hdms-challenge-answer/v2";

/// What a node is challenged for, so far.
const PURPOSE: &str = "admission";

/// The Doorman's answer to a good request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// A compact JWE to the node's encryption key.
    pub challenge: String,
    /// How long it may be answered, seconds.
    pub expires: u64,
}

/// The node's proof that it holds the encryption key. The Doorman keeps nothing between the two
/// calls, so all that it needs comes again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename(deserialize = "closed"))]
pub struct ChallengeAnswer {
    /// The admission request, the same JWT as before.
    pub request: String,
    /// As in the challenge.
    pub expires: u64,
    /// [`expected_answer`].
    pub answer: String,
}

impl Challenge {
    /// Challenges `node` to open `secret`, 32 octets as base64url, with the private half of `key`
    /// until `expires`.
    pub async fn seal(
        secret: &str,
        (node, key): (&NodeId, &RsaJwk),
        expires: u64,
        primitives: &impl Primitives,
        randomness: &impl Randomness,
    ) -> Result<Self, Error> {
        let plaintext = [LABEL, PURPOSE, node.as_ref(), secret].join("\n").into_bytes();
        let challenge = jwe::encrypt(plaintext, Some(CTY), key, primitives, randomness).await?;
        Ok(Self { challenge, expires })
    }

    /// The node's side: opens the challenge for its `request`, which it has sent as `jwt`. The answer
    /// is the same whatever is wrong with it: [`Error::ChallengeForged`].
    pub async fn answer(
        &self,
        request: &AdmissionRequest,
        jwt: String,
        keys: &impl NodeKeys,
        primitives: &impl Primitives,
    ) -> Result<ChallengeAnswer, Error> {
        let sealed = parse(&self.challenge, &request.stated_subkeys()?.encryption)?;
        let plaintext = sealed.decrypt(keys, primitives).await.map_err(|error| match error {
            Error::DecryptionFailed | Error::WrongRecipientKey => Error::ChallengeForged,
            other => other,
        })?;
        let secret = secret_of(&plaintext, &request.iss).ok_or(Error::ChallengeForged)?;
        let answer = expected_answer(&request.iss, secret);
        Ok(ChallengeAnswer { request: jwt, expires: self.expires, answer })
    }
}

/// The answer to a challenge of `node` with this secret. It says nothing about the secret.
pub fn expected_answer(node: &NodeId, secret: &str) -> String {
    digest([ANSWER_LABEL, PURPOSE, node.as_ref(), secret].join("\n"))
}

/// What can be checked before the key is used: kind, key and length, of which there is only one.
fn parse(compact: &str, key: &RsaJwk) -> Result<jwe::CompactJwe, Error> {
    let forged = Error::ChallengeForged;
    let sealed = jwe::CompactJwe::parse(compact).map_err(|_| forged)?;
    let header = sealed.header();
    let is_challenge = header.cty.as_deref() == Some(CTY);
    let for_key = header.kid.as_deref() == Some(key.thumbprint().as_str());
    let length = jwe::compact_length(header, key, plaintext_length())?;
    if is_challenge && for_key && compact.len() == length { Ok(sealed) } else { Err(forged) }
}

/// Label, purpose, node id and secret, with a line feed between each two.
fn plaintext_length() -> usize {
    LABEL.len() + PURPOSE.len() + 2 * THUMBPRINT + 3
}

/// Characters of base64url of 32 octets.
const THUMBPRINT: usize = 43;

/// The secret, when everything before it is as it must be.
fn secret_of<'a>(plaintext: &'a [u8], node: &NodeId) -> Option<&'a str> {
    let text = std::str::from_utf8(plaintext).ok()?;
    let secret = text.strip_prefix(&[LABEL, PURPOSE, node.as_ref(), ""].join("\n"))?;
    decode(secret).filter(|octets| octets.len() == 32).map(|_| secret)
}
