//! Requests that nobody has decided yet. Anybody may be any number of patients, so of those of whom the
//! institution has approved none so many are kept of one network and in all, and each for a time; who has
//! most of them makes room for others. Of every patient so many wait, whoever it is.

mod origins;
mod room;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hdms::Error;
use hdms::ids::{CaseId, NodeId};
use hdms::node::{Lapse, Platform};
use hdms::provider::{Clock, Timestamp};
use hdms::treatment::hospital::HospitalCase;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

pub use origins::keep as keep_origin;
use room::{Bounds, Going, Vacancy, Waiting, WaitingRoom};

use crate::base::http::connections::customer;
use crate::base::rate::{DAY, RateLimit};
use crate::institution::platform::NativeNode;
use crate::member::costs::Costs;

/// How long one waits, milliseconds: until every envelope of its case has expired, so that none of them
/// begins it once more.
const KEPT: u64 = (hdms::envelope::LIFETIME + 24 * 3600) * 1000;

/// What part of the places of a network a day goes by lot to those who have none there.
const BY_LOT: usize = 10;

/// What the patient is told then.
const LAPSED: &str =
    "Nobody has decided this request in time. It was deleted; ask again if need be.";

/// What the patient is told whose request made room for another.
const DISPLACED: &str = "More requests came here than this hospital can keep, and this one was deleted \
                         before anybody decided it. Ask again later, or by telephone.";

/// See the module.
#[derive(Debug)]
pub struct Undecided {
    room: Mutex<WaitingRoom>,
    by_lot: RateLimit<IpAddr>,
}

impl Undecided {
    /// As `costs` says.
    pub fn new(costs: &Costs) -> Self {
        let (all, of_network) = (costs.undecided, costs.undecided_of_address);
        let bounds = Bounds { all, of_network, of_patient: costs.undecided_of_patient };
        let by_lot = u32::try_from(of_network.div_ceil(BY_LOT)).unwrap_or(u32::MAX);
        Self { room: Mutex::new(WaitingRoom::new(bounds)), by_lot: RateLimit::new(by_lot, DAY) }
    }

    /// Takes up room for a case that a patient wants to begin; who makes room for it goes once it has
    /// [begun](Undecided::begun). Answers from which network it came, which is to be
    /// [kept](keep_origin) with it. [`Error::CaseQuota`].
    pub fn take(
        &self,
        (case, patient): (&CaseId, &NodeId),
        from: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<Option<IpAddr>, Error> {
        let room = &mut *self.room();
        if let Some(waiting) = room.cases.get(case) {
            return Ok(waiting.from);
        }
        if room.of_patient(patient) >= room.bounds.of_patient {
            return Err(Error::CaseQuota);
        }
        let is_known = room.is_known(patient);
        let from = from.map(customer).filter(|_| !is_known);
        let patient = patient.clone();
        let mut waiting =
            Waiting { patient, from, since: now, is_kept: false, is_known, by_lot: false };
        if !is_known {
            match (room.place(case, &waiting), from) {
                (Vacancy::None, _) => return Err(Error::CaseQuota),
                (Vacancy::ByLot(_), Some(network)) => {
                    self.by_lot.take(&network, now).map_err(|_| Error::CaseQuota)?;
                    waiting.by_lot = true;
                }
                _ => {}
            }
        }
        room.enter(case, waiting);
        Ok(from)
    }

    /// Whether the case was begun. If not, it needs no room.
    pub fn begun(&self, case: &CaseId, begun: bool) {
        let room = &mut *self.room();
        let Some(waiting) = room.cases.get_mut(case) else { return };
        if waiting.is_kept {
            return;
        }
        if !begun {
            if let Some(network) = waiting.from.filter(|_| waiting.by_lot) {
                self.by_lot.give_back(&network);
            }
            room.leave(case);
            return;
        }
        waiting.is_kept = true;
        let waiting = waiting.clone();
        if waiting.is_known {
            return;
        }
        match room.place(case, &waiting) {
            Vacancy::Free => {}
            Vacancy::Of(other) => room.let_go(&other, true),
            Vacancy::ByLot(other) if self.has_lot(&waiting) => room.let_go(&other, true),
            // Others who came at the same time were sooner.
            Vacancy::ByLot(_) | Vacancy::None => room.let_go(case, true),
        }
    }

    /// Whether it may go by lot: it was drawn at first, or is drawn now.
    fn has_lot(&self, waiting: &Waiting) -> bool {
        let draws = |network: IpAddr| self.by_lot.take(&network, waiting.since).is_ok();
        waiting.by_lot || waiting.from.is_some_and(draws)
    }

    /// Looks at a case that has changed, or was kept from before.
    pub fn note(&self, case: &HospitalCase) {
        self.room().note(case);
    }

    /// Nothing more was kept from before than was looked at by now.
    fn has_seen_all(&self) {
        let room = &mut *self.room();
        room.over.extend(room.origins.drain().map(|(case, _)| case));
    }

    fn displaces(&self) -> bool {
        !self.room().gone.is_empty()
    }

    fn cases(&self) -> Vec<CaseId> {
        self.room().cases.keys().cloned().collect()
    }

    /// What is to lapse at `now`, of strangers.
    fn lapsing(&self, now: Timestamp) -> Vec<(CaseId, Going)> {
        let room = &mut *self.room();
        let is_old =
            |waiting: &Waiting| !waiting.is_known && now.0.saturating_sub(waiting.since.0) > KEPT;
        let old = room.cases.iter().filter(|(_, waiting)| is_old(waiting));
        for case in Vec::from_iter(old.map(|(case, _)| case.clone())) {
            room.let_go(&case, false);
        }
        room.gone.iter().map(|(case, going)| (case.clone(), going.clone())).collect()
    }

    /// A request that was to lapse is not there any more, or was decided.
    fn ended(&self, case: &CaseId) {
        let room = &mut *self.room();
        let from = room.stays(case).and_then(|waiting| waiting.from);
        room.over.extend(from.map(|_| case.clone()));
    }

    fn is_stranger(&self, patient: &NodeId, but: Option<&CaseId>) -> bool {
        self.room().is_stranger(patient, but)
    }

    fn room(&self) -> MutexGuard<'_, WaitingRoom> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Learns from where those came that are kept from before; before they are
/// [looked at](Undecided::note).
pub async fn remember(node: &NativeNode) -> Result<(), Error> {
    let origins = origins::read(node.platform().store()).await?;
    node.platform().undecided().room().origins = origins;
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
    let over = std::mem::take(&mut undecided.room().over);
    if let Err(error) = origins::forget(node.platform().store(), &over).await {
        tracing::debug!(%error, "from where requests came is forgotten later");
        undecided.room().over.extend(over);
    }
}

#[cfg(test)]
mod tests;
