//! What the operator has refused: the same is not to be decided again, whatever a node has asked for in
//! between.

use hdms::Error;
use hdms::base64url::digest;
use hdms::card::Role;
use hdms::doorman::{About, AdmissionRequest};
use hdms::endpoint::Endpoint;
use hdms::ids::NodeId;
use hdms::json;
use hdms::network::LogKeys;
use rusqlite::{Connection, OptionalExtension};
use serde::Serialize;

use crate::base::sqlite::Failure;

/// SQL of what each was refused, by digest of the [`Wish`], when, seconds, and why. Those of before there were
/// wishes are by another digest, and not found: of these only the last of a node holds, which is in `nodes`.
pub const TABLE: &str = "
    CREATE TABLE refusals (
        node TEXT NOT NULL,
        claims TEXT NOT NULL,
        time INTEGER NOT NULL,
        reason TEXT NOT NULL,
        PRIMARY KEY (node, claims)
    ) STRICT, WITHOUT ROWID;
    CREATE TRIGGER refusals_go_with_their_node AFTER DELETE ON nodes
        BEGIN DELETE FROM refusals WHERE node = OLD.id; END;
";

/// Most of one node, the last ones: it asks for something else ten times a day at most.
const MOST: u64 = 100;

/// What an operator decides on: what a node asks to be, whatever its keys are by then.
#[derive(PartialEq, Serialize)]
pub struct Wish<'a> {
    iss: &'a NodeId,
    role: Role,
    name: &'a str,
    endpoint: Option<&'a Endpoint>,
    about: Option<&'a About>,
    log: Option<LogKeys>,
}

impl<'a> Wish<'a> {
    /// Of this request.
    pub fn of(request: &'a AdmissionRequest) -> Self {
        let AdmissionRequest { iss, role, name, endpoint, about, log, .. } = request;
        let (endpoint, about) = (endpoint.as_ref(), about.as_ref());
        Self { iss, role: *role, name, endpoint, about, log: *log }
    }

    fn digest(&self) -> Result<String, Error> {
        Ok(digest(json::write(self)?))
    }
}

/// Notes that this was refused, at `now`, seconds.
pub fn note(
    tx: &Connection,
    request: &AdmissionRequest,
    reason: &str,
    now: u64,
) -> Result<(), Failure> {
    let (id, claims) = (request.iss.as_ref(), Wish::of(request).digest()?);
    let sql = "INSERT OR REPLACE INTO refusals VALUES (?1, ?2, ?3, ?4)";
    tx.execute(sql, (id, claims, now, reason))?;
    let sql = "DELETE FROM refusals WHERE node = ?1 AND claims IN (\
               SELECT claims FROM refusals WHERE node = ?1 ORDER BY time DESC LIMIT -1 OFFSET ?2)";
    tx.execute(sql, (id, MOST))?;
    Ok(())
}

/// Why this was refused, if it was.
pub fn reason(
    connection: &Connection,
    request: &AdmissionRequest,
) -> Result<Option<String>, Failure> {
    let sql = "SELECT reason FROM refusals WHERE node = ?1 AND claims = ?2";
    let claims = Wish::of(request).digest()?;
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_row((request.iss.as_ref(), claims), |row| row.get(0));
    Ok(found.optional()?)
}

/// Why the node was refused last what it asked for, if anything is remembered.
pub fn last_reason(connection: &Connection, id: &NodeId) -> Result<Option<String>, Failure> {
    let sql = "SELECT reason FROM refusals WHERE node = ?1 ORDER BY time DESC LIMIT 1";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_row([id.as_ref()], |row| row.get(0)).optional()?)
}

/// Forgets what a node was refused, which the operator admits: it may ask for it again. Answers whether
/// there was anything.
pub fn forget(tx: &Connection, id: &NodeId) -> Result<bool, Failure> {
    Ok(tx.execute("DELETE FROM refusals WHERE node = ?1", [id.as_ref()])? > 0)
}
