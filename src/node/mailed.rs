//! What lies or lay in mailboxes: remembered as long as its recipient may say that it was not taken in,
//! so that people learn of what never arrives.

use std::collections::BinaryHeap;
use std::sync::PoisonError;

use serde::{Deserialize, Serialize};

use super::outbox::taken_off;
use super::outbox_item::{OutboxItem, Payload};
use super::{Node, Platform, put};
use crate::envelope::MessageType;
use crate::error::Error;
use crate::ids::{CaseId, NodeId};
use crate::json;
use crate::mailbox::{Fate, Report};
use crate::provider::{Store, Table, Timestamp, Write};

/// Rows read at a time.
const PAGE: usize = 100;

/// How long what was not taken in is shown, milliseconds: 90 days.
const SHOWN: u64 = 90 * 24 * 3600 * 1000;

/// How long is remembered what lies in mailboxes, milliseconds: 30 days until it is fetched, 30 in which
/// its recipient may keep it, and some for the way.
const REMEMBERED: u64 = 70 * 24 * 3600 * 1000;

/// Rows of [`Table::Meta`]: what lies in mailboxes, by recipient and place; what was told of such places
/// before it was known what lies there; and what was not taken in, by id.
const MAILED: &str = "mailed/";
const EARLY: &str = "told/";
const UNDELIVERED: &str = "undelivered/";

/// Most that is kept of what was told early.
const MOST_EARLY: usize = 1000;

/// A message that lies in a mailbox.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Mailed {
    id: String,
    case: CaseId,
    kind: String,
    since: Timestamp,
}

/// What was told of a place before this node knew that it has put something there: a server's answer
/// may be lost, or on its way.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Early {
    to: NodeId,
    seq: u64,
    code: String,
}

/// A message that its recipient's mailbox had accepted, and that was not taken in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undelivered {
    /// The message's id.
    pub id: String,
    /// The case.
    pub case: CaseId,
    /// The recipient.
    pub to: NodeId,
    /// Its type.
    pub kind: String,
    /// Since when it was to be sent.
    pub since: Timestamp,
    /// When this became known.
    pub known: Timestamp,
    /// The code: [`Error::MailboxExpired`], or that with which the recipient refused it.
    pub code: String,
}

impl<P: Platform> Node<P> {
    /// The recipient's mailbox has accepted the item at this place.
    pub async fn mailed(&self, item: &OutboxItem, seq: u64) -> Result<(), Error> {
        let kind = match &item.payload {
            Payload::Envelope { kind, .. } => kind.clone(),
            Payload::Deposit { .. } => MessageType::Deposit.name().to_owned(),
        };
        let (id, case, since) = (item.id.clone(), item.case.clone(), item.since);
        let row = json::write(&Mailed { id, case, kind, since })?;
        let mailed = put(Table::Meta, place(&item.to, seq), row);
        self.platform.store().commit(vec![taken_off(item), mailed]).await?;
        self.settled(item);
        let early = self.platform.store().read(Table::Meta, &early(&item.to, seq)).await?;
        if early.is_some() { self.look_at_early().await } else { Ok(()) }
    }

    /// The server has told what became of messages, oldest first.
    pub async fn told(&self, reports: &[Report]) -> Result<(), Error> {
        let mut writes = self.shown_long_enough().await?;
        writes.extend(self.remembered_long_enough().await?);
        for Report { to, seq, outcome, .. } in reports {
            let code = match outcome {
                // Its recipient may give it up yet.
                Fate::Fetched => continue,
                Fate::Expired => Error::MailboxExpired.code(),
                Fate::Refused(code) => code,
            };
            match self.not_taken(to, *seq, code).await? {
                Some(known) => writes.extend(known),
                None => {
                    let (to, code) = (to.clone(), code.to_owned());
                    let key = early(&to, *seq);
                    let row = json::write(&Early { to, seq: *seq, code })?;
                    writes.push(put(Table::Meta, key, row));
                }
            }
        }
        self.platform.store().commit(writes).await?;
        self.look_at_early().await
    }

    /// Lets go what was told of places where by now nothing of this node's can be found any more. What
    /// is put into a mailbox leaves the outbox in the same commit.
    async fn look_at_early(&self) -> Result<(), Error> {
        let store = self.platform.store();
        if store.scan(Table::Meta, EARLY, "", 1).await?.is_empty() {
            return Ok(());
        }
        let (sending, mut after, mut kept) = (self.recipients().await?, String::new(), 0);
        loop {
            let rows = store.scan(Table::Meta, EARLY, &after, PAGE).await?;
            let Some((last, _)) = rows.last() else { return Ok(()) };
            after = last.clone();
            let mut writes = Vec::new();
            for (key, row) in rows {
                let Early { to, seq, code } = json::stored(&row)?;
                let known = self.not_taken(&to, seq, &code).await?;
                if known.is_none() && sending.binary_search(&to).is_ok() && kept < MOST_EARLY {
                    kept += 1;
                    continue;
                }
                writes.push(delete(key));
                writes.extend(known.into_iter().flatten());
            }
            store.commit(writes).await?;
        }
    }

    /// To whom something waits to be sent, in order; once for each item.
    async fn recipients(&self) -> Result<Vec<NodeId>, Error> {
        let (mut recipients, mut after) = (BinaryHeap::new(), String::new());
        loop {
            let page = self.waiting(&after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(recipients.into_sorted_vec()) };
            after.clone_from(&last.id);
            recipients.extend(page.into_iter().map(|item| item.to));
        }
    }

    /// Up to `limit` messages that were not taken in, oldest first.
    pub async fn undelivered(&self, after: &str, limit: usize) -> Result<Vec<Undelivered>, Error> {
        let after = if after.is_empty() { String::new() } else { format!("{UNDELIVERED}{after}") };
        let rows = self.platform.store().scan(Table::Meta, UNDELIVERED, &after, limit).await?;
        rows.iter().map(|(_, row)| json::stored(row)).collect()
    }

    /// What is to be written of a message that was not taken in; nothing when none is known there.
    async fn not_taken(
        &self,
        to: &NodeId,
        seq: u64,
        code: &str,
    ) -> Result<Option<[Write; 2]>, Error> {
        let key = place(to, seq);
        let Some(row) = self.platform.store().read(Table::Meta, &key).await? else {
            return Ok(None);
        };
        let Mailed { id, case, kind, since } = json::stored(&row)?;
        let (to, code, known) = (to.clone(), code.to_owned(), self.now());
        let name = format!("{UNDELIVERED}{id}");
        let row = json::write(&Undelivered { id, case, to, kind, since, known, code })?;
        Ok(Some([delete(key), put(Table::Meta, name, row)]))
    }

    /// Some of what lies in mailboxes is looked at each time, one part after another.
    async fn remembered_long_enough(&self) -> Result<Vec<Write>, Error> {
        let after = self.looked_at.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let rows = self.platform.store().scan(Table::Meta, MAILED, &after, PAGE).await?;
        let next = rows.last().map(|(key, _)| key.clone()).unwrap_or_default();
        *self.looked_at.lock().unwrap_or_else(PoisonError::into_inner) = next;
        let mut old = Vec::new();
        for (key, row) in rows {
            let Mailed { since, .. } = json::stored(&row)?;
            old.extend((self.now().0.saturating_sub(since.0) > REMEMBERED).then(|| delete(key)));
        }
        Ok(old)
    }

    async fn shown_long_enough(&self) -> Result<Vec<Write>, Error> {
        let is_old = |one: &Undelivered| self.now().0.saturating_sub(one.known.0) > SHOWN;
        let oldest = self.undelivered("", PAGE).await?;
        let old = oldest.iter().filter(|one| is_old(one));
        Ok(old.map(|one| delete(format!("{UNDELIVERED}{}", one.id))).collect())
    }
}

fn place(to: &NodeId, seq: u64) -> String {
    format!("{MAILED}{to}/{seq:020}")
}

fn early(to: &NodeId, seq: u64) -> String {
    format!("{EARLY}{to}/{seq:020}")
}

fn delete(key: String) -> Write {
    Write::Delete { table: Table::Meta, key }
}
