//! How people call other nodes.

use hdms::Error;
use hdms::card::VerifiedCard;
use hdms::ids::NodeId;
use hdms::network::Trust;
use hdms::node::{Node, Platform};
use hdms::provider::{Store, Table, Write};

use super::Viewer;
use crate::platform::Browser;

impl Viewer {
    /// How people call a node: as the map lists it, or else as it was called when it last wrote or was
    /// listed; its id when it never was.
    pub(super) async fn name(&self, node: &Node<Browser>, id: &NodeId) -> Result<String, Error> {
        if let Ok(listed) = node.trust().node(id) {
            return Ok(listed.card().name.clone());
        }
        let platform = node.platform();
        let text = async |table, key: &str| {
            let kept = platform.store().read(table, key).await?;
            kept.map(String::from_utf8).transpose().map_err(|_| Error::StoreCorrupt)
        };
        if let Some(jwt) = text(Table::Cards, id.as_ref()).await? {
            let card = VerifiedCard::vouched(&jwt, platform.primitives()).await?;
            return Ok(card.card().name.clone());
        }
        Ok(text(Table::Meta, &key(id)).await?.unwrap_or_else(|| id.to_string()))
    }
}

/// What keeps the names of nodes that the map listed `before` and lists no more: what they signed outlasts
/// their membership.
pub fn of_former(before: &Trust, trust: &Trust) -> Vec<Write> {
    let gone = before.nodes().iter().filter(|card| trust.node(card.id()).is_err());
    let name = |card: &VerifiedCard| Write::Put {
        table: Table::Meta,
        key: key(card.id()),
        value: card.card().name.as_bytes().into(),
    };
    gone.map(name).collect()
}

/// The row of a former node.
fn key(id: &NodeId) -> String {
    format!("named/{id}")
}
