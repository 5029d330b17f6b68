//! The network's signed documents and what a node trusts because of them: the Doorman's
//! certificates, the network parameters, the Network Map, the revocation list (DESIGN section 4).

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::card::{Role, VerifiedCard};
use crate::error::Error;
use crate::ids::NodeId;
use crate::jose::digest;
use crate::jose::jwk::RsaJwk;
use crate::jose::jws::{self, Unverified};
use crate::json;
use crate::provider::{NodeKeys, Primitives, Timestamp};

/// The network's documents as the server offers them at `GET /network`, each a JWT.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkDocuments {
    /// Certificates of the Doorman's keys, `hdms-doorman+jwt`, signed by the root key.
    pub doormen: Vec<String>,
    /// Network parameters, `hdms-parameters+jwt`.
    pub parameters: String,
    /// Network Map, `hdms-map+jwt`.
    pub map: String,
    /// Revocation list, `hdms-revocations+jwt`.
    pub revocations: String,
}

/// The root's word that a key is the Doorman's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoormanCertificate {
    /// Thumbprint of the root key.
    pub iss: NodeId,
    /// Thumbprint of the Doorman's key.
    pub sub: NodeId,
    /// The Doorman's key.
    pub key: RsaJwk,
    /// Issued at, seconds.
    pub iat: u64,
    /// Expires at, seconds.
    pub exp: u64,
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
}

/// The nodes whose cards no longer count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocations {
    /// Thumbprint of the Doorman's key.
    pub iss: NodeId,
    /// Issued at, seconds.
    pub iat: u64,
    /// Grows with every change.
    pub number: u64,
    /// Revoked nodes.
    pub revoked: HashSet<NodeId>,
}

/// A document that the Doorman signs, with its `typ`.
pub trait NetworkDocument: Serialize + DeserializeOwned {
    /// The JWT's `typ`.
    const TYP: &'static str;
    /// Whose signature it claims.
    fn issuer(&self) -> &NodeId;
}

macro_rules! network_documents {
    ($($name:ident = $typ:literal),+) => {$(
        impl NetworkDocument for $name {
            const TYP: &'static str = $typ;

            fn issuer(&self) -> &NodeId {
                &self.iss
            }
        }
    )+};
}

network_documents! {
    DoormanCertificate = "hdms-doorman+jwt",
    Parameters = "hdms-parameters+jwt",
    NetworkMap = "hdms-map+jwt",
    Revocations = "hdms-revocations+jwt"
}

/// Signs a network document with the key whose thumbprint is its issuer. Answers the JWT.
pub async fn sign<D: NetworkDocument>(document: &D, keys: &impl NodeKeys) -> Result<String, Error> {
    jws::sign_ps256(D::TYP, document.issuer().as_ref(), document, keys).await
}

/// What a node relies on: documents whose signatures lead to the pinned root key.
#[derive(Clone, Debug)]
pub struct Trust {
    doormen: Vec<RsaJwk>,
    parameters: Parameters,
    revocations: Revocations,
    map_number: u64,
    nodes: Vec<VerifiedCard>,
    checked: Arc<RwLock<HashMap<String, VerifiedCard>>>,
}

/// How many cards are remembered whose chain was checked: one travels with many messages.
const REMEMBERED: usize = 4096;

impl Trust {
    /// Checks the documents against the pinned `root` key, and against rollback when the documents
    /// that were good before are given as `previous`. A listed node whose card has expired or was
    /// revoked is left out.
    ///
    /// Errors: [`Error::NetworkForged`], [`Error::NetworkRollback`].
    pub async fn verify(
        documents: &NetworkDocuments,
        root: &RsaJwk,
        previous: Option<&Trust>,
        now: Timestamp,
        primitives: &impl Primitives,
    ) -> Result<Self, Error> {
        let mut doormen = Vec::new();
        for jwt in &documents.doormen {
            doormen.push(verify_certificate(jwt, root, now, primitives).await?);
        }
        let parameters: Parameters = verify(&documents.parameters, &doormen, primitives).await?;
        if parameters.root.as_ref() != root.thumbprint() {
            return Err(Error::NetworkForged);
        }
        let map: NetworkMap = verify(&documents.map, &doormen, primitives).await?;
        let revocations = verify(&documents.revocations, &doormen, primitives).await?;
        let (map_number, nodes, checked) = (map.number, Vec::new(), Arc::default());
        let mut trust = Self { doormen, parameters, revocations, map_number, nodes, checked };
        trust.refuse_rollback(previous)?;
        for jwt in &map.nodes {
            let card = VerifiedCard::verify_chain(jwt, &trust, primitives)
                .await
                .map_err(|_| Error::NetworkForged)?;
            // A stale revocation list is no reason to forget the map; it is one not to rely on a
            // card, and is looked at wherever one is used.
            match card.check_validity(&trust, now) {
                Err(Error::CardExpired | Error::CardRevoked) => {}
                _ => trust.nodes.push(card),
            }
        }
        Ok(trust)
    }

    /// The Doorman's key with this thumbprint.
    pub fn doorman(&self, kid: &str) -> Option<&RsaJwk> {
        self.doormen.iter().find(|key| key.thumbprint() == kid)
    }

    /// The network parameters.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Every institution and notary.
    pub fn nodes(&self) -> &[VerifiedCard] {
        &self.nodes
    }

    /// The listed node with this id. [`Error::NodeUnknown`].
    pub fn node(&self, id: &NodeId) -> Result<&VerifiedCard, Error> {
        self.nodes.iter().find(|card| card.id() == id).ok_or(Error::NodeUnknown)
    }

    /// Every listed node with this role.
    pub fn with_role(&self, role: Role) -> impl Iterator<Item = &VerifiedCard> {
        self.nodes.iter().filter(move |card| card.card().role == role)
    }

    /// The listed notary with this id. [`Error::NodeUnknown`].
    pub fn notary(&self, id: &NodeId) -> Result<&VerifiedCard, Error> {
        let card = self.node(id)?;
        card.expect_role(Role::Notary).map_err(|_| Error::NodeUnknown)?;
        Ok(card)
    }

    /// [`Error::CardRevoked`]; [`Error::NetworkStale`] when the list is older than the network's
    /// parameters allow.
    pub fn check_revocation(&self, node: &NodeId, now: Timestamp) -> Result<(), Error> {
        if self.revocations.revoked.contains(node) {
            return Err(Error::CardRevoked);
        }
        let good_until = self.revocations.iat.saturating_add(self.parameters.revocation_age);
        if now.seconds() > good_until { Err(Error::NetworkStale) } else { Ok(()) }
    }

    /// The card that these bytes were seen to be.
    pub(crate) fn checked(&self, jwt: &str) -> Option<VerifiedCard> {
        let checked = self.checked.read().unwrap_or_else(PoisonError::into_inner);
        checked.get(&digest(jwt)).cloned()
    }

    /// Remembers a card whose chain holds under these documents.
    pub(crate) fn remember(&self, card: &VerifiedCard) {
        let mut checked = self.checked.write().unwrap_or_else(PoisonError::into_inner);
        if checked.len() >= REMEMBERED {
            checked.clear();
        }
        checked.insert(digest(card.jwt()), card.clone());
    }

    fn refuse_rollback(&self, previous: Option<&Trust>) -> Result<(), Error> {
        let Some(previous) = previous else { return Ok(()) };
        let older = self.parameters.number < previous.parameters.number
            || self.map_number < previous.map_number
            || self.revocations.number < previous.revocations.number
            || self.revocations.iat < previous.revocations.iat;
        if older { Err(Error::NetworkRollback) } else { Ok(()) }
    }
}

async fn verify_certificate(
    jwt: &str,
    root: &RsaJwk,
    now: Timestamp,
    primitives: &impl Primitives,
) -> Result<RsaJwk, Error> {
    let roots = std::slice::from_ref(root);
    let certificate: DoormanCertificate = verify(jwt, roots, primitives).await?;
    let names_its_key = certificate.key.thumbprint() == certificate.sub.as_ref();
    if !names_its_key || now.seconds() >= certificate.exp {
        return Err(Error::NetworkForged);
    }
    Ok(certificate.key)
}

/// A document that one of `keys` signed.
async fn verify<D: NetworkDocument>(
    jwt: &str,
    keys: &[RsaJwk],
    primitives: &impl Primitives,
) -> Result<D, Error> {
    let forged = Error::NetworkForged;
    let unverified = Unverified::parse(jwt, D::TYP, forged).map_err(|_| forged)?;
    let kid = unverified.header().kid.clone().ok_or(forged)?;
    let key = keys.iter().find(|key| key.thumbprint() == kid).ok_or(forged)?;
    let payload = unverified.verify_ps256(key, primitives).await.map_err(|_| forged)?;
    let document: D = json::read(payload, forged)?;
    if document.issuer().as_ref() == kid { Ok(document) } else { Err(forged) }
}
