//! What a node tells its user about keys that changed without the old key's statement
//! (DESIGN section 4). Kept until the user has seen it.

use serde::{Deserialize, Serialize};

use super::Trust;
use crate::card::VerifiedCard;
use crate::error::Error;
use crate::ids::NodeId;
use crate::json;
use crate::provider::{Store, Table, Timestamp, Write};

/// The row of [`Table::Meta`] that keeps them.
const ROW: &str = "warnings";

/// Most warnings kept; the oldest go first.
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
        let warning = |card: &VerifiedCard, former: Option<&VerifiedCard>| Self {
            node: card.id().clone(),
            name: card.card().name.clone(),
            former: former.map(|card| card.id().clone()),
            seen: now,
        };
        let mut found = Vec::new();
        for card in after.nodes() {
            match before.node(card.id()) {
                Ok(old) if is_unexplained(old, card) => found.push(warning(card, None)),
                Ok(_) => {}
                Err(_) => {
                    let former = before
                        .nodes()
                        .iter()
                        .find(|old| after.node(old.id()).is_err() && stands_in_place_of(card, old));
                    found.extend(former.map(|old| warning(card, Some(old))));
                }
            }
        }
        found
    }
}

/// Another key, and no newer statement of the last one that names it: who has a key that was given
/// up could lead from there to others.
fn is_unexplained(old: &VerifiedCard, new: &VerifiedCard) -> bool {
    let (before, after) = (old.card(), new.card());
    let same =
        before.signing_key == after.signing_key && before.encryption_key == after.encryption_key;
    let newer = new.keys().changes().strip_prefix(old.keys().changes());
    let last = newer.and_then(|newer| newer.last());
    let says_so = last.is_some_and(|change| change.encryption_key == after.encryption_key);
    !same && !says_so
}

/// Called the same, or reached at the same address.
fn stands_in_place_of(card: &VerifiedCard, old: &VerifiedCard) -> bool {
    let (card, old) = (card.card(), old.card());
    card.role == old.role && (card.name == old.name || card.endpoint == old.endpoint)
}

/// The warnings that the user has not dismissed, oldest first.
pub async fn warnings(store: &impl Store) -> Result<Vec<KeyWarning>, Error> {
    let kept = store.read(Table::Meta, ROW).await?;
    kept.map_or(Ok(Vec::new()), |bytes| json::stored(&bytes))
}

/// What is to be written, with the newer documents, for the warnings that they give rise to; none
/// when they give none.
pub async fn keep(store: &impl Store, new: Vec<KeyWarning>) -> Result<Option<Write>, Error> {
    if new.is_empty() {
        return Ok(None);
    }
    let mut kept = warnings(store).await?;
    kept.extend(new);
    let too_many = kept.len().saturating_sub(MOST);
    kept.drain(..too_many);
    write(&kept).map(Some)
}

/// The user has seen what is said about `node`.
pub async fn dismiss(store: &impl Store, node: &NodeId) -> Result<(), Error> {
    let mut kept = warnings(store).await?;
    kept.retain(|warning| warning.node != *node);
    store.commit(vec![write(&kept)?]).await
}

fn write(warnings: &Vec<KeyWarning>) -> Result<Write, Error> {
    Ok(Write::Put { table: Table::Meta, key: ROW.into(), value: json::write(warnings)? })
}
