//! What waits to be sent: how long it waits after a failure, and that it outlives versions, clocks
//! that were wrong, and a network that is away for days.

#![allow(clippy::unwrap_used, reason = "a test fails so")]

use std::collections::HashSet;

use futures_lite::future::block_on;
use hdms::Error;
use hdms::card::Role;
use hdms::ids::CaseId;
use hdms::network::{self, NetworkDocuments, Revocations, Trust};
use hdms::node::{Attempts, OutboxItem, Payload, Platform};
use hdms::provider::{Clock, Store, Table, Timestamp, Write};
use hdms::software::Software;
use hdms::treatment::hospital::HospitalCase;
use hdms::treatment::patient::PatientCase;
use hdms::treatment::request::TreatmentRequest;
use hdms_simulation::{BEGIN, World, keys};
use proptest::prelude::*;

/// A quarter of an hour, the longest pause, milliseconds.
const LONGEST: u64 = 15 * 60_000;

/// Rows of the outbox as the version before [`Attempts`] wrote them.
const EARLIER: [&str; 2] = [
    r#"{"id":"019b7985-7400-7000-8000-000000000002","case":"019b7985-7400-7000-8000-000000000001","to":"TmOWlsYBFQu5gGJGBs_Dcqg7k9ttqqNbjVQB5IgqCbw","role":"institution","payload":{"envelope":{"kind":"treatment/request","compact":"a.b.c.d.e"}},"since":1767268800000,"refused":null}"#,
    r#"{"id":"019b7985-7400-7000-8000-000000000003","case":"019b7985-7400-7000-8000-000000000001","to":"TmOWlsYBFQu5gGJGBs_Dcqg7k9ttqqNbjVQB5IgqCbw","role":"notary","payload":{"deposit":{"endorsements":["a.b.c","d.e.f"],"participants":["TmOWlsYBFQu5gGJGBs_Dcqg7k9ttqqNbjVQB5IgqCbw","TmOWlsYBFQu5gGJGBs_Dcqg7k9ttqqNbjVQB5IgqCbw"]}},"since":1767268800000,"refused":"ledger/mismatch"}"#,
];

fn case() -> CaseId {
    "019b7985-7400-7000-8000-000000000001".parse().unwrap()
}

async fn asked(seed: u64) -> World {
    let world = World::new(seed).await.unwrap();
    ask(&world).await.unwrap();
    world
}

async fn ask(world: &World) -> Result<PatientCase, Error> {
    let request = TreatmentRequest { reason: "Cough".into(), date: None, may_read: Vec::new() };
    world.patient.ask(&case(), world.hospital.id(), request).await
}

async fn only(world: &World) -> OutboxItem {
    let mut waiting = world.patient.waiting("", 10).await.unwrap();
    assert_eq!(waiting.len(), 1);
    waiting.remove(0)
}

#[test]
fn an_outbox_of_the_version_before_is_sent() {
    block_on(async {
        let world = World::new(1).await.unwrap();
        let store = world.patient.platform().store();
        for (number, row) in EARLIER.iter().enumerate() {
            let (key, value) = (number.to_string(), row.as_bytes().to_vec());
            store.commit(vec![Write::Put { table: Table::Outbox, key, value }]).await.unwrap();
        }
        let waiting = world.patient.waiting("", 10).await.unwrap();
        assert_eq!(waiting.len(), EARLIER.len());
        assert!(waiting.iter().all(|item| item.attempts == Attempts::default()));
        assert!(waiting[0].is_due(BEGIN));
        assert_eq!(waiting[0].role, Role::Institution);
        assert!(matches!(&waiting[1].payload, Payload::Deposit { .. }));
        assert!(!waiting[1].is_due(BEGIN), "what was refused for good is not sent");
    });
}

#[test]
fn what_was_taken_off_is_not_brought_back_by_a_late_failure() {
    block_on(async {
        let world = asked(2).await;
        let item = only(&world).await;
        world.patient.delivered(&item).await.unwrap();
        world.patient.postpone(&[item], Error::NetworkUnreachable, None).await.unwrap();
        assert!(world.patient.waiting("", 10).await.unwrap().is_empty());
    });
}

#[test]
fn a_time_written_by_a_wrong_clock_holds_nothing_up() {
    block_on(async {
        let mut item = only(&asked(3).await).await;
        item.attempts.next = Some(Timestamp(BEGIN.0 + 1));
        assert!(!item.is_due(BEGIN));
        item.attempts.next = Some(Timestamp(BEGIN.0 + LONGEST + 1));
        assert!(item.is_due(BEGIN));
    });
}

#[test]
fn what_is_decided_on_an_old_revocation_list_waits_for_a_new_one() {
    block_on(async {
        let mut world = World::new(4).await.unwrap();
        let day = 24 * 3600;
        let stale = trust(&world, BEGIN.seconds() - 91 * day).await;
        world.patient.set_trust(stale);
        ask(&world).await.unwrap();
        let item = only(&world).await;
        let (parcels, stuck) = world.patient.parcels(vec![item]).await;
        assert!(parcels.is_empty() && stuck.len() == 1, "nothing goes out unchecked");
        let listed = world.patient.card_of(world.hospital.id()).await;
        assert_eq!(listed.err(), Some(Error::NetworkStale));

        let fresh = trust(&world, BEGIN.seconds()).await;
        world.patient.set_trust(fresh);
        world.deliver_all().await.unwrap();
        assert!(world.hospital.case::<HospitalCase>(&case()).await.is_ok());
    });
}

/// What a node trusts that has seen the revocation list of that time, seconds.
async fn trust(world: &World, iat: u64) -> Trust {
    let doorman = keys("doorman", world.providers.randomness.clone()).unwrap();
    let iss = doorman.public().0.thumbprint().parse().unwrap();
    let revocations = Revocations { iss, iat, number: 1, revoked: HashSet::new() };
    let revocations = network::sign(&revocations, &doorman).await.unwrap();
    let documents = NetworkDocuments { revocations, ..world.documents.clone() };
    let software = Software::new(world.providers.randomness.clone());
    Trust::verify(&documents, &world.root, None, BEGIN, &software).await.unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn pauses_double_up_to_a_quarter_of_an_hour_with_a_part_left_to_chance(seed: u64) {
        block_on(async {
            let world = asked(seed).await;
            for count in 1..=40_u32 {
                let item = only(&world).await;
                let now = world.providers.clock.now();
                world.patient.postpone(&[item], Error::NetworkUnreachable, None).await.unwrap();
                let Attempts { count: counted, problem, next } = only(&world).await.attempts;
                prop_assert_eq!(counted, count);
                prop_assert_eq!(problem.as_deref(), Some("network/unreachable"));
                let whole = (4_000_u64 << (count - 1).min(16)).min(LONGEST);
                let pause = next.unwrap().0 - now.0;
                prop_assert!((whole / 2..whole).contains(&pause), "{} of {}", pause, whole);
            }
            Ok(())
        })?;
    }

    #[test]
    fn a_recipient_that_asks_for_a_pause_is_given_it_within_reason(seconds in 0..10_000_u64) {
        block_on(async {
            let world = asked(5).await;
            let item = only(&world).await;
            let now = world.providers.clock.now();
            world.patient.postpone(&[item], Error::TooManyRequests, Some(seconds)).await.unwrap();
            let item = only(&world).await;
            let asked = (seconds * 1000).min(LONGEST);
            prop_assert!(!item.is_due(Timestamp((now.0 + asked).saturating_sub(1))));
            prop_assert!(item.is_due(Timestamp(now.0 + LONGEST)));
            Ok(())
        })?;
    }
}
