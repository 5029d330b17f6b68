//! What became of messages: told to those who delivered them, until they have read it. Of each only
//! so much is kept.

use hdms::ids::NodeId;
use hdms::mailbox::{Fate, MAX_PAGE, MAX_REPORTS, Report, ReportPage};
use rusqlite::{Connection, Row};

use crate::sqlite::Failure;

/// So seldom are the reports of one node counted.
const TRIM: i64 = 64;

const FETCHED: &str = "fetched";
const EXPIRED: &str = "expired";

/// A message that is gone, and why.
#[derive(Debug)]
pub struct Gone<'a> {
    /// Who delivered it.
    pub sender: &'a str,
    /// Whose mailbox.
    pub recipient: &'a str,
    /// Its place there.
    pub seq: u64,
    /// What became of it.
    pub fate: Fate,
}

/// Keeps a report. What was fetched takes the place of what was fetched before from the same mailbox.
pub fn keep(tx: &Connection, gone: &Gone<'_>) -> Result<(), Failure> {
    let Gone { sender, recipient, seq, fate } = gone;
    let outcome = match fate {
        Fate::Fetched => {
            let sql = "DELETE FROM reports \
                       WHERE sender = ?1 AND recipient = ?2 AND outcome = 'fetched'";
            tx.prepare_cached(sql)?.execute((sender, recipient))?;
            FETCHED
        }
        Fate::Expired => EXPIRED,
        Fate::Refused(code) => code,
    };
    let sql = "INSERT INTO reports (sender, recipient, seq, outcome) VALUES (?1, ?2, ?3, ?4)";
    tx.prepare_cached(sql)?.execute((sender, recipient, seq, outcome))?;
    if tx.last_insert_rowid() % TRIM != 0 {
        return Ok(());
    }
    let sql = "DELETE FROM reports WHERE sender = ?1 AND number <= \
               (SELECT number FROM reports WHERE sender = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2)";
    tx.prepare_cached(sql)?.execute((sender, MAX_REPORTS))?;
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
    tx.prepare_cached(sql)?.execute((node.as_ref(), upto.min(i64::MAX.unsigned_abs())))?;
    Ok(())
}

fn columns(row: &Row<'_>) -> Result<(u64, String, u64, String), rusqlite::Error> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
}
