//! The Message Queue: a durable mailbox for each node. What was answered as accepted stays until
//! its recipient acknowledges it or 30 days have passed; who delivered it is told which.

mod keeping;
mod pages;

use std::sync::Arc;

use hdms::Error;
use hdms::answers::PAGE_ENVELOPES;
use hdms::envelope;
use hdms::ids::NodeId;
use hdms::mailbox::{
    Acknowledgement, Delivery, DeliveryAnswer, Fate, MAX_PAGE, MailboxMessage, MailboxPage,
    Refused, ReportPage,
};
use hdms::provider::Clock;
use rusqlite::{Connection, OptionalExtension, Row};

use super::nodes;
use super::push;
use super::quota::{self, MailboxPlace, Quota, Quotas};
use super::reports::{self, Gone};
use super::stream::Bells;
use crate::base::sqlite::{Database, Failure};
use crate::base::system::NodeClock;
use keeping::{DeliveryRefusal, keep};
use pages::{PageTurn, Pages};

/// Expired messages deleted in one transaction.
const EXPIRE_AT_ONCE: usize = 1000;

/// Acknowledged messages of each sender that a mailbox remembers, so that a delivery that is repeated
/// late does not come a second time, and what becomes of it can be told.
const REMEMBERED: u64 = 1000;

/// Has those be found that are remembered.
pub const REMEMBERING: &str = "
    CREATE INDEX messages_remembered ON messages (recipient, sender, seq) WHERE envelope IS NULL;
";

/// How long they are remembered, seconds: a recipient keeps what may become good as long as an envelope
/// lives, and gives it up some time after.
const GIVEN_UP: u64 = envelope::LIFETIME + 2 * 24 * 3600;

/// Keeps messages.
#[derive(Debug)]
pub struct Mailboxes {
    database: Database,
    clock: NodeClock,
    quotas: Quotas,
    bells: Arc<Bells>,
    push: Arc<push::PushSender>,
    pages: Arc<Pages>,
}

impl Mailboxes {
    /// With the same quotas for every mailbox and sender. Whose mailbox gets something hears the
    /// bells, and is pushed to.
    pub fn new(
        database: Database,
        clock: NodeClock,
        quotas: Quotas,
        bells: Arc<Bells>,
        push: Arc<push::PushSender>,
    ) -> Self {
        Self { database, clock, quotas, bells, push, pages: Arc::default() }
    }

    /// Keeps each delivery, or says why not; one that was kept before is answered as it was then.
    /// What is accepted is on stable storage when this returns.
    pub async fn deliver(
        &self,
        sender: NodeId,
        deliveries: Vec<Delivery>,
    ) -> Result<Vec<DeliveryAnswer>, Error> {
        let recipients: Vec<_> = deliveries.iter().map(|delivery| delivery.to.clone()).collect();
        let quotas = self.quotas;
        let now = self.clock.now().seconds();
        let answers = self
            .database
            .write(move |tx| {
                let keep = |delivery| keep(tx, &sender, delivery, now, quotas);
                deliveries.iter().map(keep).collect::<Result<Vec<_>, _>>()
            })
            .await?;
        let answered = recipients.iter().zip(answers).map(|(recipient, kept)| match kept {
            Ok(MailboxPlace { seq, number }) => {
                self.bells.ring(recipient, seq);
                self.push.announce(recipient);
                DeliveryAnswer::Accepted(number)
            }
            Err(DeliveryRefusal::Code(error)) => DeliveryAnswer::Refused(error.code().into()),
            Err(DeliveryRefusal::FormerKey(card)) => DeliveryAnswer::FormerKey(card),
        });
        Ok(answered.collect())
    }

    /// For an answer to `node` with a page. [`Error::TooManyRequests`] when it has not read those before.
    pub fn page_turn(&self, node: &NodeId) -> Result<PageTurn, Error> {
        self.pages.begin(node)
    }

    /// Up to `limit` messages of a mailbox after the place `after`, and after what was acknowledged.
    pub async fn page(&self, node: NodeId, after: u64, limit: usize) -> Result<MailboxPage, Error> {
        let now = self.clock.now().seconds();
        let limit = limit.clamp(1, MAX_PAGE);
        self.database.read(move |connection| page(connection, &node, after, limit, now)).await
    }

    /// Lets everything up to a place go, and keeps for those who delivered it what became of it; also of
    /// what went before, as far as it is remembered.
    pub async fn acknowledge(&self, node: NodeId, dealt: Acknowledgement) -> Result<(), Error> {
        let now = self.clock.now().seconds();
        self.database.write(move |tx| acknowledge(tx, &node, &dealt, now)).await
    }

    /// Up to `limit` reports of what became of what `node` has delivered, after the number `after`.
    pub async fn reports(
        &self,
        node: NodeId,
        after: u64,
        limit: usize,
    ) -> Result<ReportPage, Error> {
        self.database.read(move |connection| reports::page(connection, &node, after, limit)).await
    }

    /// Lets the reports up to a number go.
    pub async fn reports_read(&self, node: NodeId, upto: u64) -> Result<(), Error> {
        self.database.write(move |tx| reports::read(tx, &node, upto)).await
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

fn page(
    connection: &Connection,
    node: &NodeId,
    after: u64,
    limit: usize,
    now: u64,
) -> Result<MailboxPage, Failure> {
    let (last, acknowledged) = places(connection, node)?;
    let after = after.max(acknowledged).min(last);
    let sql = "SELECT seq, sender, envelope FROM messages \
               WHERE recipient = ?1 AND seq > ?2 AND expires > ?3 AND envelope IS NOT NULL \
               ORDER BY seq LIMIT ?4";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query((node.as_ref(), after, now, limit as u64 + 1))?;
    let subscriptions = push::standing(connection, node, now)?;
    let kid = nodes::present_kid(connection, node)?.unwrap_or_default();
    let mut page = MailboxPage { messages: Vec::new(), more: false, subscriptions, kid };
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        if page.messages.len() == limit || bytes >= PAGE_ENVELOPES {
            page.more = true;
            break;
        }
        let (seq, from, envelope): (u64, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let from = from.parse().map_err(|_| Failure::Refused(Error::StoreCorrupt))?;
        bytes += envelope.len();
        page.messages.push(MailboxMessage { seq, from, envelope });
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

fn acknowledge(
    tx: &Connection,
    node: &NodeId,
    dealt: &Acknowledgement,
    now: u64,
) -> Result<(), Failure> {
    let (last, acknowledged) = places(tx, node)?;
    let (node, upto) = (node.as_ref(), dealt.upto.min(last).max(acknowledged));
    for Refused { seq, code } in dealt.refused.iter().filter(|one| one.seq <= upto) {
        let sql = "UPDATE messages SET refused = 1 \
                   WHERE recipient = ?1 AND seq = ?2 AND refused = 0 RETURNING sender, number";
        let of = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, row.get(1)?));
        let of = tx.prepare_cached(sql)?.query_row((node, seq), of).optional()?;
        let Some((sender, number)) = of else { continue };
        let fate = Fate::Refused(code.clone());
        reports::keep(tx, &Gone { sender: &sender, recipient: node, number, fate })?;
    }
    if upto > acknowledged { let_go(tx, node, acknowledged, upto, now) } else { Ok(()) }
}

/// Lets what is after one place and up to another go, and remembers whose it was: its recipient may
/// give it up as long as it may keep it.
fn let_go(
    tx: &Connection,
    node: &str,
    acknowledged: u64,
    upto: u64,
    now: u64,
) -> Result<(), Failure> {
    let range = (node, acknowledged, upto);
    let gone = tx
        .prepare_cached(
            "SELECT sender, count(*), sum(octet_length(envelope)), max(number) FROM messages \
             WHERE recipient = ?1 AND seq > ?2 AND seq <= ?3 AND envelope IS NOT NULL \
             GROUP BY sender",
        )?
        .query_map(range, |row| Ok((row.get(0)?, quota_of(row)?, row.get(3)?)))?
        .collect::<Result<Vec<(String, Quota, u64)>, _>>()?;
    tx.prepare_cached(
        "UPDATE messages SET envelope = NULL, expires = max(expires, ?4) \
         WHERE recipient = ?1 AND seq > ?2 AND seq <= ?3",
    )?
    .execute((node, acknowledged, upto, now + GIVEN_UP))?;
    tx.prepare_cached("UPDATE mailboxes SET acknowledged = ?2 WHERE node = ?1")?
        .execute((node, upto))?;
    for (sender, gone, number) in &gone {
        quota::give_back(tx, sender, node, *gone)?;
        reports::keep(tx, &Gone { sender, recipient: node, number: *number, fate: Fate::Fetched })?;
        forget(tx, sender, node)?;
    }
    Ok(())
}

/// Forgets what is older than the last [`REMEMBERED`] of this sender.
fn forget(tx: &Connection, sender: &str, node: &str) -> Result<(), Failure> {
    let sql = "DELETE FROM messages WHERE recipient = ?1 AND seq IN \
               (SELECT seq FROM messages WHERE recipient = ?1 AND sender = ?2 AND envelope IS NULL \
               ORDER BY seq DESC LIMIT -1 OFFSET ?3)";
    tx.prepare_cached(sql)?.execute((node, sender, REMEMBERED))?;
    Ok(())
}

/// Deletes some expired messages. Answers how many.
fn expire(tx: &Connection, now: u64) -> Result<usize, Failure> {
    let expired = tx
        .prepare_cached(
            "DELETE FROM messages WHERE rowid IN \
             (SELECT rowid FROM messages WHERE expires <= ?1 LIMIT ?2) \
             RETURNING sender, envelope IS NOT NULL, coalesce(octet_length(envelope), 0), recipient, \
             number",
        )?
        .query_map((now, EXPIRE_AT_ONCE as u64), |row| {
            Ok((row.get(0)?, quota_of(row)?, row.get(3)?, row.get(4)?))
        })?
        .collect::<Result<Vec<(String, Quota, String, u64)>, _>>()?;
    for (sender, gone, recipient, number) in &expired {
        if gone.messages > 0 {
            quota::give_back(tx, sender, recipient, *gone)?;
            let number = *number;
            reports::keep(tx, &Gone { sender, recipient, number, fate: Fate::Expired })?;
        }
        quota::forget(tx, sender, recipient)?;
    }
    Ok(expired.len())
}

/// From the second and third column.
fn quota_of(row: &Row<'_>) -> Result<Quota, rusqlite::Error> {
    Ok(Quota { messages: row.get(1)?, bytes: row.get(2)? })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use hdms::Error;
    use hdms::ids::NodeId;
    use hdms::mailbox::{Acknowledgement, Delivery};

    use super::super::schema::SCHEMA;
    use super::{DeliveryRefusal, MailboxPlace, Quota, Quotas, acknowledge, keep, page};
    use crate::base::sqlite::{Database, Schema};

    /// What version 1 left behind: three messages of one sender, the first acknowledged.
    const LEFT: &str = "
        INSERT INTO nodes VALUES
            ('AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA', 'personal', 'admitted', '', 'x', 'x', 9);
        INSERT INTO mailboxes VALUES ('AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA', 3, 1, 2, 20);
        INSERT INTO messages SELECT
            'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA', column1,
            'BAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA',
            '019b7985-7400-7000-8000-00000000000' || column1, 9999999999,
            CASE column1 WHEN 1 THEN NULL ELSE 'a.b.c.d.' || (column1 + 10) END
            FROM (VALUES (1), (2), (3));
    ";

    fn node(first: char) -> NodeId {
        format!("{first}{}", "A".repeat(42)).parse().unwrap()
    }

    async fn of_version_1(path: &Path) {
        let schema = Schema { migrations: &SCHEMA.migrations[..1], ..SCHEMA };
        let database = Database::open(path, &schema).unwrap();
        database.write(|tx| Ok(tx.execute_batch(LEFT)?)).await.unwrap();
    }

    #[tokio::test]
    async fn what_a_database_of_version_1_holds_is_kept_and_counted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("server.sqlite");
        of_version_1(&path).await;
        let database = Database::open(&path, &SCHEMA).unwrap();
        let quotas =
            Quotas { sender_in_mailbox: Quota { messages: 3, bytes: 1000 }, ..Quotas::default() };
        let deliver = async |id: u32| {
            let id = format!("019b7985-7400-7000-8000-{id:012}").parse().unwrap();
            let delivery = Delivery { to: node('A'), id, envelope: "a.b.c.d.e".into() };
            database.write(move |tx| keep(tx, &node('B'), &delivery, 1, quotas)).await.unwrap()
        };
        let accepted = |place| Ok(MailboxPlace { seq: place, number: place });
        assert_eq!(deliver(1).await, accepted(1), "kept and acknowledged before");
        assert_eq!(deliver(4).await, accepted(4));
        let refused = Err(DeliveryRefusal::Code(Error::SenderQuota));
        assert_eq!(deliver(5).await, refused, "two of three waited already");
        let page =
            database.read(|connection| page(connection, &node('A'), 0, 10, 1)).await.unwrap();
        let waiting = Vec::from_iter(page.messages.iter().map(|message| &*message.envelope));
        assert_eq!(waiting, ["a.b.c.d.12", "a.b.c.d.13", "a.b.c.d.e"]);
        let dealt = Acknowledgement { upto: 3, refused: Vec::new() };
        database.write(move |tx| acknowledge(tx, &node('A'), &dealt, 1)).await.unwrap();
        assert_eq!(deliver(5).await, accepted(5));
        assert_eq!(deliver(6).await, accepted(6));
        assert_eq!(deliver(7).await, refused);
    }
}
