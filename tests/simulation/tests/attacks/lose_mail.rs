//! Somebody wants a message of somebody else's to be lost: by filling what all share, or by having it
//! refused at a time when its receiver knows too little.

use futures_lite::future::block_on;
use hdms::Error;
use hdms::envelope::{self, Message, MessageType};
use hdms::ids::{CaseId, NodeId};
use hdms::json;
use hdms::mailbox::{Fate, Refused, Report};
use hdms::node::{Deliverer, MOST_REFUSALS, Node, Outcome, Platform, Quarantined};
use hdms::provider::{Store, Table, Timestamp, Write};
use hdms::treatment::message::DataRequestBody;
use hdms::treatment::patient::PatientCase;
use hdms::treatment::request::TreatmentRequest;
use hdms_simulation::{BEGIN, Mail, Simulated, World};
use serde_json::{Value, json};

const HOUR: u64 = 3_600_000;

fn case() -> CaseId {
    "019b7985-7400-7000-8000-000000000001".parse().unwrap()
}

/// A member that the server admitted, and nothing good comes from.
fn hostile() -> Deliverer {
    let id = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".parse().unwrap();
    Deliverer::Node { id, seq: 1 }
}

/// A hospital has approved the patient's request, and its message is on the way.
pub async fn approval(world: &mut World) -> String {
    let request = TreatmentRequest {
        reason: "Cough".into(),
        date: None,
        may_read: vec!["Observation".into()],
    };
    world.patient.ask(&case(), world.hospital.id(), request).await.unwrap();
    world.deliver_all().await.unwrap();
    world.hospital.approve(&case()).await.unwrap();
    world.settle().await.unwrap();
    let Mail { envelope, .. } = world.mail.remove(0);
    envelope
}

/// The mailbox hands this to the patient, delivered by the node.
pub async fn fetch(world: &World, envelope: &str, by: &Deliverer) -> Result<Outcome, Error> {
    let taken = world.patient.receive_from::<PatientCase>(envelope.as_bytes(), by).await;
    taken.map(|taken| taken.outcome)
}

fn hospital(world: &World) -> Deliverer {
    Deliverer::Node { id: world.hospital.id().clone(), seq: 2 }
}

/// What the hospital's keys sign, as large as an envelope may be.
async fn large(world: &World) -> String {
    signed(world, MessageType::DataRequest, json!({"x": "x".repeat(500_000)})).await
}

/// What the hospital's keys sign.
pub async fn signed(world: &World, kind: MessageType, body: Value) -> String {
    let (from, to) = (world.hospital.card(), world.patient.card());
    let outbound = Message { from: &from, to: &to, case: &case(), kind, body };
    let p = world.hospital.platform();
    let sealed = envelope::seal(outbound, p.keys(), p.primitives(), p.clock(), p.randomness());
    sealed.await.unwrap().1
}

async fn quarantined(node: &Node<Simulated>) -> Vec<Quarantined> {
    let rows = node.quarantined("", 10_000).await.unwrap();
    rows.into_iter().map(|(_, quarantined)| quarantined).collect()
}

#[test]
fn a_member_that_fills_the_quarantine_costs_an_honest_hospital_nothing() {
    block_on(async {
        let mut world = World::new(1).await.unwrap();
        let clock = world.providers.clock.clone();
        clock.advance(HOUR);
        let approval = approval(&mut world).await;
        // As much as may be kept in hope, and more reasons than are kept.
        let mut flood = Vec::new();
        for _ in 0..8 {
            flood.push(large(&world).await);
        }
        clock.set(BEGIN);
        let mut kept = 0;
        for envelope in &flood {
            let taken = fetch(&world, envelope, &hostile()).await;
            assert_eq!(taken, Err(Error::NotYetValid));
            kept += usize::from(world.patient.hopes_for(envelope.as_bytes()));
        }
        assert!((1..flood.len()).contains(&kept), "{kept}");
        for number in 0..MOST_REFUSALS + 100 {
            let taken = fetch(&world, &format!("junk {number}"), &hostile()).await;
            assert_eq!(taken, Err(Error::EnvelopeMalformed));
        }
        assert_eq!(quarantined(&world.patient).await.len(), MOST_REFUSALS + kept);

        let taken = fetch(&world, &approval, &hospital(&world)).await;
        assert_eq!(taken, Err(Error::NotYetValid));
        let reported = world.patient.to_report(approval.as_bytes(), Err(Error::NotYetValid));
        assert_eq!(reported, Ok(None), "it is kept, and nobody is told otherwise");
        clock.set(Timestamp(BEGIN.0 + HOUR));
        let taken = world.patient.retry_hopeful::<PatientCase>().await.unwrap();
        assert_eq!(taken.iter().map(|one| one.outcome).collect::<Vec<_>>(), [Outcome::Applied]);
        let case: PatientCase = world.patient.case(&case()).await.unwrap();
        assert!(case.notary.is_some());
    });
}

#[test]
fn what_was_not_kept_is_not_acknowledged_as_if_it_were() {
    block_on(async {
        let mut world = World::new(2).await.unwrap();
        world.providers.clock.advance(HOUR);
        approval(&mut world).await;
        let (mut kept, mut reported) = (0, 0);
        let mut flood = Vec::new();
        for _ in 0..8 {
            flood.push(large(&world).await);
        }
        world.providers.clock.set(BEGIN);
        for envelope in flood {
            let error = fetch(&world, &envelope, &hostile()).await.unwrap_err();
            match world.patient.to_report(envelope.as_bytes(), Err(error)).unwrap() {
                None => kept += 1,
                Some(why) => {
                    assert_eq!(why, Error::NotYetValid);
                    reported += 1;
                }
            }
        }
        assert_eq!((kept, reported, quarantined(&world.patient).await.len()), (4, 4, 4));
    });
}

#[test]
fn who_delivered_is_told_of_what_was_kept_in_hope_and_is_given_up() {
    block_on(async {
        let mut world = World::new(5).await.unwrap();
        let clock = world.providers.clock.clone();
        clock.advance(HOUR);
        let approval = approval(&mut world).await;
        clock.set(BEGIN);
        assert_eq!(fetch(&world, &approval, &hospital(&world)).await, Err(Error::NotYetValid));
        assert!(world.patient.hopes_for(approval.as_bytes()));
        assert_eq!(world.patient.given_up().await.unwrap(), []);

        clock.set(Timestamp(BEGIN.0 + 31 * 24 * HOUR));
        world.patient.retry_hopeful::<PatientCase>().await.unwrap();
        let told = Refused { seq: 2, code: Error::NotYetValid.code().into() };
        let given_up = world.patient.given_up().await.unwrap();
        assert_eq!(given_up, [told]);
        world.patient.told_given_up(&given_up).await.unwrap();
        assert_eq!(world.patient.given_up().await.unwrap(), [], "once");
    });
}

#[test]
fn who_delivered_is_told_of_what_was_held_and_is_refused_when_its_turn_has_come() {
    block_on(async {
        let mut world = World::new(7).await.unwrap();
        let request = TreatmentRequest {
            reason: "Cough".into(),
            date: None,
            may_read: vec!["Observation".into()],
        };
        world.patient.ask(&case(), world.hospital.id(), request).await.unwrap();
        world.deliver_all().await.unwrap();
        let asked = json!({"id": case(), "resources": ["Observation"], "purpose": "Care"});
        let asked = signed(&world, MessageType::DataRequest, asked).await;
        assert_eq!(fetch(&world, &asked, &hospital(&world)).await, Ok(Outcome::Held));
        assert_eq!(world.patient.given_up().await.unwrap(), []);

        let entry = world.patient.case::<PatientCase>(&case()).await.unwrap().entry.id;
        let declined = json!({"entry": entry, "reason": "No"});
        let declined = signed(&world, MessageType::TreatmentRefusal, declined).await;
        let by = Deliverer::Node { id: world.hospital.id().clone(), seq: 3 };
        assert_eq!(fetch(&world, &declined, &by).await, Ok(Outcome::Applied));
        let code = Error::NotAllowedNow.code().into();
        assert_eq!(world.patient.given_up().await.unwrap(), [Refused { seq: 2, code }]);
        assert_eq!(quarantined(&world.patient).await.len(), 1);
    });
}

/// What the hospital learns of this place of the patient's mailbox.
async fn told(world: &World, outcome: Fate) {
    let report = Report { number: 1, to: world.patient.id().clone(), seq: 7, outcome };
    world.hospital.told(&[report]).await.unwrap();
}

#[test]
fn what_is_told_of_a_message_before_its_place_is_known_is_not_forgotten() {
    block_on(async {
        for (early, also_late) in [(true, false), (false, true), (true, true)] {
            let mut world = World::new(6).await.unwrap();
            approval(&mut world).await;
            let id = "019b7985-7400-7000-8000-000000000009".parse().unwrap();
            let ask = DataRequestBody {
                id,
                resources: vec!["Observation".into()],
                purpose: String::new(),
            };
            world.hospital.ask_for_data(&case(), ask).await.unwrap();
            let item = world.hospital.waiting("", 10).await.unwrap().remove(0);
            let refused = Fate::Refused(Error::CardForged.code().into());
            if early {
                told(&world, refused.clone()).await;
                told(&world, Fate::Fetched).await;
            }
            world.hospital.mailed(&item, 7).await.unwrap();
            if also_late {
                told(&world, Fate::Fetched).await;
                told(&world, refused.clone()).await;
            }
            let undelivered = world.hospital.undelivered("", 10).await.unwrap();
            assert_eq!(undelivered.len(), 1, "early {early}, late {also_late}");
            assert_eq!((&undelivered[0].id, &*undelivered[0].code), (&item.id, "card/forged"));
            let store = world.hospital.platform().store();
            assert!(store.scan(Table::Meta, "mailed/", "", 10).await.unwrap().is_empty());
            assert!(store.scan(Table::Meta, "told/", "", 10).await.unwrap().is_empty());
        }
    });
}

#[test]
fn a_hospital_that_is_admitted_again_is_heard_though_the_newer_documents_come_late() {
    block_on(async {
        let mut world = World::new(3).await.unwrap();
        let approval = approval(&mut world).await;
        let hospital_id: NodeId = world.hospital.id().clone();
        world.network.revocations.revoked.push(hospital_id);
        world.network.revocations.number += 1;
        world.publish().await.unwrap();
        let taken = fetch(&world, &approval, &hospital(&world)).await;
        assert_eq!(taken, Err(Error::CardUnknown), "the map does not list it any more");
        assert!(world.patient.retry_hopeful::<PatientCase>().await.unwrap().is_empty());

        world.network.revocations.revoked.clear();
        world.network.revocations.number += 1;
        world.publish().await.unwrap();
        let taken = world.patient.retry_hopeful::<PatientCase>().await.unwrap();
        assert_eq!(taken.len(), 1);
        assert!(quarantined(&world.patient).await.is_empty());
    });
}

#[test]
fn what_the_version_before_has_kept_is_tried_again_too() {
    block_on(async {
        let mut world = World::new(4).await.unwrap();
        let clock = world.providers.clock.clone();
        clock.advance(HOUR);
        let approval = approval(&mut world).await;
        let row = json::write(&Quarantined {
            received: BEGIN,
            code: Error::NotYetValid.code().into(),
            envelope: approval,
        });
        let (table, key) = (Table::Quarantine, "digest".to_owned());
        let write = Write::Put { table, key, value: row.unwrap() };
        world.patient.platform().store().commit(vec![write]).await.unwrap();
        let taken = world.patient.retry_hopeful::<PatientCase>().await.unwrap();
        assert_eq!(taken.len(), 1);
        assert!(quarantined(&world.patient).await.is_empty());
    });
}
