//! Transparency logs as those keep them who write one (C2SP tlog-tiles): the tree and its tiles, the
//! checkpoints over it and who co-signs them, and what is served of it.

mod asking;
mod others;
pub mod publication;
pub mod submission;
pub mod tile_path;
pub mod tiles;
pub mod tree;
pub mod witnessed;
mod witnesses;

use hdms::Error;
use hdms::log::checkpoint::log_signature;
use hdms::log::{Checkpoint, NoteKey, SignedCheckpoint};

use crate::base::keys::NotaryKeys;
pub use others::{Others, Roll};
use tree::Tree;
pub use witnesses::Witnesses;

/// The log's own word about its tree.
pub fn sign(tree: &Tree, keys: &NotaryKeys, key: &NoteKey) -> Result<SignedCheckpoint, Error> {
    let (origin, size) = (key.name.clone(), tree.size());
    let checkpoint = Checkpoint { origin, size, root: tree::root(tree, size)? };
    let signature = keys.sign_as_log(checkpoint.to_text().as_bytes())?;
    Ok(SignedCheckpoint::new(checkpoint, log_signature(key, signature)))
}
