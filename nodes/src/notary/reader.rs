//! The log as others and repeated deposits read it: from the database, and checked against a root
//! that the notary has signed before it goes out as a proof.

use std::ops::Range;

use hdms::Error;
use hdms::ids::EntryId;
use hdms::ledger::{LeafOpening, Salt};
use hdms::log::{NoteKey, SignedCheckpoint, TlogProof};
use rusqlite::Connection;
use tlog_tiles::HashReader;

use super::entries::{self, LoggedEntry};
use crate::keys::AwsPrimitives;
use crate::log::publication::Published;
use crate::log::tiles::{self, StoredTree, Tiles};
use crate::log::tree;
use crate::sqlite::{Database, Failure};

/// Reads a log. Clones read the same one.
#[derive(Clone, Debug)]
pub struct LogReader {
    database: Database,
    key: NoteKey,
}

/// An entry and the proof that the log has it.
#[derive(Clone, Debug)]
pub struct Proven {
    opening: LeafOpening,
    proof: TlogProof,
}

impl Proven {
    /// `entry` and its proof under `checkpoint`, made of what `tree` holds.
    pub fn new(
        entry: &LoggedEntry,
        tree: &impl HashReader,
        checkpoint: SignedCheckpoint,
    ) -> Result<Self, Error> {
        let hashes = tree::inclusion(tree, checkpoint.checkpoint().size, entry.index)?;
        let proof = TlogProof { extra: None, index: entry.index, hashes, checkpoint };
        Ok(Self { opening: entry.opening(), proof })
    }

    /// Which entry.
    pub fn entry(&self) -> &EntryId {
        &self.opening.entry
    }

    /// The receipt for the entry's participants.
    pub fn receipt(self) -> Result<String, Error> {
        self.opening.receipt(self.proof)
    }

    /// The receipt for others.
    pub fn receipt_for_others(self) -> Result<String, Error> {
        self.opening.for_others().receipt(self.proof)
    }

    /// [`Error::StoreCorrupt`] unless the entry is in the tree that `key` has signed.
    async fn expect(self, key: &NoteKey) -> Result<Self, Error> {
        let signed = self.proof.checkpoint.verify_log(key, &AwsPrimitives).await;
        if self.proof.includes(&self.opening.leaf().to_bytes()) && signed.is_ok() {
            return Ok(self);
        }
        let (entry, index) = (self.entry().as_ref(), self.proof.index);
        tracing::error!(entry, index, "the log was altered: this entry is not what was signed");
        Err(Error::StoreCorrupt)
    }
}

impl LogReader {
    /// Reads what is kept in `database` of the log with this key.
    pub fn new(database: Database, key: NoteKey) -> Self {
        Self { database, key }
    }

    /// The entry at `index` with its proof under the first published checkpoint that covers it.
    ///
    /// Errors: [`Error::WitnessesMissing`] before there is one, [`Error::StoreCorrupt`].
    pub async fn proven(&self, index: u64) -> Result<Proven, Error> {
        let proven = self.database.read(|connection| {
            let entry = entries::at(connection, index)?.ok_or(Error::StoreCorrupt)?;
            prove(connection, &entry)
        });
        proven.await?.expect(&self.key).await
    }

    /// The same for the entry with this id, if it is logged, published, and its document's
    /// commitment has this salt.
    pub async fn opened(&self, id: &EntryId, salt: Salt) -> Result<Option<Proven>, Error> {
        let proven = self.database.read(|connection| {
            let entry = entries::with_id(connection, id)?;
            let entry = entry.filter(|entry| is_same(entry.salts[0], salt));
            entry.map(|entry| prove(connection, &entry)).transpose()
        });
        match proven.await {
            Ok(Some(proven)) => proven.expect(&self.key).await.map(Some),
            Err(Error::WitnessesMissing) => Ok(None),
            otherwise => otherwise,
        }
    }
}

impl Published for LogReader {
    fn tiles(&self) -> Tiles {
        Tiles(self.database.clone())
    }

    async fn leaves(&self, indexes: Range<u64>) -> Result<Vec<Vec<u8>>, Error> {
        self.database.read(|connection| entries::leaves(connection, indexes)).await
    }
}

fn prove(connection: &Connection, entry: &LoggedEntry) -> Result<Proven, Failure> {
    let checkpoint = tiles::first_published(connection, entry.index)?;
    let checkpoint = checkpoint.ok_or(Error::WitnessesMissing)?;
    let stored = StoredTree::new(connection);
    stored.explain(Proven::new(entry, &stored, checkpoint))
}

/// In a time that does not tell where they differ.
fn is_same(one: Salt, other: Salt) -> bool {
    one.0.iter().zip(other.0).fold(0, |differing, (a, b)| differing | (a ^ b)) == 0
}
