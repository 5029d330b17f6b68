//! A node at work: drives the state machines of [`crate::treatment`] with a platform's providers.
//! Envelopes and decisions are pushed in, what is to be sent is pulled out; the platform does the
//! transport. All cryptography of a step comes first, then one commit holds the new state, the
//! records and what is to be sent.

mod cards;
mod content;
mod deposits;
mod draw;
mod endorsements;
pub mod hospital;
mod inbox;
mod lapse;
mod ledger;
mod mailed;
mod numbers;
pub mod outbox;
mod outbox_item;
pub mod pace;
pub mod patient;
mod quarantine;
mod query;
mod renewal;
mod resealing;

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use litemap::LiteMap;
use serde_json::Value;

use crate::card::VerifiedCard;
use crate::envelope::{self, Envelope, Message, MessageType, Opened};
use crate::error::Error;
use crate::ids::{CaseId, EntryId, MessageId, NodeId};
use crate::json;
use crate::ledger::{VerifiedCheckpoint, VerifiedReceipt};
use crate::network::Trust;
use crate::provider::{
    Clock, HolderKeys, NodeKeys, Primitives, Randomness, Store, Table, Timestamp, Write,
};
use crate::treatment::{Effect, Flow, Step};

pub use content::Contents;
pub use deposits::answers_to;
pub use inbox::{MOST_HELD, MOST_TRIES, Outcome, Taken};
pub use lapse::Lapse;
pub use ledger::{CheckedReceipt, LedgerEntry};
pub use mailed::Undelivered;
pub use outbox::{Parcel, Stuck};
pub use outbox_item::{Attempts, OutboxItem, Payload};
pub use pace::{LONGEST_PAUSE, Occasion, Setback, Tried};
use quarantine::Room;
pub use quarantine::{DELIVERERS, Deliverer, KEPT, MOST_REFUSALS, MOST_REFUSED_BYTES, Quarantined};

/// Bytes of a message that are kept free of what travels together in it: claims, keys, a card.
const ASIDE: usize = 32 * 1024;

/// The providers of a node.
pub trait Platform {
    /// Public-key and content primitives.
    type Primitives: Primitives;
    /// The node's private keys.
    type Keys: NodeKeys;
    /// The keys of a patient's cases; hospitals never use theirs.
    type Holders: HolderKeys;
    /// Where everything is kept.
    type Store: Store;
    /// The time.
    type Clock: Clock;
    /// Unpredictable bytes.
    type Randomness: Randomness;
    /// While it lives, nobody else works on a case, or takes in what a node has sent.
    type Guard;

    /// See the type.
    fn primitives(&self) -> &Self::Primitives;
    /// See the type.
    fn keys(&self) -> &Self::Keys;
    /// See the type.
    fn holders(&self) -> &Self::Holders;
    /// See the type.
    fn store(&self) -> &Self::Store;
    /// See the type.
    fn clock(&self) -> &Self::Clock;
    /// See the type.
    fn randomness(&self) -> &Self::Randomness;
    /// Waits until nobody else works on `case`. A platform that handles one thing at a time has
    /// nothing to wait for.
    async fn lock_case(&self, case: &CaseId) -> Self::Guard;
    /// Waits until nobody else takes in what `sender` has sent; never while a case is locked.
    async fn lock_sender(&self, sender: &NodeId) -> Self::Guard;
    /// Whether a message of a verified sender, which was not taken in before, may be taken in now: a
    /// node that anybody may write to sets limits. Answers what is to be kept of it once it takes effect.
    /// [`Error::TooManyRequests`], [`Error::CaseQuota`].
    fn hear(&self, _message: &Opened, _by: &Deliverer) -> Result<Vec<Write>, Error> {
        Ok(Vec::new())
    }
    /// What became of a message that was heard; nothing when it was refused.
    fn heard(&self, _message: &Opened, _outcome: Option<Outcome>) {}
    /// Called after a commit with what it queued for sending.
    fn queued(&self, items: Vec<OutboxItem>);
}

/// A member of the network with its providers.
#[derive(Debug)]
pub struct Node<P> {
    platform: P,
    id: NodeId,
    card: RwLock<Arc<VerifiedCard>>,
    trust: RwLock<Arc<Trust>>,
    /// How sending has fared, of what that could not be kept with.
    unkept: Mutex<LiteMap<String, Attempts>>,
    /// What is kept of refusals, once that was read.
    room: Mutex<Option<Room>>,
    /// Up to where what lies in mailboxes was looked at last.
    looked_at: Mutex<String>,
    /// The checkpoint that was verified last, and with which trust.
    checkpoint: Mutex<Option<(Arc<Trust>, Arc<VerifiedCheckpoint>)>>,
}

impl<P: Platform> Node<P> {
    /// A node with its own card and what it trusts.
    pub fn new(platform: P, card: VerifiedCard, trust: Trust) -> Self {
        let id = card.id().clone();
        let (card, trust) = (RwLock::new(Arc::new(card)), RwLock::new(Arc::new(trust)));
        let (unkept, room, looked_at, checkpoint) = Default::default();
        Self { platform, id, card, trust, unkept, room, looked_at, checkpoint }
    }

    /// The node's id.
    pub fn id(&self) -> &NodeId {
        &self.id
    }

    /// The node's own card as it is now.
    pub fn card(&self) -> Arc<VerifiedCard> {
        self.card.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Uses a renewed card from now on. [`Error::CardMismatch`] for another node's.
    pub fn set_card(&self, card: VerifiedCard) -> Result<(), Error> {
        if *card.id() != self.id {
            return Err(Error::CardMismatch);
        }
        *self.card.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(card);
        Ok(())
    }

    /// The node's providers.
    pub fn platform(&self) -> &P {
        &self.platform
    }

    /// What the node trusts now.
    pub fn trust(&self) -> Arc<Trust> {
        self.trust.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Trusts newer documents from now on.
    pub fn set_trust(&self, trust: Trust) {
        *self.trust.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(trust);
    }

    /// The state of a case. [`Error::UnknownCase`].
    pub async fn case<F: Flow>(&self, id: &CaseId) -> Result<F, Error> {
        self.find_case(id).await?.ok_or(Error::UnknownCase)
    }

    /// Up to `limit` cases after `after` (exclusive), in the order of their ids, which is that of
    /// their beginning.
    pub async fn cases<F: Flow>(
        &self,
        after: Option<&CaseId>,
        limit: usize,
    ) -> Result<Vec<F>, Error> {
        let after = after.map_or("", |id| id.as_ref());
        let rows = self.platform.store().scan(Table::Cases, "", after, limit).await?;
        rows.iter().map(|(_, value)| json::stored(value)).collect()
    }

    /// The notary's receipt for an entry, if it has one.
    pub async fn receipt(
        &self,
        case: &CaseId,
        entry: &EntryId,
    ) -> Result<Option<VerifiedReceipt>, Error> {
        let key = format!("{case}/{entry}");
        let Some(text) = self.read_text(Table::Receipts, &key).await? else { return Ok(None) };
        self.verify_receipt(&text).await.map(Some)
    }

    /// The document of an entry: an SD-JWT with its disclosures.
    pub async fn record(&self, case: &CaseId, entry: &EntryId) -> Result<String, Error> {
        let key = record_key(case, entry);
        self.read_text(Table::Records, &key).await?.ok_or(Error::UnknownEntry)
    }

    async fn find_case<F: Flow>(&self, id: &CaseId) -> Result<Option<F>, Error> {
        let stored = self.platform.store().read(Table::Cases, id.as_ref()).await?;
        stored.map(|bytes| json::stored(&bytes)).transpose()
    }

    async fn read_text(&self, table: Table, key: &str) -> Result<Option<String>, Error> {
        let stored = self.platform.store().read(table, key).await?;
        stored.map(String::from_utf8).transpose().map_err(|_| Error::StoreCorrupt)
    }

    fn now(&self) -> Timestamp {
        self.platform.clock().now()
    }

    async fn verify_receipt(&self, text: &str) -> Result<VerifiedReceipt, Error> {
        let (trust, primitives) = (self.trust(), self.platform.primitives());
        let last = || self.checkpoint.lock().unwrap_or_else(PoisonError::into_inner);
        let known = last().clone().filter(|(with, _)| Arc::ptr_eq(with, &trust));
        let known = known.as_ref().map(|(_, checkpoint)| checkpoint);
        let receipt = VerifiedReceipt::verify_after(text, known, &trust, primitives).await?;
        *last() = Some((trust, receipt.checkpoint().clone()));
        Ok(receipt)
    }

    /// Carries out a step: seals what is to be sent, then commits everything at once, with
    /// `along`. Answers whether the state changed.
    async fn carry_out<F: Flow>(
        &self,
        case: &CaseId,
        step: Step<F>,
        along: Vec<Write>,
    ) -> Result<bool, Error> {
        let (state, effects) = match step {
            Step::Applied(state, effects) => (Some(state), effects),
            Step::Renewed(effects) => (None, effects),
            Step::Repeated | Step::Early => (None, Vec::new()),
        };
        let mut writes = along;
        let mut queued = Vec::new();
        for effect in effects {
            self.prepare(case, effect, &mut writes, &mut queued).await?;
        }
        if let Some(state) = &state {
            writes.push(put(Table::Cases, case.to_string(), json::write(state)?));
        }
        if !writes.is_empty() || !queued.is_empty() {
            self.commit(writes, queued).await?;
        }
        Ok(state.is_some())
    }

    /// Commits `writes` with what is queued for sending.
    async fn commit(&self, mut writes: Vec<Write>, queued: Vec<OutboxItem>) -> Result<(), Error> {
        for item in &queued {
            writes.push(put(Table::Outbox, item.id.clone(), json::write(item)?));
        }
        self.platform.store().commit(writes).await?;
        if !queued.is_empty() {
            self.platform.queued(queued);
        }
        Ok(())
    }

    async fn prepare(
        &self,
        case: &CaseId,
        effect: Effect,
        writes: &mut Vec<Write>,
        queued: &mut Vec<OutboxItem>,
    ) -> Result<(), Error> {
        match effect {
            Effect::Send { to, kind, body } => {
                queued.push(self.seal(case, &to, kind, body).await?);
            }
            Effect::Deposit { notary, endorsed, first } => {
                queued.push(self.deposit(notary, &endorsed, first)?);
            }
            Effect::KeepEndorsement(endorsement) => {
                writes.extend(self.kept_of(&endorsement).await?)
            }
            Effect::KeepRecord { entry, compact } => {
                writes.push(put(Table::Records, record_key(case, &entry), compact.into()));
            }
            Effect::KeepShared { request, records } => {
                let key = shared_key(case, &request);
                writes.push(put(Table::Records, key, json::write(&records)?));
            }
            Effect::KeepCard(card) => {
                writes.push(put(Table::Cards, card.id().to_string(), card.jwt().into()));
            }
            Effect::KeepReceipt(receipt) => writes.extend(self.kept_receipt(case, &receipt).await?),
        }
        Ok(())
    }

    /// How many bytes of what travels together go into one message, next to all else that it says.
    fn room(&self) -> usize {
        let most = self.trust().parameters().max_envelope.min(envelope::MAX_BYTES as u64);
        // What is signed and then sealed takes 4/3 of its bytes, twice.
        (most as usize / 16 * 9).saturating_sub(ASIDE)
    }

    async fn seal(
        &self,
        case: &CaseId,
        to: &NodeId,
        kind: MessageType,
        body: Value,
    ) -> Result<OutboxItem, Error> {
        let recipient = match kind {
            // What tells of a logged entry goes whenever the recipient is a member again.
            MessageType::TreatmentApproval | MessageType::Confirmation => self.known_card(to).await,
            _ => self.card_for_later(to).await,
        }?;
        let envelope = self.seal_message(case, &recipient, kind, body).await?;
        let role = recipient.card().role;
        Ok(OutboxItem::envelope(case, to.clone(), role, kind, envelope, self.now()))
    }

    /// A sealed message of this node's. [`Error::EnvelopeTooLarge`] also when it is larger than the
    /// network's parameters allow.
    async fn seal_message(
        &self,
        case: &CaseId,
        to: &VerifiedCard,
        kind: MessageType,
        body: Value,
    ) -> Result<Envelope, Error> {
        let message = Message { from: &self.card(), to, case, kind, body };
        let p = &self.platform;
        let sealed =
            envelope::enclose(message, p.keys(), p.primitives(), p.clock(), p.randomness()).await?;
        let fits = sealed.compact.len() as u64 <= self.trust().parameters().max_envelope;
        if fits { Ok(sealed) } else { Err(Error::EnvelopeTooLarge) }
    }
}

fn put(table: Table, key: String, value: Vec<u8>) -> Write {
    Write::Put { table, key, value }
}

fn record_key(case: &CaseId, entry: &EntryId) -> String {
    format!("record/{case}/{entry}")
}

fn shared_key(case: &CaseId, request: &MessageId) -> String {
    format!("shared/{case}/{request}")
}
