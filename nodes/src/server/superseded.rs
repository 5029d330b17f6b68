//! Which cards no longer count because their nodes have changed their signing keys; also those of nodes
//! whose change the database does not know, since it was put back to before it.

use hdms::card::LIFETIME;
use hdms::ids::NodeId;
use hdms::network::Superseded;
use rusqlite::{Connection, OptionalExtension};

use super::known::IssuedCard;
use super::nodes;
use crate::base::sqlite::Failure;

/// SQL of the nodes that have changed their signing keys to one that is not known here: cards issued
/// before then, seconds, don't count.
pub const UNKNOWN_KEYS: &str = "
    CREATE TABLE unknown_keys (id TEXT PRIMARY KEY, before INTEGER NOT NULL) STRICT, WITHOUT ROWID;
";

/// Which cards no longer count at `now` because their nodes have changed their keys, in the order of
/// their ids; those that have expired are left out.
pub fn listed(connection: &Connection, now: u64) -> Result<Vec<Superseded>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT id, max(before) FROM (SELECT id, superseded AS before FROM nodes \
         WHERE superseded > ?1 UNION SELECT id, before FROM unknown_keys WHERE before > ?1) \
         GROUP BY id ORDER BY id",
    )?;
    let since = now.saturating_sub(LIFETIME);
    let rows = statement.query_map([since], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
    rows.map(|row| {
        let (id, before) = row?;
        Ok(Superseded { node: id.parse()?, before })
    })
    .collect()
}

/// Takes back that cards of before then don't count. Unless the node's newest card is known, nor is
/// its key from now on.
pub fn take_back(tx: &Connection, ended: &Superseded) -> Result<(), Failure> {
    let (id, before) = (ended.node.as_ref(), ended.before);
    let sql = "UPDATE nodes SET superseded = max(coalesce(superseded, 0), ?2) WHERE id = ?1";
    tx.execute(sql, (id, before))?;
    let known = nodes::find(tx, &ended.node)?.and_then(|known| known.card);
    if known.as_ref().map(IssuedCard::issued) < Some(before) {
        let sql = "INSERT INTO unknown_keys VALUES (?1, ?2) \
                   ON CONFLICT (id) DO UPDATE SET before = max(before, excluded.before)";
        tx.execute(sql, (id, before))?;
    }
    Ok(())
}

/// Since when a node has had a key that is not known here, seconds.
pub fn since(connection: &Connection, id: &NodeId) -> Result<Option<u64>, Failure> {
    let sql = "SELECT before FROM unknown_keys WHERE id = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_row([id.as_ref()], |row| row.get(0)).optional()?)
}

/// The node's key is known again.
pub fn found(tx: &Connection, id: &NodeId) -> Result<(), Failure> {
    tx.prepare_cached("DELETE FROM unknown_keys WHERE id = ?1")?.execute([id.as_ref()])?;
    Ok(())
}
