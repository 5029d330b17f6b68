//! Files that are there as a whole or not at all.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use tempfile::NamedTempFile;

/// All of `bytes` or nothing under `path`, and on stable storage before it answers. The temporary
/// file is readable by its owner alone (mode 0600), and does not take the place of one that another
/// process made meanwhile.
pub fn write(dir: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    written(dir, bytes)?.persist_noclobber(path)?;
    File::open(dir)?.sync_all()
}

/// As [`write()`], in place of what is there: whoever reads sees the one or the other.
pub fn replace(dir: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    written(dir, bytes)?.persist(path)?;
    File::open(dir)?.sync_all()
}

fn written(dir: &Path, bytes: &[u8]) -> io::Result<NamedTempFile> {
    let mut file = NamedTempFile::new_in(dir)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file)
}
