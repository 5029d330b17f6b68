//! Who may be taken for whom: whoever asks to be something costs some looks at an index, however many have
//! asked before.

use hdms::doorman::AdmissionRequest;
use hdms::ids::NodeId;
use rusqlite::{Connection, OptionalExtension};

use super::known::{Known, Status};
use super::marks::{claimed, log_keys, look, note};
use super::nodes;
use crate::base::sqlite::Failure;

/// Most of those that look alike that are shown.
const ALIKE: usize = 10;

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

/// [Notes](note) of all nodes by what they may be taken for others, whenever the database is
/// opened: the tables of Unicode may be newer than before.
pub fn note_all(tx: &Connection) -> Result<(), Failure> {
    nodes::not_personal(tx)?.iter().try_for_each(|known| note(tx, known))
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
