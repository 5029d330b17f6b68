//! Whatever the order, and however often messages come: every one takes effect once, and both
//! sides end with the same ledger.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails so")]

use std::slice;

use futures_lite::future::block_on;
use hdms::ids::{CaseId, EntryId};
use hdms::ledger::Entry;
use hdms::node::Outcome;
use hdms::provider::Randomness;
use hdms::testing::SeededRandomness;
use hdms::treatment::Flow;
use hdms::treatment::hospital::{self, HospitalCase};
use hdms::treatment::message::DataRequestBody;
use hdms::treatment::patient::{DataAnswer, PatientCase, ResultStatus};
use hdms::treatment::request::TreatmentRequest;
use hdms_simulation::{Mail, World};
use proptest::prelude::*;
use serde_json::json;

const RESULTS: u32 = 3;

/// One thing that may happen next.
#[derive(Clone, Debug)]
enum Event {
    /// The message at this place (modulo how many there are) arrives; it may stay on its way, to
    /// arrive again.
    Mail(usize, bool),
    /// The hospital does whatever it still has to do.
    Hospital,
    /// The patient decides whatever is open; a result is disputed or confirmed.
    Patient(bool),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (any::<usize>(), prop::bool::weighted(0.4)).prop_map(|(at, stays)| Event::Mail(at, stays)),
        1 => Just(Event::Hospital),
        1 => prop::bool::weighted(0.25).prop_map(Event::Patient),
    ]
}

fn id<T: std::str::FromStr<Err = hdms::Error>>(number: u32) -> T {
    format!("019b7985-7400-7000-8000-{number:012}").parse().unwrap()
}

struct Play {
    world: World,
    case: CaseId,
}

impl Play {
    async fn begin(seed: u64) -> Self {
        let mut world = World::new(seed).await.unwrap();
        let case: CaseId = id(1);
        let request = TreatmentRequest {
            reason: "Cough".into(),
            date: None,
            may_read: vec!["Observation".into()],
        };
        let hospital = world.hospital.id().clone();
        world.patient.ask(&case, &hospital, request).await.unwrap();
        world.settle().await.unwrap();
        Self { world, case }
    }

    async fn happen(&mut self, event: &Event) {
        match event {
            Event::Mail(at, stays) if !self.world.mail.is_empty() => {
                let at = at % self.world.mail.len();
                let mail = self.world.mail[at].clone();
                if !stays {
                    self.world.mail.remove(at);
                }
                self.world.deliver(&mail).await.unwrap();
            }
            Event::Mail(..) => {}
            Event::Hospital => self.hospital_acts().await,
            Event::Patient(disputes) => self.patient_decides(*disputes).await,
        }
        self.world.settle().await.unwrap();
    }

    async fn hospital_acts(&mut self) {
        let hospital = &self.world.hospital;
        let Ok(case) = hospital.case::<HospitalCase>(&self.case).await else { return };
        match case.phase {
            hospital::HospitalPhase::Requested => {
                hospital.approve(&self.case).await.unwrap();
            }
            hospital::HospitalPhase::Approved if case.results.is_empty() => {
                let asked = DataRequestBody {
                    id: id(2),
                    resources: vec!["Observation".into()],
                    purpose: "".into(),
                };
                hospital.ask_for_data(&self.case, asked).await.unwrap();
                let fhir = |n| json!({"resourceType": "Observation", "id": n});
                let (together, alone) = ((1..RESULTS).map(fhir).collect(), vec![fhir(0)]);
                self.world.hand_in(&self.case, together).await.unwrap();
                self.world.hand_in(&self.case, alone).await.unwrap();
            }
            _ => {}
        }
    }

    async fn patient_decides(&mut self, disputes: bool) {
        let patient = &self.world.patient;
        let case: PatientCase = patient.case(&self.case).await.unwrap();
        for asked in &case.data_requests {
            if asked.answer == DataAnswer::Open {
                patient.refuse_data(&self.case, &asked.asked.id, "").await.unwrap();
            }
        }
        for result in &case.results {
            if result.status == ResultStatus::Received {
                if disputes {
                    patient
                        .dispute(&self.case, slice::from_ref(&result.entry.id), "")
                        .await
                        .unwrap();
                } else {
                    patient.confirm(&self.case, slice::from_ref(&result.entry.id)).await.unwrap();
                }
            }
        }
    }

    /// Lets everything come that is still on its way, and everybody do what is left to do.
    async fn finish(&mut self) {
        for _ in 0..8 * RESULTS {
            self.happen(&Event::Hospital).await;
            self.happen(&Event::Patient(false)).await;
            while !self.world.mail.is_empty() {
                self.happen(&Event::Mail(0, false)).await;
            }
        }
    }

    async fn check(&self) {
        let patient: PatientCase = self.world.patient.case(&self.case).await.unwrap();
        let hospital: HospitalCase = self.world.hospital.case(&self.case).await.unwrap();
        let sorted = |mut entries: Vec<&Entry>| {
            entries.sort_by_key(|entry| entry.id.clone());
            entries.into_iter().cloned().collect::<Vec<_>>()
        };
        assert_eq!(sorted(patient.entries()), sorted(hospital.entries()));
        for node in [&self.world.patient, &self.world.hospital] {
            assert_eq!(node.missing_numbers(&self.case).await.unwrap(), []);
        }
        assert_eq!(patient.results.len(), RESULTS as usize);
        for ours in &patient.results {
            let theirs = hospital.results.iter().find(|theirs| theirs.id == ours.entry.id).unwrap();
            match (&ours.status, &theirs.status) {
                (
                    ResultStatus::Committed { .. },
                    hospital::HospitalResultStatus::Committed { .. },
                ) => {
                    self.check_receipts(&ours.entry.id).await;
                }
                (
                    ResultStatus::Disputed { .. },
                    hospital::HospitalResultStatus::Disputed { .. },
                ) => {}
                other => panic!("the sides differ: {other:?}"),
            }
        }
        let numbers = self.world.notary.log().iter().map(|logged| logged.place.number().unwrap());
        let due: Vec<_> = (1..=self.world.notary.log().len() as u64).collect();
        assert_eq!(numbers.collect::<Vec<_>>(), due);
        assert!(self.world.patient.quarantined("", 10).await.unwrap().is_empty());
        assert!(self.world.hospital.quarantined("", 10).await.unwrap().is_empty());
    }

    async fn check_receipts(&self, entry: &EntryId) {
        let ours = self.world.patient.receipt(&self.case, entry).await.unwrap().unwrap();
        let theirs = self.world.hospital.receipt(&self.case, entry).await.unwrap().unwrap();
        assert_eq!(ours.receipt(), theirs.receipt());
    }
}

/// Longest pause between two rounds, in which nobody has a connection.
const PAUSE_HOURS: u64 = 30;

/// Rounds that a message may take.
const ROUNDS_ON_ITS_WAY: u64 = 3;

/// Post that is lost at first or comes once, twice or five times; each piece after up to
/// [`ROUNDS_ON_ITS_WAY`] rounds.
struct SlowPost {
    randomness: SeededRandomness,
    round: u64,
    under_way: Vec<(u64, Mail)>,
}

impl SlowPost {
    fn new(seed: u64) -> Self {
        Self { randomness: SeededRandomness::new(seed), round: 0, under_way: Vec::new() }
    }

    fn below(&self, end: u64) -> u64 {
        let mut bytes = [0; 8];
        self.randomness.fill(&mut bytes).unwrap();
        u64::from_le_bytes(bytes) % end
    }

    fn take(&mut self, mail: Mail) {
        match [0, 1, 2, 5][self.below(4) as usize] {
            // Nobody has answered: its sender sends it again.
            0 => self.under_way.push((self.round + ROUNDS_ON_ITS_WAY, mail)),
            times => {
                for _ in 0..times {
                    let due = self.round + self.below(ROUNDS_ON_ITS_WAY + 1);
                    self.under_way.push((due, mail.clone()));
                }
            }
        }
    }

    /// What arrives in this round, in any order.
    fn arriving(&mut self) -> Vec<Mail> {
        let (now, later) = self.under_way.drain(..).partition(|(due, _)| *due <= self.round);
        self.under_way = later;
        self.round += 1;
        let mut now: Vec<(u64, Mail)> = now;
        now.sort_by_cached_key(|_| self.below(u64::MAX));
        now.into_iter().map(|(_, mail)| mail).collect()
    }
}

impl Play {
    /// Both do what is left to do; then, hours or more than a day later, some post comes.
    async fn round(&mut self, post: &mut SlowPost) {
        self.happen(&Event::Hospital).await;
        self.happen(&Event::Patient(post.below(4) == 0)).await;
        self.world.mail.drain(..).for_each(|mail| post.take(mail));
        self.world.providers.clock.advance(post.below(PAUSE_HOURS * 3_600_000));
        for mail in post.arriving() {
            self.world.deliver(&mail).await.unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 40, ..ProptestConfig::default() })]

    #[test]
    fn any_order_and_any_repetition_ends_in_the_same_ledger(
        seed in any::<u64>(),
        events in prop::collection::vec(event(), 0..60),
    ) {
        block_on(async {
            let mut play = Play::begin(seed).await;
            for event in &events {
                play.happen(event).await;
            }
            play.finish().await;
            play.check().await;
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, max_shrink_iters: 8, ..ProptestConfig::default() })]

    #[test]
    fn messages_lost_doubled_shuffled_and_delayed_by_days_end_in_the_same_ledger(
        seed in any::<u64>(),
    ) {
        block_on(async {
            let (mut play, mut post) = (Play::begin(seed).await, SlowPost::new(seed));
            // The network's cards are good for 90 days.
            while post.round < 70 {
                play.round(&mut post).await;
            }
            assert!(post.under_way.is_empty() && play.world.mail.is_empty());
            play.check().await;
        });
    }
}

#[test]
fn every_message_delivered_five_times_takes_effect_once() {
    block_on(async {
        let mut play = Play::begin(5).await;
        for _ in 0..12 {
            play.happen(&Event::Hospital).await;
            play.happen(&Event::Patient(false)).await;
            for mail in std::mem::take(&mut play.world.mail) {
                play.world.deliver(&mail).await.unwrap();
                for _ in 0..4 {
                    let again = play.world.deliver(&mail).await.unwrap();
                    assert_eq!(again, Outcome::Repeated);
                }
            }
        }
        play.check().await;
    });
}
