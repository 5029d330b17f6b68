//! SQLite as every native node uses it: one thread that writes, and commits all that is waiting at
//! once (so that many small writes share one `fsync`); whoever reads does so by itself. WAL,
//! `synchronous=FULL`: what was answered is on stable storage. `secure_delete`, and a WAL that is
//! emptied a minute after it was written to: what was deleted is in none of the files any more.
//!
//! The schema is the list of its migrations, oldest first. `user_version` counts those that were
//! applied; each is applied in one transaction with its count, and none is ever edited.

mod failure;

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hdms::Error;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::oneshot;

use crate::private;
use failure::{explained, path_of};

pub use failure::Failure;

/// How long one process waits for another's transaction.
const BUSY: Duration = Duration::from_secs(10);

/// How long after a write the WAL is emptied.
const TIDY: Duration = Duration::from_secs(60);

/// How long the writer waits, when it empties the WAL, for those who still read what it holds.
const PATIENCE: Duration = Duration::from_millis(100);

/// Most jobs in one commit: bounds how long the first of them waits.
const MAX_GROUP: usize = 512;

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
        private::folder(path.parent().unwrap_or(Path::new(".")))?;
        let lock = lock(path)?;
        close_to_others(path)?;
        let mut writer = connect(path, OpenFlags::default())?;
        migrate(&mut writer, schema).map_err(|failure| explained(failure, path))?;
        Self::start(path, writer, Some(lock))
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
        Self::start(path, writer, None)
    }

    /// Runs `work` in a transaction and answers when it is on stable storage. What `work` wrote is
    /// undone when it fails; others' work in the same commit is not.
    pub async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Error> {
        let (answer, answered) = oneshot::channel();
        let job: WriteJob = Box::new(move |connection| {
            let outcome = within_savepoint(connection, work);
            let failed = outcome.as_ref().err().copied();
            // Whoever asked may be gone; the work is done all the same.
            (failed, Box::new(move |committed| drop(answer.send(committed.and(outcome)))))
        });
        self.0.writes()?.send(Job::Write(job)).map_err(|_| Error::StoreFailed)?;
        answered.await.map_err(|_| Error::StoreFailed)?
    }

    /// Empties the WAL, unless somebody reads it just now: what was deleted is in none of the files
    /// then. It is done by itself a minute after a write.
    pub async fn tidy(&self) -> Result<(), Error> {
        let (answer, answered) = oneshot::channel();
        self.0.writes()?.send(Job::Tidy(answer)).map_err(|_| Error::StoreFailed)?;
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

    fn start(path: &Path, writer: Connection, lock: Option<File>) -> Result<Self, Error> {
        let (writes, waiting_writes) = mpsc::channel();
        let body = move || {
            write_in_groups(&writer, &waiting_writes);
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

type Finish = Box<dyn FnOnce(Result<(), Error>)>;
type WriteJob = Box<dyn FnOnce(&Connection) -> (Option<Error>, Finish) + Send>;

/// What the writer is to do.
enum Job {
    Write(WriteJob),
    Tidy(oneshot::Sender<Result<(), Error>>),
}

struct Connections {
    path: PathBuf,
    /// Those that nobody reads from just now: as many as there were readers at one time.
    readers: Mutex<Vec<Connection>>,
    writer: Option<(mpsc::Sender<Job>, JoinHandle<()>)>,
}

impl Connections {
    fn writes(&self) -> Result<&mpsc::Sender<Job>, Error> {
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

fn write_in_groups(connection: &Connection, waiting: &mpsc::Receiver<Job>) {
    // When the WAL is to be emptied, if something was written since it last was.
    let mut due: Option<Instant> = None;
    loop {
        let pause = due.map_or(Duration::MAX, |due| due.saturating_duration_since(Instant::now()));
        let first = match waiting.recv_timeout(pause) {
            Ok(job) => Some(job),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let jobs = first.into_iter().chain(waiting.try_iter().take(MAX_GROUP - 1));
        let (mut group, mut asked) = (Vec::new(), Vec::new());
        for job in jobs {
            match job {
                Job::Write(job) => group.push(job),
                Job::Tidy(answer) => asked.push(answer),
            }
        }
        if !group.is_empty() {
            write_group(connection, group);
            due.get_or_insert_with(|| Instant::now() + TIDY);
        }
        if !asked.is_empty() || due.is_some_and(|due| due <= Instant::now()) {
            let emptied = empty_wal(connection);
            due = (emptied == Ok(false)).then(|| Instant::now() + TIDY);
            for answer in asked {
                // Whoever asked may be gone.
                let _gone = answer.send(emptied.map(drop)).is_err();
            }
        }
    }
}

/// Writes all of the WAL into the database file and cuts it to nothing; answers whether that could
/// be done.
fn empty_wal(connection: &Connection) -> Result<bool, Error> {
    let empty = || {
        connection.busy_timeout(PATIENCE)?;
        let emptied = "PRAGMA wal_checkpoint(TRUNCATE)";
        let busy: Result<bool, _> = connection.query_row(emptied, [], |row| row.get(0));
        connection.busy_timeout(BUSY)?;
        Ok(!busy?)
    };
    empty().map_err(|error: rusqlite::Error| explained(error.into(), path_of(connection)))
}

fn write_group(connection: &Connection, group: Vec<WriteJob>) {
    let mut finishes = Vec::new();
    let committed = commit_group(connection, group, &mut finishes);
    let committed = committed.map_err(|failure| explained(failure, path_of(connection)));
    if committed.is_err()
        && !connection.is_autocommit()
        && let Err(error) = connection.execute_batch("ROLLBACK")
    {
        tracing::error!(%error, "rollback failed");
    }
    finishes.into_iter().for_each(|finish| finish(committed));
}

fn commit_group(
    connection: &Connection,
    jobs: Vec<WriteJob>,
    finishes: &mut Vec<Finish>,
) -> Result<(), Failure> {
    run(connection, "BEGIN IMMEDIATE")?;
    for job in jobs {
        let (failed, finish) = job(connection);
        finishes.push(finish);
        // SQLite gives up the whole transaction by itself when the disk is full or fails.
        if connection.is_autocommit() {
            return Err(failed.unwrap_or(Error::StoreFailed).into());
        }
    }
    run(connection, "COMMIT")?;
    Ok(())
}

fn within_savepoint<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, Failure>,
) -> Result<T, Error> {
    let outcome = run(connection, "SAVEPOINT job").map_err(Failure::from);
    let refusal = |failure| explained(failure, path_of(connection));
    let outcome = outcome.and_then(|()| work(connection)).map_err(refusal);
    let end = if outcome.is_ok() { "RELEASE job" } else { "ROLLBACK TO job" };
    // After a failure of the disk there is no savepoint any more.
    if connection.is_autocommit() {
        return outcome.and(Err(Error::StoreFailed));
    }
    run(connection, end).map_err(|error| refusal(error.into()))?;
    outcome
}

fn run(connection: &Connection, sql: &str) -> Result<(), rusqlite::Error> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
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

/// Sees to it that no node opens a database in the folder `dir` as long as the answer is kept.
/// [`Error::StoreBusy`] when one has, [`Error::StoreFailed`].
pub fn hold_all(dir: &Path) -> Result<Vec<File>, Error> {
    let entries = fs::read_dir(dir).map_err(|_| Error::StoreFailed)?;
    let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    files
        .filter(|path| path.extension().is_some_and(|end| end == "sqlite"))
        .map(|path| lock(&path))
        .collect()
}

/// Held as long as the database is open. A file of its own: SQLite's locks on the database itself
/// would be lost whenever another handle to it is closed.
fn lock(path: &Path) -> Result<File, Error> {
    let file = private::open_or_make(&beside(path, ".lock")).map_err(|_| Error::StoreFailed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::StoreBusy),
        Err(TryLockError::Error(_)) => Err(Error::StoreFailed),
    }
}

/// SQLite gives what it makes beside the database the database's own mode.
fn close_to_others(path: &Path) -> Result<(), Error> {
    drop(private::open_or_make(path).map_err(|_| Error::StoreFailed)?);
    ["", "-wal", "-shm", ".lock"].iter().try_for_each(|end| private::file(&beside(path, end)))
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
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

#[cfg(test)]
mod tests {
    use super::{Database, Failure, Schema};
    use hdms::Error;
    use std::path::Path;

    const ONE: Schema = Schema {
        application: 7,
        migrations: &["CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT UNIQUE) STRICT"],
    };
    const TWO: Schema = Schema {
        application: 7,
        migrations: &[ONE.migrations[0], "ALTER TABLE t ADD COLUMN w TEXT DEFAULT 'new'"],
    };

    fn open(dir: &Path, schema: &Schema) -> Result<Database, Error> {
        Database::open(&dir.join("node/db.sqlite"), schema)
    }

    async fn insert(database: &Database, value: &str) -> Result<(), Error> {
        let value = value.to_owned();
        database
            .write(move |tx| Ok(tx.execute("INSERT INTO t (v) VALUES (?1)", [value]).map(drop)?))
            .await
    }

    async fn values(database: &Database) -> Vec<String> {
        database
            .read(|connection| {
                let mut statement = connection.prepare("SELECT v FROM t ORDER BY id")?;
                let rows = statement.query_map([], |row| row.get(0))?;
                Ok(rows.collect::<Result<_, _>>()?)
            })
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn a_failing_job_in_a_group_takes_nobody_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let database = open(dir.path(), &ONE).unwrap();
        let refused = database.write(|tx| {
            tx.execute("INSERT INTO t (v) VALUES ('refused')", [])?;
            Err::<(), _>(Failure::Refused(Error::MailboxFull))
        });
        let (a, refused, twice, b) = tokio::join!(
            insert(&database, "a"),
            refused,
            async {
                insert(&database, "twice").await.unwrap();
                insert(&database, "twice").await
            },
            insert(&database, "b"),
        );
        assert_eq!((a, b), (Ok(()), Ok(())));
        assert_eq!(refused, Err(Error::MailboxFull));
        assert_eq!(twice, Err(Error::StoreFailed));
        let mut values = values(&database).await;
        values.sort();
        assert_eq!(values, ["a", "b", "twice"]);
    }

    #[tokio::test]
    async fn work_goes_on_when_the_one_who_asked_has_gone() {
        let dir = tempfile::tempdir().unwrap();
        let database = open(dir.path(), &ONE).unwrap();
        for n in 0..100 {
            // Polled once, which hands the work over, and dropped.
            let value = n.to_string();
            let asked = insert(&database, &value);
            tokio::select! { biased; _ = asked => {} () = std::future::ready(()) => {} }
        }
        insert(&database, "last").await.unwrap();
        assert_eq!(values(&database).await.len(), 101);
    }

    #[tokio::test]
    async fn a_second_opening_is_refused_until_the_first_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let first = open(dir.path(), &ONE).unwrap();
        insert(&first, "kept").await.unwrap();
        assert_eq!(open(dir.path(), &ONE).err(), Some(Error::StoreBusy));
        let operator = Database::join(&dir.path().join("node/db.sqlite"), &ONE).unwrap();
        insert(&operator, "by the operator").await.unwrap();
        assert_eq!(values(&first).await, ["kept", "by the operator"]);
        drop((first, operator));
        let again = open(dir.path(), &ONE).unwrap();
        assert_eq!(values(&again).await, ["kept", "by the operator"]);
    }

    #[tokio::test]
    async fn migrations_keep_data_and_newer_foreign_or_damaged_databases_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        insert(&open(dir.path(), &ONE).unwrap(), "old").await.unwrap();
        assert_eq!(values(&open(dir.path(), &TWO).unwrap()).await, ["old"]);
        assert_eq!(open(dir.path(), &ONE).err(), Some(Error::StoreNewer));
        let foreign = Schema { application: 8, ..TWO };
        assert_eq!(open(dir.path(), &foreign).err(), Some(Error::StoreCorrupt));
        let other = tempfile::tempdir().unwrap();
        let path = other.path().join("db.sqlite");
        assert!(Database::join(&path, &ONE).is_err());
        std::fs::write(&path, "this is no database, and it is long enough".repeat(100)).unwrap();
        assert_eq!(Database::open(&path, &ONE).err(), Some(Error::StoreCorrupt));
    }

    #[tokio::test]
    async fn a_full_disk_fails_the_write_and_leaves_everything_else_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let database = open(dir.path(), &ONE).unwrap();
        insert(&database, "before").await.unwrap();
        database.write(|tx| Ok(tx.pragma_update(None, "max_page_count", 4)?)).await.unwrap();
        assert_eq!(insert(&database, &"x".repeat(100_000)).await, Err(Error::StoreFull));
        assert_eq!(values(&database).await, ["before"]);
        database.write(|tx| Ok(tx.pragma_update(None, "max_page_count", 10_000)?)).await.unwrap();
        insert(&database, "after").await.unwrap();
        assert_eq!(values(&database).await, ["before", "after"]);
    }

    #[tokio::test]
    async fn what_was_deleted_or_replaced_is_in_none_of_the_files_once_they_are_tidied() {
        let dir = tempfile::tempdir().unwrap();
        let database = open(dir.path(), &ONE).unwrap();
        let secret = "a sealed envelope, ".repeat(2000);
        for _ in 0..3 {
            insert(&database, &secret).await.unwrap();
            let gone = "UPDATE t SET v = NULL WHERE v IS NOT NULL";
            database.write(move |tx| Ok(tx.execute(gone, []).map(drop)?)).await.unwrap();
        }
        insert(&database, "a sealed envelope, short").await.unwrap();
        database.write(|tx| Ok(tx.execute("DELETE FROM t", []).map(drop)?)).await.unwrap();
        let files = || {
            let entries = std::fs::read_dir(dir.path().join("node")).unwrap();
            entries.map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
        };
        let found = |text: &[u8]| text.windows(17).any(|part| part == b"a sealed envelope");
        assert!(files().any(|file| found(&file)), "nothing would be shown by what follows");
        database.tidy().await.unwrap();
        assert!(!files().any(|file| found(&file)));
    }

    #[tokio::test]
    async fn every_file_is_its_owners_alone_also_where_it_was_there_before() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("node");
        let first = open(dir.path(), &ONE).unwrap();
        insert(&first, "kept").await.unwrap();
        let entries = || std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        let others = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o077;
        assert_eq!(entries().count(), 4, "with -wal, -shm and .lock");
        assert!(entries().all(|path| others(&path) == 0));
        // As after a kill -9 of a version that made them for all to read.
        let copies: Vec<_> = entries().map(|path| (std::fs::read(&path).unwrap(), path)).collect();
        drop(first);
        for (content, path) in copies {
            std::fs::write(&path, content).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        }
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
        let again = open(dir.path(), &ONE).unwrap();
        assert_eq!(values(&again).await, ["kept"]);
        insert(&again, "more").await.unwrap();
        assert!(others(&folder) == 0 && entries().all(|path| others(&path) == 0));
    }
}
