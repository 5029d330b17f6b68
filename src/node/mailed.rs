//! What lies in mailboxes: remembered until its recipient has fetched it, so that people learn of what
//! never arrives.

use serde::{Deserialize, Serialize};

use super::outbox::{OutboxItem, Payload, taken_off};
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

/// Rows of [`Table::Meta`]: what lies in mailboxes, by recipient and place, and what was not taken
/// in, by id.
const MAILED: &str = "mailed/";
const UNDELIVERED: &str = "undelivered/";

/// A message that lies in a mailbox.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Mailed {
    id: String,
    case: CaseId,
    kind: String,
    since: Timestamp,
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
        Ok(())
    }

    /// The server has told what became of messages, oldest first.
    pub async fn told(&self, reports: &[Report]) -> Result<(), Error> {
        let mut writes = self.shown_long_enough().await?;
        for Report { to, seq, outcome, .. } in reports {
            match outcome {
                Fate::Fetched => writes.extend(self.mailed_up_to(to, *seq).await?),
                Fate::Expired => {
                    writes.extend(self.not_taken(to, *seq, Error::MailboxExpired.code()).await?);
                }
                Fate::Refused(code) => writes.extend(self.not_taken(to, *seq, code).await?),
            }
        }
        self.platform.store().commit(writes).await
    }

    /// Up to `limit` messages that were not taken in, oldest first.
    pub async fn undelivered(&self, after: &str, limit: usize) -> Result<Vec<Undelivered>, Error> {
        let after = if after.is_empty() { String::new() } else { format!("{UNDELIVERED}{after}") };
        let rows = self.platform.store().scan(Table::Meta, UNDELIVERED, &after, limit).await?;
        rows.iter().map(|(_, row)| json::stored(row)).collect()
    }

    async fn mailed_up_to(&self, to: &NodeId, seq: u64) -> Result<Vec<Write>, Error> {
        let (prefix, last) = (format!("{MAILED}{to}/"), place(to, seq));
        let (mut gone, mut after) = (Vec::new(), String::new());
        loop {
            let rows = self.platform.store().scan(Table::Meta, &prefix, &after, PAGE).await?;
            let Some((key, _)) = rows.last().filter(|_| after <= last) else { return Ok(gone) };
            after = key.clone();
            gone.extend(
                rows.into_iter().filter(|(key, _)| *key <= last).map(|(key, _)| delete(key)),
            );
        }
    }

    async fn not_taken(&self, to: &NodeId, seq: u64, code: &str) -> Result<Vec<Write>, Error> {
        let key = place(to, seq);
        let Some(row) = self.platform.store().read(Table::Meta, &key).await? else {
            return Ok(Vec::new());
        };
        let Mailed { id, case, kind, since } = json::stored(&row)?;
        let (to, code, known) = (to.clone(), code.to_owned(), self.now());
        let name = format!("{UNDELIVERED}{id}");
        let row = json::write(&Undelivered { id, case, to, kind, since, known, code })?;
        Ok(vec![delete(key), put(Table::Meta, name, row)])
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

fn delete(key: String) -> Write {
    Write::Delete { table: Table::Meta, key }
}
