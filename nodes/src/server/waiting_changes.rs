//! Since when changes of signing keys wait that were proven and not taken: for they are taken only while
//! they are new, and who made one in time does not lose its node by limits that others use up.

use std::net::IpAddr;

use hdms::card::MAX_CHANGES;
use hdms::ids::NodeId;
use hdms::jose::digest;
use rusqlite::Connection;

use super::strangers;
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

/// SQL of the address that each was brought from.
pub const ORIGINS: &str = "
    ALTER TABLE waiting_changes ADD COLUMN origin TEXT;
    CREATE INDEX waiting_changes_origin ON waiting_changes (origin);
    CREATE INDEX waiting_changes_seen ON waiting_changes (seen);
";

/// Most that wait: of all, and of those that were brought from one address.
const MOST: u64 = 10_000;
const MOST_OF_ADDRESS: u64 = 100;

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

/// Notes that these of a node wait, by digest, `seen` now, seconds: as many of it as a card may carry, and
/// of the address that brings them as may wait.
pub fn note(
    tx: &Connection,
    (id, from): (&NodeId, IpAddr),
    digests: &[String],
    seen: u64,
) -> Result<(), Failure> {
    let mut noting = tx.prepare_cached(
        "INSERT OR IGNORE INTO waiting_changes (node, statement, seen, origin) \
         SELECT ?1, ?2, ?3, ?4 \
         WHERE (SELECT count(*) FROM waiting_changes WHERE node = ?1) < ?5 \
         AND (SELECT count(*) FROM waiting_changes WHERE origin = ?4) < ?6",
    )?;
    let origin = from.to_string();
    for statement in digests {
        noting.execute((id.as_ref(), statement, seen, &origin, MAX_CHANGES, MOST_OF_ADDRESS))?;
    }
    Ok(())
}

/// Forgets these of a node, which were taken; others may still be, whoever asked with these.
pub fn forget(tx: &Connection, id: &NodeId, changes: &[String]) -> Result<(), Failure> {
    let sql = "DELETE FROM waiting_changes WHERE node = ?1 AND statement = ?2";
    let mut forgetting = tx.prepare_cached(sql)?;
    for jwt in changes {
        forgetting.execute((id.as_ref(), digest(jwt)))?;
    }
    Ok(())
}

/// Drops those that have waited too long, and of too many those that are [beyond](strangers::beyond).
pub fn drop_old(tx: &Connection, now: u64) -> Result<(), Failure> {
    let sql = "DELETE FROM waiting_changes WHERE seen < ?1";
    tx.prepare_cached(sql)?.execute([now.saturating_sub(WAITS)])?;
    let crowd = strangers::beyond("waiting_changes", "node, statement", "seen");
    let sql = format!("DELETE FROM waiting_changes WHERE (node, statement) IN ({crowd})");
    tx.prepare_cached(&sql)?.execute([MOST])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use hdms::jose::digest;

    use super::super::schema;
    use super::{drop_old, note};

    const CROWD: &str = "
        WITH RECURSIVE n (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM n WHERE n < 10000)
        INSERT INTO waiting_changes SELECT 'node ' || n, '', 1, '192.0.2.1' FROM n;
    ";

    #[tokio::test]
    async fn one_address_has_room_for_some_and_takes_that_of_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let database = schema::open(dir.path()).unwrap();
        let counted = database.write(|tx| {
            let digests: Vec<_> = (0..20).map(|number| digest(format!("{number}"))).collect();
            let [one, other] = [1, 2].map(|last| IpAddr::from([198, 51, 100, last]));
            for node in 0..20 {
                note(tx, (&digest(format!("node {node}")).parse()?, one), &digests, 1)?;
            }
            note(tx, (&digest("another").parse()?, other), &digests, 2)?;
            tx.execute(CROWD, [])?;
            drop_old(tx, 2)?;
            let mut statement =
                tx.prepare("SELECT count(*) FROM waiting_changes GROUP BY origin ORDER BY origin")?;
            let rows = statement.query_map([], |row| row.get(0))?;
            Ok(rows.collect::<Result<Vec<u64>, _>>()?)
        });
        assert_eq!(counted.await.unwrap(), [9_884, 100, 16]);
    }
}
