//! What a node trusts because of the network's documents.

use std::mem;
use std::sync::{Arc, PoisonError, RwLock};

use litemap::LiteMap;

use super::followed::{follow, reopen};
use super::signed::{verify, verify_by, verify_doormen};
use super::split::{ShownNumber, expect_one_saying, numbered};
use super::{
    Doormen, Manifest, NetworkDocuments, NetworkMap, NotaryLog, PROTOCOL_VERSION, Parameters,
    Revocations,
};
use crate::base64url::digest;
use crate::card::{Role, VerifiedCard};
use crate::error::Error;
use crate::ids::NodeId;
use crate::jwk::RsaJwk;
use crate::log::{NoteKey, SignedCheckpoint};
use crate::provider::{Primitives, Timestamp};

/// What a node relies on: documents whose signatures lead to the pinned root key.
#[derive(Clone, Debug)]
pub struct Trust {
    documents: Arc<NetworkDocuments>,
    manifest: Manifest,
    checkpoint: SignedCheckpoint,
    doormen: Doormen,
    parameters: Parameters,
    revocations: Revocations,
    revoked: LiteMap<NodeId, ()>,
    superseded: LiteMap<NodeId, u64>,
    map_number: u64,
    logs: Vec<NotaryLog>,
    nodes: Vec<VerifiedCard>,
    checked: Arc<RwLock<LiteMap<String, Box<VerifiedCard>>>>,
}

/// How many cards are remembered whose chain was checked: one travels with many messages.
const REMEMBERED: usize = 4096;

impl Trust {
    /// Checks the documents against the pinned `root` key, and that they continue those that were good
    /// before, if there were any: `previous`. A listed node whose card does not count any
    /// more, or names no subkeys, is left out. A manifest that has ended is taken: nothing that needs to be
    /// new rests on it ([`Trust::check_revocation`]).
    ///
    /// Errors: [`Error::NetworkForged`], [`Error::NetworkRollback`]; [`Error::NetworkSplit`] when a
    /// number that was seen before says something else now, or the manifests' log is another;
    /// [`Error::NetworkUnwitnessed`].
    pub async fn verify(
        documents: &NetworkDocuments,
        root: &RsaJwk,
        previous: Option<&Trust>,
        now: Timestamp,
        primitives: &impl Primitives,
    ) -> Result<Self, Error> {
        Self::read(documents, root, Before::Seen(previous), now, primitives).await
    }

    /// The same of documents that were verified before and kept since.
    pub async fn reopen(
        documents: &NetworkDocuments,
        root: &RsaJwk,
        now: Timestamp,
        primitives: &impl Primitives,
    ) -> Result<Self, Error> {
        Self::read(documents, root, Before::Same, now, primitives).await
    }

    async fn read(
        documents: &NetworkDocuments,
        root: &RsaJwk,
        before: Before<'_>,
        now: Timestamp,
        primitives: &impl Primitives,
    ) -> Result<Self, Error> {
        let doormen = verify_doormen(&documents.doormen, root, now, primitives).await?;
        let manifest: Manifest = verify(&documents.manifest, &doormen, primitives).await?;
        manifest.expect(documents)?;
        let (parameters, map, mut revocations) =
            bound(documents, root, &doormen, primitives).await?;
        let (revoked, superseded) = ended(&mut revocations);
        let (previous, map_number, logs) = (before.seen(), map.number, map.logs);
        let numbers = [doormen.number, parameters.number, map_number, revocations.number];
        let shown = numbered(&manifest, &documents.manifest, numbers);
        let checkpoint =
            before.followed(documents, (&manifest, &shown), &doormen, primitives).await?;
        let same_doormen = previous.filter(|previous| previous.doormen == doormen);
        let checked = same_doormen.map_or_else(Arc::default, |previous| previous.checked.clone());
        let mut trust = Self {
            documents: Arc::new(documents.clone()),
            manifest,
            checkpoint,
            doormen,
            parameters,
            revocations,
            revoked,
            superseded,
            map_number,
            logs,
            nodes: Vec::new(),
            checked,
        };
        if let Some(previous) = previous {
            trust.refuse_rollback(previous)?;
        }
        trust.list(&map.nodes, now, primitives).await?;
        Ok(trust)
    }

    async fn list(
        &mut self,
        cards: &[String],
        now: Timestamp,
        primitives: &impl Primitives,
    ) -> Result<(), Error> {
        let mut notaries: LiteMap<NodeId, ()> = LiteMap::new();
        for jwt in cards {
            let card = VerifiedCard::vouched(jwt, primitives).await;
            let card = card.map_err(|_| Error::NetworkForged)?;
            if card.card().role == Role::Notary {
                notaries.insert(card.id().clone(), ());
            }
            self.remember(&card);
            // A stale revocation list is no reason to forget the map; it is one not to rely on a
            // card, and is looked at wherever one is used.
            match card.check_validity(self, now) {
                Err(Error::CardExpired | Error::CardRevoked | Error::CardSuperseded) => {}
                _ if card.encryption_key().is_err() => {}
                _ => self.nodes.push(card),
            }
        }
        let named = &self.manifest.notaries;
        let same =
            named.len() == notaries.len() && named.iter().all(|id| notaries.contains_key(id));
        if same { Ok(()) } else { Err(Error::NetworkForged) }
    }

    /// The Doormen's keys.
    pub(crate) fn doormen(&self) -> &Doormen {
        &self.doormen
    }

    /// The Doorman's key with this thumbprint, if it signed cards at `time`, seconds.
    pub fn doorman(&self, kid: &str, time: u64) -> Option<&RsaJwk> {
        self.doormen.key(kid, time)
    }

    /// The log of a notary, also of a former one. [`Error::NodeUnknown`].
    pub fn log(&self, notary: &NodeId) -> Result<&NotaryLog, Error> {
        self.logs.iter().find(|log| log.notary == *notary).ok_or(Error::NodeUnknown)
    }

    /// The logs of all notaries, former ones among them.
    pub fn logs(&self) -> &[NotaryLog] {
        &self.logs
    }

    /// What binds the documents.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What another manifest says that a Doorman has signed in his time, as far as these documents tell.
    ///
    /// Errors: [`Error::ManifestUnknown`], also for another one with the number of this.
    pub async fn earlier(
        &self,
        jwt: &str,
        primitives: &impl Primitives,
    ) -> Result<Manifest, Error> {
        if *jwt == self.documents.manifest {
            return Ok(self.manifest.clone());
        }
        let unknown = Error::ManifestUnknown;
        let claimed = Manifest::unverified(jwt).map_err(|_| unknown)?;
        let doorman = self.doorman(claimed.iss.as_ref(), claimed.iat).ok_or(unknown)?;
        let verified = verify_by::<Manifest>(jwt, &[doorman], primitives).await;
        let verified = verified.map_err(|_| unknown)?;
        if verified.number == self.manifest.number { Err(unknown) } else { Ok(verified) }
    }

    /// Of the manifests' log, with the manifest as its last leaf.
    pub fn checkpoint(&self) -> &SignedCheckpoint {
        &self.checkpoint
    }

    /// The key of the manifests' log. [`Error::NetworkForged`] where there is none.
    pub fn manifests_log(&self) -> Result<NoteKey, Error> {
        let log = self.doormen.log.as_ref().ok_or(Error::NetworkForged)?;
        Ok(log.key(&self.doormen.iss))
    }

    /// The documents that it rests on.
    pub fn documents(&self) -> &NetworkDocuments {
        &self.documents
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
    /// given up, [`Error::CardExpired`], [`Error::CardRevoked`], [`Error::CardSuperseded`].
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

    /// [`Error::CardRevoked`]; [`Error::NetworkStale`] when the manifest has ended, or the list is
    /// older than the network's parameters allow.
    pub fn check_revocation(&self, node: &NodeId, now: Timestamp) -> Result<(), Error> {
        if self.revoked.contains_key(node) {
            return Err(Error::CardRevoked);
        }
        let good_until = self.revocations.iat.saturating_add(self.parameters.revocation_age);
        let ended = now.seconds() >= self.manifest.exp;
        if ended || now.seconds() > good_until { Err(Error::NetworkStale) } else { Ok(()) }
    }

    /// [`Error::CardSuperseded`] when `node` has changed its keys since it got a card at `issued`,
    /// seconds.
    pub(crate) fn check_superseded(&self, node: &NodeId, issued: u64) -> Result<(), Error> {
        let ended = self.superseded.get(node).is_some_and(|before| issued < *before);
        if ended { Err(Error::CardSuperseded) } else { Ok(()) }
    }

    /// The card that these bytes were seen to be.
    pub(crate) fn checked(&self, jwt: &str) -> Option<VerifiedCard> {
        let checked = self.checked.read().unwrap_or_else(PoisonError::into_inner);
        checked.get(&digest(jwt)).map(|card| VerifiedCard::clone(card))
    }

    /// Remembers a card whose chain holds under these documents.
    pub(crate) fn remember(&self, card: &VerifiedCard) {
        let mut checked = self.checked.write().unwrap_or_else(PoisonError::into_inner);
        if checked.len() >= REMEMBERED {
            checked.clear();
        }
        checked.insert(digest(card.jwt()), Box::new(card.clone()));
    }

    /// Numbers never go back, and one number says one thing.
    fn refuse_rollback(&self, previous: &Trust) -> Result<(), Error> {
        let (before, after) = (previous.numbered(), self.numbered());
        expect_one_saying(&before[..1], &after[..1])?;
        if before.iter().zip(&after).any(|(before, after)| after.0 < before.0) {
            return Err(Error::NetworkRollback);
        }
        expect_one_saying(&before, &after)
    }

    /// Number and digest of each document.
    fn numbered(&self) -> [ShownNumber<'_>; 5] {
        let others =
            [self.doormen.number, self.parameters.number, self.map_number, self.revocations.number];
        numbered(&self.manifest, &self.documents.manifest, others)
    }
}

/// What a node has seen before it is shown documents.
enum Before<'a> {
    /// Others, or none.
    Seen(Option<&'a Trust>),
    /// These.
    Same,
}

impl<'a> Before<'a> {
    fn seen(&self) -> Option<&'a Trust> {
        match self {
            Self::Seen(seen) => *seen,
            Self::Same => None,
        }
    }

    /// The checkpoint of the manifests' log, once what is new is seen to continue what was seen.
    async fn followed(
        &self,
        documents: &NetworkDocuments,
        (manifest, shown): (&Manifest, &[ShownNumber<'_>; 5]),
        doormen: &Doormen,
        primitives: &impl Primitives,
    ) -> Result<SignedCheckpoint, Error> {
        let Self::Seen(seen) = self else { return reopen(documents, doormen, primitives).await };
        if seen.is_some_and(|seen| manifest.number < seen.manifest.number) {
            return Err(Error::NetworkRollback);
        }
        let checkpoint = follow(documents, manifest, doormen, *seen, primitives).await;
        if let (Err(Error::NetworkForged), Some(seen)) = (&checkpoint, seen) {
            // Whatever the log's proofs say: a number that says two things is signed twice.
            expect_one_saying(&seen.numbered(), shown)?;
        }
        checkpoint
    }
}

/// The documents that the manifest binds. [`Error::NetworkForged`].
async fn bound(
    documents: &NetworkDocuments,
    root: &RsaJwk,
    doormen: &Doormen,
    primitives: &impl Primitives,
) -> Result<(Parameters, NetworkMap, Revocations), Error> {
    let parameters: Parameters = verify(&documents.parameters, doormen, primitives).await?;
    if parameters.root.as_ref() != root.thumbprint() {
        return Err(Error::NetworkForged);
    }
    let map = verify(&documents.map, doormen, primitives).await?;
    Ok((parameters, map, verify(&documents.revocations, doormen, primitives).await?))
}

/// Who is revoked, and since when whose cards count, taken out of the list.
fn ended(revocations: &mut Revocations) -> (LiteMap<NodeId, ()>, LiteMap<NodeId, u64>) {
    let (mut revoked, mut superseded) = (LiteMap::new(), LiteMap::new());
    for node in mem::take(&mut revocations.revoked) {
        revoked.insert(node, ());
    }
    for ended in mem::take(&mut revocations.superseded) {
        superseded.insert(ended.node, ended.before);
    }
    (revoked, superseded)
}
