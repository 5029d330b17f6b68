//! How nodes are called: patients as their requests say, others as their cards. What notaries logged
//! outlasts their membership, so their names are kept.

use std::sync::Arc;

use hdms::Error;
use hdms::card::Role;
use hdms::ids::NodeId;
use hdms::network::Trust;
use hdms::node::Platform;
use hdms::provider::{Store, Table, Write};
use hdms::treatment::hospital::HospitalCase;

use crate::platform::NativeNode;

/// Rows of [`Table::Meta`], by node: as many as there were notaries.
const NAMED: &str = "named/";

/// How a node that a case is about is called: the patient as the request says, others as their cards.
pub async fn name_in(node: &NativeNode, case: &HospitalCase, id: &NodeId) -> String {
    if *id == case.patient { patient_name(node, case).await } else { name_of(node, id).await }
}

/// What the request says; of cases of version 1 the card.
pub async fn patient_name(node: &NativeNode, case: &HospitalCase) -> String {
    match case.patient_name.as_str() {
        "" => name_of(node, &case.patient).await,
        name => name.to_owned(),
    }
}

/// The name of this node, of one that is listed or was a notary once; of another the name on the card
/// that is kept of it, whatever became of it since, or nothing.
pub async fn name_of(node: &NativeNode, id: &NodeId) -> String {
    if let Ok(card) = node.known_card(id).await {
        return card.card().name.clone();
    }
    let kept = node.platform().store().read(Table::Meta, &key(id)).await.ok().flatten();
    kept.and_then(|name| String::from_utf8(name).ok()).unwrap_or_default()
}

/// Keeps what the listed notaries are called, and those that are listed later. Ends with the member.
pub async fn watch(node: Arc<NativeNode>) {
    let mut changes = node.platform().member().changes();
    loop {
        let trust = changes.borrow_and_update().trust.clone();
        if let Err(error) = keep(&node, &trust).await {
            tracing::warn!(%error, "what notaries are called is kept with the next documents");
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
