//! SQLite as every native node uses it: one thread that writes, and commits all that is waiting at
//! once (so that many small writes share one `fsync`); whoever reads does so by itself. WAL,
//! `synchronous=FULL`: what was answered is on stable storage. `secure_delete`, and a WAL that is
//! emptied a minute after it was written to: what was deleted is in none of the files any more.
//!
//! The schema is the list of its migrations, oldest first. `user_version` counts those that were
//! applied; each is applied in one transaction with its count, and none is ever edited.

mod failure;
mod files;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hdms::Error;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::oneshot;

use crate::base::private;
use failure::explained;
use files::{close_to_others, lock};
use writer::{WriteJob, job, write_in_groups};

pub use failure::Failure;
pub use files::hold_all;

/// How long one process waits for another's transaction.
const BUSY: Duration = Duration::from_secs(10);

/// How long after a write the WAL is emptied.
const TIDY: Duration = Duration::from_secs(60);

/// Prepared statements kept for each connection.
const STATEMENTS: usize = 64;

/// What a database holds.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    /// SQLite's `application_id`: no node opens the database of another kind of node.
    pub application: i32,
    /// SQL of each step, oldest first.
    pub migrations: &'static [&'static str],
}

/// An open database. Clones share it; dropping the last one closes it.
#[derive(Clone, Debug)]
pub struct Database(Arc<Connections>);

impl Database {
    /// Opens or makes the database at `path` for this process alone.
    ///
    /// Errors: [`Error::StoreBusy`] when another process has it, [`Error::StoreNewer`] when a newer
    /// version wrote it, [`Error::StoreCorrupt`] when it is no such database,
    /// [`Error::StoreFull`], [`Error::StoreFailed`], [`Error::StoreExposed`] when others may read it
    /// and that can't be changed.
    pub fn open(path: &Path, schema: &Schema) -> Result<Self, Error> {
        Self::open_with(path, schema, |_| Ok(()))
    }

    /// [`Database::open`] with what `fill` writes once all migrations were applied. Errors also those of
    /// `fill`.
    pub fn open_with(
        path: &Path,
        schema: &Schema,
        fill: impl FnOnce(&Connection) -> Result<(), Failure>,
    ) -> Result<Self, Error> {
        private::folder(path.parent().unwrap_or(Path::new(".")))?;
        let lock = lock(path)?;
        close_to_others(path)?;
        let mut writer = connect(path, OpenFlags::default())?;
        let filled = migrate(&mut writer, schema).and_then(|()| filled(&mut writer, fill));
        filled.map_err(|failure| explained(failure, path))?;
        Self::start(path, writer, Some(lock), TIDY)
    }

    /// Joins a database that a running node may have open, without migrating it: for operators'
    /// commands. Errors as [`Database::open`], but for [`Error::StoreBusy`];
    /// [`Error::StoreFailed`] also where there is no database.
    pub fn join(path: &Path, schema: &Schema) -> Result<Self, Error> {
        let existing = OpenFlags::default() & !OpenFlags::SQLITE_OPEN_CREATE;
        let writer = connect(path, existing)?;
        let version = check_version(&writer, schema);
        let version = version.map_err(|failure| explained(failure, path))?;
        if version < schema.migrations.len() {
            return Err(Error::StoreFailed);
        }
        Self::start(path, writer, None, TIDY)
    }

    /// Runs `work` in a transaction and answers when it is on stable storage. What `work` wrote is
    /// undone when it fails; others' work in the same commit is not.
    pub async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Error> {
        let (answer, answered) = oneshot::channel();
        self.0.writes()?.send(job(work, answer)).map_err(|_| Error::StoreFailed)?;
        answered.await.map_err(|_| Error::StoreFailed)?
    }

    /// Runs `work` on a reading connection; it sees everything that was answered before. It runs
    /// where it is asked: handing a look into the page cache to another thread costs more than it.
    pub async fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Failure>,
    ) -> Result<T, Error> {
        let idle = self.0.readers().pop();
        let reader = match idle {
            Some(reader) => reader,
            None => connect(&self.0.path, OpenFlags::SQLITE_OPEN_READ_ONLY)?,
        };
        let outcome = work(&reader).map_err(|failure| explained(failure, &self.0.path));
        self.0.readers().push(reader);
        outcome
    }

    fn start(
        path: &Path,
        writer: Connection,
        lock: Option<File>,
        tidy: Duration,
    ) -> Result<Self, Error> {
        let (writes, waiting_writes) = mpsc::channel();
        let body = move || {
            write_in_groups(&writer, &waiting_writes, tidy);
            drop(writer);
            drop(lock);
        };
        let writing = thread::Builder::new()
            .name("sqlite-write".into())
            .spawn(body)
            .map_err(|_| Error::StoreFailed)?;
        Ok(Self(Arc::new(Connections {
            path: path.to_owned(),
            readers: Mutex::default(),
            writer: Some((writes, writing)),
        })))
    }
}

struct Connections {
    path: PathBuf,
    /// Those that nobody reads from just now: as many as there were readers at one time.
    readers: Mutex<Vec<Connection>>,
    writer: Option<(mpsc::Sender<WriteJob>, JoinHandle<()>)>,
}

impl Connections {
    fn writes(&self) -> Result<&mpsc::Sender<WriteJob>, Error> {
        self.writer.as_ref().map(|(writes, _)| writes).ok_or(Error::StoreFailed)
    }

    fn readers(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Connections {
    /// Waits for the writer, so that the database is closed and free once this returns.
    fn drop(&mut self) {
        self.readers().clear();
        if let Some((writes, writing)) = self.writer.take() {
            drop(writes);
            if writing.join().is_err() {
                tracing::error!("the database's writer had stopped");
            }
        }
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").finish_non_exhaustive()
    }
}

/// Copies the database at `path`, as it is at one moment and whether a node has it open or not, into
/// the new file `to`, for its owner alone. What was deleted is not in it.
///
/// Errors: those of [`Database::join`]; [`Error::StoreFailed`] when there is such a file.
pub fn copy(path: &Path, to: &Path) -> Result<(), Error> {
    let file = private::make(to).map_err(|_| Error::StoreFailed)?;
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let name = to.to_str().ok_or(Error::StoreFailed)?;
    let copied = connection.execute("VACUUM INTO ?1", [name]);
    copied.map_err(|error| explained(error.into(), path))?;
    file.sync_all().map_err(|_| Error::StoreFailed)
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, Error> {
    let open = || {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        if !flags.contains(OpenFlags::SQLITE_OPEN_READ_ONLY) {
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection.pragma_update(None, "foreign_keys", "ON")?;
            connection.pragma_update(None, "secure_delete", "ON")?;
        }
        Ok(connection)
    };
    open().map_err(|error: rusqlite::Error| explained(error.into(), path))
}

fn migrate(connection: &mut Connection, schema: &Schema) -> Result<(), Failure> {
    let version = check_version(connection, schema)?;
    for (step, sql) in schema.migrations.iter().enumerate().skip(version) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "application_id", schema.application)?;
        transaction.pragma_update(None, "user_version", step as u32 + 1)?;
        transaction.commit()?;
    }
    Ok(())
}

fn filled(
    connection: &mut Connection,
    fill: impl FnOnce(&Connection) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let transaction = connection.transaction()?;
    fill(&transaction)?;
    Ok(transaction.commit()?)
}

/// How many migrations were applied.
fn check_version(connection: &Connection, schema: &Schema) -> Result<usize, Failure> {
    let version: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let application: i32 =
        connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if version > 0 && application != schema.application {
        return Err(Error::StoreCorrupt.into());
    }
    let version = version as usize;
    if version > schema.migrations.len() { Err(Error::StoreNewer.into()) } else { Ok(version) }
}
