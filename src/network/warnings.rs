//! What a node tells its user about keys that changed without the old key's statement
//! (docs/architecture.md). Kept until the user has seen it.

use serde::{Deserialize, Serialize};

use super::{Trust, names};
use crate::card::VerifiedCard;
use crate::error::Error;
use crate::ids::NodeId;
use crate::json;
use crate::provider::{Store, Table, Timestamp, Write};

/// The rows of [`Table::Meta`] that keep them, and what was listed once and is no more.
const ROW: &str = "warnings";
const GONE: &str = "gone";

/// Most kept of each; the oldest go first.
const MOST: usize = 100;

/// A listed node has other keys than before, and its old key has not said so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyWarning {
    /// The node as it is listed now.
    pub node: NodeId,
    /// How it is called.
    pub name: String,
    /// The node that was listed in its place before; none when the node itself has another key.
    pub former: Option<NodeId>,
    /// When it was noticed.
    pub seen: Timestamp,
}

impl KeyWarning {
    /// What changed from `before` to `after` without a statement of the old key.
    pub fn between(before: &Trust, after: &Trust, now: Timestamp) -> Vec<Self> {
        let mut found = Vec::new();
        for card in after.nodes() {
            match before.node(card.id()) {
                Ok(old) if is_unexplained(old, card) => found.push(warning(card, None, now)),
                Ok(_) => {}
                Err(_) => {
                    let former = before
                        .nodes()
                        .iter()
                        .find(|old| after.node(old.id()).is_err() && stands_in_place_of(card, old));
                    found.extend(former.map(|old| warning(card, Some(old.id().clone()), now)));
                }
            }
        }
        found
    }
}

/// Another signing key, and no newer statement of the last one that leads to it: who has a key that was
/// given up could lead from there to others. Or an encryption key from before the last one.
fn is_unexplained(old: &VerifiedCard, new: &VerifiedCard) -> bool {
    let goes_on = new.keys().changes().starts_with(old.keys().changes());
    let same_key = new.encryption_key() == old.encryption_key();
    let said = |card: &VerifiedCard| (card.keys().changes().len(), card.subkeys_stated());
    !goes_on || !(same_key || said(new) >= said(old))
}

/// Called the same, or reached at the same address.
fn stands_in_place_of(card: &VerifiedCard, old: &VerifiedCard) -> bool {
    let (card, old) = (card.card(), old.card());
    card.role == old.role && (card.name == old.name || card.endpoint == old.endpoint)
}

/// The warnings that the user has not dismissed, oldest first.
pub async fn warnings(store: &impl Store) -> Result<Vec<KeyWarning>, Error> {
    read(store, ROW).await
}

/// What newer documents give rise to, and what is to be written with them for it, the names of nodes that
/// are listed no more among it. A node in the place of one that was taken off the map some time ago is
/// warned of, too: the operator revokes the one before the other is admitted.
pub async fn keep(
    store: &impl Store,
    before: &Trust,
    after: &Trust,
    now: Timestamp,
) -> Result<(Vec<KeyWarning>, Vec<Write>), Error> {
    let known = read(store, GONE).await?;
    let mut found = KeyWarning::between(before, after, now);
    for card in after.nodes().iter().filter(|card| before.node(card.id()).is_err()) {
        let (node, name) = (card.id(), &card.card().name);
        let told = found.iter().chain(&known).any(|one| one.node == *node);
        let former = known.iter().rev().find(|one| one.name == *name && !told);
        let former = former.map(|one| Some(one.node.clone()));
        found.extend(former.map(|former| warning(card, former, now)));
    }
    let left = before.nodes().iter().map(|card| warning(card, None, now));
    let gone = known.iter().cloned().chain(left).filter(|one| after.node(&one.node).is_err());
    let gone = newest(gone.collect());
    let mut writes: Vec<_> = names::of_former(before, after).collect();
    if gone != known {
        writes.push(write(GONE, &gone)?);
    }
    if !found.is_empty() {
        let kept = warnings(store).await?.into_iter().chain(found.iter().cloned());
        writes.push(write(ROW, &newest(kept.collect()))?);
    }
    Ok((found, writes))
}

/// The user has seen what is said about `node`.
pub async fn dismiss(store: &impl Store, node: &NodeId) -> Result<(), Error> {
    let mut kept = warnings(store).await?;
    kept.retain(|warning| warning.node != *node);
    store.commit(vec![write(ROW, &kept)?]).await
}

fn warning(card: &VerifiedCard, former: Option<NodeId>, seen: Timestamp) -> KeyWarning {
    KeyWarning { node: card.id().clone(), name: card.card().name.clone(), former, seen }
}

fn newest(mut all: Vec<KeyWarning>) -> Vec<KeyWarning> {
    let too_many = all.len().saturating_sub(MOST);
    all.drain(..too_many);
    all
}

async fn read(store: &impl Store, row: &str) -> Result<Vec<KeyWarning>, Error> {
    let kept = store.read(Table::Meta, row).await?;
    kept.map_or(Ok(Vec::new()), |bytes| json::stored(&bytes))
}

fn write(row: &str, all: &Vec<KeyWarning>) -> Result<Write, Error> {
    Ok(Write::Put { table: Table::Meta, key: row.into(), value: json::write(all)? })
}
