//! What comes in: opened, verified, applied exactly once; held when early, quarantined when refused.

use serde::{Deserialize, Serialize};

use super::quarantine::{BEGUN, Deliverer, Refusal, begun, dropped, place_of};
use super::{Contents, Node, Platform, put};
use crate::base64url::digest;
use crate::card;
use crate::envelope::{MessageType, Opened, Opening, Sealed, expect_present_key};
use crate::error::Error;
use crate::ids::CaseId;
use crate::json;
use crate::ledger::MAX_ENTRIES;
use crate::provider::{Store, Table, Timestamp, Write};
use crate::treatment::Step;
use crate::treatment::message::Received;

/// An envelope that was taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// What became of it.
    pub outcome: Outcome,
    /// Its case.
    pub case: CaseId,
    /// What it is.
    pub kind: MessageType,
}

/// What became of an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It took effect.
    Applied,
    /// It took effect before.
    Repeated,
    /// It did so before, and brought another receipt.
    Renewed,
    /// It came before its turn and waits for it.
    Held,
}

/// So often is begun to take in what comes again by itself as long as that never ends: a browser may stop a
/// node in the middle of an honest message, too.
pub const MOST_TRIES: usize = 3;

/// Most messages that one case holds until their turn: a whole hand-in, and some.
pub const MOST_HELD: usize = MAX_ENTRIES + 32;

/// Rows read at a time.
const PAGE: usize = 100;

#[derive(Serialize, Deserialize)]
struct Held {
    received: Timestamp,
    envelope: String,
    /// Who has delivered it. Versions before this did not keep it.
    #[serde(default)]
    by: Deliverer,
}

impl<P: Platform> Node<P> {
    /// Takes in an envelope of nobody knows whom, as [`Node::receive_from`].
    pub async fn receive<F: Contents>(&self, envelope: &[u8]) -> Result<Taken, Error> {
        self.receive_from::<F>(envelope, &Deliverer::Unknown).await
    }

    /// Takes in an envelope. Unless this returns an error that [is transient](Error::is_transient), the
    /// envelope is dealt with: applied, held, or refused and, where there is room, quarantined. One
    /// that [may become good](Error::may_become_good) is tried again by itself as long as the node
    /// [hopes for it](Node::hopes_for). Who waits at an address for the answer is told by
    /// [`Error::FormerKey`] to seal it to this node's present card.
    ///
    /// Errors: in the order of docs/protocol.md section 7.2, [`Error::TakesTooLong`] of what comes from a
    /// mailbox, those of [`Sealed::parse`], [`Sealed::decrypt`], [`crate::envelope::Decrypted::verify`],
    /// [`Error::Replayed`], those of the content, and those of the case's state machine.
    pub async fn receive_from<F: Contents>(
        &self,
        envelope: &[u8],
        by: &Deliverer,
    ) -> Result<Taken, Error> {
        if let Deliverer::Address(_) = by {
            expect_present_key(envelope, &self.card(), self.platform.keys())?;
        }
        let received = self.now();
        let taken = match by {
            Deliverer::Node { .. } => self.try_to_take_in::<F>(envelope, received, by).await,
            _ => self.take_in::<F>(envelope, received, by).await,
        };
        match self.let_held_follow::<F>(envelope, taken).await {
            Err(refusal) if !refusal.why.is_transient() => {
                self.quarantine(envelope, received, &refusal, by).await?;
                Err(refusal.why)
            }
            taken => taken.map_err(|refusal| refusal.why),
        }
    }

    /// Takes in a copy of an envelope that comes by another way as well, as [`Node::receive`] would
    /// and with its errors, but does not quarantine it: a refusal is left to the original's turn.
    pub async fn receive_copy<F: Contents>(&self, envelope: &[u8]) -> Result<Taken, Error> {
        let taken = self.take_in::<F>(envelope, self.now(), &Deliverer::Unknown).await;
        self.let_held_follow::<F>(envelope, taken).await.map_err(|refusal| refusal.why)
    }

    /// Whether the node was stopped while it took in an envelope that comes again by itself.
    pub async fn was_stopped_at(&self, envelope: &[u8]) -> Result<bool, Error> {
        let begun = self.platform.store().read(Table::Inbox, &begun(&digest(envelope))).await?;
        Ok(begun.is_some())
    }

    /// What lets the rows of all go that was begun and is not kept.
    pub(super) async fn begun_and_not_kept(&self) -> Result<Vec<Write>, Error> {
        let (store, mut gone, mut after) = (self.platform.store(), Vec::new(), String::new());
        loop {
            let rows = store.scan(Table::Inbox, BEGUN, &after, PAGE).await?;
            let Some((last, _)) = rows.last() else { return Ok(gone) };
            after.clone_from(last);
            for (key, _) in rows {
                if store.read(Table::Meta, &place_of(&key[BEGUN.len()..])).await?.is_none() {
                    gone.push(Write::Delete { table: Table::Inbox, key });
                }
            }
        }
    }

    /// Takes in what comes again by itself as long as this does not end. What the node was stopped at
    /// [`MOST_TRIES`] times, killed or out of time, is refused unopened as often as it comes, so that it does
    /// not keep back for ever what comes after it: [`Error::TakesTooLong`].
    pub(super) async fn try_to_take_in<F: Contents>(
        &self,
        envelope: &[u8],
        received: Timestamp,
        by: &Deliverer,
    ) -> Result<Taken, Refusal> {
        let (store, key) = (self.platform.store(), begun(&digest(envelope)));
        let tries = store.read(Table::Inbox, &key).await?.map_or(0, |tries| tries.len());
        if tries >= MOST_TRIES {
            return Err(Error::TakesTooLong.into());
        }
        store.commit(vec![put(Table::Inbox, key.clone(), vec![b'|'; tries + 1])]).await?;
        let taken = self.take_in::<F>(envelope, received, by).await;
        // What has changed anything has ended in the same commit.
        if taken.as_ref().map_or(true, |taken| taken.outcome == Outcome::Repeated) {
            store.commit(vec![Write::Delete { table: Table::Inbox, key }]).await?;
        }
        taken
    }

    /// Takes in the messages that the case of an envelope holds, if that lets them by what became of it;
    /// also when it took effect before, as the node may have been stopped in between.
    pub(super) async fn let_held_follow<F: Contents>(
        &self,
        envelope: &[u8],
        taken: Result<Taken, Refusal>,
    ) -> Result<Taken, Refusal> {
        let taken = taken?;
        self.forget_refusal(envelope);
        if taken.outcome != Outcome::Held {
            self.take_in_held::<F>(&taken.case).await?;
        }
        Ok(taken)
    }

    async fn take_in<F: Contents>(
        &self,
        envelope: &[u8],
        received: Timestamp,
        by: &Deliverer,
    ) -> Result<Taken, Refusal> {
        let mut opened = self.open(envelope, received).await?;
        let _guard = self.platform.lock_sender(opened.sender().id()).await;
        if self.knows_newer_card(&opened).await? {
            // It came meanwhile, with what the sender has written in another case.
            opened = self.open(envelope, received).await?;
        }
        let sender = opened.sender().id();
        let outcome = self.take_in_opened::<F>(envelope, received, &opened, by).await;
        let outcome = outcome.map_err(|why| Refusal { why, sender: Some(sender.clone()) })?;
        Ok(Taken { outcome, case: opened.case().clone(), kind: opened.kind() })
    }

    async fn take_in_opened<F: Contents>(
        &self,
        envelope: &[u8],
        received: Timestamp,
        opened: &Opened,
        by: &Deliverer,
    ) -> Result<Outcome, Error> {
        let _guard = self.platform.lock_case(opened.case()).await;
        let seen_key = format!("seen/{}/{}", opened.sender().id(), opened.id());
        let fingerprint = opened.digest().to_owned();
        if let Some(seen) = self.read_text(Table::Inbox, &seen_key).await? {
            // Versions before this remembered the envelope.
            let same = seen == fingerprint || seen == digest(envelope);
            return if same { Ok(Outcome::Repeated) } else { Err(Error::Replayed) };
        }
        let kept = self.platform.hear(opened, by)?;
        let seen = put(Table::Inbox, seen_key, fingerprint.into());
        let outcome = self.apply::<F>(envelope, received, opened, (seen, kept), by).await;
        self.platform.heard(opened, outcome.ok());
        outcome
    }

    async fn apply<F: Contents>(
        &self,
        envelope: &[u8],
        received: Timestamp,
        opened: &Opened,
        (seen, kept): (Write, Vec<Write>),
        by: &Deliverer,
    ) -> Result<Outcome, Error> {
        let case = opened.case();
        let held_key = format!("held/{case}/{}", opened.id());
        let state = self.find_case::<F>(case).await?;
        let content = F::verify(self, state.as_ref(), opened).await?;
        let message = Received { sender: opened.sender().id().clone(), at: received, content };
        let step = F::receive(state.as_ref(), &message)?;
        let no_longer_held = Write::Delete { table: Table::Inbox, key: held_key.clone() };
        // The newest of the sender's that is known: an earlier one is not taken from now on.
        let sender = put(Table::Cards, message.sender.to_string(), opened.sender().jwt().into());
        let outcome = match &step {
            Step::Applied(..) => Outcome::Applied,
            Step::Repeated => Outcome::Repeated,
            Step::Renewed(_) => Outcome::Renewed,
            Step::Early => Outcome::Held,
        };
        let mut along = dropped(&digest(envelope)).to_vec();
        along.push(sender);
        if outcome == Outcome::Held {
            self.expect_room_to_hold(case, &held_key).await?;
            let envelope = String::from_utf8_lossy(envelope).into_owned();
            let held = Held { received, envelope, by: by.to_keep() };
            along.push(put(Table::Inbox, held_key, json::write(&held)?));
        } else {
            along.extend([seen, no_longer_held]);
        }
        if outcome == Outcome::Applied {
            along.extend(kept);
        }
        self.carry_out(case, step, along).await?;
        Ok(outcome)
    }

    async fn knows_newer_card(&self, opened: &Opened) -> Result<bool, Error> {
        let sender = opened.sender();
        let known = self.read_text(Table::Cards, sender.id().as_ref()).await?;
        let known = known.map(|jwt| card::claimed(&jwt)).transpose()?;
        Ok(known.is_some_and(|(_, issued)| issued > sender.card().iat))
    }

    async fn open(&self, envelope: &[u8], received: Timestamp) -> Result<Opened, Error> {
        let primitives = self.platform.primitives();
        let card = self.card();
        let sealed = Sealed::parse(envelope)?;
        let decrypted = sealed.decrypt(self.platform.keys(), primitives).await?;
        let sender = decrypted.claimed_sender().as_ref();
        let known = self.read_text(Table::Cards, sender).await?;
        let trust = self.trust();
        let opening = Opening { me: &card, trust: &trust, received };
        decrypted.verify(known.as_deref(), opening, primitives).await
    }

    /// Gives held messages of `case` their turn, again and again while one takes effect.
    async fn take_in_held<F: Contents>(&self, case: &CaseId) -> Result<(), Error> {
        let prefix = format!("held/{case}/");
        let mut progress = true;
        while progress {
            progress = false;
            let rows = self.platform.store().scan(Table::Inbox, &prefix, "", MOST_HELD).await?;
            for (key, value) in rows {
                let held: Held = json::stored(&value)?;
                let envelope = held.envelope.as_bytes();
                match self.try_to_take_in::<F>(envelope, held.received, &held.by).await {
                    Ok(taken) => progress |= taken.outcome == Outcome::Applied,
                    Err(refusal) if refusal.why.is_transient() => return Err(refusal.why),
                    Err(refusal) => {
                        self.quarantine(envelope, held.received, &refusal, &held.by).await?;
                        let mut writes = vec![Write::Delete { table: Table::Inbox, key }];
                        // It was acknowledged as kept until its turn.
                        writes.extend(self.telling(envelope, refusal.why, &held.by)?);
                        self.platform.store().commit(writes).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// [`Error::NotAllowedNow`] when the case holds as many as it may.
    async fn expect_room_to_hold(&self, case: &CaseId, key: &str) -> Result<(), Error> {
        let prefix = format!("held/{case}/");
        let held = self.platform.store().scan(Table::Inbox, &prefix, "", MOST_HELD).await?;
        let known = held.iter().any(|(held, _)| held == key);
        if held.len() < MOST_HELD || known { Ok(()) } else { Err(Error::NotAllowedNow) }
    }
}
