//! The log as others and repeated deposits read it: from the database, and checked against a root
//! that the notary has signed before it goes out as a proof.

use std::ops::Range;

use hdms::Error;
use hdms::ids::EntryId;
use hdms::ledger::{Cosignatures, Entry, LeafOpening, Salt};
use hdms::log::{NoteKey, SignedCheckpoint, TlogProof};
use hdms::network::{Trust, notary_of};
use tlog_tiles::HashReader;

use super::entries::{self, LoggedEntry};
use crate::base::keys::AwsPrimitives;
use crate::base::log::publication::Published;
use crate::base::log::tiles::{self, StoredTree, Tiles};
use crate::base::log::tree;
use crate::base::sqlite::Database;

/// Reads a log. Clones read the same one.
#[derive(Clone, Debug)]
pub struct LogReader {
    database: Database,
    key: NoteKey,
}

/// An entry and the proof that the log has it.
#[derive(Clone, Debug)]
pub struct ProvenEntry {
    entry: Entry,
    opening: LeafOpening,
    proof: TlogProof,
}

impl ProvenEntry {
    /// `entry` and its proof under `checkpoint`, made of what `tree` holds.
    pub fn new(
        entry: &LoggedEntry,
        tree: &impl HashReader,
        checkpoint: SignedCheckpoint,
    ) -> Result<Self, Error> {
        let hashes = tree::inclusion(tree, checkpoint.checkpoint().size, entry.index)?;
        let proof = TlogProof { extra: None, index: entry.index, hashes, checkpoint };
        Ok(Self { entry: entry.entry.clone(), opening: entry.opening(), proof })
    }

    /// Which entry.
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// The receipt for the entry's participants.
    pub fn receipt(self) -> Result<String, Error> {
        self.opening.receipt(self.proof)
    }

    /// The receipt for others.
    pub fn receipt_for_others(self) -> Result<String, Error> {
        self.opening.for_others().receipt(self.proof)
    }

    /// Whether enough have co-signed it, and none of them before the entry was logged, as far as the
    /// Network Map lists this log yet.
    async fn counts(&self, trust: &Trust) -> Result<bool, Error> {
        let tree = self.proof.checkpoint.checkpoint();
        let Ok(log) = notary_of(&tree.origin).and_then(|notary| trust.log(&notary)) else {
            return Ok(true);
        };
        let signed = &self.proof.checkpoint;
        let cosignatures = Cosignatures::read(signed, log, trust, &AwsPrimitives).await?;
        let ahead = cosignatures.time().is_some_and(|time| self.opening.time > time);
        Ok(!ahead && cosignatures.suffice(tree, log, trust.parameters()))
    }

    /// [`Error::StoreCorrupt`] unless the entry is in the tree that `key` has signed.
    async fn expect(self, key: &NoteKey) -> Result<Self, Error> {
        let signed = self.proof.checkpoint.verify_log(key, &AwsPrimitives).await;
        if self.proof.includes(&self.opening.leaf().to_bytes()) && signed.is_ok() {
            return Ok(self);
        }
        let (entry, index) = (self.entry.id.as_ref(), self.proof.index);
        tracing::error!(entry, index, "the log was altered: this entry is not what was signed");
        Err(Error::StoreCorrupt)
    }
}

impl LogReader {
    /// Reads what is kept in `database` of the log with this key.
    pub fn new(database: Database, key: NoteKey) -> Self {
        Self { database, key }
    }

    /// The entry at `index` with its proof under the first published checkpoint that covers it; when
    /// that does not count any more as `trust` has it, under the newest.
    ///
    /// Errors: [`Error::WitnessesMissing`] before there is one, [`Error::StoreCorrupt`].
    pub async fn proven(&self, index: u64, trust: &Trust) -> Result<ProvenEntry, Error> {
        for checkpoint in [tiles::first_published, tiles::newest_covering] {
            let proven = self.database.read(|connection| {
                let entry = entries::at(connection, index)?.ok_or(Error::StoreCorrupt)?;
                let checkpoint = checkpoint(connection, index)?.ok_or(Error::WitnessesMissing)?;
                let stored = StoredTree::new(connection);
                stored.explain(ProvenEntry::new(&entry, &stored, checkpoint))
            });
            let proven = proven.await?.expect(&self.key).await?;
            if proven.counts(trust).await? {
                return Ok(proven);
            }
        }
        Err(Error::WitnessesMissing)
    }

    /// The same for the entry with this id, if it is logged, published, and its document's
    /// commitment has this salt.
    pub async fn opened(
        &self,
        id: &EntryId,
        salt: Salt,
        trust: &Trust,
    ) -> Result<Option<ProvenEntry>, Error> {
        let entry = self.database.read(|connection| entries::with_id(connection, id)).await?;
        let entry = entry.filter(|entry| is_same(entry.salts[0], salt));
        let Some(LoggedEntry { index, .. }) = entry else { return Ok(None) };
        match self.proven(index, trust).await {
            Err(Error::WitnessesMissing) => Ok(None),
            proven => proven.map(Some),
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

/// In a time that does not tell where they differ.
fn is_same(one: Salt, other: Salt) -> bool {
    one.0.iter().zip(other.0).fold(0, |differing, (a, b)| differing | (a ^ b)) == 0
}
