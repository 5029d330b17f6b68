//! What nodes were called that the map lists no more: what they signed outlasts their membership.

use super::Trust;
use crate::card::VerifiedCard;
use crate::ids::NodeId;
use crate::provider::{Table, Write};

/// What keeps the names of those that were listed `before` and are no more.
pub(super) fn of_former(before: &Trust, after: &Trust) -> impl Iterator<Item = Write> {
    let gone = before.nodes().iter().filter(|card| after.node(card.id()).is_err());
    let name = |card: &VerifiedCard| Write::Put {
        table: Table::Meta,
        key: former_name(card.id()),
        value: card.card().name.as_bytes().into(),
    };
    gone.map(name)
}

/// The row of [`Table::Meta`] that keeps the name of a former node.
pub(crate) fn former_name(id: &NodeId) -> String {
    format!("named/{id}")
}
