//! Evidence that the server has shown this node two networks: both, as they were signed, kept for
//! ever.

use serde::{Deserialize, Serialize};

use super::{NetworkDocuments, Trust};
use crate::error::Error;
use crate::json;
use crate::provider::{Store, Table, Timestamp, Write};

/// The row of [`Table::Meta`] that keeps it.
const ROW: &str = "split";

/// What goes together with nobody's word but the server's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// When it was offered.
    pub seen: Timestamp,
    /// What the node has taken first and goes on with.
    pub held: NetworkDocuments,
    /// What it was offered then.
    pub offered: NetworkDocuments,
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
