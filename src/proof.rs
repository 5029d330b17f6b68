//! How a node authorises a request to a server: a short-lived JWT over method, URL, body digest
//! and a unique id, in the form of RFC 9449 proofs (docs/architecture.md), signed with the node's request
//! key. It travels in the header `HDMS-Proof`.

use serde::{Deserialize, Serialize};

use crate::base64url::digest;
use crate::error::Error;
use crate::ids::{MessageId, NodeId};
use crate::jose::jws::{self, Kind, Unverified};
use crate::json;
use crate::jwk::EcJwk;
use crate::provider::{NodeKeys, Primitives, Timestamp};

const KIND: Kind = Kind::statement("hdms-proof+jwt");

/// The HTTP header that carries a proof.
pub const HEADER: &str = "hdms-proof";

/// How far a proof's time may be from the server's, seconds. A server remembers ids this long.
pub const WINDOW: u64 = 120;

/// The claims of a proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename(deserialize = "closed"))]
pub struct RequestProof {
    /// The node that asks.
    pub iss: NodeId,
    /// Signed at, seconds.
    pub iat: u64,
    /// Unique.
    pub jti: MessageId,
    /// HTTP method, upper case.
    pub htm: String,
    /// URL without query and fragment.
    pub htu: String,
    /// base64url SHA-256 of the body; of no bytes when there is none.
    pub body: String,
}

impl RequestProof {
    /// For one request.
    pub fn new(
        node: &NodeId,
        id: MessageId,
        method: &str,
        url: &str,
        body: &[u8],
        now: Timestamp,
    ) -> Self {
        let end = url.find(['?', '#']).unwrap_or(url.len());
        Self {
            iss: node.clone(),
            iat: now.seconds(),
            jti: id,
            htm: method.to_owned(),
            htu: url[..end].to_owned(),
            body: digest(body),
        }
    }

    /// Signs the proof. Answers the JWT.
    pub async fn sign(&self, keys: &impl NodeKeys) -> Result<String, Error> {
        jws::sign_request(KIND.typ, self.iss.as_ref(), self, keys).await
    }

    /// Whether it was signed for a request with this body. [`Error::RequestProofInvalid`].
    pub fn check_body(&self, body: &[u8]) -> Result<(), Error> {
        if self.body == digest(body) { Ok(()) } else { Err(Error::RequestProofInvalid) }
    }
}

/// A proof that nobody has checked yet.
#[derive(Clone, Debug)]
pub struct ClaimedProof {
    unverified: Unverified,
    proof: RequestProof,
}

impl ClaimedProof {
    /// Takes a proof apart. [`Error::RequestProofInvalid`].
    pub fn parse(jwt: &str) -> Result<Self, Error> {
        let invalid = Error::RequestProofInvalid;
        let unverified = Unverified::parse(jwt, &KIND, invalid).map_err(|_| invalid)?;
        let proof = json::read(unverified.payload().clone(), invalid)?;
        Ok(Self { unverified, proof })
    }

    /// Who claims to ask: for finding the key.
    pub fn node(&self) -> &NodeId {
        &self.proof.iss
    }

    /// The id that it claims to use for the first time.
    pub fn id(&self) -> &MessageId {
        &self.proof.jti
    }

    /// Checks that `key`, the present request key of [`ClaimedProof::node`], signed it, and time,
    /// method and URL: all that can be known before the body has come. That
    /// `jti` is new is for the server to check, and then [`RequestProof::check_body`].
    /// [`Error::RequestProofInvalid`] whatever the reason.
    pub async fn verify(
        self,
        key: &EcJwk,
        (method, url): (&str, &str),
        now: Timestamp,
        primitives: &impl Primitives,
    ) -> Result<RequestProof, Error> {
        let Self { unverified, proof } = self;
        let invalid = Error::RequestProofInvalid;
        // What costs nothing comes before the signature.
        let fits =
            proof.iat.abs_diff(now.seconds()) <= WINDOW && proof.htm == method && proof.htu == url;
        if !fits {
            return Err(invalid);
        }
        unverified.verify_es256(key, primitives).await.map_err(|_| invalid)?;
        Ok(proof)
    }
}
