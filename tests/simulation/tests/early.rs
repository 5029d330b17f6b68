//! What comes too early takes effect when its time has come, whatever stopped the node meanwhile.

#![allow(clippy::unwrap_used, reason = "a test fails so")]

use futures_lite::future::block_on;
use hdms::Error;
use hdms::ids::CaseId;
use hdms::node::{Outcome, Platform};
use hdms::provider::{Store, Table, Timestamp, Write};
use hdms::treatment::hospital::HospitalCase;
use hdms::treatment::message::DataRequestBody;
use hdms::treatment::patient::PatientCase;
use hdms::treatment::request::TreatmentRequest;
use hdms_simulation::{BEGIN, Mail, World};

fn id() -> CaseId {
    "019b7985-7400-7000-8000-000000000001".parse().unwrap()
}

fn others() -> CaseId {
    "019b7985-7400-7000-8000-000000000002".parse().unwrap()
}

async fn asked() -> World {
    let mut world = World::new(1).await.unwrap();
    let request = TreatmentRequest {
        reason: "Cough".into(),
        date: None,
        may_read: vec!["Observation".into()],
    };
    world.patient.ask(&id(), world.hospital.id(), request).await.unwrap();
    world.settle().await.unwrap();
    world
}

/// A patient's clock is an hour behind: what the hospital writes comes out of the future.
#[test]
fn what_was_refused_by_a_clock_that_is_behind_is_taken_in_once_it_is_set() {
    block_on(async {
        let mut world = asked().await;
        let clock = world.providers.clock.clone();
        clock.advance(3_600_000);
        world.deliver_all().await.unwrap();
        world.hospital.approve(&id()).await.unwrap();
        world.settle().await.unwrap();
        let Mail { envelope, .. } = world.mail.remove(0);
        clock.set(BEGIN);
        let refused = world.patient.receive::<PatientCase>(envelope.as_bytes()).await;
        assert_eq!(refused.err(), Some(Error::NotYetValid));
        assert!(world.patient.retry_hopeful::<PatientCase>().await.unwrap().is_empty());
        assert_eq!(world.patient.quarantined("", 10).await.unwrap().len(), 1);

        clock.set(Timestamp(BEGIN.0 + 3_600_000));
        let taken = world.patient.retry_hopeful::<PatientCase>().await.unwrap();
        assert_eq!(taken.iter().map(|one| one.outcome).collect::<Vec<_>>(), [Outcome::Applied]);
        assert!(world.patient.quarantined("", 10).await.unwrap().is_empty());
        assert!(world.patient.retry_hopeful::<PatientCase>().await.unwrap().is_empty());
        let again = world.patient.receive::<PatientCase>(envelope.as_bytes()).await.unwrap();
        assert_eq!(again.outcome, Outcome::Repeated);
    });
}

/// A patient's clock is an hour ahead: the hospital refuses, and does not when it is sent again.
#[test]
fn what_is_sent_again_after_its_time_has_come_is_out_of_quarantine() {
    block_on(async {
        let world = World::new(2).await.unwrap();
        let clock = world.providers.clock.clone();
        clock.advance(3_600_000);
        let request = TreatmentRequest {
            reason: "Cough".into(),
            date: None,
            may_read: vec!["Observation".into()],
        };
        world.patient.ask(&id(), world.hospital.id(), request).await.unwrap();
        let mut world = world;
        world.settle().await.unwrap();
        let Mail { envelope, .. } = world.mail.remove(0);
        clock.set(BEGIN);
        let refused = world.hospital.receive::<HospitalCase>(envelope.as_bytes()).await;
        assert_eq!(refused.err(), Some(Error::NotYetValid));
        assert!(!Error::NotYetValid.is_permanent(), "its sender tries again");
        clock.advance(3_600_000);
        let taken = world.hospital.receive::<HospitalCase>(envelope.as_bytes()).await.unwrap();
        assert_eq!(taken.outcome, Outcome::Applied);
        assert!(world.hospital.quarantined("", 10).await.unwrap().is_empty());
    });
}

/// Two patients' clocks are an hour ahead. When their time has come, one of them has just used up how
/// often it is heard.
#[test]
fn a_sender_who_is_not_heard_for_now_loses_nothing_and_holds_nobody_else_s_up() {
    block_on(async {
        let mut world = World::new(3).await.unwrap();
        let clock = world.providers.clock.clone();
        clock.advance(3_600_000);
        let other = world.other_patient().await.unwrap();
        let mut letters = Vec::new();
        for (patient, case) in [(&world.patient, id()), (&other, others())] {
            let request = TreatmentRequest {
                reason: "Cough".into(),
                date: None,
                may_read: vec!["Observation".into()],
            };
            patient.ask(&case, world.hospital.id(), request).await.unwrap();
        }
        world.settle().await.unwrap();
        letters.append(&mut world.mail);
        letters.extend(world.sent_by(&other).await.unwrap());
        clock.set(BEGIN);
        for Mail { envelope, .. } in &letters {
            let refused = world.hospital.receive::<HospitalCase>(envelope.as_bytes()).await;
            assert_eq!(refused.err(), Some(Error::NotYetValid));
        }
        clock.advance(3_600_000);
        let retry = async || {
            let taken = world.hospital.retry_hopeful::<HospitalCase>().await.unwrap();
            taken.into_iter().map(|taken| taken.case).collect::<Vec<_>>()
        };
        for (silent, heard) in [(world.patient.id(), others()), (other.id(), id())] {
            world.hospital.platform().ignore(Some(silent.clone()));
            assert_eq!(retry().await, [heard]);
            assert_eq!(retry().await, []);
        }
        assert!(world.hospital.quarantined("", 10).await.unwrap().is_empty());
    });
}

#[test]
fn what_a_case_holds_has_its_turn_though_the_node_was_stopped_just_before() {
    block_on(async {
        let mut world = asked().await;
        world.deliver_all().await.unwrap();
        world.hospital.approve(&id()).await.unwrap();
        let asked = "019b7985-7400-7000-8000-000000000009".parse().unwrap();
        world.settle().await.unwrap();
        let approval = world.mail.remove(0);
        let body = DataRequestBody {
            id: asked,
            resources: vec!["Observation".into()],
            purpose: "Why".into(),
        };
        world.hospital.ask_for_data(&id(), body).await.unwrap();
        world.settle().await.unwrap();
        let request = world.mail.remove(0);
        assert_eq!(world.deliver(&request).await, Ok(Outcome::Held));

        // As if the node had been stopped after the approval took effect.
        let store = world.patient.platform().store().clone();
        let held = store.scan(Table::Inbox, "held/", "", 1).await.unwrap().remove(0);
        let (table, key) = (Table::Inbox, held.0);
        store.commit(vec![Write::Delete { table, key: key.clone() }]).await.unwrap();
        assert_eq!(world.deliver(&approval).await, Ok(Outcome::Applied));
        store.commit(vec![Write::Put { table, key, value: held.1 }]).await.unwrap();

        assert_eq!(world.deliver(&approval).await, Ok(Outcome::Repeated));
        let case: PatientCase = world.patient.case(&id()).await.unwrap();
        assert_eq!(case.data_requests.len(), 1);
        assert!(store.scan(Table::Inbox, "held/", "", 1).await.unwrap().is_empty());
    });
}
