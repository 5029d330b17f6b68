//! What anybody may leave behind at the server: applications, and personal nodes, each counted so that
//! nobody uses up the room of those who were there before or come from elsewhere.

use std::net::IpAddr;

use hdms::Error;
use hdms::card::LIFETIME;
use hdms::ids::NodeId;
use rusqlite::{Connection, OptionalExtension};

use crate::base::sqlite::Failure;

/// SQL of since when each node is here, seconds, and of the address that those applied from who were never
/// approved; those of before have been here for ever.
pub const COLUMNS: &str = "
    ALTER TABLE nodes ADD COLUMN since INTEGER;
    UPDATE nodes SET since = 0;
    ALTER TABLE nodes ADD COLUMN origin TEXT;
";

/// Most nodes that wait to be admitted for the first time: of all, and of one address.
const MOST_APPLICANTS: u64 = 1_000;
const MOST_OF_ADDRESS: u64 = 20;

/// Which were never admitted as anything.
pub const APPLICANTS: &str =
    "status IN ('pending', 'refused') AND admitted IS NULL AND card IS NULL";

/// How long an application is kept that was never approved, and a personal node whose card has ended,
/// seconds.
const KEPT: u64 = 30 * 24 * 3600;

/// Most personal nodes whose former cards the revocation list names at a time, when one more is to be
/// named that was there since today, or for a year: everybody reads the list, and anybody may be any
/// number of personal nodes.
const PERSONS: u64 = 1_000;
const PERSONS_AFTER_A_YEAR: u64 = 5_000;

const YEAR: u64 = 365 * 24 * 3600;

/// Notes since when a node is here, seconds, and from where an applicant came: one that is new, or had only
/// been refused.
pub fn note_arrival(
    tx: &Connection,
    id: &NodeId,
    now: u64,
    applied_from: Option<IpAddr>,
) -> Result<(), Failure> {
    let sql = "UPDATE nodes SET since = ?2, origin = ?3 WHERE id = ?1";
    let origin = applied_from.map(|from| from.to_string());
    tx.prepare_cached(sql)?.execute((id.as_ref(), now, origin))?;
    Ok(())
}

/// Forgets from where a node has applied.
pub fn forget_origin(tx: &Connection, id: &str) -> Result<(), Failure> {
    tx.prepare_cached("UPDATE nodes SET origin = NULL WHERE id = ?1")?.execute([id])?;
    Ok(())
}

/// The address or the network (IPv6: /48) that a node has applied from which was never admitted.
pub fn origin(connection: &Connection, id: &NodeId) -> Result<Option<IpAddr>, Failure> {
    let sql = "SELECT origin FROM nodes WHERE id = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let origin: Option<String> = statement.query_row([id.as_ref()], |row| row.get(0))?;
    Ok(origin.map(|origin| origin.parse().map_err(|_| Error::StoreCorrupt)).transpose()?)
}

/// [`Error::TooManyRequests`] when as many as may have applied from this address and wait.
pub fn expect_few_applicants(connection: &Connection, from: IpAddr) -> Result<(), Failure> {
    // Those that the operator has refused wait for nothing.
    let sql = format!(
        "SELECT count(*) FROM nodes WHERE {APPLICANTS} AND status = 'pending' AND origin = ?1"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let waiting: u64 = statement.query_row([from.to_string()], |row| row.get(0))?;
    if waiting < MOST_OF_ADDRESS { Ok(()) } else { Err(Error::TooManyRequests.into()) }
}

/// Whether the revocation list has room for the former cards of this personal node. The longer a node
/// has been there, the more: what younger ones take, however many they are, leaves it its own.
pub fn has_room(connection: &Connection, id: &NodeId, now: u64) -> Result<bool, Failure> {
    let sql = "SELECT since FROM nodes WHERE id = ?1";
    let since = connection.prepare_cached(sql)?.query_row([id.as_ref()], |row| row.get(0));
    let since: Option<u64> = since.optional()?.flatten();
    let age = now.saturating_sub(since.unwrap_or(0)).min(YEAR);
    let room = PERSONS + (PERSONS_AFTER_A_YEAR - PERSONS) * age / YEAR;
    Ok(superseded_persons(connection, now)? < room)
}

fn superseded_persons(connection: &Connection, now: u64) -> Result<u64, Failure> {
    let sql = "SELECT count(*) FROM nodes WHERE superseded > ?1 AND role = 'personal'";
    let since = now.saturating_sub(LIFETIME);
    Ok(connection.prepare_cached(sql)?.query_row([since], |row| row.get(0))?)
}

/// SQL of which of `rows` are too many, by `key`, where ?1 may stay: those that came last, by `time`, from
/// the address that most have come from.
pub fn beyond(rows: &str, key: &str, time: &str) -> String {
    format!(
        "SELECT {key} FROM (SELECT {key}, {time}, row_number() \
         OVER (PARTITION BY origin ORDER BY {time}, {key}) AS place FROM {rows}) \
         ORDER BY place, {time} LIMIT -1 OFFSET ?1"
    )
}

/// Drops, at `now`, seconds, what strangers left behind: applications that were never approved, when
/// they are old or too many, and personal nodes whose card ended long ago, which are admitted anew
/// when they come back. One that has changed its keys stays: with a former key nobody comes back.
/// Of too many applications those go that are [`beyond`].
pub fn drop_old(tx: &Connection, now: u64) -> Result<(), Failure> {
    let old = now.saturating_sub(KEPT);
    let sql = format!("DELETE FROM nodes WHERE {APPLICANTS} AND request ->> 'iat' < ?1");
    tx.prepare_cached(&sql)?.execute([old])?;
    let applicants = format!("nodes WHERE role <> 'personal' AND {APPLICANTS}");
    let crowd = beyond(&applicants, "id", "since");
    let sql = format!("DELETE FROM nodes WHERE id IN ({crowd})");
    tx.prepare_cached(&sql)?.execute([MOST_APPLICANTS])?;
    let sql = "DELETE FROM nodes WHERE id IN (SELECT id FROM nodes WHERE role = 'personal' \
               AND status = 'admitted' AND expires < ?1 \
               AND coalesce(json_array_length(request, '$.changes'), 0) = 0 LIMIT 1000)";
    tx.prepare_cached(sql)?.execute([old])?;
    Ok(())
}
