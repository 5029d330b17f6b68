//! What a node keeps is for its own user alone: folders 0700, files 0600, also where a folder or a
//! file was there before. What others may read is taken from them, and that is said; where that
//! can't be done the node does not start.

use std::fs::{DirBuilder, File, Metadata, OpenOptions, Permissions, metadata, set_permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use hdms::Error;

/// What others than the owner may do.
const OTHERS: u32 = 0o077;

/// What lets others put files into a folder or exchange those in it.
const OTHERS_WRITE: u32 = 0o022;

/// A folder that everybody shares, such as `/tmp`: never closed to others.
const SHARED: u32 = 0o1000;

/// Makes the folder, or closes one that was there to others. One of another user that lets nobody
/// write stays as it is: what lies in it is closed by itself.
///
/// Errors: [`Error::StoreExposed`], [`Error::StoreFailed`].
pub fn folder(path: &Path) -> Result<(), Error> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|_| Error::StoreFailed)?;
    let mode = mode(&metadata(path).map_err(|_| Error::StoreFailed)?);
    if mode & OTHERS == 0 {
        return Ok(());
    }
    let closed = mode & SHARED == 0 && close(path, mode, 0o700).is_ok();
    if !closed && mode & OTHERS_WRITE != 0 {
        tracing::error!(path = %path.display(), "others may write into the node's folder");
        return Err(Error::StoreExposed);
    }
    Ok(())
}

/// Closes a file to others, if there is one. [`Error::StoreExposed`], [`Error::StoreFailed`].
pub fn file(path: &Path) -> Result<(), Error> {
    match metadata(path) {
        Ok(found) if mode(&found) & OTHERS == 0 => Ok(()),
        Ok(found) => close(path, mode(&found), 0o600).map_err(|error| {
            tracing::error!(path = %path.display(), %error, "others may read the node's file");
            Error::StoreExposed
        }),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(_) => Err(Error::StoreFailed),
    }
}

/// Opens a file for writing, made for its owner alone where it is not there; what is in it stays.
pub fn open_or_make(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// Makes a file that is not there, for its owner alone.
pub fn make(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// As [`open_or_make`], with nothing in it.
pub fn made_anew(path: &Path) -> io::Result<File> {
    let file = open_or_make(path)?;
    file.set_len(0)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(file)
}

/// Says so when others may read a file with a secret that is not the node's to change.
pub fn warn_of_others(path: &Path) {
    if metadata(path).is_ok_and(|found| found.is_file() && mode(&found) & OTHERS != 0) {
        tracing::warn!(path = %path.display(), "others on this machine may read this secret");
    }
}

fn close(path: &Path, from: u32, to: u32) -> io::Result<()> {
    set_permissions(path, Permissions::from_mode(to))?;
    let (path, from) = (path.display(), format!("{:03o}", from & 0o777));
    tracing::warn!(%path, from, "others could read this: it was closed to them");
    Ok(())
}

fn mode(found: &Metadata) -> u32 {
    found.permissions().mode()
}

#[cfg(test)]
mod tests {
    use super::{file, folder, open_or_make};
    use hdms::Error;
    use std::fs::{Permissions, create_dir, metadata, set_permissions, write};
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    fn mode(path: &Path) -> u32 {
        metadata(path).unwrap().permissions().mode() & 0o7777
    }

    fn set(path: &Path, mode: u32) {
        set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_was_there_before_is_closed_and_what_is_made_is_closed_from_the_start() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (dir.path().join("old"), dir.path().join("a/new"));
        create_dir(&old).unwrap();
        set(&old, 0o755);
        for path in [&old, &new] {
            folder(path).unwrap();
            assert_eq!(mode(path), 0o700, "{}", path.display());
        }
        let (old, new) = (old.join("f"), new.join("f"));
        write(&old, "kept").unwrap();
        set(&old, 0o644);
        file(&old).unwrap();
        assert_eq!(mode(&old), 0o600);
        file(&new).unwrap();
        drop(open_or_make(&new).unwrap());
        assert_eq!(mode(&new), 0o600);
        drop(open_or_make(&old).unwrap());
        assert_eq!(std::fs::read_to_string(&old).unwrap(), "kept");
    }

    #[test]
    fn a_folder_that_everybody_shares_is_refused_and_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        set(dir.path(), 0o1777);
        assert_eq!(folder(dir.path()), Err(Error::StoreExposed));
        assert_eq!(mode(dir.path()), 0o1777);
    }
}
