//! How nodes are called: patients as their requests say, others as the network does.

use hdms::ids::NodeId;
use hdms::treatment::hospital::HospitalCase;

use crate::institution::platform::NativeNode;

/// How a node that a case is about is called.
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

/// What a node is called, as far as that can be told just now.
pub async fn name_of(node: &NativeNode, id: &NodeId) -> String {
    node.name_of(id).await.ok().flatten().unwrap_or_default()
}
