//! What a witness has co-signed, and what it has refused aloud, in the notary's database.

use hdms::Error;
use hdms::log::SignedCheckpoint;
use rusqlite::{Connection, OptionalExtension, Row};

use super::ruling::{Cosigned, Kind, TreeHead};
use crate::base::log::witnessed::{CosignedCheckpoint, WitnessAlarm};
use crate::base::sqlite::Failure;

/// SQL of the tables. Notes have the log's signature, co-signed ones the witness's own as well.
pub const TABLES: &str = "
    CREATE TABLE cosigned (
        log TEXT NOT NULL,
        size INTEGER NOT NULL,
        note TEXT NOT NULL,
        PRIMARY KEY (log, size)
    ) STRICT;
    CREATE TABLE alarms (
        number INTEGER PRIMARY KEY,
        log TEXT NOT NULL,
        kind TEXT NOT NULL,
        size INTEGER NOT NULL,
        root BLOB NOT NULL,
        time INTEGER NOT NULL,
        cosigned TEXT NOT NULL,
        refused TEXT NOT NULL,
        UNIQUE (log, kind, size, root)
    ) STRICT;
";

/// Co-signed checkpoints that are remembered of each log: with them an old one that comes again is
/// told from another one of its size.
const REMEMBERED: u64 = 1000;

/// Alarms of one kind that are kept about one log: the first ones.
const ALARMS: u64 = 100;

/// The newest checkpoint that was co-signed of a log.
pub fn newest(connection: &Connection, log: &str) -> Result<Option<SignedCheckpoint>, Failure> {
    one(connection, "log = ?1 ORDER BY size DESC LIMIT 1", [log])
}

/// What was co-signed of a log, as far as a checkpoint of this size has to do with it.
pub fn cosigned(connection: &Connection, log: &str, size: u64) -> Result<Cosigned, Failure> {
    let newest = newest(connection, log)?;
    let same_size = one(connection, "log = ?1 AND size = ?2", (log, size))?;
    Ok(Cosigned {
        newest: newest.as_ref().map_or_else(TreeHead::empty, tree),
        same_size: same_size.map(|same| same.checkpoint().root),
    })
}

/// Keeps a checkpoint with its cosignature as the newest one. An alarm that no proof led to it is
/// taken back: now one has.
pub fn keep(tx: &Connection, checkpoint: &SignedCheckpoint) -> Result<(), Failure> {
    let (log, tree) = (&checkpoint.checkpoint().origin, tree(checkpoint));
    let sql = "INSERT INTO cosigned (log, size, note) VALUES (?1, ?2, ?3) \
               ON CONFLICT DO NOTHING";
    tx.prepare_cached(sql)?.execute((log, tree.size, checkpoint.to_text()))?;
    let sql = "DELETE FROM cosigned WHERE log = ?1 AND size <= \
               (SELECT size FROM cosigned WHERE log = ?1 ORDER BY size DESC LIMIT 1 OFFSET ?2)";
    tx.prepare_cached(sql)?.execute((log, REMEMBERED))?;
    let sql = "DELETE FROM alarms WHERE log = ?1 AND kind = ?2 AND size = ?3 AND root = ?4";
    tx.prepare_cached(sql)?.execute((log, Kind::Unproven.name(), tree.size, tree.root))?;
    Ok(())
}

/// Keeps an alarm about a checkpoint. Answers what was co-signed instead, if the alarm is a new one
/// and there was room for it.
pub fn raise(
    tx: &Connection,
    kind: Kind,
    refused: &SignedCheckpoint,
    time: u64,
) -> Result<Option<SignedCheckpoint>, Failure> {
    let (log, tree) = (&refused.checkpoint().origin, tree(refused));
    let same_size = one(tx, "log = ?1 AND size = ?2", (log, tree.size))?;
    let against = same_size.map_or_else(|| newest(tx, log), |same| Ok(Some(same)))?;
    let against = against.ok_or(Error::StoreCorrupt)?;
    let sql = "INSERT INTO alarms (log, kind, size, root, time, cosigned, refused) \
               SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 \
               WHERE (SELECT count(*) FROM alarms WHERE log = ?1 AND kind = ?2) < ?8 \
               ON CONFLICT DO NOTHING";
    let (size, root) = (tree.size, tree.root);
    let (cosigned, refused) = (against.to_text(), refused.to_text());
    let row = (log, kind.name(), size, root, time, cosigned, refused, ALARMS);
    let raised = tx.prepare_cached(sql)?.execute(row)? > 0;
    Ok(raised.then_some(against))
}

/// The newest co-signed checkpoint of every log.
pub fn states(connection: &Connection) -> Result<Vec<CosignedCheckpoint>, Failure> {
    let sql = "SELECT log, note FROM cosigned AS one WHERE size = \
               (SELECT max(size) FROM cosigned WHERE log = one.log) ORDER BY log";
    let read = |row: &Row<'_>| Ok(CosignedCheckpoint { log: row.get(0)?, checkpoint: row.get(1)? });
    let mut statement = connection.prepare_cached(sql)?;
    let states = statement.query_map([], read)?;
    Ok(states.collect::<Result<_, _>>()?)
}

/// All alarms, oldest first.
pub fn alarms(connection: &Connection) -> Result<Vec<WitnessAlarm>, Failure> {
    let sql = "SELECT log, kind, time, cosigned, refused FROM alarms ORDER BY number";
    let read = |row: &Row<'_>| {
        let (log, kind, time) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(WitnessAlarm { log, kind, time, cosigned: row.get(3)?, refused: row.get(4)? })
    };
    let mut statement = connection.prepare_cached(sql)?;
    let alarms = statement.query_map([], read)?;
    Ok(alarms.collect::<Result<_, _>>()?)
}

/// The tree of a checkpoint.
pub fn tree(checkpoint: &SignedCheckpoint) -> TreeHead {
    let checkpoint = checkpoint.checkpoint();
    TreeHead { size: checkpoint.size, root: checkpoint.root }
}

fn one(
    connection: &Connection,
    which: &str,
    key: impl rusqlite::Params,
) -> Result<Option<SignedCheckpoint>, Failure> {
    let sql = format!("SELECT note FROM cosigned WHERE {which}");
    let mut statement = connection.prepare_cached(&sql)?;
    let note: Option<String> = statement.query_row(key, |row| row.get(0)).optional()?;
    let parsed = note.map(|note| SignedCheckpoint::parse(&note)).transpose();
    Ok(parsed.map_err(|_| Error::StoreCorrupt)?)
}

#[cfg(test)]
mod tests {
    use super::{ALARMS, REMEMBERED, TABLES, alarms, cosigned, keep, newest, raise, states};
    use crate::notary::witness::ruling::{Kind, TreeHead};
    use hdms::log::{Checkpoint, NoteSignature, SignedCheckpoint};
    use rusqlite::Connection;

    fn database() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(TABLES).unwrap();
        connection
    }

    fn checkpoint(log: &str, size: u64, root: u8) -> SignedCheckpoint {
        let signature = NoteSignature { name: log.into(), key_id: [1; 4], signature: vec![root] };
        let checkpoint = Checkpoint { origin: log.into(), size, root: [root; 32] };
        SignedCheckpoint::new(checkpoint, signature)
    }

    #[test]
    fn the_newest_of_each_log_is_kept_and_so_many_before_it() {
        let tx = database();
        assert_eq!(cosigned(&tx, "a", 1).ok().unwrap().newest, TreeHead::empty());
        for size in 1..=REMEMBERED + 5 {
            keep(&tx, &checkpoint("a", size, 1)).ok().unwrap();
        }
        keep(&tx, &checkpoint("b", 3, 2)).ok().unwrap();
        let last = REMEMBERED + 5;
        for (size, same_size) in [(5, None), (6, Some([1; 32])), (last + 1, None)] {
            let cosigned = cosigned(&tx, "a", size).ok().unwrap();
            assert_eq!(cosigned.newest, TreeHead { size: last, root: [1; 32] });
            assert_eq!(cosigned.same_size, same_size, "{size}");
        }
        let states = states(&tx).ok().unwrap();
        let texts = [checkpoint("a", last, 1), checkpoint("b", 3, 2)].map(|one| one.to_text());
        assert_eq!(states.into_iter().map(|state| state.checkpoint).collect::<Vec<_>>(), texts);
    }

    #[test]
    fn an_alarm_is_kept_once_and_of_each_kind_so_many() {
        let tx = database();
        keep(&tx, &checkpoint("a", 1000, 1)).ok().unwrap();
        let raise =
            |kind, size| raise(&tx, kind, &checkpoint("a", size, 2), 7).ok().unwrap().is_some();
        for size in 0..ALARMS {
            assert!(raise(Kind::Rollback, size));
            assert!(!raise(Kind::Rollback, size), "again");
        }
        assert!(!raise(Kind::Rollback, ALARMS), "too many");
        assert!(raise(Kind::Fork, 1000));
        assert_eq!(alarms(&tx).ok().unwrap().len() as u64, ALARMS + 1);
    }

    #[test]
    fn an_alarm_for_want_of_a_proof_is_taken_back_once_there_is_one() {
        let tx = database();
        keep(&tx, &checkpoint("a", 1, 1)).ok().unwrap();
        for root in [2, 3] {
            assert!(
                raise(&tx, Kind::Unproven, &checkpoint("a", 2, root), 7).ok().unwrap().is_some()
            );
        }
        keep(&tx, &checkpoint("a", 2, 2)).ok().unwrap();
        let left: Vec<_> = alarms(&tx).ok().unwrap();
        assert_eq!(
            left.iter().map(|one| &one.refused).collect::<Vec<_>>(),
            [&checkpoint("a", 2, 3).to_text()]
        );
        assert_eq!(newest(&tx, "a").ok().unwrap(), Some(checkpoint("a", 2, 2)));
    }
}
