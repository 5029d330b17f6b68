//! By what institutions and notaries may be taken for one another, a row for each: whoever asks to be
//! something costs some looks at an index, however many have asked before.

use hdms::card::Role;
use hdms::doorman::AdmissionRequest;
use hdms::ids::NodeId;
use rusqlite::{Connection, OptionalExtension};

use super::nodes::{self, Known, Status};
use crate::base::names;
use crate::base::sqlite::Failure;

/// SQL of what each has or wants: `held` is 1 for what a member has, and for the keys of a notary's log,
/// also a former one's, and 0 for what waits to be decided, and for the name of who was revoked. And of where to find who has applied from an
/// address.
pub const MARKS: &str = "
    CREATE TABLE marks (
        node TEXT NOT NULL,
        kind TEXT NOT NULL,
        value TEXT NOT NULL,
        held INTEGER NOT NULL,
        PRIMARY KEY (node, kind, value, held)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX marks_value ON marks (kind, value, held);
    CREATE TRIGGER marks_go_with_their_node AFTER DELETE ON nodes
        BEGIN DELETE FROM marks WHERE node = OLD.id; END;
    CREATE INDEX nodes_origin ON nodes (origin) WHERE origin IS NOT NULL;
";

/// Most of those that look alike that are shown.
const ALIKE: usize = 10;

const NAME: &str = "name";
const LOOK: &str = "look";
const ENDPOINT: &str = "endpoint";
const LOG_KEY: &str = "log key";

/// Another node whose name looks like the one that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookalike {
    /// The node.
    pub id: NodeId,
    /// Its name.
    pub name: String,
    /// What it is by that name.
    pub stands: Stands,
}

/// What another node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stands {
    /// A member.
    Member,
    /// It waits as well.
    Waits,
    /// It was a member, and was revoked.
    Revoked,
}

/// Notes by what a node may be taken for another, as it stands now.
pub fn note(tx: &Connection, known: &Known) -> Result<(), Failure> {
    let node = known.request.iss.as_ref();
    tx.prepare_cached("DELETE FROM marks WHERE node = ?1")?.execute([node])?;
    let mut noting = tx.prepare_cached("INSERT OR IGNORE INTO marks VALUES (?1, ?2, ?3, ?4)")?;
    for ((kind, value), held) in marks(known) {
        noting.execute((node, kind, value, held))?;
    }
    Ok(())
}

/// Notes so of all nodes, whenever the database is opened: the tables of Unicode may be newer than before.
pub fn note_all(tx: &Connection) -> Result<(), Failure> {
    nodes::not_personal(tx)?.iter().try_for_each(|known| note(tx, known))
}

fn marks(known: &Known) -> Vec<((&'static str, String), bool)> {
    if known.request.role == Role::Personal {
        return Vec::new();
    }
    let member = known.admitted_as().filter(|_| known.status != Status::Revoked);
    let held = member.into_iter().flat_map(|it| claimed(it).into_iter().chain([look(it)]));
    let keys = known.admitted_as().map(log_keys).unwrap_or_default();
    let waits = (known.status == Status::Pending).then(|| look(&known.request));
    let revoked = known.admitted_as().filter(|_| known.status == Status::Revoked).map(look);
    let held = held.chain(keys).map(|mark| (mark, true));
    held.chain(waits.into_iter().chain(revoked).map(|mark| (mark, false))).collect()
}

fn claimed(request: &AdmissionRequest) -> [(&'static str, String); 2] {
    let endpoint = request.endpoint.clone().map(String::from).unwrap_or_default();
    [(NAME, names::sameness(&request.name)), (ENDPOINT, endpoint)]
}

fn look(request: &AdmissionRequest) -> (&'static str, String) {
    (LOOK, names::look(&request.name))
}

fn log_keys(request: &AdmissionRequest) -> Vec<(&'static str, String)> {
    let keys = request.log.into_iter().flat_map(|log| [log.log_key, log.witness_key]);
    keys.map(|key| (LOG_KEY, String::from(key))).collect()
}

/// Another node that stands in the way of `request`: a listed one with its name or its address, or a
/// notary, also a former one, with a key of its log. Two witnesses with one key would count twice.
pub fn rival(
    connection: &Connection,
    request: &AdmissionRequest,
) -> Result<Option<NodeId>, Failure> {
    let sql = "SELECT node FROM marks WHERE kind = ?1 AND value = ?2 AND held AND node <> ?3";
    let mut statement = connection.prepare_cached(sql)?;
    for (kind, value) in claimed(request).into_iter().chain(log_keys(request)) {
        let values = (kind, value, request.iss.as_ref());
        let found = statement.query_row(values, |row| row.get::<_, String>(0)).optional()?;
        if let Some(id) = found {
            return Ok(Some(id.parse()?));
        }
    }
    Ok(None)
}

/// Others whose names look like that of `request`: the first ten, members before those that wait or were
/// revoked.
pub fn lookalikes(
    connection: &Connection,
    request: &AdmissionRequest,
) -> Result<Vec<Lookalike>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT node, max(held) FROM marks WHERE kind = ?1 AND value = ?2 AND node <> ?3 \
         GROUP BY node ORDER BY max(held) DESC, node LIMIT ?4",
    )?;
    let (kind, value) = look(request);
    let values = (kind, value, request.iss.as_ref(), ALIKE);
    let rows = statement.query_map(values, |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
    let found = rows.map(|row| {
        let (id, is_member): (String, bool) = row?;
        let other = nodes::find(connection, &id.parse()?)?;
        let named = |known: Known| {
            let stands = match known.status {
                _ if is_member => Stands::Member,
                Status::Revoked => Stands::Revoked,
                _ => Stands::Waits,
            };
            let admitted = known.admitted_as().filter(|_| stands != Stands::Waits);
            let request = admitted.unwrap_or(&known.request);
            Lookalike { id: request.iss.clone(), name: request.name.clone(), stands }
        };
        Ok(other.map(named))
    });
    found.filter_map(Result::transpose).collect()
}
