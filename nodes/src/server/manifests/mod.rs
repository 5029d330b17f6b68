//! The log of the network's manifests: manifest `n` is leaf `n - 1`, so that no number can have two.
//! One is offered only once most of the witnesses that the manifest before it names have co-signed
//! the log with it; notaries do so as for each other's logs.

mod rows;

use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use hdms::Error;
use hdms::endpoint::Endpoint;
use hdms::log::merkle::leaf_hash;
use hdms::log::{Checkpoint, NoteKey, NoteSignature, SignedCheckpoint};
use hdms::network::{Manifest, NetworkDocuments, NotaryLog, Numbered, Witness, leaf, majority};
use rusqlite::Connection;

use super::known::Known;
use super::nodes;
use crate::base::http::client::Client;
use crate::base::keys::NotaryKeys;
use crate::base::log::publication::Published;
use crate::base::log::tiles::{self, Tiles};
use crate::base::log::tree::{self, Tree};
use crate::base::log::{Others, Roll, sign};
use crate::base::sqlite::{Database, Failure};
pub use rows::{TABLE, standing};

/// From so many notaries on that co-sign, a manifest names them: of fewer one alone could keep the
/// network from ever changing again, its own revocation included.
const ENOUGH: usize = 3;

/// How long those have who need not co-sign.
const MOMENT: Duration = Duration::from_secs(1);

/// See the module. Clones read the same log.
#[derive(Clone, Debug)]
pub struct Manifests(Arc<ManifestsInner>);

#[derive(Debug)]
struct ManifestsInner {
    keys: NotaryKeys,
    key: NoteKey,
    database: Database,
    roll: WitnessRoll,
    witnesses: Others<WitnessRoll>,
}

/// Whom to ask for cosignatures.
#[derive(Clone, Debug, Default)]
struct WitnessRoll(Arc<RwLock<Vec<(NotaryLog, Endpoint)>>>);

impl Roll for WitnessRoll {
    fn witnesses(&self) -> Vec<(NotaryLog, Endpoint)> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The newest manifest.
#[derive(Clone, Debug)]
pub struct Newest {
    /// What it says.
    pub claims: Manifest,
    /// Whether most of those have co-signed it who must.
    pub is_published: bool,
    required: Vec<Witness>,
    checkpoint: SignedCheckpoint,
}

/// A manifest that is to be the next.
#[derive(Debug)]
pub struct Next {
    /// What it says.
    pub claims: Manifest,
    /// All that it binds, and itself.
    pub documents: NetworkDocuments,
    /// Who has to co-sign it.
    pub required: Vec<Witness>,
    /// Whether it changes who has to co-sign what follows.
    pub turning: bool,
}

impl Newest {
    /// Whom a manifest after this one names of the notaries that are members: those that were named
    /// and those that have co-signed this one; nobody before there are enough of them.
    pub fn next_witnesses(&self, members: &[NotaryLog]) -> Vec<Witness> {
        let named = &self.claims.witnesses;
        let cosigned =
            |witness: &Witness| self.checkpoint.note().signature_of(&witness.key()).is_some();
        let members = members.iter().map(NotaryLog::witness);
        let next: Vec<_> =
            members.filter(|witness| named.contains(witness) || cosigned(witness)).collect();
        let is_watched = !named.is_empty() || !self.required.is_empty();
        if is_watched || next.len() >= ENOUGH { next } else { Vec::new() }
    }

    /// Whom of these to ask, and where.
    fn asked(&self, nodes: &[Known]) -> Vec<(NotaryLog, Endpoint)> {
        notaries(nodes, if self.is_published { &[] } else { &self.required })
    }

    fn has_enough(&self, cosignatures: &[NoteSignature]) -> bool {
        let signed = |witness: &&Witness| {
            let key = witness.key();
            let is_line = |line: &NoteSignature| line.key_id == key.id() && line.name == key.name;
            self.checkpoint.note().signatures.iter().chain(cosignatures).any(is_line)
        };
        let signed = self.required.iter().filter(signed).count();
        signed >= majority(self.required.len())
    }
}

impl Manifests {
    /// Over the tables of the server's database, with the tree as it is kept. Errors: those of
    /// [`tiles::open`].
    pub async fn open(
        keys: NotaryKeys,
        key: NoteKey,
        client: Client,
        database: Database,
    ) -> Result<(Self, Tree), Error> {
        let (tree, _) = tiles::open::<rows::AsLeaves>(&database, &key).await?;
        let roll = WitnessRoll::default();
        let witnesses = Others::new(roll.clone(), client, Tiles(database.clone()));
        Ok((Self(Arc::new(ManifestsInner { keys, key, database, roll, witnesses })), tree))
    }

    /// The newest manifest, whether published or not.
    pub async fn newest(&self) -> Result<Option<Newest>, Error> {
        self.0.database.read(rows::newest).await
    }

    /// Adds `next` in one transaction with what `keep` writes. Answers the tree.
    pub async fn append(
        &self,
        next: Next,
        tree: &Tree,
        keep: impl FnOnce(&Connection) -> Result<(), Failure> + Send + 'static,
    ) -> Result<Tree, Error> {
        let (inner, mut tree) = (self.0.clone(), tree.clone());
        let work = move |tx: &Connection| {
            keep(tx)?;
            let before = tree.size();
            tree.push(leaf_hash(&leaf(&next.documents.manifest)));
            rows::tree_has(&tree, next.claims.number)?;
            rows::insert(tx, &next)?;
            tiles::keep_tiles(tx, &tree, before)?;
            tiles::keep_checkpoint(tx, &sign(&tree, &inner.keys, &inner.key)?)?;
            tree.forget_full();
            Ok(tree)
        };
        self.0.database.write(work).await
    }

    /// Asks the notaries among `nodes` for the cosignatures that the newest manifest lacks, and publishes
    /// it once there are enough: those that are members, and those that were when it was signed and
    /// have to. Answers whether some are still lacking.
    pub async fn publish(&self, nodes: &[Known]) -> Result<bool, Error> {
        let Some(newest) = self.newest().await? else { return Ok(false) };
        let notaries = newest.asked(nodes);
        let note = newest.checkpoint.note();
        let lacking =
            |(log, _): &(NotaryLog, Endpoint)| note.signature_of(&log.witness_key()).is_none();
        let asked: Vec<_> = notaries.into_iter().filter(lacking).collect();
        let count = asked.len();
        if newest.is_published && asked.is_empty() {
            return Ok(false);
        }
        *self.0.roll.0.write().unwrap_or_else(PoisonError::into_inner) = asked;
        let enough = |lines: &[NoteSignature]| newest.has_enough(lines);
        let lines = self.0.witnesses.cosign_until(&newest.checkpoint, enough, MOMENT).await;
        let is_enough = newest.has_enough(&lines);
        if !is_enough {
            let number = newest.claims.number;
            tracing::warn!(
                number,
                "too few witnesses have co-signed the manifest: not offered yet"
            );
        }
        let is_behind = !is_enough || lines.len() < count;
        if !lines.is_empty() || (is_enough && !newest.is_published) {
            let (mut checkpoint, published) = (newest.checkpoint, newest.is_published || is_enough);
            lines.into_iter().for_each(|line| checkpoint.add(line));
            self.0.database.write(move |tx| rows::cosigned(tx, &checkpoint, published)).await?;
        }
        Ok(is_behind)
    }

    /// What is offered: the newest published manifest with all that it binds, and the proof that it
    /// is the log's last leaf.
    pub async fn offered(&self) -> Result<Option<NetworkDocuments>, Error> {
        self.0.database.read(rows::offered).await
    }

    /// The same for who has seen the first `size` manifests: with the proof that the log has only
    /// grown, over every manifest that changed who has to co-sign.
    pub async fn offered_after(
        &self,
        mut documents: NetworkDocuments,
        size: u64,
    ) -> Result<NetworkDocuments, Error> {
        self.0
            .database
            .read(move |connection| {
                let last = Manifest::unverified(&documents.manifest)?;
                let (before, from) = rows::steps(connection, &last, size)?;
                documents.consistency = rows::consistency(connection, from, last.number)?;
                documents.before = before;
                Ok(documents)
            })
            .await
    }

    /// The manifest with this number, once it is published.
    pub async fn numbered(&self, number: u64) -> Result<Option<Numbered>, Error> {
        self.0
            .database
            .read(move |connection| {
                let published = tiles::newest_published(connection)?;
                let size = published.map_or(0, |published| published.checkpoint().size);
                let found = (rows::jwt(connection, number)?, tiles::of_size(connection, number)?);
                let (Some(manifest), Some(checkpoint), true) = (found.0, found.1, number <= size)
                else {
                    return Ok(None);
                };
                let doormen = match rows::turns_to(connection, number)? {
                    Some(list) => nodes::setting(connection, &former_list(&list))?,
                    None => None,
                };
                Ok(Some(Numbered { manifest, checkpoint: checkpoint.to_text(), doormen }))
            })
            .await
    }

    /// The key of the log.
    pub fn key(&self) -> &NoteKey {
        &self.0.key
    }

    /// How many manifests are published.
    pub async fn published(&self) -> Result<u64, Error> {
        let published = self.0.database.read(tiles::newest_published).await?;
        Ok(published.map_or(0, |published| published.checkpoint().size))
    }

    /// How many manifests a notary has co-signed, as far as the newest signed and the newest published one
    /// here say.
    pub async fn cosigned_by(&self, notary: &NotaryLog) -> Result<u64, Error> {
        let read = |connection: &Connection| {
            Ok([tiles::newest_checkpoint(connection)?, tiles::newest_published(connection)?])
        };
        let kept = self.0.database.read(read).await?.into_iter().flatten();
        let key = notary.witness_key();
        let cosigned = kept.filter(|checkpoint| checkpoint.note().signature_of(&key).is_some());
        Ok(cosigned.map(|checkpoint| checkpoint.checkpoint().size).max().unwrap_or(0))
    }

    /// Whether this tree is among those that the log has signed here, as far as they are kept, or an
    /// earlier one.
    pub async fn has_signed(&self, tree: &Checkpoint) -> Result<bool, Error> {
        let (size, root) = (tree.size, tree.root);
        let kept = self.0.database.read(move |connection| tiles::of_size(connection, size)).await?;
        match kept {
            Some(kept) => Ok(kept.checkpoint().root == root),
            None => Ok(size <= self.published().await?),
        }
    }

    /// Takes back what the log has said after what is published here, as others have kept it, in one
    /// transaction with what `keep` writes; what was signed in its place was never offered and goes.
    /// Answers the tree. [`Error::LogForged`] unless it leads to what the log has signed.
    pub async fn take_back(
        &self,
        said: Vec<(Numbered, SignedCheckpoint)>,
        documents: NetworkDocuments,
        keep: impl FnOnce(&Connection) -> Result<(), Failure> + Send + 'static,
    ) -> Result<Tree, Error> {
        let work = move |tx: &Connection| {
            let (mut tree, before) = rows::forget_unpublished(tx)?;
            let mut last = rows::newest(tx)?.map(|newest| newest.claims);
            for (numbered, checkpoint) in said {
                tree.push(leaf_hash(&leaf(&numbered.manifest)));
                let claims = Manifest::unverified(&numbered.manifest)?;
                let grown = (tree.size(), tree::root(&tree, tree.size())?);
                let signed = checkpoint.checkpoint();
                if grown != (signed.size, signed.root) || claims.number != tree.size() {
                    return Err(Error::LogForged.into());
                }
                let turning = last.is_none_or(|last| {
                    last.doormen != claims.doormen || last.witnesses != claims.witnesses
                });
                let is_last = numbered.manifest == documents.manifest;
                rows::taken(tx, &numbered, &claims, turning, is_last.then_some(&documents))?;
                tiles::keep_checkpoint(tx, &checkpoint)?;
                rows::cosigned(tx, &checkpoint, true)?;
                last = Some(claims);
            }
            tiles::keep_tiles(tx, &tree, before)?;
            keep(tx)?;
            tree.forget_full();
            Ok(tree)
        };
        self.0.database.write(work).await
    }
}

impl Published for Manifests {
    fn tiles(&self) -> Tiles {
        Tiles(self.0.database.clone())
    }

    async fn leaves(&self, indexes: Range<u64>) -> Result<Vec<Vec<u8>>, Error> {
        self.0.database.read(move |connection| rows::leaves(connection, indexes)).await
    }
}

/// Under what name the server keeps a list of the Doorman's keys with this digest, once there is another.
pub fn former_list(digest: &str) -> String {
    format!("doormen/{digest}")
}

/// The notaries among these that are members now, each with its base URL.
pub fn members(nodes: &[Known]) -> Vec<(NotaryLog, Endpoint)> {
    notaries(nodes, &[])
}

/// The same with those that are `required`, members or not.
pub fn notaries(nodes: &[Known], required: &[Witness]) -> Vec<(NotaryLog, Endpoint)> {
    let notaries = nodes.iter().filter_map(|node| {
        let endpoint = node.admitted_as()?.endpoint.clone()?;
        let log = node.log()?;
        let asked = log.is_member() || required.contains(&log.witness());
        asked.then_some((NotaryLog { until: None, ..log }, endpoint))
    });
    notaries.collect()
}
