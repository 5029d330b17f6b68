//! The thread that writes: all that is waiting goes into one commit.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use hdms::Error;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::BUSY;
use super::failure::{Failure, explained, path_of};

/// How long the writer waits, when it empties the WAL, for those who still read what it holds.
const PATIENCE: Duration = Duration::from_millis(100);

/// Most jobs in one commit: bounds how long the first of them waits.
const MAX_GROUP: usize = 512;

/// Tells whoever asked, by whether all was committed.
type Finish = Box<dyn FnOnce(Result<(), Error>)>;

/// Work within the commit of a group.
pub type WriteJob = Box<dyn FnOnce(&Connection) -> (Option<Error>, Finish) + Send>;

/// Does what is `waiting` until nobody is left who could ask; so long after a write, `tidy`, the WAL is
/// emptied.
pub fn write_in_groups(
    connection: &Connection,
    waiting: &mpsc::Receiver<WriteJob>,
    tidy: Duration,
) {
    // When the WAL is to be emptied, if something was written since it last was.
    let mut due: Option<Instant> = None;
    loop {
        let pause = due.map_or(Duration::MAX, |due| due.saturating_duration_since(Instant::now()));
        let first = match waiting.recv_timeout(pause) {
            Ok(job) => Some(job),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let group: Vec<_> =
            first.into_iter().chain(waiting.try_iter().take(MAX_GROUP - 1)).collect();
        if !group.is_empty() {
            write_group(connection, group);
            due.get_or_insert_with(|| Instant::now() + tidy);
        }
        if due.is_some_and(|due| due <= Instant::now()) {
            let emptied = empty_wal(connection);
            due = (emptied == Ok(false)).then(|| Instant::now() + tidy);
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

/// `work`, undone when it fails, whose outcome goes to `answer` once it is on stable storage.
pub fn job<T: Send + 'static>(
    work: impl FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    answer: oneshot::Sender<Result<T, Error>>,
) -> WriteJob {
    Box::new(move |connection| {
        let outcome = within_savepoint(connection, work);
        let failed = outcome.as_ref().err().copied();
        // Whoever asked may be gone; the work is done all the same.
        (failed, Box::new(move |committed| drop(answer.send(committed.and(outcome)))))
    })
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

/// Runs `work`; what it wrote is undone when it fails.
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
