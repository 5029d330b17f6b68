//! How much may wait: in one mailbox, of one sender in all mailboxes, and of one sender in one
//! mailbox, so that none can fill another's. Counted in the transaction of the message itself.

use hdms::Error;
use rusqlite::{Connection, OptionalExtension, Row};

use crate::sqlite::Failure;

/// Messages and the bytes of their envelopes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// Messages.
    pub messages: u64,
    /// Bytes of their envelopes.
    pub bytes: u64,
}

/// How much may wait, until it is acknowledged or expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// In one mailbox.
    pub mailbox: Quota,
    /// Of one sender, in all mailboxes together.
    pub sender: Quota,
    /// Of one sender in one mailbox.
    pub sender_in_mailbox: Quota,
}

impl Default for Quotas {
    fn default() -> Self {
        const MIB: u64 = 1024 * 1024;
        Self {
            mailbox: Quota { messages: 10_000, bytes: 256 * MIB },
            sender: Quota { messages: 1_000_000, bytes: 16 * 1024 * MIB },
            sender_in_mailbox: Quota { messages: 2_500, bytes: 64 * MIB },
        }
    }
}

impl Quota {
    fn has_room(self, waiting: Quota, bytes: u64) -> bool {
        waiting.messages < self.messages && waiting.bytes + bytes <= self.bytes
    }
}

/// Under this recipient stands what waits of a sender in all mailboxes.
const ALL: &str = "";

/// Takes the next place of the mailbox `to` for an envelope of this many bytes, and counts it.
/// [`Error::SenderQuota`] or [`Error::MailboxFull`] where there is no room; nothing is changed then.
pub fn take_place(
    tx: &Connection,
    sender: &str,
    to: &str,
    bytes: u64,
    quotas: Quotas,
) -> Result<Result<u64, Error>, Failure> {
    if !quotas.sender_in_mailbox.has_room(waiting_of(tx, sender, to)?, bytes)
        || !quotas.sender.has_room(waiting_of(tx, sender, ALL)?, bytes)
    {
        return Ok(Err(Error::SenderQuota));
    }
    let sql = "SELECT messages, bytes FROM mailboxes WHERE node = ?1";
    let waiting = tx.prepare_cached(sql)?.query_row([to], count).optional()?;
    if !quotas.mailbox.has_room(waiting.unwrap_or_default(), bytes) {
        return Ok(Err(Error::MailboxFull));
    }
    let sql = "INSERT INTO senders (sender, recipient, messages, bytes) VALUES (?1, ?2, 1, ?3) \
               ON CONFLICT (sender, recipient) DO UPDATE SET \
               messages = messages + 1, bytes = bytes + excluded.bytes";
    for recipient in [to, ALL] {
        tx.prepare_cached(sql)?.execute((sender, recipient, bytes))?;
    }
    let sql = "INSERT INTO mailboxes (node, last, messages, bytes) VALUES (?1, 1, 1, ?2) \
               ON CONFLICT (node) DO UPDATE SET \
               last = last + 1, messages = messages + 1, bytes = bytes + excluded.bytes \
               RETURNING last";
    Ok(Ok(tx.prepare_cached(sql)?.query_row((to, bytes), |row| row.get(0))?))
}

/// Counts off what of `sender` waits no more in the mailbox `to`.
pub fn give_back(tx: &Connection, sender: &str, to: &str, gone: Quota) -> Result<(), Failure> {
    let sql = "UPDATE mailboxes SET messages = messages - ?2, bytes = bytes - ?3 WHERE node = ?1";
    tx.prepare_cached(sql)?.execute((to, gone.messages, gone.bytes))?;
    let less = "UPDATE senders SET messages = messages - ?3, bytes = bytes - ?4 \
                WHERE sender = ?1 AND recipient = ?2";
    let none = "DELETE FROM senders WHERE sender = ?1 AND recipient = ?2 AND messages = 0";
    for recipient in [to, ALL] {
        tx.prepare_cached(less)?.execute((sender, recipient, gone.messages, gone.bytes))?;
        tx.prepare_cached(none)?.execute((sender, recipient))?;
    }
    Ok(())
}

fn waiting_of(tx: &Connection, sender: &str, recipient: &str) -> Result<Quota, Failure> {
    let sql = "SELECT messages, bytes FROM senders WHERE sender = ?1 AND recipient = ?2";
    let waiting = tx.prepare_cached(sql)?.query_row((sender, recipient), count).optional()?;
    Ok(waiting.unwrap_or_default())
}

fn count(row: &Row<'_>) -> Result<Quota, rusqlite::Error> {
    Ok(Quota { messages: row.get(0)?, bytes: row.get(1)? })
}
