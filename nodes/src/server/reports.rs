//! What became of messages: told to those who delivered them, until they have read it. Of each only
//! so much is kept.

use hdms::ids::NodeId;
use hdms::mailbox::{Fate, MAX_PAGE, MAX_REPORTS, Report, ReportPage};
use rusqlite::{Connection, Row};

use super::quota;
use crate::base::sqlite::Failure;

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
               (SELECT number FROM reports WHERE sender = ?1 ORDER BY number LIMIT ?2) \
               RETURNING recipient";
    let mut statement = tx.prepare_cached(sql)?;
    let about = statement.query_map((sender, excess), |row| row.get(0))?;
    gone(tx, sender, about.collect::<Result<_, _>>()?)
}

/// Counts off reports about these mailboxes.
fn gone(tx: &Connection, sender: &str, mut about: Vec<String>) -> Result<(), Failure> {
    if about.is_empty() {
        return Ok(());
    }
    count(tx, sender, -(about.len() as i64))?;
    about.sort_unstable();
    about.dedup();
    about.iter().try_for_each(|recipient| quota::forget(tx, sender, recipient))
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
    let sql = "DELETE FROM reports WHERE sender = ?1 AND number <= ?2 RETURNING recipient";
    let range = (node.as_ref(), upto.min(i64::MAX.unsigned_abs()));
    let mut statement = tx.prepare_cached(sql)?;
    let about = statement.query_map(range, |row| row.get(0))?;
    gone(tx, node.as_ref(), about.collect::<Result<_, _>>()?)
}

fn columns(row: &Row<'_>) -> Result<(u64, String, u64, String), rusqlite::Error> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
}

#[cfg(test)]
mod tests {
    use super::{Gone, keep, page, read};
    use crate::base::sqlite::Database;
    use crate::server::{quota, schema};
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

    #[tokio::test]
    async fn of_two_who_have_nothing_more_to_do_with_each_other_nothing_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let database = schema::open(dir.path()).unwrap();
        let kept = database.write(|tx| {
            let [recipient, sender] = NODES;
            let quotas = quota::Quotas::default();
            let counted = "SELECT count(*) FROM senders";
            let counted = || tx.query_row(counted, [], |row| row.get::<_, u64>(0));
            for fate in [Fate::Expired, Fate::Fetched] {
                let place = quota::take_place(tx, sender, recipient, 1, quotas)?.unwrap();
                let one = quota::Quota { messages: 1, bytes: 1 };
                quota::give_back(tx, sender, recipient, one)?;
                keep(tx, &Gone { sender, recipient, number: place.number, fate })?;
                quota::forget(tx, sender, recipient)?;
            }
            let with_reports = counted()?;
            read(tx, &sender.parse().unwrap(), 1)?;
            let with_one_of_two = counted()?;
            read(tx, &sender.parse().unwrap(), 2)?;
            let plan =
                "EXPLAIN QUERY PLAN SELECT 1 FROM reports WHERE sender = 'a' AND recipient = 'b'";
            let plan = tx.query_row(plan, [], |row| row.get::<_, String>(3))?;
            Ok(([with_reports, with_one_of_two, counted()?], plan.contains("reports_of_pair")))
        });
        assert_eq!(kept.await.unwrap(), ([1, 1, 0], true));
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
