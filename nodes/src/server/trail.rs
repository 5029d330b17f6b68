//! What was decided, and what changed by itself, in the order in which it happened. Rows are only
//! ever added: each holds the digest of the one before it, and the server's own values that of the
//! last, so that whoever alters the database by hand is found out by whoever looks.

use hdms::Error;
use hdms::base64url::digest;
use hdms::ids::NodeId;
use rusqlite::{Connection, Row};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::nodes;
use crate::base::sqlite::Failure;

/// The server's own value that keeps the digest of the last row.
const LAST: &str = "trail";

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// A list of Doormen was installed, with the Doorman's key that it names.
    Certified,
    /// The network's rules changed.
    Rules,
    /// How much the server allows changed.
    Allowances,
    /// An institution or a notary asked for what the operator has to decide.
    Applied,
    /// The operator admitted it.
    Admitted,
    /// The operator refused it.
    Refused,
    /// The operator revoked a node.
    Revoked,
    /// A member changed its keys, by a statement of its old key.
    KeysChanged,
    /// A member has another address.
    Moved,
    /// The database was put back, and what the server had said since was taken back from a notary.
    TakenBack,
    /// The operator pinned a log of before there were witnesses.
    Pinned,
}

/// One row.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    /// Its place, from 1.
    pub number: u64,
    /// When, seconds.
    pub time: u64,
    /// What.
    pub act: Act,
    /// Which node it is about.
    pub node: Option<NodeId>,
    /// What was decided or said.
    pub detail: Value,
    /// Digest of the row before; empty in the first.
    pub before: String,
}

/// The trail as far as it holds.
#[derive(Clone, Debug)]
pub struct Trail {
    /// The rows, up to the first that does not fit.
    pub entries: Vec<Entry>,
    /// Digest of the last row that was written.
    pub last: String,
    /// Whether all rows are there as they were written.
    pub whole: bool,
}

impl Entry {
    fn digest(&self) -> Result<String, Error> {
        Ok(digest(hdms::json::write(self)?))
    }
}

/// Adds a row.
pub fn append(
    tx: &Connection,
    time: u64,
    act: Act,
    node: Option<&NodeId>,
    detail: &impl Serialize,
) -> Result<(), Failure> {
    let detail = serde_json::to_value(detail).map_err(|_| Error::StoreCorrupt)?;
    let before = nodes::setting(tx, LAST)?.unwrap_or_default();
    let sql = "SELECT coalesce(max(number), 0) + 1 FROM trail";
    let number = tx.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    let entry = Entry { number, time, act, node: node.cloned(), detail, before };
    let node = node.map(|node| node.as_ref());
    let values = (number, time, name(act)?, node, entry.detail.to_string(), &entry.before);
    tx.prepare_cached("INSERT INTO trail VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?.execute(values)?;
    nodes::set_setting(tx, LAST, &entry.digest()?)
}

/// Reads and checks the whole trail.
pub fn read(connection: &Connection) -> Result<Trail, Failure> {
    let last = nodes::setting(connection, LAST)?.unwrap_or_default();
    let mut statement = connection.prepare("SELECT * FROM trail ORDER BY number")?;
    let mut rows = statement.query([])?;
    let (mut entries, mut before) = (Vec::new(), String::new());
    while let Some(row) = rows.next()? {
        match entry(row) {
            Ok(entry) if entry.before == before && entry.number == entries.len() as u64 + 1 => {
                before = entry.digest()?;
                entries.push(entry);
            }
            Ok(_) | Err(Failure::Refused(_)) => return Ok(Trail { entries, last, whole: false }),
            Err(failure) => return Err(failure),
        }
    }
    let whole = before == last;
    Ok(Trail { entries, last, whole })
}

fn entry(row: &Row<'_>) -> Result<Entry, Failure> {
    let corrupt = |_| Error::StoreCorrupt;
    let node = row.get::<_, Option<String>>(3)?.map(|id| id.parse()).transpose()?;
    Ok(Entry {
        number: row.get(0)?,
        time: row.get(1)?,
        act: serde_json::from_value(Value::String(row.get(2)?)).map_err(corrupt)?,
        node,
        detail: serde_json::from_str(&row.get::<_, String>(4)?).map_err(corrupt)?,
        before: row.get(5)?,
    })
}

fn name(act: Act) -> Result<String, Error> {
    match serde_json::to_value(act) {
        Ok(Value::String(name)) => Ok(name),
        _ => Err(Error::StoreCorrupt),
    }
}
