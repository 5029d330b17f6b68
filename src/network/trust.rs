//! What a node trusts because of the network's documents.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use serde_json::Value;

use super::{
    Doormen, NetworkDocument, NetworkDocuments, NetworkMap, NotaryLog, PROTOCOL_VERSION,
    Parameters, Revocations,
};
use crate::card::{Role, VerifiedCard};
use crate::error::Error;
use crate::ids::NodeId;
use crate::jose::digest;
use crate::jose::jwk::RsaJwk;
use crate::jose::jws::Unverified;
use crate::json;
use crate::provider::{Primitives, Timestamp};

/// What a node relies on: documents whose signatures lead to the pinned root key.
#[derive(Clone, Debug)]
pub struct Trust {
    doormen: Doormen,
    parameters: Parameters,
    revocations: Revocations,
    map_number: u64,
    logs: Vec<NotaryLog>,
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
        let doormen = verify_doormen(&documents.doormen, root, now, primitives).await?;
        let parameters: Parameters = verify(&documents.parameters, &doormen, primitives).await?;
        if parameters.root.as_ref() != root.thumbprint() {
            return Err(Error::NetworkForged);
        }
        let map: NetworkMap = verify(&documents.map, &doormen, primitives).await?;
        let revocations = verify(&documents.revocations, &doormen, primitives).await?;
        let (map_number, logs, nodes) = (map.number, map.logs, Vec::new());
        let same_doormen = previous.filter(|previous| previous.doormen == doormen);
        let checked = same_doormen.map_or_else(Arc::default, |previous| previous.checked.clone());
        let mut trust = Self { doormen, parameters, revocations, map_number, logs, nodes, checked };
        trust.refuse_rollback(previous)?;
        for jwt in &map.nodes {
            let card = VerifiedCard::vouched(jwt, primitives).await;
            let card = card.map_err(|_| Error::NetworkForged)?;
            trust.remember(&card);
            // A stale revocation list is no reason to forget the map; it is one not to rely on a
            // card, and is looked at wherever one is used.
            match card.check_validity(&trust, now) {
                Err(Error::CardExpired | Error::CardRevoked) => {}
                _ => trust.nodes.push(card),
            }
        }
        Ok(trust)
    }

    /// The Doorman's key with this thumbprint, if it signed cards at `time`, seconds.
    pub fn doorman(&self, kid: &str, time: u64) -> Option<&RsaJwk> {
        let signed = |until: Option<u64>| until.is_none_or(|until| time < until);
        let mut doormen = self.doormen.doormen.iter();
        doormen
            .find(|doorman| doorman.key.thumbprint() == kid && signed(doorman.until))
            .map(|doorman| &doorman.key)
    }

    /// The log of a notary, also of a former one. [`Error::NodeUnknown`].
    pub fn log(&self, notary: &NodeId) -> Result<&NotaryLog, Error> {
        self.logs.iter().find(|log| log.notary == *notary).ok_or(Error::NodeUnknown)
    }

    /// The logs of all notaries, former ones among them.
    pub fn logs(&self) -> &[NotaryLog] {
        &self.logs
    }

    /// Number of the Network Map.
    pub fn map_number(&self) -> u64 {
        self.map_number
    }

    /// [`Error::VersionTooOld`] when the network asks for a newer protocol than this code speaks:
    /// then the node sends nothing any more, and loses nothing.
    pub fn check_version(&self) -> Result<(), Error> {
        let enough = self.parameters.minimum_version <= PROTOCOL_VERSION;
        if enough { Ok(()) } else { Err(Error::VersionTooOld) }
    }

    /// Why others would refuse for good what the node with this card sends now:
    /// [`Error::VersionTooOld`], [`Error::CardForged`] when the Doorman's key that signed it was
    /// given up, [`Error::CardExpired`], [`Error::CardRevoked`].
    pub fn check_standing(&self, own: &VerifiedCard, now: Timestamp) -> Result<(), Error> {
        self.check_version()?;
        let card = own.card();
        self.doorman(card.iss.as_ref(), card.iat).ok_or(Error::CardForged)?;
        match own.check_validity(self, now) {
            // That the list is old is for each message to wait for.
            Err(Error::NetworkStale) => Ok(()),
            validity => validity,
        }
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
        // Of one number there may be several lists of different age.
        let age = |list: &Revocations| (list.number, list.iat);
        let older = self.doormen.number < previous.doormen.number
            || self.parameters.number < previous.parameters.number
            || self.map_number < previous.map_number
            || age(&self.revocations) < age(&previous.revocations);
        if older { Err(Error::NetworkRollback) } else { Ok(()) }
    }
}

async fn verify_doormen(
    jwt: &str,
    root: &RsaJwk,
    now: Timestamp,
    primitives: &impl Primitives,
) -> Result<Doormen, Error> {
    let doormen: Doormen = verify_by(jwt, &[root], primitives).await?;
    if now.seconds() >= doormen.exp { Err(Error::NetworkForged) } else { Ok(doormen) }
}

/// A document that the Doorman's present key signed.
async fn verify<D: NetworkDocument>(
    jwt: &str,
    doormen: &Doormen,
    primitives: &impl Primitives,
) -> Result<D, Error> {
    let present = doormen.doormen.iter().filter(|doorman| doorman.until.is_none());
    let keys: Vec<_> = present.map(|doorman| &doorman.key).collect();
    verify_by(jwt, &keys, primitives).await
}

/// A document that one of `keys` signed, as its issuer. [`Error::NetworkForged`].
pub async fn verify_by<D: NetworkDocument>(
    jwt: &str,
    keys: &[&RsaJwk],
    primitives: &impl Primitives,
) -> Result<D, Error> {
    let (kid, payload) = verify_signature(jwt, D::TYP, keys, primitives).await?;
    let document: D = json::read(payload, Error::NetworkForged)?;
    if document.issuer().as_ref() == kid { Ok(document) } else { Err(Error::NetworkForged) }
}

/// Answers the thumbprint of the key that signed, and what it signed.
async fn verify_signature(
    jwt: &str,
    typ: &'static str,
    keys: &[&RsaJwk],
    primitives: &impl Primitives,
) -> Result<(String, Value), Error> {
    let forged = Error::NetworkForged;
    let unverified = Unverified::parse(jwt, typ, forged).map_err(|_| forged)?;
    let kid = unverified.header().kid.clone().ok_or(forged)?;
    let key = keys.iter().find(|key| key.thumbprint() == kid).ok_or(forged)?;
    let payload = unverified.verify_ps256(key, primitives).await.map_err(|_| forged)?;
    Ok((kid, payload))
}
