//! Requests that nobody has decided yet, of patients of whom the institution has approved none: anybody
//! may be any number of those. So many are kept of one address and in all, and each for a time; who
//! has most of them makes room for others. Addresses are known in memory only, while the node runs.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hdms::Error;
use hdms::ids::{CaseId, NodeId};
use hdms::node::Platform;
use hdms::provider::{Clock, Timestamp};
use hdms::treatment::hospital::{HospitalCase, Phase};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::connections::customer;
use crate::costs::Costs;
use crate::platform::NativeNode;

/// How long one waits, milliseconds: until every envelope of its case has expired, so that none of them
/// begins it once more.
const KEPT: u64 = (hdms::envelope::LIFETIME + 24 * 3600) * 1000;

/// What the patient is told then.
const LAPSED: &str =
    "Nobody has decided this request in time. It was deleted; ask again if need be.";

/// See the module.
#[derive(Debug)]
pub struct Undecided {
    /// How many are kept of all, and of one address.
    most: usize,
    most_of_address: usize,
    room: Mutex<Room>,
}

#[derive(Debug, Default)]
struct Room {
    cases: HashMap<CaseId, Waiting>,
    held: HashMap<Origin, usize>,
    /// The patients of cases that were decided, and whether one was approved.
    patients: HashMap<NodeId, bool>,
    /// What has made room and is to lapse.
    gone: Vec<(CaseId, NodeId)>,
}

/// From where a request came; none when that is not known any more.
type Origin = Option<IpAddr>;

#[derive(Debug)]
struct Waiting {
    patient: NodeId,
    from: Origin,
    since: Timestamp,
    /// Whether it is on stable storage.
    is_kept: bool,
}

/// A request that is to lapse.
struct Lapsing {
    case: CaseId,
    /// Whether nothing else is known of its patient.
    is_stranger: bool,
}

impl Undecided {
    /// As `costs` says.
    pub fn new(costs: &Costs) -> Self {
        let (most, most_of_address) = (costs.undecided, costs.undecided_of_address);
        Self { most, most_of_address, room: Mutex::default() }
    }

    /// Takes up room for a case that a patient wants to begin. [`Error::CaseQuota`].
    pub fn take(
        &self,
        (case, patient): (&CaseId, &NodeId),
        from: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<(), Error> {
        let (from, room) = (from.map(customer), &mut *self.room());
        if room.is_known(patient) || room.cases.contains_key(case) {
            return Ok(());
        }
        let held = room.held.get(&from).copied().unwrap_or_default();
        if from.is_some() && held >= self.most_of_address {
            return Err(Error::CaseQuota);
        }
        if room.cases.len() >= self.most && !room.make_room(held) {
            return Err(Error::CaseQuota);
        }
        room.add(
            case.clone(),
            Waiting { patient: patient.clone(), from, since: now, is_kept: false },
        );
        Ok(())
    }

    /// Whether the case was begun. If not, it needs no room.
    pub fn begun(&self, case: &CaseId, begun: bool) {
        let room = &mut *self.room();
        let Some(waiting) = room.cases.get_mut(case) else { return };
        waiting.is_kept |= begun;
        if !waiting.is_kept {
            room.remove(case);
        }
    }

    /// Looks at a case that has changed, or was kept from before.
    pub fn note(&self, case: &HospitalCase) {
        let (patient, room) = (&case.patient, &mut *self.room());
        if case.phase != Phase::Requested {
            room.remove(&case.id);
            let approved = !matches!(case.phase, Phase::Declined { .. });
            room.decided(patient, approved);
        } else if !room.is_known(patient) && !room.cases.contains_key(&case.id) {
            let (patient, since) = (patient.clone(), case.begun);
            room.add(case.id.clone(), Waiting { patient, from: None, since, is_kept: true });
        }
    }

    fn cases(&self) -> Vec<CaseId> {
        self.room().cases.keys().cloned().collect()
    }

    /// What is to lapse at `now`; of patients that are known by now nothing.
    fn take_lapsing(&self, now: Timestamp) -> Vec<Lapsing> {
        let room = &mut *self.room();
        let is_old = |waiting: &Waiting| now.0.saturating_sub(waiting.since.0) > KEPT;
        let old = room.cases.iter().filter(|(_, waiting)| is_old(waiting));
        let old: Vec<_> = old.map(|(id, _)| id.clone()).collect();
        for case in old {
            let patient = room.remove(&case).map(|waiting| waiting.patient);
            room.gone.extend(patient.map(|patient| (case, patient)));
        }
        let mut gone = std::mem::take(&mut room.gone);
        gone.retain(|(_, patient)| !room.is_known(patient));
        let lapsing = gone.iter().enumerate().map(|(at, (case, patient))| {
            let later = gone[at + 1..].iter().any(|(_, other)| other == patient);
            let waits = room.cases.values().any(|waiting| waiting.patient == *patient);
            let is_stranger = !later && !waits && !room.patients.contains_key(patient);
            Lapsing { case: case.clone(), is_stranger }
        });
        lapsing.collect()
    }

    fn room(&self) -> MutexGuard<'_, Room> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Room {
    fn is_known(&self, patient: &NodeId) -> bool {
        self.patients.get(patient) == Some(&true)
    }

    /// A case of this patient was decided. All of one who is known may wait.
    fn decided(&mut self, patient: &NodeId, approved: bool) {
        let known = self.patients.entry(patient.clone()).or_default();
        if !approved || *known {
            return;
        }
        *known = true;
        let theirs = self.cases.iter().filter(|(_, waiting)| waiting.patient == *patient);
        for case in Vec::from_iter(theirs.map(|(case, _)| case.clone())) {
            self.remove(&case);
        }
    }

    fn add(&mut self, case: CaseId, waiting: Waiting) {
        *self.held.entry(waiting.from).or_default() += 1;
        self.cases.insert(case, waiting);
    }

    fn remove(&mut self, case: &CaseId) -> Option<Waiting> {
        let waiting = self.cases.remove(case)?;
        if let Some(held) = self.held.get_mut(&waiting.from) {
            *held -= 1;
            if *held == 0 {
                self.held.remove(&waiting.from);
            }
        }
        Some(waiting)
    }

    /// Lets the youngest request go of where most come from, unless that are no more than `held`.
    fn make_room(&mut self, held: usize) -> bool {
        let largest = self.held.iter().max_by_key(|(_, held)| **held);
        let Some((largest, _)) = largest.filter(|(_, most)| **most > held + 1) else {
            return false;
        };
        let of_largest =
            self.cases.iter().filter(|(_, waiting)| waiting.from == *largest && waiting.is_kept);
        let youngest = of_largest.max_by_key(|(id, waiting)| (waiting.since, *id));
        let Some(youngest) = youngest.map(|(id, _)| id.clone()) else { return false };
        let patient = self.remove(&youngest).map(|waiting| waiting.patient);
        self.gone.extend(patient.map(|patient| (youngest, patient)));
        true
    }
}

/// Follows what is decided, and lets lapse what is not. Never ends.
pub async fn watch(node: Arc<NativeNode>, mut changes: Receiver<CaseId>) {
    let undecided = node.platform().undecided();
    let mut looking = tokio::time::interval(node.platform().member().refreshes());
    loop {
        let changed = tokio::select! {
            changed = changes.recv() => changed,
            _ = looking.tick() => {
                lapse(&node, undecided).await;
                continue;
            }
        };
        match changed {
            Ok(case) => look(&node, undecided, &case).await,
            Err(RecvError::Lagged(_)) => {
                for case in undecided.cases() {
                    look(&node, undecided, &case).await;
                }
            }
            Err(RecvError::Closed) => return,
        }
    }
}

async fn look(node: &NativeNode, undecided: &Undecided, case: &CaseId) {
    match node.case::<HospitalCase>(case).await {
        Ok(case) => undecided.note(&case),
        Err(error) => tracing::debug!(%error, "a case was not looked at"),
    }
}

async fn lapse(node: &NativeNode, undecided: &Undecided) {
    for Lapsing { case, is_stranger } in undecided.take_lapsing(node.platform().clock().now()) {
        if let Err(error) = node.let_lapse(&case, LAPSED, is_stranger).await {
            tracing::warn!(%error, "a request that nobody has decided is let go later");
            look(node, undecided, &case).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use hdms::Error;
    use hdms::ids::{CaseId, NodeId};
    use hdms::provider::Timestamp;

    use super::{KEPT, Undecided};
    use crate::costs::Costs;

    fn undecided(most: usize, most_of_address: usize) -> Undecided {
        let costs =
            Costs { undecided: most, undecided_of_address: most_of_address, ..Costs::default() };
        Undecided::new(&costs)
    }

    fn case(number: u64) -> CaseId {
        format!("019b7985-7400-7000-8000-{number:012}").parse().unwrap()
    }

    /// Begins the case with this number from this address, each of another patient.
    fn begin(undecided: &Undecided, number: u64, from: &str) -> Result<(), Error> {
        let from: IpAddr = from.parse().unwrap();
        let patient: NodeId = format!("{number:A>42}A").parse().unwrap();
        undecided.take((&case(number), &patient), Some(from), Timestamp(number))?;
        undecided.begun(&case(number), true);
        Ok(())
    }

    #[test]
    fn one_address_takes_nothing_from_another() {
        let undecided = undecided(100, 2);
        for (number, from) in
            ["192.0.2.1", "192.0.2.1", "2001:db8::1", "2001:db8:0:1::1"].into_iter().enumerate()
        {
            assert_eq!(begin(&undecided, number as u64, from), Ok(()));
        }
        assert_eq!(begin(&undecided, 5, "192.0.2.1"), Err(Error::CaseQuota));
        assert_eq!(begin(&undecided, 5, "2001:db8:0:2::1"), Err(Error::CaseQuota), "one customer");
        assert_eq!(begin(&undecided, 5, "2001:db8:1::1"), Ok(()));
        assert_eq!(begin(&undecided, 0, "192.0.2.1"), Ok(()), "it waits already");
        undecided.begun(&case(0), false);
        assert_eq!(begin(&undecided, 6, "192.0.2.1"), Err(Error::CaseQuota), "and stays");
    }

    #[test]
    fn when_all_is_full_the_youngest_goes_of_where_most_come_from() {
        let undecided = undecided(4, 3);
        for number in 0..3 {
            begin(&undecided, number, "192.0.2.1").unwrap();
        }
        begin(&undecided, 3, "192.0.2.2").unwrap();
        begin(&undecided, 4, "192.0.2.3").unwrap();
        let gone = undecided.take_lapsing(Timestamp(5));
        assert_eq!(Vec::from_iter(gone.iter().map(|one| &one.case)), [&case(2)]);
        assert!(gone[0].is_stranger);
        assert_eq!(begin(&undecided, 5, "192.0.2.1"), Err(Error::CaseQuota));
        assert_eq!(begin(&undecided, 5, "192.0.2.2"), Err(Error::CaseQuota));
    }

    #[test]
    fn what_nobody_decides_is_let_go() {
        let undecided = undecided(100, 2);
        begin(&undecided, 1, "192.0.2.1").unwrap();
        assert!(undecided.take_lapsing(Timestamp(KEPT)).is_empty());
        assert_eq!(undecided.take_lapsing(Timestamp(KEPT + 2)).len(), 1);
        assert!(undecided.take_lapsing(Timestamp(KEPT + 2)).is_empty());
    }
}
