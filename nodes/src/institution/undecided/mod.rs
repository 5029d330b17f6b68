//! Requests that nobody has decided yet. Anybody may be any number of patients, so of those of whom the
//! institution has approved none so many are kept of one network and in all, and each for a time; who has
//! most of them makes room for others. Of every patient so many wait, whoever it is.

pub mod origins;
mod room;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hdms::Error;
use hdms::ids::{CaseId, NodeId};
use hdms::provider::Timestamp;
use hdms::treatment::hospital::HospitalCase;

use room::{Bounds, Vacancy, WaitingRoom};
pub use room::{Going, Waiting};

use crate::base::http::addresses::customer;
use crate::base::rate::{DAY, RateLimit};
use crate::member::costs::Costs;

/// How long one waits, milliseconds: until every envelope of its case has expired, so that none of them
/// begins it once more.
pub const KEPT: u64 = (hdms::envelope::LIFETIME + 24 * 3600) * 1000;

/// What part of the places of a network a day goes by lot to those who have none there.
const BY_LOT: usize = 10;

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
    /// [kept](origins::keep) with it. [`Error::CaseQuota`].
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

    /// Takes note from where those came that were kept from before; before they are
    /// [looked at](Undecided::note).
    pub fn remember(&self, origins: HashMap<CaseId, IpAddr>) {
        self.room().origins = origins;
    }

    /// Nothing more was kept from before than was looked at by now.
    pub fn has_seen_all(&self) {
        let room = &mut *self.room();
        room.over.extend(room.origins.drain().map(|(case, _)| case));
    }

    /// Whether a request is to go.
    pub fn displaces(&self) -> bool {
        !self.room().gone.is_empty()
    }

    /// Those that wait.
    pub fn cases(&self) -> Vec<CaseId> {
        self.room().cases.keys().cloned().collect()
    }

    /// What is to lapse at `now`, of strangers.
    pub fn lapsing(&self, now: Timestamp) -> Vec<(CaseId, Going)> {
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
    pub fn ended(&self, case: &CaseId) {
        let room = &mut *self.room();
        let from = room.stays(case).and_then(|waiting| waiting.from);
        room.over.extend(from.map(|_| case.clone()));
    }

    /// Whether nothing is known of this patient but the one case.
    pub fn is_stranger(&self, patient: &NodeId, but: Option<&CaseId>) -> bool {
        self.room().is_stranger(patient, but)
    }

    /// Of which cases it needs to be known no more from where they came; only once.
    pub fn take_over(&self) -> Vec<CaseId> {
        std::mem::take(&mut self.room().over)
    }

    /// Some of these could not be forgotten yet.
    pub fn give_over(&self, over: Vec<CaseId>) {
        self.room().over.extend(over);
    }

    fn room(&self) -> MutexGuard<'_, WaitingRoom> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
