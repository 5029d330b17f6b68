//! Requests that nobody decides lapse; so do those that make room for others.

use std::sync::Arc;

use hdms::Error;
use hdms::ids::{CaseId, NodeId};
use hdms::node::{Lapse, Platform};
use hdms::provider::{Clock, Timestamp};
use hdms::treatment::hospital::HospitalCase;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::platform::NativeNode;
use super::undecided::{Going, KEPT, Undecided, Waiting, origins};

/// What the patient is told whose request has lapsed.
const LAPSED: &str =
    "Nobody has decided this request in time. It was deleted; ask again if need be.";

/// What the patient is told whose request made room for another.
const DISPLACED: &str = "More requests came here than this hospital can keep, and this one was deleted \
                         before anybody decided it. Ask again later, or by telephone.";

/// Learns from where those came that are kept from before; before they are
/// [looked at](Undecided::note).
pub async fn remember(node: &NativeNode) -> Result<(), Error> {
    let origins = origins::read(node.platform().store()).await?;
    node.platform().undecided().remember(origins);
    Ok(())
}

/// Follows what is decided, and lets lapse what is not. Never ends.
pub async fn watch(node: Arc<NativeNode>, mut changes: Receiver<CaseId>) {
    let undecided = node.platform().undecided();
    undecided.has_seen_all();
    let mut looking = tokio::time::interval(node.platform().member().refreshes());
    loop {
        tokio::select! {
            changed = changes.recv() => match changed {
                Ok(case) => look(&node, undecided, &case).await,
                Err(RecvError::Lagged(_)) => {
                    for case in undecided.cases() {
                        look(&node, undecided, &case).await;
                    }
                }
                Err(RecvError::Closed) => return,
            },
            _ = looking.tick() => {
                lapse(&node, undecided).await;
                forget_lapsed(&node, undecided).await;
            }
        }
        if undecided.displaces() {
            lapse(&node, undecided).await;
        }
        forget_origins(&node, undecided).await;
    }
}

async fn look(node: &NativeNode, undecided: &Undecided, case: &CaseId) {
    match node.case::<HospitalCase>(case).await {
        Ok(case) => undecided.note(&case),
        Err(error) => tracing::debug!(%error, "a case was not looked at"),
    }
}

async fn lapse(node: &NativeNode, undecided: &Undecided) {
    let now = node.platform().clock().now();
    for (case, Going { waiting: Waiting { patient, .. }, displaced }) in undecided.lapsing(now) {
        let why = if displaced { DISPLACED } else { LAPSED };
        let how = Lapse { why, remembered: Timestamp(now.0.saturating_add(KEPT)) };
        let is_stranger = || undecided.is_stranger(&patient, Some(&case));
        match node.let_lapse((&case, &patient), how, is_stranger).await {
            Ok(true) => undecided.ended(&case),
            Ok(false) => look(node, undecided, &case).await,
            Err(error) => tracing::warn!(%error, "a request that nobody has decided goes later"),
        }
    }
}

async fn forget_lapsed(node: &NativeNode, undecided: &Undecided) {
    let is_stranger = |patient: &NodeId| undecided.is_stranger(patient, None);
    if let Err(error) = node.forget_lapsed(is_stranger).await {
        tracing::warn!(%error, "what is remembered of requests that went is forgotten later");
    }
}

async fn forget_origins(node: &NativeNode, undecided: &Undecided) {
    let over = undecided.take_over();
    if let Err(error) = origins::forget(node.platform().store(), &over).await {
        tracing::debug!(%error, "from where requests came is forgotten later");
        undecided.give_over(over);
    }
}
