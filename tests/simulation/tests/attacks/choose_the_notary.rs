//! Somebody who wants to choose a case's notary: the hospital, the patient, or a notary that takes
//! what was not drawn for it. Both have a part in the draw, each is fixed before the other is known,
//! and everybody who has to rely on it checks.

mod pass_over;
mod request;
mod scene;

use futures_lite::future::block_on;
use hdms::Error;
use hdms::card::SigningKeys;
use hdms::ledger::{Draw, DrawSignature, Drawn, Entry, SILENCE, VerifiedDraw};
use hdms::node::Platform;
use hdms::notary::DepositAnswer;
use hdms::provider::NodeKeys;
use hdms::software::SoftwareKeys;
use hdms::testing::SeededRandomness;
use hdms::treatment::patient::{PatientCase, Phase};
use hdms::treatment::request::TreatmentRequest;
use hdms_simulation::{BEGIN, World, keys};

use crate::case;
use request::asked;
use scene::{drawn, network, refused, silent};

#[test]
fn the_first_in_rank_takes_the_case_and_no_other_does() {
    block_on(async {
        let mut first = drawn(0).await;
        first.world.hospital.approve(&case()).await.unwrap();
        first.world.deliver_all().await.unwrap();
        let approved: PatientCase = first.world.patient.case(&case()).await.unwrap();
        assert_eq!(approved.notary.as_ref(), Some(first.me()));

        let mut second = drawn(1).await;
        let plain = second.ranking.drawn.clone();
        assert_eq!(second.deposit(plain).await, refused(Error::NotDrawn));
        assert!(second.world.notary.log().is_empty());
    });
}

/// A notary that goes along with the hospital, and whose log is in order: the patient looks itself.
#[test]
fn the_patient_takes_no_receipt_of_a_notary_that_was_not_drawn() {
    block_on(async {
        let mut scene = drawn(0).await;
        let plain = scene.ranking.drawn.clone();
        let DepositAnswer::Receipt(receipt) = scene.deposit(plain.clone()).await else { panic!() };
        let first = scene.ranking.notaries[0].clone();
        let untrue = [
            ("another came first", scene.with_passed(vec![silent(BEGIN.seconds())(first)])),
            ("another signature", Drawn { signature: other_signature(&plain), ..plain.clone() }),
        ];
        for (case, drawn) in untrue {
            assert_eq!(scene.tell(&receipt, drawn).await, Err(Error::NotDrawn), "{case}");
        }
        assert_eq!(scene.tell(&receipt, plain).await, Ok(()));

        // One that was drawn second, and took the case all the same.
        let mut scene = drawn(1).await;
        let day = SILENCE * 1000;
        scene.world.providers.clock.advance(day);
        let waited = scene.with_passed(scene.passed(silent(BEGIN.seconds() + 60)));
        let answer = scene.deposit(waited).await;
        let DepositAnswer::Receipt(receipt) = answer else { panic!("{answer:?}") };
        let plain = scene.ranking.drawn.clone();
        assert_eq!(scene.tell(&receipt, plain).await, Err(Error::NotDrawn));
        let state: PatientCase = scene.world.patient.case(&case()).await.unwrap();
        assert_eq!(state.phase, Phase::Requested);
    });
}

fn other_signature(drawn: &Drawn) -> DrawSignature {
    let mut signature = drawn.signature.clone();
    signature.0[0] ^= 1;
    signature
}

#[test]
fn a_hospital_that_grinds_finds_one_signature() {
    block_on(async {
        let mut scene = drawn(0).await;
        let again = Drawn::sign(&scene.entry, scene.world.hospital.platform().keys()).await;
        assert_eq!(again.unwrap(), scene.ranking.drawn, "there is no other");
        let fresh = SoftwareKeys::generate(2048, SeededRandomness::new(9)).unwrap();
        let by_another = Drawn::sign(&scene.entry, &fresh).await.unwrap();
        let message = message(&scene.entry);
        let ps256 = scene.world.hospital.platform().keys().sign_ps256(&message).await.unwrap();
        let own = scene.ranking.drawn.signature.clone();
        let longer = [&[0][..], &own.0].concat();
        for signature in [by_another.signature, DrawSignature(ps256), DrawSignature(longer)] {
            let drawn = Drawn { signature, passed: Vec::new() };
            assert_eq!(scene.deposit(drawn).await, refused(Error::NotDrawn));
        }
        assert!(matches!(scene.approve(scene.ranking.drawn.clone()).await, Ok(())));
    });
}

/// A key of a younger card counts for what is signed otherwise, and not here: the patient has named
/// the key of the older card before the hospital knew what it would have to sign.
#[test]
fn a_key_made_after_the_request_draws_nothing() {
    block_on(async {
        let scene = drawn(0).await;
        let world = &scene.world;
        let younger = keys("doorman", world.providers.randomness.clone()).unwrap();
        let drawn = Drawn::sign(&scene.entry, &younger).await.unwrap();
        let card = world.hospital.card();
        for keys in [card.keys(), &SigningKeys::first(younger.public().0).unwrap()] {
            let verified =
                VerifiedDraw::verify(&scene.entry, drawn.clone(), keys, &world.software()).await;
            assert_eq!(verified.err(), Some(Error::NotDrawn));
        }
        // Nor does the hospital take a request that names a key which it no longer has.
        let key = younger.public().0.thumbprint();
        let trust = world.patient.trust();
        let (number, manifest) = (trust.manifest().number, &trust.documents().manifest);
        let draw = Draw::new(number, manifest, key, &world.providers.randomness).unwrap();
        assert_eq!(asked(world, draw, manifest).await, Err(Error::RequestOutdated));
    });
}

fn message(entry: &Entry) -> Vec<u8> {
    let draw = entry.draw.as_ref().unwrap();
    let value = String::from(draw.value);
    format!("hdms-notary-draw/v2\n{}\n{}\n{value}", entry.case, entry.id).into_bytes()
}

#[test]
fn a_patient_that_repeats_its_value_meets_the_same_notary_no_more_often_than_chance_has_it() {
    block_on(async {
        let world = network(1).await;
        let (draw, trust) = (world.draw().unwrap(), world.patient.trust());
        let template = first_entry(&world, draw).await;
        let notaries = &trust.manifest().notaries;
        let mut met = vec![0; notaries.len()];
        for number in 0..300 {
            let entry = Entry { id: crate::id(1000 + number), ..template.clone() };
            let keys = world.hospital.platform().keys();
            let drawn = Drawn::sign(&entry, keys).await.unwrap();
            let ranked = entry.draw.unwrap().ranked(notaries, &drawn.signature);
            met[notaries.iter().position(|notary| *notary == ranked[0]).unwrap()] += 1;
        }
        assert!(met.iter().all(|count| (70..=130).contains(count)), "{met:?}");
    });
}

/// An entry as the patient's node makes one.
async fn first_entry(world: &World, draw: Draw) -> Entry {
    let request = TreatmentRequest { reason: "Cough".into(), date: None, may_read: vec![] };
    let state = world.patient.ask(&case(), world.hospital.id(), request).await.unwrap();
    Entry { draw: Some(draw), ..state.entry }
}
