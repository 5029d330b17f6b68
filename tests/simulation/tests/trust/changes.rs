//! A node changes its keys and stays who it is: what it signed in their time stays good, and the
//! former keys sign nothing new.

use std::slice;

use futures_lite::future::{block_on, zip};
use hdms::Error;
use hdms::card::{Card, KeyChange, MAX_CHANGES, VerifiedCard};
use hdms::envelope::{Message, MessageType};
use hdms::ledger::{VerifiedEndorsement, VerifiedReceipt};
use hdms::node::{Node, Platform};
use hdms::notary::{Deposit, DepositAnswer, DepositBody};
use hdms::provider::{Clock, NodeKeys, Timestamp};
use hdms::record;
use hdms::software::SoftwareKeys;
use hdms::testing::SeededRandomness;
use hdms::treatment::hospital::{HospitalCase, HospitalResultStatus};
use hdms_simulation::{Simulated, World, keys, stated};
use serde_json::json;

use crate::logbook::SECRET;
use crate::{approved, asked, case, id, next_mail, seal, with_result};

type Keys = SoftwareKeys<SeededRandomness>;

fn named(world: &World, name: &str) -> Keys {
    keys(name, world.providers.randomness.clone()).unwrap()
}

fn now(world: &World) -> u64 {
    world.providers.clock.now().seconds()
}

/// The statement that the owner of `card` now signs with the keys `new`.
pub fn statement(card: &Card, new: &Keys, iat: u64) -> KeyChange {
    KeyChange {
        iss: card.sub.clone(),
        iat,
        former_signing_key: card.signing_key.clone(),
        signing_key: new.public().0.clone(),
    }
}

/// `card` after the change to the keys `new` that `change` states, signed by `signer`.
pub async fn changed(
    card: &Card,
    (change, new): (&KeyChange, &Keys),
    signer: &impl NodeKeys,
) -> Card {
    let mut card = card.clone();
    card.changes.push(change.sign(signer).await.unwrap());
    card.signing_key = change.signing_key.clone();
    card.subkeys = stated(&card.sub, new, change.iat).await.unwrap();
    card.iat = change.iat;
    card
}

/// The node changes its keys to those of this name, and has its new card.
pub async fn change(world: &World, node: &Node<Simulated>, name: &str) {
    world.providers.clock.advance(1000);
    let (card, keys) = (node.card(), named(world, name));
    let change = statement(card.card(), &keys, now(world));
    let card = changed(card.card(), (&change, &keys), node.platform().keys()).await;
    node.set_card(verify(world, &card).await.unwrap()).unwrap();
    node.platform().keys().change(keys);
    world.providers.clock.advance(1000);
}

async fn verify(world: &World, card: &Card) -> Result<VerifiedCard, Error> {
    let jwt = world.operator.sign(card).await.unwrap();
    let (trust, now) = (world.patient.trust(), world.providers.clock.now());
    VerifiedCard::verify(&jwt, &trust, now, &world.software()).await
}

#[test]
fn a_treatment_goes_on_though_both_change_their_keys_and_no_map_says_so() {
    block_on(async {
        let mut world = asked(1).await;
        change(&world, &world.patient, "stranger").await;
        world.deliver_all().await.unwrap();
        world.hospital.approve(&case()).await.unwrap();
        world.deliver_all().await.unwrap();
        change(&world, &world.hospital, "root").await;
        let fhir = json!({"resourceType": "Observation", "status": "final"});
        let entry = world.hand_in(&case(), vec![fhir]).await.unwrap().remove(0);
        world.deliver_all().await.unwrap();
        change(&world, &world.patient, "doorman").await;
        world.patient.confirm(&case(), slice::from_ref(&entry)).await.unwrap();
        world.deliver_all().await.unwrap();
        let state: HospitalCase = world.hospital.case(&case()).await.unwrap();
        assert!(matches!(state.results[0].status, HospitalResultStatus::Committed { .. }));
        assert_eq!(world.patient.card().keys().changes().len(), 2);
        assert_eq!(world.patient.card().id(), world.patient.id());
        for node in [&world.patient, &world.hospital] {
            node.open_record(&case(), &state.entry.id).await.unwrap();
            node.open_record(&case(), &entry).await.unwrap();
            assert!(node.quarantined("", 10).await.unwrap().is_empty());
        }
    });
}

#[test]
fn what_was_sealed_to_or_signed_with_the_former_keys_before_is_taken_in() {
    block_on(async {
        let mut world = approved(2).await;
        let question =
            json!({"id": "019b7985-7400-7000-8000-000000000002", "resources": [], "purpose": ""});
        let kind = MessageType::DataRequest;
        let sealed = seal(&world.hospital, &world.patient.card(), kind, question).await;
        change(&world, &world.hospital, "root").await;
        change(&world, &world.patient, "stranger").await;
        let mail =
            hdms_simulation::Mail { to_patient: true, kind: String::new(), envelope: sealed };
        world.deliver(&mail).await.unwrap();
        assert_eq!(world.patient.quarantined("", 10).await.unwrap().len(), 0);
    });
}

#[test]
fn a_former_key_signs_no_new_message() {
    block_on(async {
        let mut world = asked(3).await;
        world.deliver_all().await.unwrap();
        let former = named(&world, "patient");
        change(&world, &world.patient, "stranger").await;
        let entry = world.hospital.case::<HospitalCase>(&case()).await.unwrap().entry.id;
        let (own, hospital, case, p) =
            (world.patient.card(), world.hospital.card(), case(), world.patient.platform());
        let body = json!({"entry": entry, "reason": "stolen"});
        let kind = MessageType::Dispute;
        let message = Message { from: &own, to: &hospital, case: &case, kind, body };
        let sealing =
            hdms::envelope::seal(message, &former, p.primitives(), p.clock(), p.randomness());
        let (_, forged) = sealing.await.unwrap();
        let taken = world.hospital.receive::<HospitalCase>(forged.as_bytes()).await;
        assert_eq!(taken.err(), Some(Error::SignatureInvalid));
    });
}

fn next_day(now: Timestamp) -> Timestamp {
    Timestamp::from_seconds(now.seconds() + 24 * 3600)
}

#[test]
fn records_and_endorsements_are_good_by_the_key_of_their_time() {
    block_on(async {
        let (world, entry) = with_result(4).await;
        let (former, at) = (named(&world, "hospital"), world.providers.clock.now());
        let compact = world.hospital.record(&case(), &entry).await.unwrap();
        change(&world, &world.hospital, "root").await;
        let (card, software) = (world.hospital.card(), world.software());
        record::verify(&compact, card.keys(), &software).await.unwrap();
        let logged = slice::from_ref(&world.notary.log()[0].entry);
        let endorse = async |keys: &Keys, at: Timestamp| {
            let signed = VerifiedEndorsement::sign(logged, card.id(), at, keys).await.unwrap();
            VerifiedEndorsement::verify(signed.jwt(), &card, &software).await.map(drop)
        };
        let present = named(&world, "root");
        let later = world.providers.clock.now();
        assert_eq!(endorse(&former, at).await, Ok(()));
        assert_eq!(endorse(&present, later).await, Ok(()));
        assert_eq!(endorse(&former, later).await, Err(Error::EndorsementForged));

        // A record says its day: on that of the change either key is good, from then on the new one.
        for (keys, issued, answer) in [
            (&former, later, None),
            (&present, later, None),
            (&former, next_day(later), Some(Error::RecordForged)),
            (&present, next_day(later), None),
        ] {
            let content = record::Content {
                author: card.id().as_ref(),
                patient: world.patient.id().as_ref(),
                case: "a case",
                holder: None,
                issued,
                born: None,
                fhir: &json!({"resourceType": "Observation"}),
            };
            let issued = record::issue(&content, keys, &world.providers.randomness).await.unwrap();
            let verified = record::verify(issued.compact(), card.keys(), &software).await;
            assert_eq!(verified.err(), answer);
        }
    });
}

#[test]
fn an_entry_endorsed_with_former_and_with_present_keys_is_logged() {
    block_on(async {
        let mut world = World::new(5).await.unwrap();
        let entry = world.first_entry(id(10), case(), SECRET).unwrap();
        let mut endorsements = Vec::new();
        for node in [&world.patient, &world.hospital] {
            let (at, keys) = (world.providers.clock.now(), node.platform().keys());
            let signed = VerifiedEndorsement::sign(slice::from_ref(&entry), node.id(), at, keys)
                .await
                .unwrap();
            endorsements.push(signed.jwt().to_owned());
            change(&world, &world.patient, "stranger").await;
        }
        let draw = world.drawn(&entry).await.unwrap();
        let deposits = vec![Deposit { entry: entry.id.clone(), case_secret: Some(SECRET), draw }];
        let cards = [&world.patient, &world.hospital].map(|node| node.card().jwt().to_owned());
        let body = DepositBody { cards: cards.into(), endorsements, deposits };
        let body = serde_json::to_value(body).unwrap();
        let (kind, notary) = (MessageType::Deposit, world.notary.card().clone());
        let envelope = seal(&world.patient, &notary, kind, body).await;
        let answers = world.notary.receive(&envelope).await.unwrap().answers;
        let DepositAnswer::Receipt(receipt) = &answers[0] else { panic!("{answers:?}") };
        let (trust, software) = (world.patient.trust(), world.software());
        let receipt = VerifiedReceipt::verify(receipt, &trust, &software).await.unwrap();
        receipt.expect(&entry, Some(SECRET)).unwrap();
    });
}

#[test]
fn a_chain_of_changes_with_a_wrong_link_is_no_card() {
    block_on(async {
        let world = World::new(6).await.unwrap();
        let (first, second) = (named(&world, "patient"), named(&world, "stranger"));
        let (third, at) = (named(&world, "root"), now(&world));
        let card = world.patient.card().card().clone();
        let one = statement(&card, &second, at);
        let good = changed(&card, (&one, &second), &first).await;
        let two = statement(&good, &third, at);
        let longer = changed(&good, (&two, &third), &second).await;
        for good in [&good, &longer] {
            assert_eq!(verify(&world, good).await.unwrap().id(), &card.sub);
        }
        let foreign = KeyChange { iss: world.hospital.id().clone(), ..one.clone() };
        let backdated = KeyChange { iat: at - 1, ..two.clone() };
        let ahead = KeyChange { iat: at + 1000, ..two.clone() };
        let ahead = changed(&good, (&ahead, &third), &second).await;
        let mut without_first = longer.clone();
        without_first.changes.remove(0);
        let mut turned = longer.clone();
        turned.changes.reverse();
        let wrong = [
            ("signed by another", changed(&card, (&one, &second), &third).await),
            ("signed by the new key", changed(&card, (&one, &second), &second).await),
            ("about another node", changed(&card, (&foreign, &second), &first).await),
            ("before the one before", changed(&good, (&backdated, &third), &second).await),
            ("the former key kept alive", Card { iat: at, ..ahead }),
            ("signed by a former key", changed(&good, (&two, &third), &first).await),
            ("its beginning left out", without_first),
            ("out of order", turned),
            ("its end left out", Card { changes: good.changes.clone(), ..longer.clone() }),
            ("not its last key", Card { signing_key: card.signing_key.clone(), ..good.clone() }),
            ("no change", Card { changes: Vec::new(), ..good.clone() }),
        ];
        for (what, card) in wrong {
            assert_eq!(verify(&world, &card).await.err(), Some(Error::CardMismatch), "{what}");
        }
        let many = vec![good.changes[0].clone(); MAX_CHANGES + 1];
        let many = verify(&world, &Card { changes: many, ..good }).await;
        assert_eq!(many.err(), Some(Error::CardMalformed));
    });
}

#[test]
fn a_message_to_keys_that_were_never_the_nodes_is_refused() {
    block_on(async {
        let mut world = asked(7).await;
        let envelope = next_mail(&mut world);
        change(&world, &world.hospital, "root").await;
        let card = world.hospital.card();
        let other = named(&world, "stranger").public().1.thumbprint();
        assert!(!card.is_present_encryption_key(&other));
        assert!(card.is_present_encryption_key(&named(&world, "root").public().1.thumbprint()));
        // It is opened; but it asks for a draw with the key that signed then.
        let taken = world.hospital.receive::<HospitalCase>(&envelope).await;
        assert_eq!(taken.err(), Some(Error::RequestOutdated));
    });
}

#[test]
fn of_two_messages_that_come_at_once_the_newer_card_is_kept() {
    block_on(async {
        let mut world = asked(9).await;
        change(&world, &world.patient, "stranger").await;
        world.patient.ask(&id(2), world.hospital.id(), crate::request()).await.unwrap();
        world.settle().await.unwrap();
        let (former, newer) = (next_mail(&mut world), next_mail(&mut world));
        let hospital = &world.hospital;
        let (first, second) = zip(
            hospital.receive::<HospitalCase>(&newer),
            hospital.receive::<HospitalCase>(&former),
        )
        .await;
        assert!(first.is_ok() && second.is_ok(), "{first:?} {second:?}");
        let known = world.hospital.card_of(world.patient.id()).await.unwrap();
        assert_eq!(known.jwt(), world.patient.card().jwt());
    });
}
