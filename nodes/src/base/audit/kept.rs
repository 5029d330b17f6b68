//! The checkpoint of the last good audit, in a file: a signed note.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use hdms::Error;
use hdms::log::{NoteKey, SignedCheckpoint};

use super::fault::{Claim, Source, Unchecked};
use crate::base::durable;
use crate::base::keys::AwsPrimitives;

/// What was kept of the log with the key that `key_of` knows by its origin; nothing before the first good
/// audit. [`Error::LogForged`] when it is not a
/// checkpoint that a log of the network has signed, [`Error::StoreFailed`] when it can't be read.
pub async fn read(
    file: &Path,
    key_of: impl Fn(&str) -> Result<NoteKey, Error>,
) -> Result<Option<Claim>, Unchecked> {
    let failed = |why| Unchecked { what: format!("state file {}", file.display()), why };
    let note = match fs::read_to_string(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        read => read.map_err(|_| failed(Error::StoreFailed))?,
    };
    let checkpoint = SignedCheckpoint::parse(&note).map_err(|_| failed(Error::StoreCorrupt))?;
    let key = key_of(&checkpoint.checkpoint().origin).map_err(failed)?;
    let kept = checkpoint.verify_log(&key, &AwsPrimitives).await;
    kept.map_err(|_| failed(Error::StoreCorrupt))?;
    Ok(Some(Claim { checkpoint, source: Source::Kept }))
}

/// Keeps a checkpoint in place of the last one, or leaves that as it is: [`Error::StoreFailed`].
pub fn write(file: &Path, checkpoint: &SignedCheckpoint) -> Result<(), Unchecked> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let note = checkpoint.to_text();
    let kept = durable::replace(folder.unwrap_or(Path::new(".")), file, note.as_bytes());
    kept.map_err(|_| Unchecked {
        what: format!("state file {}", file.display()),
        why: Error::StoreFailed,
    })
}
