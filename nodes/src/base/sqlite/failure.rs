//! What SQLite says when it fails, as refusals.

use std::path::Path;

use hdms::Error;
use rusqlite::{Connection, ErrorCode};

/// Bytes by which SQLite grows a file at once, at most.
const AT_ONCE: u64 = 64 * 1024;

/// Why a job did not do its work.
#[derive(Debug)]
pub enum Failure {
    /// The job itself refused; its writes are undone.
    Refused(Error),
    /// SQLite did.
    Sqlite(rusqlite::Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// Logs what SQLite says of the database at `path`, which names no values, and answers the refusal.
pub fn explained(failure: Failure, path: &Path) -> Error {
    let error = match failure {
        Failure::Refused(error) => return error,
        Failure::Sqlite(error) => error,
    };
    tracing::error!(%error, "the database failed");
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Error::StoreCorrupt,
        Some(ErrorCode::DatabaseBusy) => Error::StoreBusy,
        Some(ErrorCode::DiskFull) => Error::StoreFull,
        // Growing its shared memory, or opening a file beside it, SQLite does not say what failed.
        Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) if is_full(path) => {
            Error::StoreFull
        }
        _ => Error::StoreFailed,
    }
}

/// The file of an open database.
pub fn path_of(connection: &Connection) -> &Path {
    Path::new(connection.path().unwrap_or_default())
}

/// Whether the disk has no room for what SQLite asks at once.
fn is_full(path: &Path) -> bool {
    let free = rustix::fs::statvfs(path).map(|disk| disk.f_bavail * disk.f_frsize);
    free.is_ok_and(|bytes| bytes < AT_ONCE)
}
