//! The log as others and repeated deposits read it: from the database, and checked against a root
//! that the notary has signed before it goes out as a proof.

use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;

use hdms::Error;
use hdms::ids::EntryId;
use hdms::ledger::{LeafOpening, Salt};
use hdms::log::{Hash, NoteKey, SignedCheckpoint, TlogProof};
use rusqlite::Connection;
use tlog_tiles::{HashReader, Tile};

use super::entries::{self, LoggedEntry};
use super::store;
use super::tree::{self, HEIGHT, Position};
use crate::keys::AwsPrimitives;
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

    /// The newest published checkpoint; none before the first entry.
    pub async fn checkpoint(&self) -> Result<Option<SignedCheckpoint>, Error> {
        self.database.read(store::newest_published).await
    }

    /// The first `width` hashes of a tile, one after the other; none where there are fewer.
    pub async fn tile(&self, position: Position, width: u64) -> Result<Option<Vec<u8>>, Error> {
        let tile = self.database.read(|connection| store::tile(connection, position)).await?;
        let length = width as usize * size_of::<Hash>();
        Ok(tile.filter(|tile| tile.len() >= length).map(|mut tile| {
            tile.truncate(length);
            tile
        }))
    }

    /// The leaves with these indexes; none where one of them is missing.
    pub async fn leaves(&self, indexes: Range<u64>) -> Result<Option<Vec<Vec<u8>>>, Error> {
        let expected = indexes.end - indexes.start;
        let leaves = self.database.read(|connection| entries::leaves(connection, indexes)).await?;
        Ok(Some(leaves).filter(|leaves| leaves.len() as u64 == expected))
    }

    /// The proof that the tree of the first `new` leaves begins with that of the first `old` (RFC
    /// 9162 section 2.1.4). [`Error::StoreCorrupt`] also when there are fewer.
    pub async fn consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, Error> {
        self.database
            .read(|connection| {
                let stored = StoredTree::new(connection);
                stored.explain(tree::consistency(&stored, old, new))
            })
            .await
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

fn prove(connection: &Connection, entry: &LoggedEntry) -> Result<Proven, Failure> {
    let checkpoint = store::first_published(connection, entry.index)?;
    let checkpoint = checkpoint.ok_or(Error::WitnessesMissing)?;
    let stored = StoredTree::new(connection);
    stored.explain(Proven::new(entry, &stored, checkpoint))
}

/// In a time that does not tell where they differ.
fn is_same(one: Salt, other: Salt) -> bool {
    one.0.iter().zip(other.0).fold(0, |differing, (a, b)| differing | (a ^ b)) == 0
}

/// The tree in the database; each tile is read once.
struct StoredTree<'a> {
    connection: &'a Connection,
    tiles: RefCell<HashMap<Position, Vec<u8>>>,
    failure: RefCell<Option<Failure>>,
}

impl<'a> StoredTree<'a> {
    fn new(connection: &'a Connection) -> Self {
        Self { connection, tiles: RefCell::default(), failure: RefCell::default() }
    }

    /// What was made of the tree, or why the database did not answer.
    fn explain<T>(&self, made: Result<T, Error>) -> Result<T, Failure> {
        made.map_err(|error| self.failure.take().unwrap_or(error.into()))
    }

    fn hash(&self, index: u64) -> Result<tlog_tiles::Hash, tlog_tiles::Error> {
        let tile = Tile::from_index(HEIGHT, index);
        let position = Position { level: tile.level(), number: tile.level_index() };
        let mut tiles = self.tiles.borrow_mut();
        let bytes = match tiles.entry(position) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                let bytes = store::tile(self.connection, position).unwrap_or_else(|failure| {
                    self.failure.replace(Some(failure));
                    None
                });
                unknown.insert(bytes.ok_or(tlog_tiles::Error::IndexesNotInTree)?)
            }
        };
        tile.hash_at_index(bytes, index)
    }
}

impl HashReader for StoredTree<'_> {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::Error> {
        indexes.iter().map(|index| self.hash(*index)).collect()
    }
}
