//! The files of a database: locked by who has it open, and its owner's alone.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use hdms::Error;

use crate::base::private;

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
pub fn lock(path: &Path) -> Result<File, Error> {
    let file = private::open_or_make(&beside(path, ".lock")).map_err(|_| Error::StoreFailed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::StoreBusy),
        Err(TryLockError::Error(_)) => Err(Error::StoreFailed),
    }
}

/// SQLite gives what it makes beside the database the database's own mode.
pub fn close_to_others(path: &Path) -> Result<(), Error> {
    drop(private::open_or_make(path).map_err(|_| Error::StoreFailed)?);
    ["", "-wal", "-shm", ".lock"].iter().try_for_each(|end| private::file(&beside(path, end)))
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}
