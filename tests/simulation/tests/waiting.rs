//! What waits to be sent: how long it waits after a failure, and that it outlives versions, clocks
//! that were wrong, and a network that is away for days.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails so")]

use futures_lite::future::block_on;
use hdms::Error;
use hdms::card::{Card, Role, Subkeys};
use hdms::envelope::{addressed_key, seal_signed};
use hdms::ids::CaseId;
use hdms::network::{self, NetworkDocuments, Revocations, Trust};
use hdms::node::{
    Attempts, Deliverer, Occasion, OutboxItem, Outcome, Payload, Platform, Setback, Tried,
};
use hdms::provider::{Clock, Store, Table, Timestamp, Write};
use hdms::software::Software;
use hdms::treatment::hospital::HospitalCase;
use hdms::treatment::message::DataRequestBody;
use hdms::treatment::patient::PatientCase;
use hdms::treatment::request::TreatmentRequest;
use hdms_simulation::{BEGIN, World, keys};
use proptest::prelude::*;

/// A quarter of an hour, the longest pause, milliseconds.
const LONGEST: u64 = 15 * 60_000;

/// Rows of the outbox as the versions before [`Attempts`] and before its `asked` wrote them.
const EARLIER: [&str; 3] = [
    r#"{"id":"019b7985-7400-7000-8000-000000000002","case":"019b7985-7400-7000-8000-000000000001","to":"TmOWlsYBFQu5gGJGBs_Dcqg7k9ttqqNbjVQB5IgqCbw","role":"institution","payload":{"envelope":{"kind":"treatment/request","compact":"a.b.c.d.e"}},"since":1767268800000,"refused":null}"#,
    r#"{"id":"019b7985-7400-7000-8000-000000000003","case":"019b7985-7400-7000-8000-000000000001","to":"TmOWlsYBFQu5gGJGBs_Dcqg7k9ttqqNbjVQB5IgqCbw","role":"notary","payload":{"deposit":{"endorsements":["a.b.c","d.e.f"],"participants":["TmOWlsYBFQu5gGJGBs_Dcqg7k9ttqqNbjVQB5IgqCbw","TmOWlsYBFQu5gGJGBs_Dcqg7k9ttqqNbjVQB5IgqCbw"]}},"since":1767268800000,"refused":"ledger/mismatch"}"#,
    r#"{"id":"019b7985-7400-7000-8000-000000000004","case":"019b7985-7400-7000-8000-000000000001","to":"TmOWlsYBFQu5gGJGBs_Dcqg7k9ttqqNbjVQB5IgqCbw","role":"institution","payload":{"envelope":{"kind":"treatment/request","compact":"a.b.c.d.e"}},"since":1767268800000,"refused":null,"attempts":{"count":1,"problem":"network/unreachable","next":1767268803000}}"#,
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
    let request = TreatmentRequest {
        reason: "Cough".into(),
        date: None,
        may_read: vec!["Observation".into()],
    };
    world.patient.ask(&case(), world.hospital.id(), request).await
}

async fn ask_again(world: &World) {
    let another = "019b7985-7400-7000-8000-000000000002".parse().unwrap();
    let request = TreatmentRequest {
        reason: "Fever".into(),
        date: None,
        may_read: vec!["Observation".into()],
    };
    world.patient.ask(&another, world.hospital.id(), request).await.unwrap();
}

/// How many items may go on this occasion.
async fn due(world: &World, occasion: Occasion) -> usize {
    world.patient.due(occasion, &Tried::default()).await.unwrap().len()
}

async fn postpone(world: &World, item: OutboxItem, why: Error, retry_after: Option<u64>) {
    world.patient.postpone(&[item], Setback { why, retry_after }).await.1.unwrap();
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
        for row in EARLIER {
            let (key, value) = (row[7..43].to_owned(), row.as_bytes().to_vec());
            store.commit(vec![Write::Put { table: Table::Outbox, key, value }]).await.unwrap();
        }
        let waiting = world.patient.waiting("", 10).await.unwrap();
        assert_eq!(waiting.len(), EARLIER.len());
        assert!(waiting[..2].iter().all(|item| item.attempts == Attempts::default()));
        assert!(waiting[0].may_go(Occasion::Time, BEGIN));
        assert_eq!(waiting[0].role, Role::Institution);
        assert!(matches!(&waiting[1].payload, Payload::Deposit { .. }));
        assert!(
            !waiting[1].may_go(Occasion::Person, BEGIN),
            "what was refused for good is not sent"
        );
        assert_eq!(waiting[2].pause(BEGIN), 3_000);
        assert_eq!(due(&world, Occasion::Time).await, 1);
        assert_eq!(due(&world, Occasion::Reached).await, 2);
    });
}

#[test]
fn what_was_taken_off_is_not_brought_back_by_a_late_failure() {
    block_on(async {
        let world = asked(2).await;
        let item = only(&world).await;
        world.patient.delivered(&item).await.unwrap();
        postpone(&world, item, Error::NetworkUnreachable, None).await;
        assert!(world.patient.waiting("", 10).await.unwrap().is_empty());
    });
}

#[test]
fn a_time_written_by_a_wrong_clock_holds_nothing_up() {
    block_on(async {
        let mut item = only(&asked(3).await).await;
        item.attempts.next = Some(Timestamp(BEGIN.0 + 1));
        assert!(!item.may_go(Occasion::Time, BEGIN));
        item.attempts.next = Some(Timestamp(BEGIN.0 + LONGEST + 1));
        assert!(item.may_go(Occasion::Time, BEGIN));
    });
}

#[test]
fn a_person_has_it_sent_once_and_then_it_waits_again() {
    block_on(async {
        let world = asked(6).await;
        postpone(&world, only(&world).await, Error::StoreFull, Some(60)).await;
        let mut tried = Tried::default();
        let items = world.patient.due(Occasion::Person, &tried).await.unwrap();
        assert_eq!(items.len(), 1);
        tried.note(&items);
        assert!(world.patient.due(Occasion::Person, &tried).await.unwrap().is_empty());
        postpone(&world, only(&world).await, Error::StoreFull, Some(60)).await;
        for occasion in [Occasion::Time, Occasion::Reached, Occasion::Documents] {
            assert_eq!(due(&world, occasion).await, 0, "{occasion:?}");
        }
        world.providers.clock.advance(60_000);
        assert_eq!(due(&world, Occasion::Time).await, 1);
    });
}

#[test]
fn a_recipient_that_asked_to_be_left_alone_gets_nothing_new_either() {
    block_on(async {
        let world = asked(7).await;
        let next = Timestamp(BEGIN.0 + 60_000);
        postpone(&world, only(&world).await, Error::StoreFull, Some(60)).await;
        ask_again(&world).await;
        assert_eq!(due(&world, Occasion::Time).await, 0);
        assert_eq!(world.patient.next_due().await.unwrap(), Some(next));
        assert_eq!(due(&world, Occasion::Person).await, 2);
        world.providers.clock.set(next);
        assert_eq!(due(&world, Occasion::Time).await, 2);
    });
}

/// Of what a hospital has put into one patient's mailbox, so much waits there that no more is taken.
#[test]
fn a_sender_s_quota_in_one_mailbox_loses_nothing_and_holds_nothing_for_others_up() {
    block_on(async {
        let mut world = asked(15).await;
        let other = world.other_patient().await.unwrap();
        let others: CaseId = "019b7985-7400-7000-8000-000000000002".parse().unwrap();
        let request = TreatmentRequest {
            reason: "Fever".into(),
            date: None,
            may_read: vec!["Observation".into()],
        };
        other.ask(&others, world.hospital.id(), request).await.unwrap();
        world.settle().await.unwrap();
        for mail in world.sent_by(&other).await.unwrap() {
            world.deliver(&mail).await.unwrap();
        }
        world.deliver_all().await.unwrap();
        for case in [case(), others] {
            world.hospital.approve(&case).await.unwrap();
            world.settle().await.unwrap();
            let (id, purpose) = (case.to_string().parse().unwrap(), "Why".into());
            let asked = DataRequestBody { id, resources: vec!["Observation".into()], purpose };
            world.hospital.ask_for_data(&case, asked).await.unwrap();
            world.unanswered();
        }
        let full = world.hospital.waiting("", 10).await.unwrap();
        let full = full.into_iter().find(|item| item.to == *world.patient.id()).unwrap();
        let setback = Setback { why: Error::SenderQuota, retry_after: Some(30) };
        let due = async || {
            let due = world.hospital.due(Occasion::Time, &Tried::default()).await.unwrap();
            due.into_iter().map(|item| item.to).collect::<Vec<_>>()
        };
        world.hospital.postpone(std::slice::from_ref(&full), setback).await.1.unwrap();
        assert_eq!(due().await, [other.id().clone()]);
        world.providers.clock.advance(30_000);
        assert_eq!(due().await.len(), 2);
        let mut waiting = world.hospital.waiting("", 10).await.unwrap().into_iter();
        assert!(waiting.any(|item| item.id == full.id && item.payload == full.payload));
    });
}

#[test]
fn only_what_could_not_be_reached_goes_once_the_way_is_whole_again() {
    block_on(async {
        let world = asked(8).await;
        let item = only(&world).await;
        ask_again(&world).await;
        let waiting = world.patient.waiting("", 2).await.unwrap();
        let other = waiting.into_iter().find(|other| *other != item).unwrap();
        postpone(&world, item, Error::NetworkUnreachable, None).await;
        postpone(&world, other, Error::StoreFull, None).await;
        assert_eq!(due(&world, Occasion::Time).await, 0);
        assert_eq!(due(&world, Occasion::Reached).await, 1);
        assert_eq!(due(&world, Occasion::Documents).await, 2);
    });
}

/// The hospital's card with another encryption key, of a second later.
async fn newer_card(world: &World) -> String {
    let randomness = world.providers.randomness.clone();
    let (own, other) =
        (keys("hospital", randomness.clone()).unwrap(), keys("stranger", randomness).unwrap());
    let claims = world.operator.claims(&own, Role::Institution, "Hospital").await.unwrap();
    let iat = claims.iat + 1;
    let (encryption, request) = (other.public().1.clone(), own.request_key().clone());
    let stated = Subkeys { iss: claims.sub.clone(), iat, encryption, request };
    let card = Card { subkeys: stated.sign(&own).await.unwrap(), iat, ..claims };
    world.operator.sign(&card).await.unwrap()
}

#[test]
fn what_is_sealed_to_a_former_key_is_sealed_anew_as_the_same_message() {
    block_on(async {
        let world = asked(10).await;
        let (item, card) = (only(&world).await, newer_card(&world).await);
        let Payload::Envelope { compact: before, signed: Some(signed), .. } = &item.payload else {
            panic!("an envelope with what is signed in it")
        };
        let items = [item.clone()];
        let unknown = world.patient.former_key(&items, Some(world.hospital.card().jwt())).await;
        assert_eq!(unknown.err(), Some(Error::FormerKey), "it is sealed to that card's key");
        let mut anew = world.patient.former_key(&items, Some(&card)).await.unwrap();
        let anew = anew.remove(0);
        assert_eq!(only(&world).await, anew, "it is kept so");
        let Payload::Envelope { compact, signed: same, .. } = &anew.payload else { panic!() };
        assert_eq!(same.as_ref(), Some(signed));
        assert_ne!(addressed_key(compact).unwrap(), addressed_key(before).unwrap());
        assert!(anew.may_go(Occasion::Time, BEGIN));
        let again = world.patient.former_key(&[anew], Some(&card)).await;
        assert_eq!(again.err(), Some(Error::FormerKey), "nothing goes in circles");
    });
}

#[test]
fn what_version_1_sealed_to_a_former_key_is_given_up() {
    block_on(async {
        let world = asked(12).await;
        let (mut item, card) = (only(&world).await, newer_card(&world).await);
        let Payload::Envelope { signed, .. } = &mut item.payload else { panic!("an envelope") };
        *signed = None;
        let anew = world.patient.former_key(&[item], Some(&card)).await.unwrap();
        assert!(anew.is_empty());
        let code = only(&world).await.refused;
        assert_eq!(code.as_deref(), Some(Error::FormerCase.code()));
    });
}

#[test]
fn a_message_that_was_sealed_anew_is_taken_in_once() {
    block_on(async {
        let world = asked(11).await;
        let Payload::Envelope { compact, signed: Some(signed), .. } = only(&world).await.payload
        else {
            panic!("an envelope with what is signed in it")
        };
        let hospital = world.hospital.card();
        let (software, randomness) = (world.software(), &world.providers.randomness);
        let anew = seal_signed(&signed, &hospital, &software, randomness).await.unwrap();
        let by = Deliverer::Address("127.0.0.1".into());
        let take = async |envelope: &str| {
            let taken = world.hospital.receive_from::<HospitalCase>(envelope.as_bytes(), &by).await;
            taken.map(|taken| taken.outcome)
        };
        assert_eq!(take(&compact).await, Ok(Outcome::Applied));
        assert_eq!(take(&anew).await, Ok(Outcome::Repeated));
        let elsewhere = seal_signed(&signed, &world.patient.card(), &software, randomness).await;
        assert_eq!(take(&elsewhere.unwrap()).await, Err(Error::FormerKey));
        assert!(world.hospital.quarantined("", 10).await.unwrap().is_empty(), "it comes again");
    });
}

#[test]
fn a_full_storage_does_not_make_a_node_forget_its_pauses() {
    block_on(async {
        let world = asked(9).await;
        world.patient.platform().store().fail_next_commit(Error::StoreFull);
        let items = [only(&world).await];
        let (waiting, kept) =
            world.patient.postpone(&items, Error::NetworkUnreachable.into()).await;
        assert_eq!(kept, Err(Error::StoreFull));
        assert_eq!(waiting[0].attempts.count, 1);
        assert_eq!(due(&world, Occasion::Time).await, 0);
        world.providers.clock.advance(4_000);
        assert_eq!(due(&world, Occasion::Time).await, 1);
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

        world.network.number += 1;
        let fresh = trust(&world, BEGIN.seconds()).await;
        world.patient.set_trust(fresh.clone());
        world.hospital.set_trust(fresh);
        world.deliver_all().await.unwrap();
        assert!(world.hospital.case::<HospitalCase>(&case()).await.is_ok());
    });
}

/// What a node trusts that has seen the revocation list of that time, seconds.
async fn trust(world: &World, iat: u64) -> Trust {
    let doorman = keys("doorman", world.providers.randomness.clone()).unwrap();
    let iss = doorman.public().0.thumbprint().parse().unwrap();
    let (number, revoked, superseded) = (1, Vec::new(), Vec::new());
    let revocations = Revocations { iss, iat, number, revoked, superseded };
    let revocations = network::sign(&revocations, &doorman).await.unwrap();
    let documents = NetworkDocuments { revocations, ..world.documents.clone() };
    let documents = world.operator.bind(documents, &world.network).await.unwrap();
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
                postpone(&world, item, Error::NetworkUnreachable, None).await;
                let Attempts { count: counted, problem, next, .. } = only(&world).await.attempts;
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
            postpone(&world, item, Error::TooManyRequests, Some(seconds)).await;
            let item = only(&world).await;
            let asked = (seconds * 1000).min(LONGEST);
            let may_go = |at: u64| item.may_go(Occasion::Time, Timestamp(at));
            prop_assert!(!may_go((now.0 + asked).saturating_sub(1)));
            prop_assert!(may_go(now.0 + LONGEST));
            Ok(())
        })?;
    }
}
