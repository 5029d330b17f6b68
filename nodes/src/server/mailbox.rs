//! The Message Queue: a durable mailbox for each node. What was answered as accepted stays until
//! its recipient acknowledges it or 30 days have passed.

use std::sync::Arc;

use hdms::Error;
use hdms::envelope;
use hdms::ids::NodeId;
use hdms::mailbox::{Delivery, DeliveryAnswer, MAX_PAGE, MailboxMessage, MailboxPage};
use hdms::provider::Clock;
use rusqlite::{Connection, OptionalExtension};

use super::stream::Bells;
use crate::sqlite::{Database, Failure};
use crate::system::NodeClock;

/// Bytes of envelopes after which a page ends.
const PAGE_BYTES: usize = 4 * envelope::MAX_BYTES;

/// Expired messages deleted in one transaction.
const EXPIRE_AT_ONCE: usize = 1000;

/// How much may wait in one mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Messages.
    pub messages: u64,
    /// Bytes of their envelopes.
    pub bytes: u64,
}

impl Default for Quota {
    fn default() -> Self {
        Self { messages: 10_000, bytes: 256 * 1024 * 1024 }
    }
}

/// Keeps messages.
#[derive(Debug)]
pub struct Mailboxes {
    database: Database,
    clock: NodeClock,
    quota: Quota,
    bells: Arc<Bells>,
}

impl Mailboxes {
    /// With the same quota for every mailbox.
    pub fn new(database: Database, clock: NodeClock, quota: Quota, bells: Arc<Bells>) -> Self {
        Self { database, clock, quota, bells }
    }

    /// Keeps each delivery, or says why not; one that was kept before is answered as it was then.
    /// What is accepted is on stable storage when this returns.
    pub async fn deliver(
        &self,
        sender: NodeId,
        deliveries: Vec<Delivery>,
    ) -> Result<Vec<DeliveryAnswer>, Error> {
        let recipients: Vec<_> = deliveries.iter().map(|delivery| delivery.to.clone()).collect();
        let quota = self.quota;
        let now = self.clock.now().seconds();
        let answers = self
            .database
            .write(move |tx| {
                let keep = |delivery| keep(tx, &sender, delivery, now, quota);
                deliveries.iter().map(keep).collect::<Result<Vec<_>, _>>()
            })
            .await?;
        for (recipient, answer) in recipients.iter().zip(&answers) {
            if let DeliveryAnswer::Accepted(seq) = answer {
                self.bells.ring(recipient, *seq);
            }
        }
        Ok(answers)
    }

    /// Up to `limit` messages of a mailbox after the place `after`, and after what was acknowledged.
    pub async fn page(&self, node: NodeId, after: u64, limit: usize) -> Result<MailboxPage, Error> {
        let now = self.clock.now().seconds();
        let limit = limit.clamp(1, MAX_PAGE);
        self.database.read(move |connection| page(connection, &node, after, limit, now)).await
    }

    /// Lets everything up to the place `upto` go.
    pub async fn acknowledge(&self, node: NodeId, upto: u64) -> Result<(), Error> {
        self.database.write(move |tx| acknowledge(tx, &node, upto)).await
    }

    /// The last place of a mailbox, and the last that was acknowledged; 0 before the first.
    pub async fn places(&self, node: NodeId) -> Result<(u64, u64), Error> {
        self.database.read(move |connection| places(connection, &node)).await
    }

    /// Deletes what has waited for 30 days.
    pub async fn expire(&self) -> Result<(), Error> {
        let now = self.clock.now().seconds();
        while self.database.write(move |tx| expire(tx, now)).await? == EXPIRE_AT_ONCE {}
        Ok(())
    }
}

fn keep(
    tx: &Connection,
    sender: &NodeId,
    delivery: &Delivery,
    now: u64,
    quota: Quota,
) -> Result<DeliveryAnswer, Failure> {
    let refused = |error: Error| Ok(DeliveryAnswer::Refused(error.code().into()));
    let (to, id) = (delivery.to.as_ref(), delivery.id.as_ref());
    let sql = "SELECT seq FROM messages WHERE recipient = ?1 AND sender = ?2 AND id = ?3";
    let kept = tx.prepare_cached(sql)?.query_row((to, sender.as_ref(), id), |row| row.get(0));
    if let Some(seq) = kept.optional()? {
        return Ok(DeliveryAnswer::Accepted(seq));
    }
    if let Err(error) = check_form(&delivery.envelope) {
        return refused(error);
    }
    let sql = "SELECT 1 FROM nodes WHERE id = ?1 AND card IS NOT NULL AND status <> 'revoked'";
    if !tx.prepare_cached(sql)?.exists([to])? {
        return refused(Error::NodeUnknown);
    }
    let Some(seq) = take_place(tx, to, delivery.envelope.len(), quota)? else {
        return refused(Error::MailboxFull);
    };
    let sql = "INSERT INTO messages (recipient, seq, sender, id, expires, envelope) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let expires = now + envelope::LIFETIME;
    let row = (to, seq, sender.as_ref(), id, expires, &delivery.envelope);
    tx.prepare_cached(sql)?.execute(row)?;
    Ok(DeliveryAnswer::Accepted(seq))
}

/// Whether it looks like a compact JWE; only its recipient can tell more.
fn check_form(envelope: &str) -> Result<(), Error> {
    if envelope.len() > envelope::MAX_BYTES {
        return Err(Error::EnvelopeTooLarge);
    }
    let is_compact = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let parts = envelope.split('.').count();
    if parts == 5 && envelope.bytes().all(is_compact) {
        Ok(())
    } else {
        Err(Error::EnvelopeMalformed)
    }
}

/// The next place of a mailbox; none while it is full.
fn take_place(
    tx: &Connection,
    node: &str,
    bytes: usize,
    quota: Quota,
) -> Result<Option<u64>, Failure> {
    let sql = "INSERT INTO mailboxes (node, last, messages, bytes) VALUES (?1, 1, 1, ?2) \
               ON CONFLICT (node) DO UPDATE SET \
               last = last + 1, messages = messages + 1, bytes = bytes + excluded.bytes \
               WHERE messages < ?3 AND bytes + excluded.bytes <= ?4 \
               RETURNING last";
    let row = (node, bytes as u64, quota.messages, quota.bytes);
    Ok(tx.prepare_cached(sql)?.query_row(row, |row| row.get(0)).optional()?)
}

fn page(
    connection: &Connection,
    node: &NodeId,
    after: u64,
    limit: usize,
    now: u64,
) -> Result<MailboxPage, Failure> {
    let (last, acknowledged) = places(connection, node)?;
    let after = after.max(acknowledged).min(last);
    let sql = "SELECT seq, envelope FROM messages \
               WHERE recipient = ?1 AND seq > ?2 AND expires > ?3 AND envelope IS NOT NULL \
               ORDER BY seq LIMIT ?4";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query((node.as_ref(), after, now, limit as u64 + 1))?;
    let mut page = MailboxPage { messages: Vec::new(), more: false, subscriptions: Vec::new() };
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        if page.messages.len() == limit || bytes >= PAGE_BYTES {
            page.more = true;
            break;
        }
        let message = MailboxMessage { seq: row.get(0)?, envelope: row.get(1)? };
        bytes += message.envelope.len();
        page.messages.push(message);
    }
    Ok(page)
}

fn places(connection: &Connection, node: &NodeId) -> Result<(u64, u64), Failure> {
    let sql = "SELECT last, acknowledged FROM mailboxes WHERE node = ?1";
    let row = connection
        .prepare_cached(sql)?
        .query_row([node.as_ref()], |row| Ok((row.get(0)?, row.get(1)?)));
    Ok(row.optional()?.unwrap_or((0, 0)))
}

fn acknowledge(tx: &Connection, node: &NodeId, upto: u64) -> Result<(), Failure> {
    let (last, acknowledged) = places(tx, node)?;
    let upto = upto.min(last);
    if upto <= acknowledged {
        return Ok(());
    }
    let range = (node.as_ref(), acknowledged, upto);
    let (messages, bytes): (u64, u64) = tx
        .prepare_cached(
            "SELECT count(*), coalesce(sum(octet_length(envelope)), 0) FROM messages \
             WHERE recipient = ?1 AND seq > ?2 AND seq <= ?3 AND envelope IS NOT NULL",
        )?
        .query_row(range, |row| Ok((row.get(0)?, row.get(1)?)))?;
    tx.prepare_cached(
        "UPDATE messages SET envelope = NULL WHERE recipient = ?1 AND seq > ?2 AND seq <= ?3",
    )?
    .execute(range)?;
    tx.prepare_cached(
        "UPDATE mailboxes SET acknowledged = ?2, messages = messages - ?3, bytes = bytes - ?4 \
         WHERE node = ?1",
    )?
    .execute((node.as_ref(), upto, messages, bytes))?;
    Ok(())
}

/// Deletes some expired messages. Answers how many.
fn expire(tx: &Connection, now: u64) -> Result<usize, Failure> {
    let mut statement = tx.prepare_cached(
        "DELETE FROM messages WHERE rowid IN \
         (SELECT rowid FROM messages WHERE expires <= ?1 LIMIT ?2) \
         RETURNING recipient, octet_length(envelope)",
    )?;
    let rows = statement.query_map((now, EXPIRE_AT_ONCE as u64), |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, Option<u64>>(1)?))
    })?;
    let expired = rows.collect::<Result<Vec<_>, _>>()?;
    let sql = "UPDATE mailboxes SET messages = messages - 1, bytes = bytes - ?2 WHERE node = ?1";
    for (recipient, bytes) in &expired {
        if let Some(bytes) = bytes {
            tx.prepare_cached(sql)?.execute((recipient, bytes))?;
        }
    }
    Ok(expired.len())
}
