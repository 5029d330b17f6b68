//! Evidence that the server has shown this node two networks: both, as they were signed, kept for
//! ever.

use serde::{Deserialize, Serialize};

use super::{Manifest, NetworkDocuments, Trust};
use crate::error::Error;
use crate::json;
use crate::provider::{Store, Table, Timestamp, Write};

/// The row of [`Table::Meta`] that keeps it.
const ROW: &str = "split";

/// What goes together with nobody's word but the server's: one number says two things, or one size of
/// the manifests' log has two trees. That a log does not continue another one can't be seen from what is
/// shown, and is no evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// When it was offered.
    pub seen: Timestamp,
    /// What the node has taken first and goes on with.
    pub held: NetworkDocuments,
    /// What it was offered then.
    pub offered: NetworkDocuments,
}

/// A document's number, and what tells it from others.
pub(super) type ShownNumber<'a> = (u64, &'a String);

/// Of the manifest with this text, and of the four that it binds.
pub(super) fn numbered<'a>(
    bound: &'a Manifest,
    text: &'a String,
    [doormen, parameters, map, revocations]: [u64; 4],
) -> [ShownNumber<'a>; 5] {
    [
        (bound.number, text),
        (doormen, &bound.doormen),
        (parameters, &bound.parameters),
        (map, &bound.map),
        (revocations, &bound.revocations),
    ]
}

/// [`Error::NetworkSplit`] where one number says two things.
pub(super) fn expect_one_saying(
    before: &[ShownNumber<'_>],
    after: &[ShownNumber<'_>],
) -> Result<(), Error> {
    let differs = |(before, after): (&ShownNumber<'_>, &ShownNumber<'_>)| {
        before.0 == after.0 && before != after
    };
    if before.iter().zip(after).any(differs) { Err(Error::NetworkSplit) } else { Ok(()) }
}

/// The first that was found, if one was. Errors: those of the store.
pub async fn split(store: &impl Store) -> Result<Option<Split>, Error> {
    let kept = store.read(Table::Meta, ROW).await?;
    kept.map(|bytes| json::stored(&bytes)).transpose()
}

/// Keeps what was refused as [`Error::NetworkSplit`], unless there is evidence already. Errors: those
/// of the store.
pub async fn keep_split(
    store: &impl Store,
    held: &Trust,
    offered: &NetworkDocuments,
    seen: Timestamp,
) -> Result<(), Error> {
    if store.read(Table::Meta, ROW).await?.is_some() {
        return Ok(());
    }
    let split = Split { seen, held: held.documents().clone(), offered: offered.clone() };
    let value = json::write(&split)?;
    store.commit(vec![Write::Put { table: Table::Meta, key: ROW.into(), value }]).await
}
