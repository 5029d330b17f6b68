//! Who has a place among the requests that wait, and who makes room for whom.

use std::collections::hash_map::{Entry, RandomState};
use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;
use std::net::IpAddr;

use hdms::ids::{CaseId, NodeId};
use hdms::provider::Timestamp;
use hdms::treatment::hospital::{HospitalCase, HospitalPhase};

/// How many are kept: of all strangers, of those from one network, and of one patient whoever it is.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub all: usize,
    pub of_network: usize,
    pub of_patient: usize,
}

/// A request that nobody has decided yet.
#[derive(Clone, Debug)]
pub struct Waiting {
    pub patient: NodeId,
    /// The network from which it came; none when that is not known.
    pub from: Option<IpAddr>,
    pub since: Timestamp,
    /// Whether it is on stable storage.
    pub is_kept: bool,
    /// Whether a request of its patient was approved once.
    pub is_known: bool,
    /// Whether it took one of those places that go by lot.
    pub by_lot: bool,
}

/// A request that is to lapse.
#[derive(Clone, Debug)]
pub struct Going {
    pub waiting: Waiting,
    /// Whether it makes room for another, and not because it is old.
    pub displaced: bool,
}

/// Where there is a place for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vacancy {
    Free,
    /// That of another request.
    Of(CaseId),
    /// The same, where that has no less right to it.
    ByLot(CaseId),
    None,
}

/// All that is known of them.
#[derive(Debug)]
pub struct WaitingRoom {
    pub bounds: Bounds,
    pub cases: HashMap<CaseId, Waiting>,
    /// The patients of cases that were decided, and whether one was approved.
    pub patients: HashMap<NodeId, bool>,
    /// What is to lapse.
    pub gone: HashMap<CaseId, Going>,
    /// Of each patient all that waits or is to lapse.
    asked: HashMap<NodeId, HashSet<CaseId>>,
    strangers: Strangers,
    /// From where those came that were kept from before, until they are looked at.
    pub origins: HashMap<CaseId, IpAddr>,
    /// Of which it needs to be known no more from where they came.
    pub over: Vec<CaseId>,
    lots: RandomState,
}

/// The requests of strangers that wait, by the network from which they came.
#[derive(Debug, Default)]
struct Strangers {
    from: HashMap<Option<IpAddr>, HashSet<CaseId>>,
    all: usize,
}

impl WaitingRoom {
    pub fn new(bounds: Bounds) -> Self {
        let (cases, patients, gone, asked, strangers, origins, over) = Default::default();
        let lots = RandomState::new();
        Self { bounds, cases, patients, gone, asked, strangers, origins, over, lots }
    }

    /// A request waits from now on.
    pub fn enter(&mut self, case: &CaseId, waiting: Waiting) {
        self.asked.entry(waiting.patient.clone()).or_default().insert(case.clone());
        let other = self.take_out(case);
        self.strangers.add(case, &waiting);
        self.cases.insert(case.clone(), waiting);
        if let Some(other) = other {
            self.unlist(case, &other.patient);
        }
    }

    /// A request waits no more.
    pub fn leave(&mut self, case: &CaseId) -> Option<Waiting> {
        let waiting = self.take_out(case)?;
        self.unlist(case, &waiting.patient);
        Some(waiting)
    }

    fn take_out(&mut self, case: &CaseId) -> Option<Waiting> {
        let waiting = self.cases.remove(case)?;
        self.strangers.remove(case, &waiting);
        Some(waiting)
    }

    /// A request is to lapse no more.
    pub fn stays(&mut self, case: &CaseId) -> Option<Waiting> {
        let Going { waiting, .. } = self.gone.remove(case)?;
        self.unlist(case, &waiting.patient);
        Some(waiting)
    }

    /// Takes a case off what a patient has asked for, unless it is there still.
    fn unlist(&mut self, case: &CaseId, patient: &NodeId) {
        if self.waits(case, patient) || self.goes(case, patient) {
            return;
        }
        if let Entry::Occupied(mut theirs) = self.asked.entry(patient.clone()) {
            theirs.get_mut().remove(case);
            if theirs.get().is_empty() {
                theirs.remove();
            }
        }
    }

    fn waits(&self, case: &CaseId, patient: &NodeId) -> bool {
        self.cases.get(case).is_some_and(|waiting| waiting.patient == *patient)
    }

    fn goes(&self, case: &CaseId, patient: &NodeId) -> bool {
        self.gone.get(case).is_some_and(|going| going.waiting.patient == *patient)
    }

    fn of(&self, patient: &NodeId) -> impl Iterator<Item = &CaseId> {
        self.asked.get(patient).into_iter().flatten()
    }

    /// Looks at a case that has changed, or was kept from before.
    pub fn note(&mut self, case: &HospitalCase) {
        let (id, patient) = (&case.id, &case.patient);
        if case.phase != HospitalPhase::Requested {
            let waited = self.leave(id).is_some_and(|waiting| waiting.from.is_some());
            let went = self.stays(id).is_some_and(|waiting| waiting.from.is_some());
            self.over.extend((waited || went).then(|| id.clone()));
            self.decided(patient, !matches!(case.phase, HospitalPhase::Declined { .. }));
        } else if !self.cases.contains_key(id) && !self.gone.contains_key(id) {
            let (patient, since, is_known) = (patient.clone(), case.begun, self.is_known(patient));
            let from = self.origins.remove(id);
            self.over.extend(from.filter(|_| is_known).map(|_| id.clone()));
            let from = from.filter(|_| !is_known);
            let waiting = Waiting { patient, from, since, is_kept: true, is_known, by_lot: false };
            self.enter(id, waiting);
        }
    }

    /// A case of this patient was decided. What one who is known asks for waits as long as it may.
    pub fn decided(&mut self, patient: &NodeId, approved: bool) {
        let known = self.patients.entry(patient.clone()).or_default();
        if !approved || *known {
            return;
        }
        *known = true;
        for case in Vec::from_iter(self.of(patient).cloned()) {
            // What was to lapse does not.
            if self.goes(&case, patient)
                && let Some(waiting) = self.stays(&case)
            {
                self.enter(&case, waiting);
            }
            if let Some(waiting) = self.cases.get_mut(&case).filter(|it| it.patient == *patient) {
                self.strangers.remove(&case, waiting);
                waiting.is_known = true;
                self.over.extend(waiting.from.take().map(|_| case));
            }
        }
    }

    pub fn is_known(&self, patient: &NodeId) -> bool {
        self.patients.get(patient) == Some(&true)
    }

    /// Whether nothing is known of this patient but the one case.
    pub fn is_stranger(&self, patient: &NodeId, but: Option<&CaseId>) -> bool {
        !self.patients.contains_key(patient) && self.of(patient).all(|case| Some(case) == but)
    }

    /// How many requests of this patient wait.
    pub fn of_patient(&self, patient: &NodeId) -> usize {
        self.of(patient).filter(|case| self.waits(case, patient)).count()
    }

    /// Where the request `id` of a stranger has a place. Where all places of its network are taken, a
    /// patient who has more of them makes room; where all places are taken, the network that has most of
    /// them does.
    pub fn place(&self, id: &CaseId, newcomer: &Waiting) -> Vacancy {
        let Bounds { all, of_network, .. } = self.bounds;
        let is_counted = self.cases.get(id).is_some_and(|waiting| !waiting.is_known);
        let total = self.strangers.all - usize::from(is_counted);
        let there = self.strangers.others(id, newcomer.from);
        if newcomer.from.is_some() && there >= of_network {
            return self.among_neighbours(id, newcomer);
        }
        if total < all {
            return Vacancy::Free;
        }
        match self.largest_network(id).filter(|(_, held)| *held > there + 1) {
            Some((network, _)) => {
                self.of_the_greediest(id, network).map_or(Vacancy::None, Vacancy::Of)
            }
            None => self.among_neighbours(id, newcomer),
        }
    }

    /// That of a request from the same network.
    fn among_neighbours(&self, id: &CaseId, newcomer: &Waiting) -> Vacancy {
        let Some(network) = newcomer.from else { return Vacancy::None };
        let of_newcomer = |(_, waiting): &(_, &Waiting)| waiting.patient == newcomer.patient;
        let own = self.others_from(id, network).filter(of_newcomer).count();
        let most = self.of_patients(id, network).into_values().max().unwrap_or_default();
        match self.of_the_greediest(id, network) {
            Some(case) if most > own + 1 => Vacancy::Of(case),
            Some(case) if own == 0 => Vacancy::ByLot(case),
            _ => Vacancy::None,
        }
    }

    /// Of the patient who has most from this network the youngest request; where each has one, any.
    fn of_the_greediest(&self, id: &CaseId, network: IpAddr) -> Option<CaseId> {
        let of_patients = self.of_patients(id, network);
        let (greediest, most) =
            of_patients.into_iter().max_by_key(|(patient, n)| (*n, *patient))?;
        let kept = self.kept_from(id, network);
        let case = if most > 1 {
            let theirs = kept.filter(|(_, waiting)| waiting.patient == *greediest);
            theirs.max_by_key(|(case, waiting)| (waiting.since, *case))
        } else {
            kept.max_by_key(|(case, _)| self.lots.hash_one((case, id)))
        };
        case.map(|(case, _)| case.clone())
    }

    /// How many requests each patient has from this network.
    fn of_patients(&self, id: &CaseId, network: IpAddr) -> HashMap<&NodeId, usize> {
        let mut counts = HashMap::new();
        for (_, waiting) in self.kept_from(id, network) {
            *counts.entry(&waiting.patient).or_default() += 1;
        }
        counts
    }

    /// The network from which most requests came: what came from nobody knows where makes no room.
    fn largest_network(&self, id: &CaseId) -> Option<(IpAddr, usize)> {
        let networks = self.strangers.from.keys().flatten();
        let held = networks.map(|network| (*network, self.strangers.others(id, Some(*network))));
        held.max_by_key(|(network, held)| (*held, *network))
    }

    fn kept_from(&self, id: &CaseId, network: IpAddr) -> impl Iterator<Item = (&CaseId, &Waiting)> {
        self.others_from(id, network).filter(|(_, waiting)| waiting.is_kept)
    }

    /// The other requests of strangers from this network.
    fn others_from(
        &self,
        id: &CaseId,
        network: IpAddr,
    ) -> impl Iterator<Item = (&CaseId, &Waiting)> {
        let there = self.strangers.from.get(&Some(network)).into_iter().flatten();
        let others = there.filter(move |case| *case != id);
        others.filter_map(|case| self.cases.get(case).map(|waiting| (case, waiting)))
    }

    /// Lets a request go.
    pub fn let_go(&mut self, case: &CaseId, displaced: bool) {
        let Some(waiting) = self.take_out(case) else { return };
        if let Some(other) = self.gone.insert(case.clone(), Going { waiting, displaced }) {
            self.unlist(case, &other.waiting.patient);
        }
    }
}

impl Strangers {
    fn add(&mut self, case: &CaseId, waiting: &Waiting) {
        if !waiting.is_known && self.from.entry(waiting.from).or_default().insert(case.clone()) {
            self.all += 1;
        }
    }

    fn remove(&mut self, case: &CaseId, waiting: &Waiting) {
        let Entry::Occupied(mut there) = self.from.entry(waiting.from) else { return };
        if there.get_mut().remove(case) {
            self.all -= 1;
        }
        if there.get().is_empty() {
            there.remove();
        }
    }

    /// How many came from there besides this one.
    fn others(&self, id: &CaseId, from: Option<IpAddr>) -> usize {
        self.from.get(&from).map_or(0, |there| there.len() - usize::from(there.contains(id)))
    }
}
