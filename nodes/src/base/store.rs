//! A node's tables in SQLite: the institution's store, and that of native personal nodes.

use std::path::Path;

use hdms::Error;
use hdms::provider::{Store, Table, Write};
use rusqlite::{Connection, OptionalExtension};

use crate::base::sqlite::{Database, Failure, Schema};

/// SQL of the one table that every member keeps of itself.
pub const META: &str = "
    CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
";

const SCHEMA: Schema = Schema {
    application: 0x4844_4d01,
    migrations: &["
    CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE cards (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE cases (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE entries (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE records (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE receipts (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE inbox (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE outbox (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE quarantine (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
    "],
};

/// [`Store`] over a [`Database`]. Clones share it; all its futures are `Send`.
#[derive(Clone, Debug)]
pub struct SqliteStore(Database);

impl SqliteStore {
    /// Opens or makes the store in the file `path`. Errors as [`Database::open`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        Database::open(path, &SCHEMA).map(Self)
    }

    /// The tables of a node's own database: of a notary's, only [`Table::Meta`] by [`META`].
    pub fn over(database: Database) -> Self {
        Self(database)
    }
}

impl Store for SqliteStore {
    async fn read(&self, table: Table, key: &str) -> Result<Option<Vec<u8>>, Error> {
        let key = key.to_owned();
        self.0
            .read(move |connection| {
                let sql = format!("SELECT value FROM {} WHERE key = ?1", table.name());
                let mut statement = connection.prepare_cached(&sql)?;
                Ok(statement.query_row([key], |row| row.get(0)).optional()?)
            })
            .await
    }

    async fn scan(
        &self,
        table: Table,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let (from, after) = (prefix.to_owned(), after.to_owned());
        // Keys are ASCII: this lies after all that start with the prefix.
        let to = format!("{prefix}\u{80}");
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.0
            .read(move |connection| {
                let sql = format!(
                    "SELECT key, value FROM {} WHERE key >= ?1 AND key > ?2 AND key < ?3 \
                     ORDER BY key LIMIT ?4",
                    table.name()
                );
                let mut statement = connection.prepare_cached(&sql)?;
                let rows = statement
                    .query_map((from, after, to, limit), |row| Ok((row.get(0)?, row.get(1)?)))?;
                Ok(rows.collect::<Result<_, _>>()?)
            })
            .await
    }

    async fn commit(&self, writes: Vec<Write>) -> Result<(), Error> {
        self.0.write(move |tx| writes.iter().try_for_each(|write| apply(tx, write))).await
    }
}

fn apply(tx: &Connection, write: &Write) -> Result<(), Failure> {
    match write {
        Write::Put { table, key, value } => {
            let sql = format!(
                "INSERT INTO {} (key, value) VALUES (?1, ?2) \
                 ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                table.name()
            );
            tx.prepare_cached(&sql)?.execute((key, value))?;
        }
        Write::Delete { table, key } => {
            let sql = format!("DELETE FROM {} WHERE key = ?1", table.name());
            tx.prepare_cached(&sql)?.execute([key])?;
        }
    }
    Ok(())
}
