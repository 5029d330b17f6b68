//! A log in its node's database: the tiles of its tree, and the checkpoints that were signed over it.
//! Its leaves are kept by whoever logs them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use hdms::Error;
use hdms::log::{Hash, NoteKey, SignedCheckpoint};
use rusqlite::{Connection, OptionalExtension};
use tlog_tiles::{HashReader, Tile};

use super::tree::{self, HEIGHT, Position, Tree, WIDTH};
use crate::base::keys::AwsPrimitives;
use crate::base::sqlite::{Database, Failure};

/// SQL of the tables beside that of the leaves. A tile's hashes stand one after the other; a
/// published checkpoint has the cosignatures that were asked for, and is never changed.
pub const TABLES: &str = "
    CREATE TABLE tiles (
        level INTEGER NOT NULL,
        number INTEGER NOT NULL,
        hashes BLOB NOT NULL,
        PRIMARY KEY (level, number)
    ) STRICT;
    CREATE TABLE checkpoints (
        size INTEGER PRIMARY KEY,
        note TEXT NOT NULL,
        published INTEGER NOT NULL
    ) STRICT;
";

/// How leaves are kept: the hash of the one with this index, and how many there are.
pub trait Leaves {
    /// How many there are.
    fn count(connection: &Connection) -> Result<u64, Failure>;

    /// The hash of the one at `index`, if it is there.
    fn hash(connection: &Connection, index: u64) -> Result<Option<Hash>, Failure>;
}

/// Keeps the tiles that have changed since `tree` had `before` leaves.
pub fn keep_tiles(tx: &Connection, tree: &Tree, before: u64) -> Result<(), Failure> {
    let sql = "INSERT INTO tiles (level, number, hashes) VALUES (?1, ?2, ?3) \
               ON CONFLICT (level, number) DO UPDATE SET hashes = excluded.hashes";
    let mut statement = tx.prepare_cached(sql)?;
    for (position, hashes) in tree.changed_since(before) {
        statement.execute((position.level, position.number, hashes.as_flattened()))?;
    }
    Ok(())
}

/// Keeps a checkpoint that only the log has signed yet.
pub fn keep_checkpoint(tx: &Connection, checkpoint: &SignedCheckpoint) -> Result<(), Failure> {
    let sql = "INSERT INTO checkpoints (size, note, published) VALUES (?1, ?2, 0)";
    tx.prepare_cached(sql)?.execute((checkpoint.checkpoint().size, checkpoint.to_text()))?;
    Ok(())
}

/// Publishes a checkpoint that was kept, now with its cosignatures. Smaller ones that were not
/// published never will be.
pub fn publish(tx: &Connection, checkpoint: &SignedCheckpoint) -> Result<(), Failure> {
    let size = checkpoint.checkpoint().size;
    let sql = "UPDATE checkpoints SET note = ?2, published = 1 WHERE size = ?1";
    tx.prepare_cached(sql)?.execute((size, checkpoint.to_text()))?;
    let sql = "DELETE FROM checkpoints WHERE size < ?1 AND NOT published";
    tx.prepare_cached(sql)?.execute([size])?;
    Ok(())
}

/// The newest checkpoint, published or not.
pub fn newest_checkpoint(connection: &Connection) -> Result<Option<SignedCheckpoint>, Failure> {
    checkpoint(connection, "size > ?1 ORDER BY size DESC", 0)
}

/// The newest checkpoint that was published.
pub fn newest_published(connection: &Connection) -> Result<Option<SignedCheckpoint>, Failure> {
    checkpoint(connection, "size > ?1 AND published ORDER BY size DESC", 0)
}

/// The first published checkpoint that covers the leaf at `index`: its receipt's.
pub fn first_published(
    connection: &Connection,
    index: u64,
) -> Result<Option<SignedCheckpoint>, Failure> {
    checkpoint(connection, "size > ?1 AND published ORDER BY size", index)
}

/// The newest published checkpoint, if it covers the leaf at `index`.
pub fn newest_covering(
    connection: &Connection,
    index: u64,
) -> Result<Option<SignedCheckpoint>, Failure> {
    checkpoint(connection, "size > ?1 AND published ORDER BY size DESC", index)
}

/// The checkpoint of exactly so many leaves.
pub fn of_size(connection: &Connection, size: u64) -> Result<Option<SignedCheckpoint>, Failure> {
    checkpoint(connection, "size = ?1", size)
}

fn checkpoint(
    connection: &Connection,
    which: &str,
    size: u64,
) -> Result<Option<SignedCheckpoint>, Failure> {
    let sql = format!("SELECT note FROM checkpoints WHERE {which} LIMIT 1");
    let mut statement = connection.prepare_cached(&sql)?;
    let note: Option<String> = statement.query_row([size], |row| row.get(0)).optional()?;
    let Some(note) = note else { return Ok(None) };
    let checkpoint = SignedCheckpoint::parse(&note);
    Ok(Some(checkpoint.map_err(|_| corrupt("a checkpoint can't be read"))?))
}

/// The bytes of a tile, as many as it has.
pub fn tile(connection: &Connection, position: Position) -> Result<Option<Vec<u8>>, Failure> {
    let sql = "SELECT hashes FROM tiles WHERE level = ?1 AND number = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let tile = statement.query_row((position.level, position.number), |row| row.get(0));
    Ok(tile.optional()?)
}

/// The tree under the newest checkpoint, once its right edge is seen to lead to the signed root, and
/// that checkpoint. [`Error::StoreCorrupt`] when something was altered or is missing; the node's
/// messages say what.
pub async fn open<L: Leaves>(
    database: &Database,
    key: &NoteKey,
) -> Result<(Tree, Option<SignedCheckpoint>), Error> {
    let (tree, newest) = database.read(open_tree::<L>).await?;
    if let Some(newest) = &newest {
        let signed = newest.verify_log(key, &AwsPrimitives).await;
        signed.map_err(|_| corrupt("the newest checkpoint is not signed by this log"))?;
    }
    Ok((tree, newest))
}

fn open_tree<L: Leaves>(
    connection: &Connection,
) -> Result<(Tree, Option<SignedCheckpoint>), Failure> {
    let newest = newest_checkpoint(connection)?;
    let size = newest.as_ref().map_or(0, |newest| newest.checkpoint().size);
    if L::count(connection)? != size {
        return Err(corrupt("the leaves are not those of the newest checkpoint").into());
    }
    let tree = Tree::load(size, |position, _| {
        let bytes = tile(connection, position)?.ok_or_else(|| missing(position))?;
        Ok::<_, Failure>(bytes.as_chunks().0.to_vec())
    })?;
    if newest.as_ref().is_some_and(|newest| tree::root(&tree, size) != Ok(newest.checkpoint().root))
    {
        return Err(altered::<L>(connection, size)?.into());
    }
    Ok((tree, newest))
}

/// Which tile of the right edge, if any, does not belong to what is under it.
fn altered<L: Leaves>(connection: &Connection, size: u64) -> Result<Error, Failure> {
    for (position, width) in tree::edge_of(size) {
        let kept = tile(connection, position)?.ok_or_else(|| missing(position))?;
        let first = position.number << HEIGHT;
        for (number, hash) in (first..).zip(kept.as_chunks::<32>().0).take(width) {
            if below::<L>(connection, position.level, number)? != Some(*hash) {
                let (level, tile) = (position.level, position.number);
                tracing::error!(level, tile, number, "a hash is not of what is under it");
                return Ok(Error::StoreCorrupt);
            }
        }
    }
    Ok(corrupt("the newest checkpoint is not of the tiles"))
}

/// The hash with this number in a level of tiles, computed anew: of the leaf or the tile under it.
fn below<L: Leaves>(
    connection: &Connection,
    level: u8,
    number: u64,
) -> Result<Option<Hash>, Failure> {
    let Some(level) = level.checked_sub(1) else { return L::hash(connection, number) };
    let tile = tile(connection, Position { level, number })?;
    let full = tile.filter(|tile| tile.len() == WIDTH as usize * size_of::<Hash>());
    Ok(full.map(|tile| Tile::subtree_hash(&tile).0))
}

fn missing(position: Position) -> Error {
    tracing::error!(level = position.level, number = position.number, "a tile is missing");
    Error::StoreCorrupt
}

fn corrupt(what: &str) -> Error {
    tracing::error!("the log was altered: {what}");
    Error::StoreCorrupt
}

/// Reads a log's tiles and checkpoints. Clones read the same one.
#[derive(Clone, Debug)]
pub struct Tiles(pub Database);

impl Tiles {
    /// The newest published checkpoint; none before the first leaf.
    pub async fn checkpoint(&self) -> Result<Option<SignedCheckpoint>, Error> {
        self.0.read(newest_published).await
    }

    /// The first `width` hashes of a tile, one after the other; none where there are fewer.
    pub async fn tile(&self, position: Position, width: u64) -> Result<Option<Vec<u8>>, Error> {
        let tile = self.0.read(|connection| tile(connection, position)).await?;
        let length = width as usize * size_of::<Hash>();
        Ok(tile.filter(|tile| tile.len() >= length).map(|mut tile| {
            tile.truncate(length);
            tile
        }))
    }

    /// The proof that the tree of the first `new` leaves begins with that of the first `old` (RFC
    /// 9162 section 2.1.4). [`Error::StoreCorrupt`] also when there are fewer.
    pub async fn consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, Error> {
        self.0
            .read(|connection| {
                let stored = StoredTree::new(connection);
                stored.explain(tree::consistency(&stored, old, new))
            })
            .await
    }
}

/// The tree in the database; each tile is read once.
pub struct StoredTree<'a> {
    connection: &'a Connection,
    tiles: RefCell<HashMap<Position, Vec<u8>>>,
    failure: RefCell<Option<Failure>>,
}

impl<'a> StoredTree<'a> {
    /// The tree of this database.
    pub fn new(connection: &'a Connection) -> Self {
        Self { connection, tiles: RefCell::default(), failure: RefCell::default() }
    }

    /// What was made of the tree, or why the database did not answer.
    pub fn explain<T>(&self, made: Result<T, Error>) -> Result<T, Failure> {
        made.map_err(|error| self.failure.take().unwrap_or(error.into()))
    }

    fn hash(&self, index: u64) -> Result<tlog_tiles::Hash, tlog_tiles::Error> {
        let place = Tile::from_index(HEIGHT, index);
        let position = Position { level: place.level(), number: place.level_index() };
        let mut tiles = self.tiles.borrow_mut();
        let bytes = match tiles.entry(position) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                let bytes = tile(self.connection, position).unwrap_or_else(|failure| {
                    self.failure.replace(Some(failure));
                    None
                });
                unknown.insert(bytes.ok_or(tlog_tiles::Error::IndexesNotInTree)?)
            }
        };
        place.hash_at_index(bytes, index)
    }
}

impl HashReader for StoredTree<'_> {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::Error> {
        indexes.iter().map(|index| self.hash(*index)).collect()
    }
}
