//! Since when changes of signing keys wait that were proven and not taken: for they are taken only while
//! they are new, and who made one in time does not lose its node by limits that others use up.

use std::collections::HashMap;
use std::net::IpAddr;

use hdms::Error;
use hdms::base64url::digest;
use hdms::card::{KeyChange, MAX_CHANGES};
use hdms::ids::NodeId;
use rusqlite::Connection;

use super::strangers;
use crate::base::sqlite::Failure;

/// SQL of when each was first seen, seconds; `statement` is its mark, or the digest of its JWT where it was
/// noted before there were marks.
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

/// By what each of a chain of changes is known while it waits: its place and the new key. Whoever states the
/// same once more makes no other of it.
pub fn marks(changes: &[String]) -> Result<Vec<String>, Error> {
    let mark = |(place, jwt): (usize, &String)| {
        let key = KeyChange::claimed(jwt)?.signing_key.thumbprint();
        Ok(digest(format!("{place} {key}")))
    };
    changes.iter().enumerate().map(mark).collect()
}

/// Those of a node that may still be taken at `now`, seconds, by mark, each with when it was seen. One that
/// was noted before there were marks is known among the `changes` that the node brings.
pub fn of_node(
    connection: &Connection,
    (id, changes): (&NodeId, &[String]),
    now: u64,
) -> Result<Vec<(String, u64)>, Failure> {
    let sql = "SELECT statement, seen FROM waiting_changes WHERE node = ?1 AND seen >= ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let since = now.saturating_sub(WAITS);
    let mut marks: HashMap<_, _> = changes.iter().map(digest).zip(marks(changes)?).collect();
    let rows = statement.query_map((id.as_ref(), since), |row| {
        let noted: String = row.get(0)?;
        Ok((marks.remove(&noted).unwrap_or(noted), row.get(1)?))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Notes that these of a node wait, by mark, `seen` now, seconds: as many as may of the address that brings
/// them. Of a node as many wait as a card may carry, and of more those go that came first from the address
/// that most came from: a thief of its key pushes out his own, and shuts its owner out by being first neither.
pub fn note(
    tx: &Connection,
    (id, from): (&NodeId, IpAddr),
    marks: &[String],
    seen: u64,
) -> Result<(), Failure> {
    let mut noting = tx.prepare_cached(
        "INSERT OR IGNORE INTO waiting_changes (node, statement, seen, origin) \
         SELECT ?1, ?2, ?3, ?4 \
         WHERE (SELECT count(*) FROM waiting_changes WHERE origin = ?4) < ?5",
    )?;
    let mut pushing_out = tx.prepare_cached(
        "DELETE FROM waiting_changes WHERE node = ?1 AND statement IN (\
             SELECT statement FROM (SELECT statement, seen, row_number() \
             OVER (PARTITION BY origin ORDER BY seen DESC, statement) AS place \
             FROM waiting_changes WHERE node = ?1) \
             ORDER BY place, seen DESC, statement LIMIT -1 OFFSET ?2)",
    )?;
    let origin = from.to_string();
    for statement in marks {
        noting.execute((id.as_ref(), statement, seen, &origin, MOST_OF_ADDRESS))?;
    }
    pushing_out.execute((id.as_ref(), MAX_CHANGES))?;
    Ok(())
}

/// Forgets these of a node, which were taken; others may still be, whoever asked with these.
pub fn forget(tx: &Connection, id: &NodeId, changes: &[String]) -> Result<(), Failure> {
    let sql = "DELETE FROM waiting_changes WHERE node = ?1 AND statement = ?2";
    let mut forgetting = tx.prepare_cached(sql)?;
    // Those of before there were marks as well.
    for noted in marks(changes)?.into_iter().chain(changes.iter().map(digest)) {
        forgetting.execute((id.as_ref(), noted))?;
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

    use hdms::base64url::digest;

    use super::super::schema;
    use super::{drop_old, note, of_node};

    const CROWD: &str = "
        WITH RECURSIVE n (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM n WHERE n < 10000)
        INSERT INTO waiting_changes SELECT 'node ' || n, '', 1, '192.0.2.1' FROM n;
    ";

    /// Wherever the thief of a node's key is, and however often he comes.
    #[tokio::test]
    async fn a_thief_pushes_out_his_own_and_his_oldest() {
        let dir = tempfile::tempdir().unwrap();
        let database = schema::open(dir.path()).unwrap();
        let waiting = database.write(|tx| {
            let id = digest("node").parse()?;
            let [thief, owner] = [1, 2].map(|last| IpAddr::from([198, 51, 100, last]));
            for round in 0..16 {
                note(tx, (&id, thief), &[format!("theft {round}")], round)?;
            }
            note(tx, (&id, owner), &["own".into()], 16)?;
            note(tx, (&id, thief), &["another".into()], 17)?;
            Ok(of_node(tx, (&id, &[]), 17)?.into_iter().map(|(mark, _)| mark).collect::<Vec<_>>())
        });
        let waiting = waiting.await.unwrap();
        assert_eq!(waiting.len(), 16);
        let gone = |mark: &str| !waiting.iter().any(|one| one == mark);
        assert!(gone("theft 0") && gone("theft 1") && !gone("own") && !gone("another"));
    }

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
