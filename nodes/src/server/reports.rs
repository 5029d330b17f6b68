//! What became of messages: told to those who delivered them, until they have read it. Of each only
//! so much is kept.

use hdms::ids::NodeId;
use hdms::mailbox::{Fate, MAX_PAGE, MAX_REPORTS, Report, ReportPage};
use rusqlite::{Connection, Row};

use crate::sqlite::Failure;

/// Most of one node's that go for one that comes, where there are too many.
const TRIM: u64 = 64;

/// How many are kept of each node, counted with every change of them: none has to be read to know.
pub const COUNTS: &str = "
    CREATE TABLE report_counts (
        sender TEXT PRIMARY KEY,
        reports INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    INSERT INTO report_counts SELECT sender, count(*) FROM reports GROUP BY sender;
";

const FETCHED: &str = "fetched";
const EXPIRED: &str = "expired";

/// A message that is gone, and why.
#[derive(Debug)]
pub struct Gone<'a> {
    /// Who delivered it.
    pub sender: &'a str,
    /// Whose mailbox.
    pub recipient: &'a str,
    /// Its number among those of that sender there.
    pub number: u64,
    /// What became of it.
    pub fate: Fate,
}

/// Keeps a report. What was fetched takes the place of what was fetched before from the same mailbox.
pub fn keep(tx: &Connection, gone: &Gone<'_>) -> Result<(), Failure> {
    let Gone { sender, recipient, number, fate } = gone;
    let mut replaced = 0;
    let outcome = match fate {
        Fate::Fetched => {
            let sql = "DELETE FROM reports \
                       WHERE sender = ?1 AND recipient = ?2 AND outcome = 'fetched'";
            replaced = tx.prepare_cached(sql)?.execute((sender, recipient))?;
            FETCHED
        }
        Fate::Expired => EXPIRED,
        Fate::Refused(code) => code,
    };
    let sql = "INSERT INTO reports (sender, recipient, seq, outcome) VALUES (?1, ?2, ?3, ?4)";
    tx.prepare_cached(sql)?.execute((sender, recipient, number, outcome))?;
    count(tx, sender, 1 - replaced as i64)?;
    trim(tx, sender)
}

/// Lets the oldest go of too many.
fn trim(tx: &Connection, sender: &str) -> Result<(), Failure> {
    let sql = "SELECT reports FROM report_counts WHERE sender = ?1";
    let kept: u64 = tx.prepare_cached(sql)?.query_row([sender], |row| row.get(0))?;
    let excess = kept.saturating_sub(MAX_REPORTS).min(TRIM);
    if excess == 0 {
        return Ok(());
    }
    let sql = "DELETE FROM reports WHERE number IN \
               (SELECT number FROM reports WHERE sender = ?1 ORDER BY number LIMIT ?2)";
    let gone = tx.prepare_cached(sql)?.execute((sender, excess))?;
    count(tx, sender, -(gone as i64))
}

/// Counts so many more, or fewer.
fn count(tx: &Connection, sender: &str, more: i64) -> Result<(), Failure> {
    let sql = "INSERT INTO report_counts (sender, reports) VALUES (?1, ?2) \
               ON CONFLICT (sender) DO UPDATE SET reports = reports + excluded.reports";
    tx.prepare_cached(sql)?.execute((sender, more))?;
    Ok(())
}

/// Up to `limit` reports for a node after the number `after`.
pub fn page(
    connection: &Connection,
    node: &NodeId,
    after: u64,
    limit: usize,
) -> Result<ReportPage, Failure> {
    let limit = limit.clamp(1, MAX_PAGE);
    let sql = "SELECT number, recipient, seq, outcome FROM reports \
               WHERE sender = ?1 AND number > ?2 ORDER BY number LIMIT ?3";
    let after = after.min(i64::MAX.unsigned_abs());
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map((node.as_ref(), after, limit as u64 + 1), columns)?;
    let mut reports = Vec::new();
    for row in rows {
        let (number, to, seq, outcome): (u64, String, u64, String) = row?;
        let Ok(to) = to.parse() else { continue };
        let outcome = match outcome.as_str() {
            FETCHED => Fate::Fetched,
            EXPIRED => Fate::Expired,
            _ => Fate::Refused(outcome),
        };
        reports.push(Report { number, to, seq, outcome });
    }
    let more = reports.len() > limit;
    reports.truncate(limit);
    Ok(ReportPage { reports, more })
}

/// The node has read all up to this number.
pub fn read(tx: &Connection, node: &NodeId, upto: u64) -> Result<(), Failure> {
    let sql = "DELETE FROM reports WHERE sender = ?1 AND number <= ?2";
    let range = (node.as_ref(), upto.min(i64::MAX.unsigned_abs()));
    let gone = tx.prepare_cached(sql)?.execute(range)?;
    if gone > 0 { count(tx, node.as_ref(), -(gone as i64)) } else { Ok(()) }
}

fn columns(row: &Row<'_>) -> Result<(u64, String, u64, String), rusqlite::Error> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
}

#[cfg(test)]
mod tests {
    use super::{Gone, keep, page, read};
    use crate::server::schema;
    use crate::sqlite::Database;
    use hdms::ids::NodeId;
    use hdms::mailbox::{Fate, MAX_REPORTS};

    const NODES: [&str; 2] = [
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBA",
    ];

    #[tokio::test]
    async fn the_newest_ten_thousand_of_each_node_are_kept_however_they_come() {
        let dir = tempfile::tempdir().unwrap();
        let database = schema::open(dir.path()).unwrap();
        let [even, odd]: [NodeId; 2] = NODES.map(|node| node.parse().unwrap());
        let most = 2 * (MAX_REPORTS + 100);
        let reported = database.write(move |tx| {
            for seq in 1..=most {
                // All numbers that a power of two divides are one node's.
                let (sender, fate) = (NODES[seq as usize % 2], Fate::Expired);
                keep(tx, &Gone { sender, recipient: NODES[0], number: seq, fate })?;
            }
            Ok(())
        });
        reported.await.unwrap();
        for (node, newest) in [(&even, most), (&odd, most - 1)] {
            assert_eq!(kept(&database, node).await, (MAX_REPORTS, newest - 2 * (MAX_REPORTS - 1)));
        }
        // What was read makes room.
        let (node, upto) = (odd.clone(), most - 1000);
        database.write(move |tx| read(tx, &node, upto)).await.unwrap();
        assert_eq!(kept(&database, &odd).await, (500, upto + 1));
        let fetched = database.write(move |tx| {
            for seq in 1..=1000 {
                let (sender, fate) = (NODES[1], Fate::Fetched);
                keep(tx, &Gone { sender, recipient: NODES[0], number: seq, fate })?;
            }
            Ok(())
        });
        fetched.await.unwrap();
        assert_eq!(kept(&database, &odd).await, (501, upto + 1), "one row for what was fetched");
    }

    /// How many reports there are for this node, and the number of the first of them.
    async fn kept(database: &Database, node: &NodeId) -> (u64, u64) {
        let node = node.clone();
        let kept = database.read(move |connection| {
            let sql = "SELECT count(*) FROM reports WHERE sender = ?1";
            let count = connection.query_row(sql, [node.as_ref()], |row| row.get(0))?;
            Ok((count, page(connection, &node, 0, 1)?.reports[0].number))
        });
        kept.await.unwrap()
    }
}
