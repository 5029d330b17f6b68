//! The manifests in the server's database.

use std::ops::Range;

use hdms::Error;
use hdms::json;
use hdms::log::merkle::leaf_hash;
use hdms::log::{Hash, SignedCheckpoint, TlogProof};
use hdms::network::{Logged, Manifest, NetworkDocuments, Numbered, Witness, leaf};
use rusqlite::{Connection, OptionalExtension, Row};
use serde::Serialize;

use super::super::nodes;
use super::{Newest, Next};
use crate::base::log::tiles::{self, Leaves, StoredTree};
use crate::base::log::tree::{self, Tree};
use crate::base::sqlite::Failure;

/// SQL of the table beside [`tiles::TABLES`]. `required` are the witnesses of which most must have
/// co-signed, JSON; `doormen` is the digest of the list that it binds; it is `turning` when it binds
/// another one than the manifest before it, or names other witnesses. Of the newest published one and
/// what came after it `documents` keeps all that it binds, JSON.
pub const TABLE: &str = "
    CREATE TABLE manifests (
        number INTEGER PRIMARY KEY,
        jwt TEXT NOT NULL,
        required TEXT NOT NULL,
        doormen TEXT NOT NULL,
        turning INTEGER NOT NULL,
        documents TEXT
    ) STRICT;
";

/// Most manifests that lead to one.
const STEPS: usize = 1000;

const COLUMNS: &str = "number, jwt, required, documents";

/// The manifests as the log's leaves.
pub struct AsLeaves;

impl Leaves for AsLeaves {
    fn count(connection: &Connection) -> Result<u64, Failure> {
        let sql = "SELECT coalesce(max(number), 0) FROM manifests";
        Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
    }

    fn hash(connection: &Connection, index: u64) -> Result<Option<Hash>, Failure> {
        Ok(jwt(connection, index + 1)?.map(|jwt| leaf_hash(&leaf(&jwt))))
    }
}

/// Forgets what was not published. Answers the tree of the rest, and its size.
pub fn forget_unpublished(tx: &Connection) -> Result<(Tree, u64), Failure> {
    let published = tiles::newest_published(tx)?;
    let size = published.map_or(0, |published| published.checkpoint().size);
    tx.execute("DELETE FROM manifests WHERE number > ?1", [size])?;
    tx.execute("DELETE FROM checkpoints WHERE size > ?1", [size])?;
    let tree = Tree::load(size, |position, _| {
        let bytes = tiles::tile(tx, position)?.ok_or(Error::StoreCorrupt)?;
        Ok::<_, Failure>(bytes.as_chunks().0.to_vec())
    })?;
    Ok((tree, size))
}

/// The witnesses that the newest manifest names, without those that the operator has revoked since.
pub fn standing(connection: &Connection) -> Result<Vec<Witness>, Failure> {
    let Some(row) = one(connection, "1 ORDER BY number DESC LIMIT 1")? else {
        return Ok(Vec::new());
    };
    let members = super::members(&nodes::listed(connection)?);
    let mut named = Manifest::unverified(&row.jwt)?.witnesses;
    named.retain(|witness| members.iter().any(|(log, _)| log.witness() == *witness));
    Ok(named)
}

/// That the manifest with this number is the last leaf. [`Error::StoreCorrupt`].
pub fn tree_has(tree: &Tree, number: u64) -> Result<(), Error> {
    if tree.size() == number { Ok(()) } else { Err(Error::StoreCorrupt) }
}

fn text(value: &impl Serialize) -> Result<String, Error> {
    String::from_utf8(json::write(value)?).map_err(|_| Error::StoreCorrupt)
}

/// Keeps a manifest that was said before. Nobody has to co-sign it any more.
pub fn taken(
    tx: &Connection,
    numbered: &Numbered,
    claims: &Manifest,
    turning: bool,
    documents: Option<&NetworkDocuments>,
) -> Result<(), Failure> {
    let documents = documents.map(text).transpose()?;
    let row = (claims.number, &numbered.manifest, "[]", &claims.doormen, turning, documents);
    tx.execute("INSERT INTO manifests VALUES (?1, ?2, ?3, ?4, ?5, ?6)", row)?;
    Ok(())
}

/// Keeps the next manifest.
pub fn insert(tx: &Connection, next: &Next) -> Result<(), Failure> {
    let row = (
        next.claims.number,
        &next.documents.manifest,
        text(&next.required)?,
        &next.claims.doormen,
        next.turning,
        text(&next.documents)?,
    );
    tx.execute("INSERT INTO manifests VALUES (?1, ?2, ?3, ?4, ?5, ?6)", row)?;
    Ok(())
}

/// Keeps a checkpoint with the lines that it has by now.
pub fn cosigned(
    tx: &Connection,
    checkpoint: &SignedCheckpoint,
    published: bool,
) -> Result<(), Failure> {
    let size = checkpoint.checkpoint().size;
    let sql = "UPDATE checkpoints SET note = ?2, published = ?3 WHERE size = ?1";
    tx.execute(sql, (size, checkpoint.to_text(), published))?;
    if published {
        tx.execute("UPDATE manifests SET documents = NULL WHERE number < ?1", [size])?;
    }
    Ok(())
}

/// The newest manifest, whether published or not.
pub fn newest(connection: &Connection) -> Result<Option<Newest>, Failure> {
    let Some(row) = one(connection, "1 ORDER BY number DESC LIMIT 1")? else { return Ok(None) };
    let checkpoint = tiles::newest_checkpoint(connection)?.ok_or(Error::StoreCorrupt)?;
    let published = tiles::newest_published(connection)?;
    let published = published.map_or(0, |published| published.checkpoint().size);
    Ok(Some(Newest {
        claims: Manifest::unverified(&row.jwt)?,
        is_published: published == row.number,
        required: row.required,
        checkpoint,
    }))
}

/// The newest published manifest with all that it binds and its proof.
pub fn offered(connection: &Connection) -> Result<Option<NetworkDocuments>, Failure> {
    let Some(checkpoint) = tiles::newest_published(connection)? else { return Ok(None) };
    let number = checkpoint.checkpoint().size;
    let row = one(connection, &format!("number = {number}"))?.ok_or(Error::StoreCorrupt)?;
    let mut documents = row.documents.ok_or(Error::StoreCorrupt)?;
    documents.proof = proof(connection, number, checkpoint)?;
    Ok(Some(documents))
}

/// The manifests between `size` and `last` that changed who has to co-sign, of those under the list
/// of Doormen that `last` binds, and the last of all sizes before `last`.
pub fn steps(
    connection: &Connection,
    last: &Manifest,
    size: u64,
) -> Result<(Vec<Logged>, u64), Failure> {
    let sql = "SELECT number, jwt FROM manifests WHERE number > ?1 AND number < ?2 AND turning \
               AND doormen = ?3 ORDER BY number LIMIT ?4";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query((size, last.number, &last.doormen, STEPS))?;
    let (mut steps, mut from) = (Vec::new(), size);
    while let Some(row) = rows.next()? {
        let (number, manifest) = (row.get(0)?, row.get(1)?);
        let checkpoint = tiles::of_size(connection, number)?.ok_or(Error::StoreCorrupt)?;
        let proof = proof(connection, number, checkpoint)?;
        let consistency = consistency(connection, from, number)?;
        steps.push(Logged { manifest, proof, consistency });
        from = number;
    }
    Ok((steps, from))
}

/// That manifest `number` is the last leaf under `checkpoint`.
fn proof(
    connection: &Connection,
    number: u64,
    checkpoint: SignedCheckpoint,
) -> Result<String, Failure> {
    let (stored, index) = (StoredTree::new(connection), number - 1);
    let hashes = stored.explain(tree::inclusion(&stored, number, index))?;
    Ok(TlogProof { extra: None, index, hashes, checkpoint }.to_text())
}

/// Empty also for who has seen more than there is.
pub fn consistency(connection: &Connection, old: u64, new: u64) -> Result<Vec<String>, Failure> {
    if old > new {
        return Ok(Vec::new());
    }
    let stored = StoredTree::new(connection);
    let hashes = stored.explain(tree::consistency(&stored, old, new))?;
    Ok(hashes.iter().map(|hash| hdms::log::encode(hash)).collect())
}

/// The manifest with this number.
pub fn jwt(connection: &Connection, number: u64) -> Result<Option<String>, Failure> {
    let mut statement = connection.prepare_cached("SELECT jwt FROM manifests WHERE number = ?1")?;
    Ok(statement.query_row([number], |row| row.get(0)).optional()?)
}

/// Digest of the list of the Doorman's keys that this manifest binds, if it may be the first under it.
pub fn turns_to(connection: &Connection, number: u64) -> Result<Option<String>, Failure> {
    let sql = "SELECT doormen FROM manifests WHERE number = ?1 AND turning";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_row([number], |row| row.get(0)).optional()?)
}

/// The leaves with these indexes.
pub fn leaves(connection: &Connection, indexes: Range<u64>) -> Result<Vec<Vec<u8>>, Failure> {
    let sql = "SELECT jwt FROM manifests WHERE number > ?1 AND number <= ?2 ORDER BY number";
    let mut statement = connection.prepare_cached(sql)?;
    let jwts = statement.query_map((indexes.start, indexes.end), |row| row.get::<_, String>(0))?;
    jwts.map(|jwt| Ok(leaf(&jwt?).to_vec())).collect()
}

struct KeptManifest {
    number: u64,
    jwt: String,
    required: Vec<Witness>,
    documents: Option<NetworkDocuments>,
}

fn one(connection: &Connection, which: &str) -> Result<Option<KeptManifest>, Failure> {
    let sql = format!("SELECT {COLUMNS} FROM manifests WHERE {which}");
    let mut statement = connection.prepare_cached(&sql)?;
    let read = |row: &Row<'_>| Ok(kept(row));
    statement.query_row([], read).optional()?.transpose()
}

fn kept(row: &Row<'_>) -> Result<KeptManifest, Failure> {
    let (required, documents): (String, Option<String>) = (row.get(2)?, row.get(3)?);
    let documents = documents.map(|text| json::stored(text.as_bytes())).transpose()?;
    Ok(KeptManifest {
        number: row.get(0)?,
        jwt: row.get(1)?,
        required: json::stored(required.as_bytes())?,
        documents,
    })
}
