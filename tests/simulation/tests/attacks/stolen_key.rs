//! Somebody has a key that its node has given up, and signs with it under the card of its time.

use std::slice;

use futures_lite::future::block_on;
use hdms::Error;
use hdms::card::VerifiedCard;
use hdms::envelope::{self, Message, MessageType};
use hdms::ledger::VerifiedEndorsement;
use hdms::network::Superseded;
use hdms::node::{Node, Platform};
use hdms::notary::{Deposit, DepositAnswer, DepositBody};
use hdms::provider::Clock;
use hdms::treatment::hospital::HospitalCase;
use hdms::treatment::patient::PatientCase;
use hdms_simulation::{Simulated, World, keys};
use serde_json::{Value, json};

use crate::logbook::SECRET;
use crate::{case, id};

/// What the thief has, and what its owner has by now.
struct Given {
    former: VerifiedCard,
    newer: VerifiedCard,
}

/// A node changes its keys to a stranger's, and nobody but the Doorman is told.
async fn given_up(world: &World, node: &Node<Simulated>) -> Given {
    world.providers.clock.advance(1000);
    let (former, at) = (node.card(), world.providers.clock.now().seconds());
    let new = keys("stranger", world.providers.randomness.clone()).unwrap();
    let old = (former.card(), node.platform().keys());
    let jwt = world.operator.changed_card(old, &new, at).await.unwrap();
    let newer = VerifiedCard::vouched(&jwt, &world.software()).await.unwrap();
    Given { former: (*former).clone(), newer }
}

/// The revocation list says so, and the map still lists what it listed.
async fn published(world: &mut World, given: &Given) {
    let (node, before) = (given.former.id().clone(), given.newer.card().iat);
    world.network.revocations.superseded.push(Superseded { node, before });
    world.network.revocations.number += 1;
    world.publish().await.unwrap();
}

/// What the thief of `node`'s first keys writes to `to`.
async fn stolen(
    world: &World,
    (node, card): (&Node<Simulated>, &VerifiedCard),
    to: &VerifiedCard,
    (kind, body): (MessageType, Value),
) -> String {
    let (case, p) = (case(), node.platform());
    let message = Message { from: card, to, case: &case, kind, body };
    let clock = &world.providers.clock;
    let sealing = envelope::seal(message, p.keys(), p.primitives(), clock, p.randomness());
    sealing.await.unwrap().1
}

/// An entry that the thief would have logged, endorsed by both.
async fn deposit(world: &World) -> (Vec<String>, Deposit) {
    let entry = world.first_entry(id(2), case(), SECRET).unwrap();
    let endorse = async |node: &Node<Simulated>| {
        let (now, keys) = (world.providers.clock.now(), node.platform().keys());
        let signed =
            VerifiedEndorsement::sign(slice::from_ref(&entry), node.id(), now, keys).await.unwrap();
        signed.jwt().to_owned()
    };
    let endorsements = vec![endorse(&world.patient).await, endorse(&world.hospital).await];
    let draw = world.drawn(&entry).await.unwrap();
    (endorsements, Deposit { entry: entry.id, case_secret: Some(SECRET), draw })
}

fn deposits(
    cards: [&VerifiedCard; 2],
    (endorsements, deposit): (Vec<String>, Deposit),
) -> (MessageType, Value) {
    let cards = cards.map(|card| card.jwt().to_owned()).into();
    let body = DepositBody { cards, endorsements, deposits: vec![deposit] };
    (MessageType::Deposit, serde_json::to_value(body).unwrap())
}

#[test]
fn a_hospital_that_never_saw_the_newer_card_refuses_the_former_one() {
    block_on(async {
        let mut world = World::new(1).await.unwrap();
        let given = given_up(&world, &world.patient).await;
        published(&mut world, &given).await;
        world.providers.clock.advance(1000);
        let hospital = world.hospital.card();
        let body = json!({"record": "r", "endorsement": "e"});
        let thief = (&world.patient, &given.former);
        let sealed = stolen(&world, thief, &hospital, (MessageType::TreatmentRequest, body)).await;
        let taken = world.hospital.receive::<HospitalCase>(sealed.as_bytes()).await;
        assert_eq!(taken.err(), Some(Error::CardSuperseded));
        let state = world.hospital.case::<HospitalCase>(&case()).await;
        assert_eq!(state.err(), Some(Error::UnknownCase));
    });
}

#[test]
fn a_notary_refuses_the_former_card_of_whoever_deposits_and_of_the_other() {
    block_on(async {
        let mut world = World::new(2).await.unwrap();
        let deposit = deposit(&world).await;
        let given = given_up(&world, &world.patient).await;
        published(&mut world, &given).await;
        world.providers.clock.advance(1000);
        let (notary, hospital) = (world.notary.card().clone(), world.hospital.card());
        let content = || deposits([&given.former, &hospital], deposit.clone());
        let own = stolen(&world, (&world.patient, &given.former), &notary, content()).await;
        assert_eq!(world.notary.receive(&own).await.err(), Some(Error::CardSuperseded));
        let others = stolen(&world, (&world.hospital, &hospital), &notary, content()).await;
        let answers = world.notary.receive(&others).await.unwrap().answers;
        assert_eq!(answers, [DepositAnswer::Refused("card/superseded".into())]);
        assert!(world.notary.log().is_empty());
    });
}

#[test]
fn a_patient_refuses_the_former_card_of_a_hospital_and_asks_it_nothing() {
    block_on(async {
        let mut world = World::new(3).await.unwrap();
        let given = given_up(&world, &world.hospital).await;
        published(&mut world, &given).await;
        world.providers.clock.advance(1000);
        assert!(world.patient.trust().node(given.former.id()).is_err(), "no newer one is listed");
        let patient = world.patient.card();
        let body = json!({"id": "019b7985-7400-7000-8000-000000000009", "resources": [],
            "purpose": "None of yours"});
        let thief = (&world.hospital, &given.former);
        // A kind with which the card goes along; that it is not for hospitals comes later.
        let sealed = stolen(&world, thief, &patient, (MessageType::TreatmentRequest, body)).await;
        let taken = world.patient.receive::<PatientCase>(sealed.as_bytes()).await;
        assert_eq!(taken.err(), Some(Error::CardSuperseded));
    });
}

#[test]
fn the_newer_card_counts_and_so_does_what_was_signed_in_the_former_keys_time() {
    block_on(async {
        let mut world = World::new(4).await.unwrap();
        let deposit = deposit(&world).await;
        let given = given_up(&world, &world.patient).await;
        published(&mut world, &given).await;
        let (trust, now) = (world.patient.trust(), world.providers.clock.now());
        assert_eq!(given.former.check_validity(&trust, now), Err(Error::CardSuperseded));
        assert_eq!(given.newer.check_validity(&trust, now), Ok(()));
        let seen = given.newer.keys().changes().len();
        assert!(given.former.is_former(seen) && !given.newer.is_former(seen));
        let (notary, hospital) = (world.notary.card().clone(), world.hospital.card());
        let content = deposits([&given.newer, &hospital], deposit);
        let sealed = stolen(&world, (&world.hospital, &hospital), &notary, content).await;
        let answers = world.notary.receive(&sealed).await.unwrap().answers;
        assert!(matches!(answers[..], [DepositAnswer::Receipt(_)]), "{answers:?}");
    });
}
