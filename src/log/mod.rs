//! Transparency logs, as far as one who checks them needs: Merkle trees (RFC 9162 section 2.1),
//! signed notes, checkpoints with cosignatures of witnesses, and proof texts (C2SP signed-note,
//! tlog-checkpoint, tlog-cosignature and tlog-proof).

pub mod checkpoint;
pub mod merkle;
pub mod note;
pub mod proof;

pub use checkpoint::{Checkpoint, SignedCheckpoint};
pub use merkle::Hash;
pub use note::{KeyKind, Note, NoteKey, NoteSignature};
pub use proof::TlogProof;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::error::Error;

/// Largest text that is read, bytes.
pub const MAX_TEXT: usize = 64 * 1024;

/// base64 with padding (RFC 4648 section 4).
pub fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The bytes behind canonical base64.
fn decode(text: &str) -> Result<Vec<u8>, Error> {
    STANDARD.decode(text).map_err(|_| Error::LogForged)
}

/// A hash in canonical base64. [`Error::LogForged`], here and below.
pub fn decode_hash(text: &str) -> Result<Hash, Error> {
    decode(text)?.try_into().map_err(|_| Error::LogForged)
}

/// A number in its one decimal form: digits only, no leading zero.
pub fn decimal(text: &str) -> Result<u64, Error> {
    let canonical =
        text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| canonical).ok_or(Error::LogForged)
}
