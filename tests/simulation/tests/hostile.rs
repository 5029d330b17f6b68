//! A hostile sender can't fill a node's disk: of one sender only so much is kept, and others lose
//! nothing by it.

#![allow(clippy::unwrap_used, reason = "a test fails so")]

use std::collections::HashSet;

use futures_lite::future::block_on;
use hdms::Error;
use hdms::envelope::{self, Message, MessageType};
use hdms::ids::CaseId;
use hdms::node::{
    MOST_HELD, MOST_REFUSALS, MOST_REFUSED_BYTES, Node, Outcome, Platform, Quarantined,
};
use hdms::treatment::hospital::HospitalCase;
use hdms::treatment::patient::PatientCase;
use hdms::treatment::request::TreatmentRequest;
use hdms_simulation::{Simulated, World};
use proptest::prelude::*;
use serde_json::{Value, json};

fn case() -> CaseId {
    "019b7985-7400-7000-8000-000000000001".parse().unwrap()
}

async fn quarantined(node: &Node<Simulated>) -> Vec<Quarantined> {
    let rows = node.quarantined("", 10_000).await.unwrap();
    rows.into_iter().map(|(_, quarantined)| quarantined).collect()
}

/// A message of `from`'s own making, whatever it has to do with a case.
async fn seal(
    from: &Node<Simulated>,
    to: &Node<Simulated>,
    kind: MessageType,
    body: Value,
) -> String {
    let (case, sender, to) = (case(), from.card(), to.card());
    let message = Message { from: &sender, to: &to, case: &case, kind, body };
    let p = from.platform();
    let sealing = envelope::seal(message, p.keys(), p.primitives(), p.clock(), p.randomness());
    sealing.await.unwrap().1
}

#[test]
fn of_messages_ahead_of_their_turn_a_case_holds_only_so_many() {
    block_on(async {
        let mut world = World::new(1).await.unwrap();
        let request = TreatmentRequest { reason: "Cough".into(), date: None, may_read: Vec::new() };
        world.patient.ask(&case(), world.hospital.id(), request).await.unwrap();
        world.deliver_all().await.unwrap();
        for number in 0..MOST_HELD + 3 {
            let id = format!("019b7985-7400-7000-8000-{number:012}");
            let body = json!({"id": id, "resources": [], "purpose": "Flood"});
            let kind = MessageType::DataRequest;
            let envelope = seal(&world.hospital, &world.patient, kind, body).await;
            for _ in 0..2 {
                let taken = world.patient.receive::<PatientCase>(envelope.as_bytes()).await;
                let outcome = taken.map(|taken| taken.outcome);
                let room =
                    if number < MOST_HELD { Ok(Outcome::Held) } else { Err(Error::NotAllowedNow) };
                assert_eq!(outcome, room);
            }
        }
        assert_eq!(quarantined(&world.patient).await.len(), 3);
        world.hospital.approve(&case()).await.unwrap();
        world.deliver_all().await.unwrap();
        let case: PatientCase = world.patient.case(&case()).await.unwrap();
        assert_eq!(case.data_requests.len(), MOST_HELD);
    });
}

#[test]
fn after_enough_refusals_of_a_sender_no_more_are_kept() {
    block_on(async {
        let world = World::new(2).await.unwrap();
        for number in 0..MOST_REFUSALS + 10 {
            let junk = format!("junk {number}");
            let taken = world.hospital.receive::<HospitalCase>(junk.as_bytes()).await;
            assert_eq!(taken.err(), Some(Error::EnvelopeMalformed));
        }
        assert_eq!(quarantined(&world.hospital).await.len(), MOST_REFUSALS);
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn a_flood_keeps_its_reasons_and_so_many_bytes_and_costs_others_nothing(
        sizes in prop::collection::vec(1..900_000_usize, 1..24),
        repeated: bool,
    ) {
        block_on(async {
            let world = World::new(3).await.unwrap();
            for size in sizes.iter().chain(sizes.iter().filter(|_| repeated)) {
                let junk = "x".repeat(*size);
                let taken = world.hospital.receive::<HospitalCase>(junk.as_bytes()).await;
                prop_assert_eq!(taken.err(), Some(Error::EnvelopeMalformed));
            }
            let kept = quarantined(&world.hospital).await;
            let distinct: HashSet<_> = sizes.iter().collect();
            prop_assert_eq!(kept.len(), distinct.len());
            let bytes: usize = kept.iter().map(|kept| kept.envelope.len()).sum();
            prop_assert!(bytes as u64 <= MOST_REFUSED_BYTES);
            let all: usize = distinct.into_iter().sum();
            prop_assert!(all as u64 > MOST_REFUSED_BYTES || bytes == all);

            // One who signs has a share of one's own.
            let kind = MessageType::TreatmentRequest;
            let signed = seal(&world.patient, &world.hospital, kind, json!({"record": "x"})).await;
            let taken = world.hospital.receive::<HospitalCase>(signed.as_bytes()).await;
            prop_assert_eq!(taken.err(), Some(Error::BodyMalformed));
            let kept = quarantined(&world.hospital).await;
            prop_assert!(kept.iter().any(|kept| kept.envelope == signed));
            Ok(())
        })?;
    }
}
