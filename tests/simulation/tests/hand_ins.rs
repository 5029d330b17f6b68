//! What is handed in together comes together, is decided on in any order, and is final soon after.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails so")]

use std::slice;

use futures_lite::future::block_on;
use hdms::Error;
use hdms::ids::{CaseId, EntryId};
use hdms::node::{Outcome, Payload, Platform};
use hdms::notary::DepositAnswer;
use hdms::provider::Clock;
use hdms::treatment::hospital::{self, HospitalCase};
use hdms::treatment::patient::{HandIn, PatientCase, ResultStatus};
use hdms::treatment::request::TreatmentRequest;
use hdms_simulation::{Mail, World};
use serde_json::{Value, json};

fn case() -> CaseId {
    "019b7985-7400-7000-8000-000000000001".parse().unwrap()
}

async fn approved(seed: u64) -> World {
    let mut world = World::new(seed).await.unwrap();
    let request = TreatmentRequest { reason: "Cough".into(), date: None, may_read: vec![] };
    world.patient.ask(&case(), world.hospital.id(), request).await.unwrap();
    world.deliver_all().await.unwrap();
    world.hospital.approve(&case()).await.unwrap();
    world.deliver_all().await.unwrap();
    world
}

/// So many results, each with a note of so many bytes.
fn results(count: usize, bytes: usize) -> Vec<Value> {
    let note = "n".repeat(bytes);
    let one = |n| json!({"resourceType": "Observation", "id": n, "note": [{"text": note}]});
    (0..count).map(|n| one(n.to_string())).collect()
}

async fn of_patient(world: &World) -> PatientCase {
    world.patient.case(&case()).await.unwrap()
}

async fn of_hospital(world: &World) -> HospitalCase {
    world.hospital.case(&case()).await.unwrap()
}

fn is_final(state: &PatientCase, entry: &EntryId) -> bool {
    matches!(state.result(entry).unwrap().status, ResultStatus::Committed { .. })
}

/// How many of each side are final, and disputed.
async fn counts(world: &World) -> ([usize; 2], [usize; 2]) {
    let (patient, hospital) = (of_patient(world).await, of_hospital(world).await);
    let committed = |one: &ResultStatus| matches!(one, ResultStatus::Committed { .. });
    let disputed = |one: &ResultStatus| matches!(one, ResultStatus::Disputed { .. });
    let count = |is: &dyn Fn(&ResultStatus) -> bool| {
        patient.results.iter().filter(|one| is(&one.status)).count()
    };
    let of_hospital = |is: &dyn Fn(&hospital::HospitalResultStatus) -> bool| {
        hospital.results.iter().filter(|one| is(&one.status)).count()
    };
    let theirs = |one: &hospital::HospitalResultStatus| {
        matches!(one, hospital::HospitalResultStatus::Committed { .. })
    };
    let refused = |one: &hospital::HospitalResultStatus| {
        matches!(one, hospital::HospitalResultStatus::Disputed { .. })
    };
    ([count(&committed), of_hospital(&theirs)], [count(&disputed), of_hospital(&refused)])
}

async fn kept_numbers(world: &World) {
    for node in [&world.patient, &world.hospital] {
        assert_eq!(node.missing_numbers(&case()).await.unwrap(), []);
        assert!(node.quarantined("", 10).await.unwrap().is_empty());
        assert!(node.waiting("", 10).await.unwrap().is_empty());
    }
    let numbers = world.notary.log().iter().map(|logged| logged.place.number().unwrap());
    assert_eq!(
        numbers.collect::<Vec<_>>(),
        (1..=world.notary.log().len() as u64).collect::<Vec<_>>()
    );
}

#[test]
fn one_thirteen_and_two_hundred_results_are_final_after_one_decision() {
    block_on(async {
        for (count, most) in [(1, 11), (13, 23), (200, 215)] {
            let mut world = approved(1).await;
            let uses = |world: &World| {
                let nodes = [&world.patient, &world.hospital];
                nodes.iter().map(|node| node.platform().keys().uses()).sum::<usize>()
            };
            let before = uses(&world);
            let commits = world.hospital.platform().store().commits();
            let entries = world.hand_in(&case(), results(count, 10)).await.unwrap();
            let committed = world.hospital.platform().store().commits() - commits;
            assert_eq!(committed, 1, "a hand-in is one step");
            world.deliver_all().await.unwrap();
            let state = of_patient(&world).await;
            assert_eq!(state.results.len(), count);
            let shown = |one| state.shows(one, world.providers.clock.now());
            assert!(state.results.iter().all(shown));
            world.patient.confirm(&case(), &entries).await.unwrap();
            world.deliver_all().await.unwrap();
            assert_eq!(counts(&world).await, ([count; 2], [0; 2]));
            kept_numbers(&world).await;
            let used = uses(&world) - before;
            assert!(used <= most, "{used} uses of private keys for {count} results");
        }
    });
}

#[test]
fn results_are_decided_in_any_order_and_a_disputed_one_holds_nothing_up() {
    block_on(async {
        let mut world = approved(2).await;
        let entries = world.hand_in(&case(), results(13, 10)).await.unwrap();
        world.deliver_all().await.unwrap();
        let confirm = async |world: &mut World, entries: &[EntryId]| {
            world.patient.confirm(&case(), entries).await.unwrap();
            world.deliver_all().await.unwrap();
            for entry in entries {
                assert!(is_final(&of_patient(world).await, entry));
            }
        };
        confirm(&mut world, &entries[12..]).await;
        world.patient.dispute(&case(), &entries[5..8], "Not mine").await.unwrap();
        confirm(&mut world, &[entries[3].clone(), entries[0].clone()]).await;
        confirm(&mut world, slice::from_ref(&entries[9])).await;
        // Some of it was decided before: the rest is confirmed, and what was disputed is not.
        assert_eq!(world.patient.confirm(&case(), &entries).await, Err(Error::AlreadyDecided));
        let rest: Vec<_> = entries[..5].iter().chain(&entries[8..]).cloned().collect();
        confirm(&mut world, &rest).await;
        assert_eq!(counts(&world).await, ([10; 2], [3; 2]));
        kept_numbers(&world).await;
    });
}

#[test]
fn a_hand_in_of_many_messages_is_shown_when_all_have_come_in_any_order_and_once() {
    block_on(async {
        let mut world = approved(3).await;
        let entries = world.hand_in(&case(), results(7, 250_000)).await.unwrap();
        world.settle().await.unwrap();
        let mut parts: Vec<Mail> = std::mem::take(&mut world.mail);
        assert!(parts.len() > 2, "{} messages", parts.len());
        parts.reverse();
        let last = parts.pop().unwrap();
        for part in parts.iter().chain(&parts) {
            world.deliver(part).await.unwrap();
        }
        let state = of_patient(&world).await;
        let (now, [hand_in]) = (world.providers.clock.now(), &state.hand_ins[..]) else { panic!() };
        let HandIn { of, begun, .. } = hand_in.clone();
        assert!(of == 7 && state.came_of(hand_in) < 7 && state.is_under_way(hand_in, now));
        assert!(state.results.iter().all(|one| !state.shows(one, now)));
        let in_a_day = hdms::provider::Timestamp(begun.0 + 24 * 3_600_000);
        assert!(state.results.iter().all(|one| state.shows(one, in_a_day)), "what has come");

        assert_eq!(world.deliver(&last).await, Ok(Outcome::Applied));
        let state = of_patient(&world).await;
        assert_eq!((state.results.len(), state.hand_ins.len()), (7, 1));
        assert!(state.results.iter().all(|one| state.shows(one, now)));
        world.patient.confirm(&case(), &entries).await.unwrap();
        world.deliver_all().await.unwrap();
        assert_eq!(counts(&world).await, ([7; 2], [0; 2]));
    });
}

#[test]
fn a_whole_hand_in_that_overtakes_the_approval_waits_for_it() {
    block_on(async {
        let mut world = World::new(4).await.unwrap();
        let request = TreatmentRequest { reason: "Cough".into(), date: None, may_read: vec![] };
        world.patient.ask(&case(), world.hospital.id(), request).await.unwrap();
        world.deliver_all().await.unwrap();
        world.hospital.approve(&case()).await.unwrap();
        world.settle().await.unwrap();
        let approval = world.mail.remove(0);
        world.hand_in(&case(), results(40, 300_000)).await.unwrap();
        world.settle().await.unwrap();
        let parts = std::mem::take(&mut world.mail);
        assert_eq!(parts.len(), 40);
        for part in &parts {
            assert_eq!(world.deliver(part).await, Ok(Outcome::Held));
        }
        world.deliver(&approval).await.unwrap();
        assert_eq!(of_patient(&world).await.results.len(), 40);
    });
}

#[test]
fn the_same_hand_in_again_does_nothing_and_another_under_its_key_is_refused() {
    block_on(async {
        let mut world = approved(5).await;
        let (three, two) = (results(3, 10), results(2, 10));
        let hand_in = async |world: &World, results: &[Value], key: Option<&str>| {
            let taken = world.hospital.hand_in(&case(), results.to_vec(), key).await;
            taken.map(|(state, id)| (state.results.len(), id))
        };
        let first = hand_in(&world, &three, Some("one")).await.unwrap();
        for key in [Some("one"), None, Some("two")] {
            assert_eq!(hand_in(&world, &three, key).await.as_ref(), Ok(&first));
        }
        for key in ["one", "two"] {
            assert_eq!(hand_in(&world, &two, Some(key)).await, Err(Error::KeyReused), "{key}");
        }
        assert_eq!(of_hospital(&world).await.results.len(), 3);
        world.deliver_all().await.unwrap();
        assert_eq!(of_patient(&world).await.results.len(), 3);
        assert_eq!(hand_in(&world, &two, Some("three")).await.unwrap().0, 5);
    });
}

#[test]
fn nothing_and_too_many_are_neither_handed_in_nor_decided_on() {
    block_on(async {
        let world = approved(6).await;
        for count in [0, 257] {
            let taken = world.hand_in(&case(), results(count, 1)).await;
            assert_eq!(taken, Err(Error::WrongCount));
            let entries = vec![crate::case().as_ref().parse::<EntryId>().unwrap(); count];
            let confirmed = world.patient.confirm(&case(), &entries).await.map(drop);
            assert_eq!(confirmed, Err(Error::WrongCount));
            let disputed = world.patient.dispute(&case(), &entries, "No").await.map(drop);
            assert_eq!(disputed, Err(Error::WrongCount));
        }
        let mut broken = results(3, 1);
        broken[2] = json!({"resourceType": "Horoscope"});
        assert_eq!(world.hand_in(&case(), broken).await, Err(Error::NotFhir));
        assert!(of_hospital(&world).await.results.is_empty(), "all or nothing");
    });
}

#[test]
fn a_crash_before_the_commit_leaves_nothing_and_the_same_again_leaves_all() {
    block_on(async {
        let mut world = approved(7).await;
        let fail = |world: &World, patient: bool| {
            let node = if patient { &world.patient } else { &world.hospital };
            node.platform().store().fail_next_commit(Error::StoreFull);
        };
        fail(&world, false);
        assert_eq!(world.hand_in(&case(), results(13, 10)).await, Err(Error::StoreFull));
        assert!(of_hospital(&world).await.hand_ins.is_empty());
        assert!(world.hospital.waiting("", 10).await.unwrap().is_empty());
        let entries = world.hand_in(&case(), results(13, 10)).await.unwrap();
        world.settle().await.unwrap();
        let handed_in = world.mail.remove(0);
        fail(&world, true);
        assert_eq!(world.deliver(&handed_in).await, Err(Error::StoreFull));
        assert!(of_patient(&world).await.results.is_empty());
        world.deliver(&handed_in).await.unwrap();
        fail(&world, true);
        let confirmed = world.patient.confirm(&case(), &entries).await.map(drop);
        assert_eq!(confirmed, Err(Error::StoreFull));
        world.patient.confirm(&case(), &entries).await.unwrap();

        // The notary has logged all, and its answer is lost with the commit.
        let [deposit] = &world.undeposited()[..] else { panic!("one decision, one deposit") };
        let (parcels, _) = world.patient.parcels(vec![deposit.clone()]).await;
        let [hdms::node::Parcel::Deposits { envelope, .. }] = &parcels[..] else { panic!() };
        let answers = world.notary.receive(envelope).await.unwrap().answers;
        fail(&world, true);
        let answered = world.patient.deposit_answered::<PatientCase>(deposit, &answers).await;
        assert_eq!(answered, Err(Error::StoreFull));
        assert_eq!(world.patient.waiting("", 10).await.unwrap(), slice::from_ref(deposit));
        world.patient.deposit_answered::<PatientCase>(deposit, &answers).await.unwrap();
        world.deliver_all().await.unwrap();
        assert_eq!(counts(&world).await, ([13; 2], [0; 2]));
        kept_numbers(&world).await;
    });
}

#[test]
fn what_a_notary_refuses_for_now_stays_in_the_decision_and_the_others_go_on() {
    block_on(async {
        let mut world = approved(8).await;
        let entries = world.hand_in(&case(), results(3, 10)).await.unwrap();
        world.deliver_all().await.unwrap();
        world.patient.confirm(&case(), &entries).await.unwrap();
        let deposit = world.undeposited().remove(0);
        let (parcels, _) = world.patient.parcels(vec![deposit.clone()]).await;
        let [hdms::node::Parcel::Deposits { envelope, .. }] = &parcels[..] else { panic!() };
        let mut answers = world.notary.receive(envelope).await.unwrap().answers;
        answers[0] = DepositAnswer::Refused(Error::EntryQuota.code().into());
        answers[1] = DepositAnswer::Refused(Error::CaseUnlogged.code().into());
        let answered = world.patient.deposit_answered::<PatientCase>(&deposit, &answers).await;
        assert_eq!(answered, Err(Error::EntryQuota));
        world.settle().await.unwrap();
        let state = of_patient(&world).await;
        let status = |entry| &state.result(entry).unwrap().status;
        assert_eq!(*status(&entries[0]), ResultStatus::Confirming);
        assert!(matches!(status(&entries[1]), ResultStatus::Refused { .. }));
        assert!(is_final(&state, &entries[2]));
        let [left] = &world.patient.waiting("", 10).await.unwrap()[..] else { panic!("one") };
        assert_eq!((&left.id, left.entries().unwrap()), (&deposit.id, vec![entries[0].clone()]));
        let Payload::Deposit { endorsements, .. } = &left.payload else { panic!() };
        assert_eq!(endorsements.len(), 2);

        // Both go again, together with what was refused for good and is confirmed once more.
        world.patient.confirm(&case(), slice::from_ref(&entries[1])).await.unwrap();
        let again = [left.clone(), world.undeposited().remove(0)];
        let (parcels, _) = world.patient.parcels(again.to_vec()).await;
        let [hdms::node::Parcel::Deposits { items, envelope, .. }] = &parcels[..] else { panic!() };
        let answers = world.notary.receive(envelope).await.unwrap().answers;
        for (item, answers) in items.iter().zip(hdms::node::answers_to(items, answers).unwrap()) {
            world.patient.deposit_answered::<PatientCase>(item, &answers).await.unwrap();
        }
        world.deliver_all().await.unwrap();
        assert_eq!(counts(&world).await, ([3; 2], [0; 2]));
        kept_numbers(&world).await;
    });
}
