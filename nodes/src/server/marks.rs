//! By what institutions and notaries may be taken for one another: a row for each such thing.

use hdms::card::Role;
use hdms::doorman::AdmissionRequest;
use rusqlite::Connection;

use super::known::{Known, Status};
use crate::base::names;
use crate::base::sqlite::Failure;

/// SQL of what each has or wants: `held` is 1 for what a member has, and for the keys of a notary's log,
/// also a former one's, and 0 for what waits to be decided and for the name of who was
/// revoked. And of where to find who has applied from an address.
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

const NAME: &str = "name";
const LOOK: &str = "look";
const ENDPOINT: &str = "endpoint";
const LOG_KEY: &str = "log key";

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

/// What no two members have: name and address.
pub fn claimed(request: &AdmissionRequest) -> [(&'static str, String); 2] {
    let endpoint = request.endpoint.clone().map(String::from).unwrap_or_default();
    [(NAME, names::sameness(&request.name)), (ENDPOINT, endpoint)]
}

/// By what a name looks like another.
pub fn look(request: &AdmissionRequest) -> (&'static str, String) {
    (LOOK, names::look(&request.name))
}

/// The keys of a notary's log.
pub fn log_keys(request: &AdmissionRequest) -> Vec<(&'static str, String)> {
    let keys = request.log.into_iter().flat_map(|log| [log.log_key, log.witness_key]);
    keys.map(|key| (LOG_KEY, String::from(key))).collect()
}
