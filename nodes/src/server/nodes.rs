//! The server's database, and in it the table of nodes: who asked, who was admitted, who was
//! revoked.

use hdms::Error;
use hdms::card::Role;
use hdms::doorman::AdmissionRequest;
use hdms::ids::NodeId;
use rusqlite::{Connection, OptionalExtension, Row};

use crate::sqlite::{Failure, Schema};

/// File name of the database within the server's folder.
pub const FILE: &str = "server.sqlite";

/// See the comments within.
pub const SCHEMA: Schema = Schema {
    application: 0x4844_4d02,
    migrations: &[
        "
    -- The server's own few values, JSON.
    CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

    -- Every node that proved possession of its keys. `request` is what it asked to be last, `card`
    -- the newest one issued to it, `claims` a digest of what that says.
    CREATE TABLE nodes (
        id TEXT PRIMARY KEY,
        role TEXT NOT NULL,
        status TEXT NOT NULL CHECK (status IN ('pending', 'admitted', 'revoked')),
        request TEXT NOT NULL,
        card TEXT,
        claims TEXT,
        expires INTEGER NOT NULL DEFAULT 0
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX nodes_listed ON nodes (id) WHERE role <> 'personal';
    CREATE INDEX nodes_revoked ON nodes (id) WHERE status = 'revoked';

    -- The signed network documents. `content` tells whether a new one is needed.
    CREATE TABLE documents (
        kind TEXT PRIMARY KEY,
        number INTEGER NOT NULL,
        issued INTEGER NOT NULL,
        content TEXT NOT NULL,
        jwt TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;

    -- One row for each mailbox that ever got a message; counts what waits in it.
    CREATE TABLE mailboxes (
        node TEXT PRIMARY KEY,
        last INTEGER NOT NULL,
        acknowledged INTEGER NOT NULL DEFAULT 0,
        messages INTEGER NOT NULL,
        bytes INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;

    -- Acknowledged messages lose their envelope and stay until they expire, so that a delivery
    -- that is repeated late does not come a second time.
    CREATE TABLE messages (
        recipient TEXT NOT NULL,
        seq INTEGER NOT NULL,
        sender TEXT NOT NULL,
        id TEXT NOT NULL,
        expires INTEGER NOT NULL,
        envelope TEXT,
        UNIQUE (recipient, seq),
        UNIQUE (recipient, sender, id)
    ) STRICT;
    CREATE INDEX messages_expiry ON messages (expires);
    ",
        "
    -- What waits of each sender: in each mailbox, and under the recipient '' in all together.
    CREATE TABLE senders (
        sender TEXT NOT NULL,
        recipient TEXT NOT NULL,
        messages INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        PRIMARY KEY (sender, recipient)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO senders
        SELECT sender, recipient, count(*), sum(octet_length(envelope)) FROM messages
        WHERE envelope IS NOT NULL GROUP BY sender, recipient;
    INSERT INTO senders SELECT sender, '', sum(messages), sum(bytes) FROM senders GROUP BY sender;
    ",
        "
    -- Where nodes are woken, in the order in which they said so; `id` is the digest of the address.
    -- What lies in the mailbox up to `pushed` was announced there.
    CREATE TABLE subscriptions (
        place INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        node TEXT NOT NULL,
        subscription TEXT NOT NULL,
        expires INTEGER,
        pushed INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX subscriptions_node ON subscriptions (node);
    CREATE INDEX subscriptions_expiry ON subscriptions (expires) WHERE expires IS NOT NULL;
    ",
    ],
};

/// Where a node stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Waits for the operator.
    Pending,
    /// Is a member.
    Admitted,
    /// Is no longer.
    Revoked,
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Status::Pending => "pending",
            Status::Admitted => "admitted",
            Status::Revoked => "revoked",
        }
    }

    fn from_name(name: &str) -> Result<Self, Error> {
        let all = [Status::Pending, Status::Admitted, Status::Revoked];
        all.into_iter().find(|status| status.name() == name).ok_or(Error::StoreCorrupt)
    }
}

/// One node.
#[derive(Clone, Debug)]
pub struct Known {
    /// What it asked to be, proven to come from it.
    pub request: AdmissionRequest,
    /// Where it stands.
    pub status: Status,
    /// Its newest card.
    pub card: Option<IssuedCard>,
}

/// A card as the Doorman keeps it.
#[derive(Clone, Debug)]
pub struct IssuedCard {
    /// The signed document.
    pub jwt: String,
    /// Digest of what it says, its times left out.
    pub claims: String,
    /// When it expires, seconds.
    pub expires: u64,
}

const COLUMNS: &str = "request, status, card, claims, expires";

/// The node with this id.
pub fn find(connection: &Connection, id: &NodeId) -> Result<Option<Known>, Failure> {
    let sql = format!("SELECT {COLUMNS} FROM nodes WHERE id = ?1");
    let mut statement = connection.prepare_cached(&sql)?;
    let found = statement.query_row([id.as_ref()], |row| Ok(known(row))).optional()?;
    found.transpose()
}

/// Every institution and notary, in the order of their ids.
pub fn listed(connection: &Connection) -> Result<Vec<Known>, Failure> {
    all(connection, "role <> 'personal'")
}

/// Every node that waits for the operator.
pub fn pending(connection: &Connection) -> Result<Vec<Known>, Failure> {
    all(connection, "role <> 'personal' AND status = 'pending'")
}

/// The revoked nodes whose last card would still be good at `now`, in the order of their ids.
pub fn revoked(connection: &Connection, now: u64) -> Result<Vec<NodeId>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT id FROM nodes WHERE status = 'revoked' AND expires > ?1 ORDER BY id",
    )?;
    let ids = statement.query_map([now], |row| row.get::<_, String>(0))?;
    ids.map(|id| Ok(id?.parse()?)).collect()
}

/// Keeps what a node asked to be, and where it stands now. One that was revoked stays so:
/// [`Error::CardRevoked`].
pub fn keep_request(
    tx: &Connection,
    request: &AdmissionRequest,
    status: Status,
) -> Result<(), Failure> {
    let json = serde_json::to_string(request).map_err(|_| Error::AdmissionMalformed)?;
    let kept = tx
        .prepare_cached(
            "INSERT INTO nodes (id, role, status, request) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (id) DO UPDATE SET status = excluded.status, request = excluded.request \
             WHERE status <> 'revoked' AND role = excluded.role",
        )?
        .execute((request.iss.as_ref(), role_name(request.role), status.name(), json))?;
    if kept == 0 { Err(Error::CardRevoked.into()) } else { Ok(()) }
}

/// Keeps the card issued to a node. [`Error::CardRevoked`] when it was revoked meanwhile.
pub fn keep_card(tx: &Connection, id: &NodeId, card: &IssuedCard) -> Result<(), Failure> {
    let sql = "UPDATE nodes SET card = ?2, claims = ?3, expires = ?4 \
               WHERE id = ?1 AND status <> 'revoked'";
    let values = (id.as_ref(), &card.jwt, &card.claims, card.expires);
    let kept = tx.prepare_cached(sql)?.execute(values)?;
    if kept == 0 { Err(Error::CardRevoked.into()) } else { Ok(()) }
}

/// Changes where a node stands, and tells the running server. [`Error::NodeUnknown`] when it never
/// asked.
pub fn set_status(tx: &Connection, id: &NodeId, status: Status) -> Result<(), Failure> {
    let sql = "UPDATE nodes SET status = ?2 WHERE id = ?1";
    if tx.execute(sql, (id.as_ref(), status.name()))? == 0 {
        return Err(Error::NodeUnknown.into());
    }
    if status == Status::Revoked {
        tx.execute("DELETE FROM subscriptions WHERE node = ?1", [id.as_ref()])?;
    }
    tx.execute(
        "INSERT INTO settings VALUES ('changes', '1') \
         ON CONFLICT (key) DO UPDATE SET value = value + 1",
        [],
    )?;
    Ok(())
}

/// Grows with every [`set_status`].
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

/// The name of a role on the wire.
pub fn role_name(role: Role) -> &'static str {
    match role {
        Role::Personal => "personal",
        Role::Institution => "institution",
        Role::Notary => "notary",
    }
}

fn all(connection: &Connection, condition: &str) -> Result<Vec<Known>, Failure> {
    let sql = format!("SELECT {COLUMNS} FROM nodes WHERE {condition} ORDER BY id");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(known(row)?);
    }
    Ok(found)
}

fn known(row: &Row<'_>) -> Result<Known, Failure> {
    let text = |column| row.get::<_, String>(column);
    let card = match (row.get(2)?, row.get(3)?) {
        (Some(jwt), Some(claims)) => Some(IssuedCard { jwt, claims, expires: row.get(4)? }),
        _ => None,
    };
    Ok(Known {
        request: serde_json::from_str(&text(0)?).map_err(|_| Error::StoreCorrupt)?,
        status: Status::from_name(&text(1)?)?,
        card,
    })
}
