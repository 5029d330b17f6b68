//! Logs of before there were witnesses, which the operator pins: receipts under such a checkpoint
//! need none.

use hdms::Error;
use hdms::json;
use hdms::log::SignedCheckpoint;
use hdms::network::{PinnedLog, TreeRoot, notary_of};
use rusqlite::Connection;

use super::nodes;
use super::trail::{self, Act};
use crate::base::keys::AwsPrimitives;
use crate::base::sqlite::{Database, Failure};

/// The server's own value that keeps them.
const PINNED: &str = "pinned-logs";

/// Those that are pinned, in the order in which they were.
pub fn pinned(connection: &Connection) -> Result<Vec<PinnedLog>, Failure> {
    let kept = nodes::setting(connection, PINNED)?;
    let kept = kept.map(|text| json::stored(text.as_bytes())).transpose()?;
    Ok(kept.unwrap_or_default())
}

/// Pins the log of a notary that is or was a member as this signed note has it, once the log's
/// signature was checked.
///
/// Errors: [`Error::LogForged`]; [`Error::NodeUnknown`] for the log of no notary.
pub async fn pin(database: &Database, note: &str, now: u64) -> Result<PinnedLog, Error> {
    let checkpoint = SignedCheckpoint::parse(note)?;
    let tree = checkpoint.checkpoint();
    let notary = notary_of(&tree.origin)?;
    let known = database.read(|connection| nodes::find(connection, &notary)).await?;
    let log = known.and_then(|known| known.log()).ok_or(Error::NodeUnknown)?;
    checkpoint.verify_log(&log.log_key(), &AwsPrimitives).await?;
    let pinned = PinnedLog { notary, size: tree.size, root: TreeRoot(tree.root) };
    let new = pinned.clone();
    database.write(move |tx| keep(tx, new, now)).await?;
    Ok(pinned)
}

/// Pins those as well that the network's parameters have told.
pub fn take_back(tx: &Connection, told: &[PinnedLog], now: u64) -> Result<(), Failure> {
    told.iter().try_for_each(|pinned| keep(tx, pinned.clone(), now))
}

fn keep(tx: &Connection, new: PinnedLog, now: u64) -> Result<(), Failure> {
    let mut all = pinned(tx)?;
    if all.contains(&new) {
        return Ok(());
    }
    trail::append(tx, now, Act::Pinned, Some(&new.notary), &new)?;
    all.push(new);
    let text = serde_json::to_string(&all).map_err(|_| Error::StoreCorrupt)?;
    nodes::set_setting(tx, PINNED, &text)?;
    nodes::tell_server(tx)
}
