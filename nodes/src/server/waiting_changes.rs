//! Since when changes of signing keys wait that were proven and not taken: for they are taken only while
//! they are new, and who made one in time does not lose its node by limits that others use up.

use hdms::card::MAX_CHANGES;
use hdms::doorman::AdmissionRequest;
use hdms::ids::NodeId;
use hdms::jose::digest;
use rusqlite::Connection;

use crate::sqlite::Failure;

/// SQL of when each was first seen, seconds; `statement` is its digest.
pub const CHANGES: &str = "
    CREATE TABLE waiting_changes (
        node TEXT NOT NULL,
        statement TEXT NOT NULL,
        seen INTEGER NOT NULL,
        PRIMARY KEY (node, statement)
    ) STRICT, WITHOUT ROWID;
";

/// How long one may wait, seconds: so much more can be disowned by who makes it wait on purpose.
const WAITS: u64 = 30 * 24 * 3600;

/// Those of a node that may still be taken at `now`, seconds, by digest, each with when it was seen.
pub fn of_node(
    connection: &Connection,
    id: &NodeId,
    now: u64,
) -> Result<Vec<(String, u64)>, Failure> {
    let sql = "SELECT statement, seen FROM waiting_changes WHERE node = ?1 AND seen >= ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let since = now.saturating_sub(WAITS);
    let rows = statement.query_map((id.as_ref(), since), |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Notes that those of this request wait which don't yet, `seen` now, seconds: as many of a node as a
/// card may carry.
pub fn note(tx: &Connection, request: &AdmissionRequest, seen: u64) -> Result<(), Failure> {
    let mut noting = tx.prepare_cached(
        "INSERT OR IGNORE INTO waiting_changes SELECT ?1, ?2, ?3 \
         WHERE (SELECT count(*) FROM waiting_changes WHERE node = ?1) < ?4",
    )?;
    for jwt in &request.changes {
        noting.execute((request.iss.as_ref(), digest(jwt), seen, MAX_CHANGES))?;
    }
    Ok(())
}

/// Drops those that have waited too long.
pub fn drop_old(tx: &Connection, now: u64) -> Result<(), Failure> {
    let sql = "DELETE FROM waiting_changes WHERE seen < ?1";
    tx.prepare_cached(sql)?.execute([now.saturating_sub(WAITS)])?;
    Ok(())
}
