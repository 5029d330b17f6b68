//! The notary's log in its database: entries, and the tiles and checkpoints over them.

use hdms::Error;
use hdms::log::merkle::leaf_hash;
use hdms::log::{Hash, NoteKey, SignedCheckpoint};
use rusqlite::Connection;

use super::entries::{self, LoggedEntry};
use crate::base::log::tiles::{self, Leaves};
use crate::base::log::tree::Tree;
use crate::base::sqlite::{Database, Failure};

/// The entries as leaves.
struct Entries;

impl Leaves for Entries {
    fn count(connection: &Connection) -> Result<u64, Failure> {
        entries::count(connection)
    }

    fn hash(connection: &Connection, index: u64) -> Result<Option<Hash>, Failure> {
        Ok(entries::at(connection, index)?.map(|entry| leaf_hash(&entry.leaf())))
    }
}

/// Adds entries to the tables, to `tree`, and the tiles that this changes.
pub fn append(tx: &Connection, tree: &mut Tree, entries: &[LoggedEntry]) -> Result<(), Failure> {
    let before = tree.size();
    for entry in entries {
        entry.insert(tx)?;
        tree.push(leaf_hash(&entry.leaf()));
    }
    tiles::keep_tiles(tx, tree, before)
}

/// As [`tiles::open`].
pub async fn open(
    database: &Database,
    key: &NoteKey,
) -> Result<(Tree, Option<SignedCheckpoint>), Error> {
    tiles::open::<Entries>(database, key).await
}
