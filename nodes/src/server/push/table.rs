//! The table of subscriptions, and what is due to each.

use hdms::Error;
use hdms::ids::NodeId;
use hdms::json;
use hdms::push::{MAX_PAYLOAD, MAX_SUBSCRIPTIONS, PushMessage, Subscription};
use rusqlite::{Connection, OptionalExtension};

use crate::base::sqlite::Failure;
use crate::server::nodes;

/// Beyond this many messages that wait, a push only wakes: push services keep a browser's messages
/// while it is away, wake-ups in each other's place, and drop the browser when they grow too many.
const ENCLOSED: u64 = 16;

/// The server's own value that keeps the public key with which browsers subscribe.
const SENDER: &str = "vapid";

/// What is to be sent to one subscription.
#[derive(Debug)]
pub struct Due {
    /// Whose it is.
    pub node: NodeId,
    /// Where to.
    pub subscription: Subscription,
    /// The last message's place in the mailbox.
    pub seq: u64,
    /// The message, if it is the only one and could fit.
    pub envelope: Option<String>,
    /// When the last message expires, seconds.
    pub expires: u64,
}

impl Due {
    /// What the push brings (RFC 8291), and whether it brings no more than the word.
    pub fn payload(&mut self) -> Result<(Vec<u8>, bool), Error> {
        let payload = PushMessage::payload(self.seq, self.envelope.take())?;
        let wakes = PushMessage::read(&payload).envelope.is_none();
        Ok((payload, wakes))
    }
}

/// Keeps a subscription of `node`, the newest of its own; the oldest goes when there are too many.
/// Whoever names an address last has it: a browser can be only one node's.
pub fn keep(tx: &Connection, node: &NodeId, subscription: &Subscription) -> Result<(), Failure> {
    let id = subscription.id();
    let known = "SELECT pushed FROM subscriptions WHERE id = ?1 AND node = ?2";
    let known = tx.prepare_cached(known)?.query_row((&id, node.as_ref()), |row| row.get(0));
    let pushed: u64 = known.optional()?.unwrap_or_default();
    drop_one(tx, &id)?;
    let expires = match subscription {
        // SQLite has no larger numbers, nor will anybody see that day.
        Subscription::WebPush { expires, .. } => expires.map(|at| at.min(i64::MAX as u64)),
        Subscription::Firebase { .. } => None,
    };
    let text =
        String::from_utf8(json::write(subscription)?).map_err(|_| Error::CommandMalformed)?;
    let sql = "INSERT INTO subscriptions (id, node, subscription, expires, pushed) \
               VALUES (?1, ?2, ?3, ?4, ?5)";
    tx.prepare_cached(sql)?.execute((&id, node.as_ref(), text, expires, pushed))?;
    let sql = "DELETE FROM subscriptions WHERE node = ?1 AND place NOT IN \
               (SELECT place FROM subscriptions WHERE node = ?1 ORDER BY place DESC LIMIT ?2)";
    tx.prepare_cached(sql)?.execute((node.as_ref(), MAX_SUBSCRIPTIONS as u64))?;
    Ok(())
}

/// Forgets a subscription of `node`.
pub fn remove(tx: &Connection, node: &NodeId, id: &str) -> Result<(), Failure> {
    let sql = "DELETE FROM subscriptions WHERE id = ?1 AND node = ?2";
    tx.prepare_cached(sql)?.execute((id, node.as_ref()))?;
    Ok(())
}

/// Forgets a subscription.
pub fn drop_one(tx: &Connection, id: &str) -> Result<(), Failure> {
    tx.prepare_cached("DELETE FROM subscriptions WHERE id = ?1")?.execute([id])?;
    Ok(())
}

/// Forgets those that have expired at `now`, seconds.
pub fn drop_expired(tx: &Connection, now: u64) -> Result<(), Failure> {
    tx.prepare_cached("DELETE FROM subscriptions WHERE expires <= ?1")?.execute([now])?;
    Ok(())
}

/// Forgets every subscription made for another sender than the one with this key. Answers whether
/// there was one.
pub fn change_sender(tx: &Connection, key: &str) -> Result<bool, Failure> {
    let known = nodes::setting(tx, SENDER)?;
    if known.as_deref() == Some(key) {
        return Ok(false);
    }
    let sql = "DELETE FROM subscriptions WHERE json_extract(subscription, '$.kind') = 'webpush'";
    tx.execute(sql, [])?;
    nodes::set_setting(tx, SENDER, key)?;
    Ok(known.is_some())
}

/// Ids of the subscriptions of `node` that stand at `now`, seconds; oldest first.
pub fn standing(connection: &Connection, node: &NodeId, now: u64) -> Result<Vec<String>, Failure> {
    let sql = "SELECT id FROM subscriptions WHERE node = ?1 AND coalesce(expires > ?2, TRUE) \
               ORDER BY place";
    let mut statement = connection.prepare_cached(sql)?;
    let ids = statement.query_map((node.as_ref(), now), |row| row.get(0))?;
    Ok(ids.collect::<Result<_, _>>()?)
}

/// Ids of the subscriptions of `node` to which something may be due.
pub fn waiting(connection: &Connection, node: &NodeId) -> Result<Vec<String>, Failure> {
    let sql = "SELECT id FROM subscriptions JOIN mailboxes USING (node) \
               WHERE node = ?1 AND last > max(pushed, acknowledged)";
    let mut statement = connection.prepare_cached(sql)?;
    let ids = statement.query_map([node.as_ref()], |row| row.get(0))?;
    Ok(ids.collect::<Result<_, _>>()?)
}

/// The next of all subscriptions to which something may be due, after the place `after`; each with
/// its place.
pub fn all_waiting(
    connection: &Connection,
    after: u64,
    limit: u64,
) -> Result<Vec<(u64, String)>, Failure> {
    let sql = "SELECT place, id FROM subscriptions JOIN mailboxes USING (node) \
               WHERE place > ?1 AND last > max(pushed, acknowledged) ORDER BY place LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map((after, limit), |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// What is due to a subscription at `now`, seconds; none when everything was pushed or
/// acknowledged, or has expired.
pub fn due(connection: &Connection, id: &str, now: u64) -> Result<Option<Due>, Failure> {
    let sql = "SELECT node, subscription, max(pushed, acknowledged), messages \
               FROM subscriptions JOIN mailboxes USING (node) \
               WHERE id = ?1 AND coalesce(expires > ?2, TRUE)";
    let found = connection.prepare_cached(sql)?.query_row((id, now), |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get(2)?, row.get(3)?))
    });
    let Some((node, subscription, after, waiting)) = found.optional()? else { return Ok(None) };
    let waiting: u64 = waiting;
    let sql = "SELECT seq, expires, CASE WHEN octet_length(envelope) <= ?4 THEN envelope END \
               FROM messages WHERE recipient = ?1 AND seq > ?2 AND expires > ?3 \
               AND envelope IS NOT NULL ORDER BY seq DESC LIMIT 2";
    let mut statement = connection.prepare_cached(sql)?;
    let range: (&str, u64, u64, u64) = (&node, after, now, MAX_PAYLOAD as u64);
    let mut rows = statement.query(range)?;
    let Some(last) = rows.next()? else { return Ok(None) };
    let (seq, expires, envelope): (_, _, Option<String>) =
        (last.get(0)?, last.get(1)?, last.get(2)?);
    let alone = rows.next()?.is_none() && waiting <= ENCLOSED;
    Ok(Some(Due {
        node: node.parse()?,
        subscription: json::stored(subscription.as_bytes())?,
        seq,
        envelope: envelope.filter(|_| alone),
        expires,
    }))
}

/// Everything up to the place `seq` was pushed to a subscription.
pub fn set_pushed(tx: &Connection, id: &str, seq: u64) -> Result<(), Failure> {
    let sql = "UPDATE subscriptions SET pushed = max(pushed, ?2) WHERE id = ?1";
    tx.prepare_cached(sql)?.execute((id, seq))?;
    Ok(())
}
