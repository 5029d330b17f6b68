//! The table of nodes: who asked, who was admitted, who was refused or revoked.

use hdms::Error;
use hdms::card::{LIFETIME, Role};
use hdms::doorman::AdmissionRequest;
use hdms::ids::NodeId;
use rusqlite::{Connection, OptionalExtension, Params, Row};

use super::claims::role_name;
use super::known::{IssuedCard, Known, Status};
use super::{marks, refusals, strangers};
use crate::base::sqlite::Failure;

const COLUMNS: &str =
    "request, status, admitted, reason, until, card, claims, expires, superseded, kid";

/// The node with this id.
pub fn find(connection: &Connection, id: &NodeId) -> Result<Option<Known>, Failure> {
    let sql = format!("SELECT {COLUMNS} FROM nodes WHERE id = ?1");
    let mut statement = connection.prepare_cached(&sql)?;
    let found = statement.query_row([id.as_ref()], |row| Ok(known(row))).optional()?;
    found.transpose()
}

/// Every institution and notary that is or was a member or was revoked, in the order of their ids: whoever
/// only applied costs nobody anything who looks at these.
pub fn listed(connection: &Connection) -> Result<Vec<Known>, Failure> {
    let members = format!("role <> 'personal' AND NOT ({}) AND id > ?1", strangers::APPLICANTS);
    some(connection, &members, ("", -1))
}

/// Every institution and notary, also those that only applied, in the order of their ids.
pub fn not_personal(connection: &Connection) -> Result<Vec<Known>, Failure> {
    some(connection, "role <> 'personal' AND id > ?1", ("", -1))
}

/// The first nodes after this id that wait for the operator.
pub fn pending(
    connection: &Connection,
    after: Option<&NodeId>,
    limit: usize,
) -> Result<Vec<Known>, Failure> {
    let after = after.map_or("", |id| id.as_ref());
    let condition = "role <> 'personal' AND status = 'pending' AND id > ?1";
    some(connection, condition, (after, limit))
}

/// The revoked nodes whose last card would still be good at `now`, in the order of their ids.
pub fn revoked(connection: &Connection, now: u64) -> Result<Vec<NodeId>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT id FROM nodes WHERE status = 'revoked' AND expires > ?1 \
         UNION SELECT id FROM barred WHERE expires > ?1 ORDER BY id",
    )?;
    let ids = statement.query_map([now], |row| row.get::<_, String>(0))?;
    ids.map(|id| Ok(id?.parse()?)).collect()
}

/// Keeps what a node asked to be, and where it stands now; when it has changed its keys, since when
/// its former cards don't count. Its keys count at once, also where the rest waits. One that was
/// revoked stays so: [`Error::CardRevoked`].
pub fn keep_request(
    tx: &Connection,
    request: &AdmissionRequest,
    status: Status,
    superseded: Option<u64>,
) -> Result<(), Failure> {
    let before = find(tx, &request.iss)?;
    if before.as_ref().is_some_and(|known| known.status == Status::Revoked) {
        return Err(Error::CardRevoked.into());
    }
    let admitted =
        before.as_ref().and_then(Known::admitted_as).filter(|_| status != Status::Admitted);
    let admitted = admitted.map(|before| AdmissionRequest {
        signing_key: request.signing_key.clone(),
        subkeys: request.subkeys.clone(),
        changes: request.changes.clone(),
        ..before.clone()
    });
    let admitted = admitted.as_ref().map(json).transpose()?;
    let (id, role) = (request.iss.as_ref(), role_name(request.role));
    let values = (id, role, status.name(), json(request)?, admitted, superseded);
    tx.prepare_cached(
        "INSERT INTO nodes (id, role, status, request, admitted, superseded) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
         ON CONFLICT (id) DO UPDATE SET status = excluded.status, request = excluded.request, \
         admitted = excluded.admitted, \
         reason = CASE excluded.status WHEN 'admitted' THEN NULL ELSE reason END, \
         superseded = coalesce(excluded.superseded, superseded)",
    )?
    .execute(values)?;
    if request.role == Role::Personal { Ok(()) } else { note(tx, &request.iss) }
}

/// By what others may be taken for it: [`marks`].
fn note(tx: &Connection, id: &NodeId) -> Result<(), Failure> {
    find(tx, id)?.map_or(Ok(()), |known| marks::note(tx, &known))
}

/// What seals an envelope to a node now: the thumbprint of the encryption key that its newest card
/// names, if it has a card and was not revoked.
pub fn present_kid(connection: &Connection, id: &NodeId) -> Result<Option<String>, Failure> {
    let sql = "SELECT kid FROM nodes WHERE id = ?1 AND card IS NOT NULL AND status <> 'revoked'";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_row([id.as_ref()], |row| row.get(0)).optional()?)
}

/// Keeps the card issued to a node. [`Error::CardRevoked`] when it was revoked meanwhile.
pub fn keep_card(tx: &Connection, id: &NodeId, card: &IssuedCard) -> Result<(), Failure> {
    let sql = "UPDATE nodes SET card = ?2, claims = ?3, expires = ?4, kid = ?5 \
               WHERE id = ?1 AND status <> 'revoked'";
    let values = (id.as_ref(), &card.jwt, &card.claims, card.expires, &card.kid);
    let kept = tx.prepare_cached(sql)?.execute(values)?;
    if kept == 0 { Err(Error::CardRevoked.into()) } else { Ok(()) }
}

/// Changes where a node that has asked stands, as the operator decided at `now`, seconds, and tells
/// the running server.
pub fn decide(
    tx: &Connection,
    known: &Known,
    status: Status,
    reason: Option<&str>,
    now: u64,
) -> Result<(), Failure> {
    let id = known.request.iss.as_ref();
    let admitted =
        known.admitted_as().filter(|_| status != Status::Admitted).map(json).transpose()?;
    let until = (status == Status::Revoked).then_some(now);
    let sql = "UPDATE nodes SET status = ?2, reason = ?3, admitted = ?4, until = ?5 WHERE id = ?1";
    tx.execute(sql, (id, status.name(), reason, admitted, until))?;
    note(tx, &known.request.iss)?;
    match status {
        Status::Admitted => {
            tx.execute("DELETE FROM barred WHERE id = ?1", [id])?;
            strangers::forget_origin(tx, id)?;
            refusals::forget(tx, &known.request.iss)?;
        }
        Status::Refused => refusals::note(tx, &known.request, reason.unwrap_or_default(), now)?,
        Status::Revoked => {
            tx.execute("DELETE FROM subscriptions WHERE node = ?1", [id])?;
        }
        Status::Pending => {}
    }
    tell_server(tx)
}

/// SQL of the nodes that were revoked before the database was put back: of some nothing else is known,
/// of others not how long their newest card lasts.
pub const BARRED: &str = "
    CREATE TABLE barred (id TEXT PRIMARY KEY, expires INTEGER NOT NULL) STRICT, WITHOUT ROWID;
";

/// Bars a node until every card that it may have has expired.
pub fn bar(tx: &Connection, id: &NodeId, now: u64) -> Result<(), Failure> {
    let sql = "INSERT INTO barred VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    tx.execute(sql, (id.as_ref(), now + LIFETIME))?;
    Ok(())
}

/// Whether it is barred.
pub fn is_barred(connection: &Connection, id: &NodeId) -> Result<bool, Failure> {
    let sql = "SELECT count(*) FROM barred WHERE id = ?1";
    Ok(connection.prepare_cached(sql)?.query_row([id.as_ref()], |row| row.get(0))?)
}

/// Makes a node a member again, as its card says.
pub fn take_back(
    tx: &Connection,
    request: &AdmissionRequest,
    card: &IssuedCard,
) -> Result<(), Failure> {
    tx.execute("DELETE FROM nodes WHERE id = ?1", [request.iss.as_ref()])?;
    keep_request(tx, request, Status::Admitted, None)?;
    keep_card(tx, &request.iss, card)
}

/// Has the running server look at what is decided.
pub fn tell_server(tx: &Connection) -> Result<(), Failure> {
    tx.execute(
        "INSERT INTO settings VALUES ('changes', '1') \
         ON CONFLICT (key) DO UPDATE SET value = value + 1",
        [],
    )?;
    Ok(())
}

/// Grows with every [`tell_server`].
pub fn changes(connection: &Connection) -> Result<u64, Failure> {
    let sql = "SELECT CAST(value AS INTEGER) FROM settings WHERE key = 'changes'";
    Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get(0)).optional()?.unwrap_or(0))
}

/// One of the server's own values.
pub fn setting(connection: &Connection, key: &str) -> Result<Option<String>, Failure> {
    let sql = "SELECT value FROM settings WHERE key = ?1";
    Ok(connection.prepare_cached(sql)?.query_row([key], |row| row.get(0)).optional()?)
}

/// Sets one of the server's own values.
pub fn set_setting(tx: &Connection, key: &str, value: &str) -> Result<(), Failure> {
    let sql = "INSERT OR REPLACE INTO settings VALUES (?1, ?2)";
    tx.prepare_cached(sql)?.execute((key, value))?;
    Ok(())
}

/// Those of this condition, in the order of their ids: after one, and so many.
fn some(
    connection: &Connection,
    condition: &str,
    part: impl Params,
) -> Result<Vec<Known>, Failure> {
    let sql = format!("SELECT {COLUMNS} FROM nodes WHERE {condition} ORDER BY id LIMIT ?2");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(part)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(known(row)?);
    }
    Ok(found)
}

fn known(row: &Row<'_>) -> Result<Known, Failure> {
    let text = |column| row.get::<_, String>(column);
    let request = |json: String| {
        serde_json::from_str::<AdmissionRequest>(&json).map_err(|_| Error::StoreCorrupt)
    };
    let card = match (row.get(5)?, row.get(6)?) {
        (Some(jwt), Some(claims)) => {
            Some(IssuedCard { jwt, claims, expires: row.get(7)?, kid: row.get("kid")? })
        }
        _ => None,
    };
    Ok(Known {
        request: request(text(0)?)?,
        status: Status::from_name(&text(1)?)?,
        admitted: row.get::<_, Option<String>>(2)?.map(request).transpose()?,
        reason: row.get(3)?,
        until: row.get(4)?,
        superseded: row.get(8)?,
        card,
    })
}

fn json(request: &AdmissionRequest) -> Result<String, Error> {
    serde_json::to_string(request).map_err(|_| Error::AdmissionMalformed)
}
