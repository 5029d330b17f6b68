//! What notaries are called. What they logged outlasts their membership, and then no list names them.

use std::sync::Arc;

use hdms::Error;
use hdms::card::Role;
use hdms::ids::NodeId;
use hdms::network::Trust;
use hdms::node::Platform;
use hdms::provider::{Store, Table, Write};

use crate::platform::NativeNode;

/// Rows of [`Table::Meta`], by node: as many as there were notaries.
const NAMED: &str = "named/";

/// The name of a node that is listed, or that was a notary once.
pub async fn name(node: &NativeNode, id: &NodeId) -> String {
    if let Ok(card) = node.trust().node(id) {
        return card.card().name.clone();
    }
    let kept = node.platform().store().read(Table::Meta, &key(id)).await.ok().flatten();
    kept.and_then(|name| String::from_utf8(name).ok()).unwrap_or_default()
}

/// Keeps what the listed notaries are called, and those that are listed later. Never ends.
pub async fn watch(node: Arc<NativeNode>) {
    let mut changes = node.platform().member().changes();
    loop {
        let trust = changes.borrow_and_update().trust.clone();
        if let Err(error) = keep(&node, &trust).await {
            tracing::warn!(%error, "what notaries are called is kept later");
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

async fn keep(node: &NativeNode, trust: &Trust) -> Result<(), Error> {
    let (store, mut writes) = (node.platform().store(), Vec::new());
    for card in trust.with_role(Role::Notary) {
        let (key, name) = (key(card.id()), card.card().name.as_bytes());
        if store.read(Table::Meta, &key).await?.as_deref() != Some(name) {
            writes.push(Write::Put { table: Table::Meta, key, value: name.into() });
        }
    }
    if writes.is_empty() { Ok(()) } else { store.commit(writes).await }
}

fn key(id: &NodeId) -> String {
    format!("{NAMED}{id}")
}
