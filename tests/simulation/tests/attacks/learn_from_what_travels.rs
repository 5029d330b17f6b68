//! Whoever carries or stores what travels wants to know who the patient is, and what it is about.

use std::collections::BTreeSet;

use futures_lite::future::block_on;
use hdms::Error;
use hdms::card::{Role, VerifiedCard};
use hdms::ids::CaseId;
use hdms::padding;
use hdms::treatment::hospital::HospitalCase;
use hdms::treatment::message::DataRequestBody;
use hdms::treatment::request::TreatmentRequest;
use hdms_simulation::{BEGIN, World, keys};

const NAME: &str = "Maria Fabregas";

fn case(number: u32) -> CaseId {
    format!("019b7985-7400-7000-8000-{number:012}").parse().unwrap()
}

/// The sizes of the envelopes that are on their way.
fn sizes(world: &mut World) -> Vec<usize> {
    std::mem::take(&mut world.mail).iter().map(|mail| mail.envelope.len()).collect()
}

/// A case in which the patient has asked for treatment under this name and for this reason. Answers
/// the size of the request's envelope.
async fn asked(world: &mut World, case: &CaseId, name: &str, reason: &str) -> usize {
    let may_read = vec!["AllergyIntolerance".into(), "Observation".into()];
    let request = TreatmentRequest { reason: reason.into(), date: None, may_read };
    let hospital = world.hospital.id().clone();
    world.patient.ask_by_name(case, &hospital, request, name).await.unwrap();
    world.settle().await.unwrap();
    let size = world.mail[0].envelope.len();
    world.deliver_all().await.unwrap();
    size
}

#[test]
fn a_refusal_has_one_size_whatever_its_reason() {
    block_on(async {
        let mut world = World::new(11).await.unwrap();
        let reasons = ["No", "There is no bed free", &"Because of the ward's rules. ".repeat(15)];
        let mut refusals = Vec::new();
        for (number, reason) in reasons.iter().enumerate() {
            let case = case(number as u32 + 1);
            asked(&mut world, &case, NAME, "Cough").await;
            world.hospital.decline(&case, reason).await.unwrap();
            world.settle().await.unwrap();
            refusals.extend(sizes(&mut world));
        }
        assert_eq!(refusals.len(), 3);
        assert_eq!(BTreeSet::from_iter(refusals).len(), 1);
    });
}

#[test]
fn requests_have_one_of_two_sizes_whoever_asks_and_for_what() {
    block_on(async {
        let mut world = World::new(12).await.unwrap();
        let long = "Pain in the chest since last week, more in the evening";
        let mut requests = BTreeSet::new();
        for (number, length) in [1, 9, 18, 27, 36, 45, long.len()].into_iter().enumerate() {
            let name = &NAME[..number * 2];
            let case = case(number as u32 + 1);
            requests.insert(asked(&mut world, &case, name, &long[..length]).await);
        }
        assert!(requests.len() <= 2, "{requests:?}");
    });
}

#[test]
fn small_messages_of_different_kinds_look_alike() {
    block_on(async {
        let mut world = World::new(13).await.unwrap();
        asked(&mut world, &case(1), NAME, "Cough").await;
        asked(&mut world, &case(2), NAME, "Cough").await;
        world.hospital.decline(&case(1), "No bed is free").await.unwrap();
        world.settle().await.unwrap();
        let refusal = sizes(&mut world);
        world.hospital.approve(&case(2)).await.unwrap();
        world.deliver_all().await.unwrap();
        let resources = vec!["AllergyIntolerance".into(), "Observation".into()];
        let id = "019b7985-7400-7000-8000-000000000009".parse().unwrap();
        let asked = DataRequestBody { id, resources, purpose: "Before surgery".into() };
        world.hospital.ask_for_data(&case(2), asked).await.unwrap();
        world.settle().await.unwrap();
        assert_eq!(sizes(&mut world), refusal);
    });
}

#[test]
fn the_largest_record_still_fits_once_it_is_padded() {
    assert_eq!(padding::class(hdms::record::MAX_BYTES + 15_000), padding::LAST);
}

#[test]
fn the_patients_name_is_known_to_the_hospital_alone() {
    block_on(async {
        let mut world = World::new(14).await.unwrap();
        asked(&mut world, &case(1), NAME, "Cough").await;
        let kept: HospitalCase = world.hospital.case(&case(1)).await.unwrap();
        assert_eq!(kept.patient_name, NAME);
        let card = serde_json::to_value(world.patient.card().card()).unwrap();
        assert!(card.get("name").is_none(), "{card}");
        let too_long = "n".repeat(201);
        let request = TreatmentRequest { reason: "X".into(), date: None, may_read: Vec::new() };
        let hospital = world.hospital.id().clone();
        let refused = world.patient.ask_by_name(&case(2), &hospital, request, &too_long).await;
        assert_eq!(refused, Err(Error::BodyMalformed));
    });
}

/// What version 1 has left: cards with patients' names, and cases without.
#[test]
fn what_was_kept_of_names_before_still_opens() {
    block_on(async {
        let mut world = World::new(15).await.unwrap();
        let keys = keys("patient", world.providers.randomness.clone()).unwrap();
        let mut claims = world.operator.claims(&keys, Role::Personal, "").await.unwrap();
        claims.name = NAME.into();
        let jwt = world.operator.sign(&claims).await.unwrap();
        let trust = world.trust(None).await.unwrap();
        let card = VerifiedCard::verify(&jwt, &trust, BEGIN, &world.software()).await.unwrap();
        assert_eq!(card.card().name, NAME);
        asked(&mut world, &case(1), "", "Cough").await;
        let kept: HospitalCase = world.hospital.case(&case(1)).await.unwrap();
        let text = serde_json::to_string(&kept).unwrap();
        assert!(!text.contains("patient_name"));
        assert_eq!(hdms::json::stored::<HospitalCase>(text.as_bytes()), Ok(kept));
    });
}
