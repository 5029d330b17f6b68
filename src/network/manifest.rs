//! The manifest: the one numbered document that binds the network's others, so that they change and
//! end together, and that nobody is shown a mixture of them. All manifests are in one log, manifest
//! `n` as leaf `n - 1`, so that no number can have two.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{NetworkDocument, NetworkDocuments, Witness};
use crate::base64url::digest;
use crate::error::Error;
use crate::ids::NodeId;
use crate::jose::jws::{Kind, Unverified};
use crate::json;
use crate::log::Hash;

/// Largest manifest, bytes, also with its checkpoint.
pub const MAX_MANIFEST: usize = 1024 * 1024;

/// What the Doorman says the network is now. Each document is named by the digest of its JWT.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Thumbprint of the Doorman's key.
    pub iss: NodeId,
    /// Issued at, seconds.
    pub iat: u64,
    /// Ends at, seconds: from then on nothing that needs to be new may rest on it.
    pub exp: u64,
    /// Grows by one with every manifest.
    pub number: u64,
    /// The list of the Doorman's keys.
    pub doormen: String,
    /// The network parameters.
    pub parameters: String,
    /// The Network Map.
    pub map: String,
    /// The revocation list.
    pub revocations: String,
    /// Every notary that the map lists: a case's is drawn from them.
    #[serde(default)]
    pub notaries: Vec<NodeId>,
    /// Most of these must have co-signed the next manifest.
    pub witnesses: Vec<Witness>,
}

impl NetworkDocument for Manifest {
    const KIND: Kind = Kind { typ: "hdms-manifest+jwt", longest: MAX_MANIFEST };

    fn issuer(&self) -> &NodeId {
        &self.iss
    }
}

impl Manifest {
    /// A manifest that binds `documents`, whose own is left aside.
    pub fn binding(
        iss: NodeId,
        number: u64,
        (iat, exp): (u64, u64),
        documents: &NetworkDocuments,
        (notaries, witnesses): (Vec<NodeId>, Vec<Witness>),
    ) -> Self {
        let NetworkDocuments { doormen, parameters, map, revocations, .. } = documents;
        let [doormen, parameters, map, revocations] =
            [doormen, parameters, map, revocations].map(digest);
        Self { iss, iat, exp, number, doormen, parameters, map, revocations, notaries, witnesses }
    }

    /// That these are the documents that it binds. [`Error::NetworkForged`].
    pub(super) fn expect(&self, documents: &NetworkDocuments) -> Result<(), Error> {
        let NetworkDocuments { doormen, parameters, map, revocations, .. } = documents;
        let came = [doormen, parameters, map, revocations].map(digest);
        let bound = [&self.doormen, &self.parameters, &self.map, &self.revocations];
        if came.each_ref() == bound { Ok(()) } else { Err(Error::NetworkForged) }
    }

    /// What a manifest says that nobody has checked. [`Error::NetworkForged`].
    pub fn unverified(jwt: &str) -> Result<Self, Error> {
        let forged = Error::NetworkForged;
        let unverified = Unverified::parse(jwt, &Self::KIND, forged).map_err(|_| forged)?;
        json::read(unverified.payload().clone(), forged)
    }
}

/// A manifest in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logged {
    /// The manifest, `hdms-manifest+jwt`.
    pub manifest: String,
    /// As [`NetworkDocuments::proof`].
    pub proof: String,
    /// As [`NetworkDocuments::consistency`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub consistency: Vec<String>,
}

/// A manifest as its log keeps it, and whoever keeps a copy of that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbered {
    /// The manifest, `hdms-manifest+jwt`.
    pub manifest: String,
    /// The checkpoint whose last leaf it is, with its cosignatures.
    pub checkpoint: String,
    /// With one that may be the first under a list of the Doorman's keys which is not offered any more: that
    /// list, `hdms-doormen+jwt`, where the server still has it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub doormen: Option<String>,
}

/// The bytes of a manifest's leaf: the SHA-256 of its JWT.
pub fn leaf(manifest: &str) -> Hash {
    Sha256::digest(manifest).into()
}

/// How many of so many witnesses are most of them.
pub fn majority(witnesses: usize) -> usize {
    if witnesses == 0 { 0 } else { witnesses / 2 + 1 }
}
