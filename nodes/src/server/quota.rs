//! How much may wait: in one mailbox, of one sender in all mailboxes, and of one sender in one
//! mailbox, so that none can fill another's. Counted in the transaction of the message itself.

use hdms::Error;
use rusqlite::{Connection, OptionalExtension};
use serde::{Deserialize, Serialize};

use crate::base::sqlite::Failure;

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

/// SQL of how many messages a sender has put into a mailbox: its messages there are numbered, so that
/// it learns nothing of others'.
pub const NUMBERS: &str = "
    ALTER TABLE senders ADD COLUMN last INTEGER NOT NULL DEFAULT 0;
    INSERT INTO senders
        SELECT sender, recipient, 0, 0, max(seq) FROM
            (SELECT sender, recipient, seq FROM messages
                UNION ALL SELECT sender, recipient, seq FROM reports)
        WHERE TRUE GROUP BY sender, recipient
        ON CONFLICT (sender, recipient) DO UPDATE SET last = excluded.last;
    ALTER TABLE messages ADD COLUMN number INTEGER NOT NULL DEFAULT 0;
    UPDATE messages SET number = seq;
";

/// SQL that has the reports of one sender about one mailbox be found, and forgets those who have nothing
/// more to do with each other, of whom versions before this forgot only some.
pub const OF_PAIRS: &str = "
    CREATE INDEX reports_of_pair ON reports (sender, recipient);
    DELETE FROM senders WHERE recipient <> '' AND messages = 0
        AND NOT EXISTS (SELECT 1 FROM messages
            WHERE messages.recipient = senders.recipient AND messages.sender = senders.sender)
        AND NOT EXISTS (SELECT 1 FROM reports
            WHERE reports.sender = senders.sender AND reports.recipient = senders.recipient);
";

/// Under this recipient stands what waits of a sender in all mailboxes.
const ALL: &str = "";

/// What part of a mailbox nobody takes from a sender who has less in it.
const RESERVED: u64 = 100;

/// Where a message lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MailboxPlace {
    /// In the mailbox.
    pub seq: u64,
    /// Among those of its sender there.
    pub number: u64,
}

/// What waits of a sender, and the number of its last message.
#[derive(Clone, Copy, Debug)]
struct SenderShare {
    waiting: Quota,
    last: u64,
}

/// Takes the next place of the mailbox `to` for an envelope of this many bytes, and counts it.
/// [`Error::SenderQuota`] or [`Error::MailboxFull`] where there is no room; nothing is changed then.
pub fn take_place(
    tx: &Connection,
    sender: &str,
    to: &str,
    bytes: u64,
    quotas: Quotas,
) -> Result<Result<MailboxPlace, Error>, Failure> {
    let Some(share) = count_on(tx, sender, to, bytes, quotas.sender_in_mailbox)? else {
        return Ok(Err(Error::SenderQuota));
    };
    if count_on(tx, sender, ALL, bytes, quotas.sender)?.is_none() {
        undo(tx, sender, to, bytes)?;
        return Ok(Err(Error::SenderQuota));
    }
    let sql = "INSERT INTO mailboxes (node, last, messages, bytes) \
               SELECT ?1, 1, 1, ?2 WHERE ?3 > 0 AND ?2 <= ?4 \
               ON CONFLICT (node) DO UPDATE SET \
               last = last + 1, messages = messages + 1, bytes = bytes + excluded.bytes \
               WHERE messages < ?3 AND bytes + excluded.bytes <= ?4 \
               RETURNING last";
    let Quota { messages, bytes: most } = room_for(share, quotas.mailbox).storable();
    let row = (to, bytes, messages, most);
    let place = tx.prepare_cached(sql)?.query_row(row, |row| row.get(0)).optional()?;
    if let Some(seq) = place {
        return Ok(Ok(MailboxPlace { seq, number: share.last }));
    }
    undo(tx, sender, to, bytes)?;
    undo(tx, sender, ALL, bytes)?;
    Ok(Err(Error::MailboxFull))
}

/// How much may wait in a mailbox when this sender puts something into it. Those who have filled it
/// leave room for others, who have little there.
fn room_for(share: SenderShare, mailbox: Quota) -> Quota {
    let own = share.waiting;
    let is_small =
        own.messages <= mailbox.messages / RESERVED && own.bytes <= mailbox.bytes / RESERVED;
    if is_small { Quota { messages: u64::MAX, bytes: u64::MAX } } else { mailbox }
}

/// Counts off what of `sender` waits no more in the mailbox `to`.
pub fn give_back(tx: &Connection, sender: &str, to: &str, gone: Quota) -> Result<(), Failure> {
    let sql = "UPDATE mailboxes SET messages = messages - ?2, bytes = bytes - ?3 WHERE node = ?1";
    tx.prepare_cached(sql)?.execute((to, gone.messages, gone.bytes))?;
    let sql = "UPDATE senders SET messages = messages - ?3, bytes = bytes - ?4 \
               WHERE sender = ?1 AND recipient IN (?2, '')";
    tx.prepare_cached(sql)?.execute((sender, to, gone.messages, gone.bytes))?;
    Ok(())
}

/// Forgets that `sender` has ever put something into the mailbox `to`, once nothing of it is known, and
/// into any: to be called whenever the last message or report of it may be gone.
pub fn forget(tx: &Connection, sender: &str, to: &str) -> Result<(), Failure> {
    let sql = "DELETE FROM senders WHERE sender = ?1 AND recipient = ?2 AND messages = 0 \
               AND NOT EXISTS (SELECT 1 FROM messages WHERE recipient = ?2 AND sender = ?1) \
               AND NOT EXISTS (SELECT 1 FROM reports WHERE sender = ?1 AND recipient = ?2)";
    let mut forget = tx.prepare_cached(sql)?;
    forget.execute((sender, to))?;
    forget.execute((sender, ALL))?;
    Ok(())
}

/// Counts one more, where there is room for it.
fn count_on(
    tx: &Connection,
    sender: &str,
    recipient: &str,
    bytes: u64,
    quota: Quota,
) -> Result<Option<SenderShare>, Failure> {
    let sql = "INSERT INTO senders (sender, recipient, messages, bytes, last) \
               SELECT ?1, ?2, 1, ?3, 1 WHERE ?4 > 0 AND ?3 <= ?5 \
               ON CONFLICT (sender, recipient) DO UPDATE SET \
               messages = messages + 1, bytes = bytes + excluded.bytes, last = last + 1 \
               WHERE messages < ?4 AND bytes + excluded.bytes <= ?5 \
               RETURNING messages, bytes, last";
    let Quota { messages, bytes: most } = quota.storable();
    let row = (sender, recipient, bytes, messages, most);
    let counted = tx.prepare_cached(sql)?.query_row(row, |row| {
        let waiting = Quota { messages: row.get(0)?, bytes: row.get(1)? };
        Ok(SenderShare { waiting, last: row.get(2)? })
    });
    Ok(counted.optional()?)
}

/// Takes back [`count_on`].
fn undo(tx: &Connection, sender: &str, recipient: &str, bytes: u64) -> Result<(), Failure> {
    let sql = "UPDATE senders SET messages = messages - 1, bytes = bytes - ?3, last = last - 1 \
               WHERE sender = ?1 AND recipient = ?2";
    tx.prepare_cached(sql)?.execute((sender, recipient, bytes))?;
    let sql =
        "DELETE FROM senders WHERE sender = ?1 AND recipient = ?2 AND last = 0 AND messages = 0";
    tx.prepare_cached(sql)?.execute((sender, recipient))?;
    Ok(())
}
