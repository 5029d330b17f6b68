//! How much may wait: in one mailbox, of one sender in all mailboxes, and of one sender in one
//! mailbox, so that none can fill another's. Counted in the transaction of the message itself.

use hdms::Error;
use rusqlite::{Connection, OptionalExtension};
use serde::{Deserialize, Serialize};

use crate::sqlite::Failure;

/// Messages and the bytes of their envelopes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// Messages.
    pub messages: u64,
    /// Bytes of their envelopes.
    pub bytes: u64,
}

/// How much may wait, until it is acknowledged or expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
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
    /// As SQLite, whose integers have a sign, can compare it.
    fn storable(self) -> Self {
        let most = i64::MAX.unsigned_abs();
        Self { messages: self.messages.min(most), bytes: self.bytes.min(most) }
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
    let one = Quota { messages: 1, bytes };
    if !count_on(tx, sender, to, bytes, quotas.sender_in_mailbox)? {
        return Ok(Err(Error::SenderQuota));
    }
    if !count_on(tx, sender, ALL, bytes, quotas.sender)? {
        count_off(tx, sender, to, one)?;
        return Ok(Err(Error::SenderQuota));
    }
    let sql = "INSERT INTO mailboxes (node, last, messages, bytes) \
               SELECT ?1, 1, 1, ?2 WHERE ?3 > 0 AND ?2 <= ?4 \
               ON CONFLICT (node) DO UPDATE SET \
               last = last + 1, messages = messages + 1, bytes = bytes + excluded.bytes \
               WHERE messages < ?3 AND bytes + excluded.bytes <= ?4 \
               RETURNING last";
    let Quota { messages, bytes: most } = quotas.mailbox.storable();
    let row = (to, bytes, messages, most);
    let place = tx.prepare_cached(sql)?.query_row(row, |row| row.get(0)).optional()?;
    if let Some(place) = place {
        return Ok(Ok(place));
    }
    count_off(tx, sender, to, one)?;
    count_off(tx, sender, ALL, one)?;
    Ok(Err(Error::MailboxFull))
}

/// Counts off what of `sender` waits no more in the mailbox `to`.
pub fn give_back(tx: &Connection, sender: &str, to: &str, gone: Quota) -> Result<(), Failure> {
    let sql = "UPDATE mailboxes SET messages = messages - ?2, bytes = bytes - ?3 WHERE node = ?1";
    tx.prepare_cached(sql)?.execute((to, gone.messages, gone.bytes))?;
    count_off(tx, sender, to, gone)?;
    count_off(tx, sender, ALL, gone)
}

/// Counts one more, where there is room for it; answers whether there is.
fn count_on(
    tx: &Connection,
    sender: &str,
    recipient: &str,
    bytes: u64,
    quota: Quota,
) -> Result<bool, Failure> {
    let sql = "INSERT INTO senders (sender, recipient, messages, bytes) \
               SELECT ?1, ?2, 1, ?3 WHERE ?4 > 0 AND ?3 <= ?5 \
               ON CONFLICT (sender, recipient) DO UPDATE SET \
               messages = messages + 1, bytes = bytes + excluded.bytes \
               WHERE messages < ?4 AND bytes + excluded.bytes <= ?5";
    let Quota { messages, bytes: most } = quota.storable();
    let row = (sender, recipient, bytes, messages, most);
    Ok(tx.prepare_cached(sql)?.execute(row)? == 1)
}

fn count_off(tx: &Connection, sender: &str, recipient: &str, gone: Quota) -> Result<(), Failure> {
    let sql = "UPDATE senders SET messages = messages - ?3, bytes = bytes - ?4 \
               WHERE sender = ?1 AND recipient = ?2";
    tx.prepare_cached(sql)?.execute((sender, recipient, gone.messages, gone.bytes))?;
    let sql = "DELETE FROM senders WHERE sender = ?1 AND recipient = ?2 AND messages = 0";
    tx.prepare_cached(sql)?.execute((sender, recipient))?;
    Ok(())
}
