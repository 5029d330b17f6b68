//! Entries that a notary logged before its log was a Merkle tree: they become the log's first
//! leaves, in their order and with their times. Their receipts were JWTs that count no longer;
//! depositing again gets the new ones.

use hdms::Error;
use hdms::base64url::decode;
use hdms::json;
use hdms::ledger::Place;
use rusqlite::Connection;

use super::import::{Import, Imported};
use crate::base::sqlite::Failure;

/// SQL of the table as it was at first.
pub const TABLE: &str = "
    CREATE TABLE entries (
        place INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        case_id TEXT NOT NULL,
        previous TEXT NOT NULL,
        entry TEXT NOT NULL,
        receipt TEXT NOT NULL,
        UNIQUE (case_id, previous)
    ) STRICT;
";

/// SQL that makes room for today's table.
pub const SET_ASIDE: &str = "ALTER TABLE entries RENAME TO former_entries;";

/// Takes all of them over, some in each transaction.
pub async fn take_over(import: &Import) -> Result<(), Error> {
    let mut taken = 0;
    loop {
        match import.append_from(take).await? {
            0 => break,
            count => taken += count,
        }
    }
    if taken > 0 {
        tracing::info!(taken, "the entries logged so far are now in the Merkle tree");
    }
    Ok(())
}

/// The first of them, with their times; they are gone from the former table.
fn take(tx: &Connection) -> Result<Vec<Imported>, Failure> {
    let sql = "DELETE FROM former_entries WHERE place IN \
               (SELECT place FROM former_entries ORDER BY place LIMIT 10000) \
               RETURNING place, entry, receipt";
    let mut statement = tx.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    let mut taken = Vec::new();
    while let Some(row) = rows.next()? {
        let (place, entry, receipt): (u64, String, String) =
            (row.get(0)?, row.get(1)?, row.get(2)?);
        let time = time(&receipt).ok_or(Error::StoreCorrupt)?;
        let entry = json::stored(entry.as_bytes())?;
        taken.push((place, Imported { entry, place: Place::Former, time }));
    }
    // SQLite leaves open in which order it returns them.
    taken.sort_by_key(|(place, _)| *place);
    Ok(taken.into_iter().map(|(_, taken)| taken).collect())
}

/// When the entry of a receipt was logged, seconds.
fn time(receipt: &str) -> Option<u64> {
    let claims = json::parse(&decode(receipt.split('.').nth(1)?)?).ok()?;
    claims["iat"].as_u64()
}
