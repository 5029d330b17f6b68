//! What a notary remembers of the newest cards it has seen: of each node that has changed its keys, how
//! often. So the key that one gave up deposits nothing, also before the revocation list says so.

use hdms::Error;
use hdms::base64url::decode;
use hdms::card::{LIFETIME, VerifiedCard};
use hdms::ids::NodeId;
use rusqlite::{Connection, OptionalExtension};

use crate::base::sqlite::{Database, Failure};

/// SQL of the table. `issued` is when the newest card was issued, seconds.
pub const TABLE: &str = "
    CREATE TABLE changed_keys (
        node BLOB PRIMARY KEY,
        changes INTEGER NOT NULL,
        issued INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX changed_keys_issued ON changed_keys (issued);
";

/// Most nodes remembered. The oldest cards go first: the revocation list has told of them.
const MOST: u64 = 100_000;

/// Those of these cards that are former ones.
pub async fn former(database: &Database, cards: &[&VerifiedCard]) -> Result<Vec<NodeId>, Error> {
    let found = database.read(|connection| {
        let mut former = Vec::new();
        for card in cards {
            let seen = seen(connection, card)?.map_or(0, |(changes, _)| changes);
            former.extend(card.is_former(seen).then(|| card.id().clone()));
        }
        Ok(former)
    });
    found.await
}

/// Remembers these cards, which are good and no former ones, as far as their nodes have ever changed
/// their keys.
pub async fn remember(database: &Database, cards: &[&VerifiedCard]) -> Result<(), Error> {
    let changed = cards.iter().filter(|card| !card.keys().changes().is_empty());
    let changed: Vec<_> = changed.map(|card| VerifiedCard::clone(card)).collect();
    let unknown = database.read(|connection| {
        let known = |card| {
            let (changes, issued) = facts(card);
            let covers = |seen: (usize, u64)| seen.0 >= changes && seen.1 >= issued;
            seen(connection, card).map(|seen| seen.is_some_and(covers))
        };
        let known = changed.iter().map(known).collect::<Result<Vec<_>, _>>()?;
        Ok(known.contains(&false))
    });
    if changed.is_empty() || !unknown.await? {
        return Ok(());
    }
    database.write(move |tx| changed.iter().try_for_each(|card| keep(tx, card))).await
}

fn keep(tx: &Connection, card: &VerifiedCard) -> Result<(), Failure> {
    let ((changes, issued), node) = (facts(card), key(card.id())?);
    let sql = "INSERT INTO changed_keys VALUES (?1, ?2, ?3) ON CONFLICT (node) DO UPDATE \
               SET changes = max(changes, excluded.changes), issued = max(issued, excluded.issued)";
    tx.prepare_cached(sql)?.execute((node, changes, issued))?;
    let sql = "DELETE FROM changed_keys WHERE issued < ?1";
    tx.prepare_cached(sql)?.execute([issued.saturating_sub(2 * LIFETIME)])?;
    let sql = "DELETE FROM changed_keys WHERE node IN \
               (SELECT node FROM changed_keys ORDER BY issued DESC LIMIT -1 OFFSET ?1)";
    tx.prepare_cached(sql)?.execute([MOST])?;
    Ok(())
}

fn seen(connection: &Connection, card: &VerifiedCard) -> Result<Option<(usize, u64)>, Failure> {
    let sql = "SELECT changes, issued FROM changed_keys WHERE node = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let row = statement.query_row([key(card.id())?], |row| Ok((row.get(0)?, row.get(1)?)));
    Ok(row.optional()?)
}

fn facts(card: &VerifiedCard) -> (usize, u64) {
    (card.keys().changes().len(), card.card().iat)
}

fn key(node: &NodeId) -> Result<Vec<u8>, Error> {
    decode(node.as_ref()).ok_or(Error::KeyMalformed)
}
