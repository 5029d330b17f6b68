//! How people call other nodes.

use hdms::Error;
use hdms::card::VerifiedCard;
use hdms::ids::NodeId;
use hdms::node::{Node, Platform};
use hdms::provider::{Store, Table};

use super::Viewer;
use crate::platform::Browser;

impl Viewer {
    /// How people call a node: as the map lists it, or else as it was called when it last wrote; its
    /// id when it never did.
    pub(super) async fn name(&self, node: &Node<Browser>, id: &NodeId) -> Result<String, Error> {
        if let Ok(listed) = node.trust().node(id) {
            return Ok(listed.card().name.clone());
        }
        let platform = node.platform();
        let Some(kept) = platform.store().read(Table::Cards, id.as_ref()).await? else {
            return Ok(id.to_string());
        };
        let jwt = String::from_utf8(kept).map_err(|_| Error::StoreCorrupt)?;
        let card = VerifiedCard::vouched(&jwt, platform.primitives()).await?;
        Ok(card.card().name.clone())
    }
}
