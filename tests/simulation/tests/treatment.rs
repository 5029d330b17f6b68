//! The treatment scenario where it does not go smoothly.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails so")]

use std::slice;

use futures_lite::future::block_on;
use hdms::Error;
use hdms::ids::{CaseId, EntryId, MessageId};
use hdms::node::Outcome;
use hdms::node::patient::RecordName;
use hdms::notary::DepositAnswer;
use hdms::treatment::Step;
use hdms::treatment::hospital::{self, HospitalCase};
use hdms::treatment::message::DataRequestBody;
use hdms::treatment::patient::{self, DataAnswer, PatientCase, ResultStatus};
use hdms::treatment::request::TreatmentRequest;
use hdms_simulation::{Mail, World};
use serde_json::json;

const CASE: &str = "019b7985-7400-7000-8000-000000000001";

fn id<T: std::str::FromStr<Err = Error>>(number: u32) -> T {
    format!("019b7985-7400-7000-8000-{number:012}").parse().unwrap()
}

fn request() -> TreatmentRequest {
    TreatmentRequest { reason: "Cough".into(), date: None, may_read: vec!["Observation".into()] }
}

fn observation() -> serde_json::Value {
    json!({"resourceType": "Observation", "status": "final", "code": {"text": "HbA1c"}})
}

/// A network with a case that waits for the hospital's decision.
async fn requested() -> (World, CaseId) {
    let mut world = World::new(7).await.unwrap();
    let case: CaseId = CASE.parse().unwrap();
    let hospital = world.hospital.id().clone();
    world.patient.ask(&case, &hospital, request()).await.unwrap();
    world.deliver_all().await.unwrap();
    (world, case)
}

async fn approved() -> (World, CaseId) {
    let (mut world, case) = requested().await;
    world.hospital.approve(&case).await.unwrap();
    world.deliver_all().await.unwrap();
    (world, case)
}

async fn with_result() -> (World, CaseId, EntryId) {
    let (mut world, case) = approved().await;
    let entry = world.hand_in(&case, vec![observation()]).await.unwrap().remove(0);
    world.deliver_all().await.unwrap();
    (world, case, entry)
}

async fn patient(world: &World, case: &CaseId) -> PatientCase {
    world.patient.case(case).await.unwrap()
}

#[test]
fn a_request_says_why() {
    block_on(async {
        let world = World::new(7).await.unwrap();
        let (patient, hospital) = (world.patient.id(), world.hospital.id());
        for reason in ["", " \n\t"] {
            let silent = TreatmentRequest { reason: reason.into(), ..request() };
            let read = TreatmentRequest::from_fhir(&silent.to_fhir(patient, hospital));
            assert_eq!(read, Err(Error::BodyMalformed), "{reason:?}");
            let asked = world.patient.ask(&CASE.parse().unwrap(), hospital, silent).await;
            assert_eq!(asked.err(), Some(Error::BodyMalformed), "{reason:?}");
        }
    });
}

async fn hospital(world: &World, case: &CaseId) -> HospitalCase {
    world.hospital.case(case).await.unwrap()
}

#[test]
fn a_wished_date_is_a_day_and_no_other_text() {
    block_on(async {
        let world = World::new(7).await.unwrap();
        let (patient, hospital) = (world.patient.id(), world.hospital.id());
        let wished = |date: &str| TreatmentRequest { date: Some(date.into()), ..request() };
        let read = |request: &TreatmentRequest| {
            TreatmentRequest::from_fhir(&request.to_fhir(patient, hospital))
        };
        let good = wished("2026-01-31");
        assert_eq!(read(&good), Ok(good));
        for text in [
            "",
            "soon",
            "2026-01",
            "2026-00-05",
            "2026-13-05",
            "2026-01-32",
            "2026-1-051",
            "2026-01-05T09:00:00Z",
            "\u{202e}2026-01-05",
            "2026-01-0\u{202e}",
            "+026-01-05",
        ] {
            let bad = wished(text);
            assert_eq!(read(&bad), Err(Error::BodyMalformed), "{text:?}");
            let asked = world.patient.ask(&CASE.parse().unwrap(), hospital, bad).await;
            assert_eq!(asked.err(), Some(Error::BodyMalformed), "{text:?}");
        }
        assert!(world.mail.is_empty());
        let stored = json!({"reason": "Cough", "date": "soon", "may_read": []});
        assert!(serde_json::from_value::<TreatmentRequest>(stored).is_ok(), "a former version's");
    });
}

#[test]
fn a_declined_request_ends_the_case_with_its_reason() {
    block_on(async {
        let (mut world, case) = requested().await;
        world.hospital.decline(&case, "No ward for this").await.unwrap();
        world.deliver_all().await.unwrap();
        let reason = "No ward for this".to_owned();
        assert_eq!(patient(&world, &case).await.phase, patient::Phase::Declined { reason });
        assert_eq!(world.hospital.approve(&case).await, Err(Error::AlreadyDecided));
        assert!(world.notary.log().is_empty());
    });
}

#[test]
fn a_disputed_result_can_be_corrected() {
    block_on(async {
        let (mut world, case, wrong) = with_result().await;
        world.patient.dispute(&case, slice::from_ref(&wrong), "Not my value").await.unwrap();
        world.deliver_all().await.unwrap();
        assert_eq!(
            world.patient.confirm(&case, slice::from_ref(&wrong)).await,
            Err(Error::AlreadyDecided)
        );
        let corrected = json!({"resourceType": "Observation", "status": "corrected"});
        let right = world.hand_in(&case, vec![corrected]).await.unwrap().remove(0);
        world.deliver_all().await.unwrap();
        world.patient.confirm(&case, slice::from_ref(&right)).await.unwrap();
        world.deliver_all().await.unwrap();
        let case = hospital(&world, &case).await;
        assert!(matches!(case.results[0].status, hospital::HospitalResultStatus::Disputed { .. }));
        assert!(matches!(case.results[1].status, hospital::HospitalResultStatus::Committed { .. }));
        assert_eq!(world.notary.log().len(), 2);
    });
}

#[test]
fn decisions_can_be_repeated_and_not_reversed() {
    block_on(async {
        let (mut world, case, entry) = with_result().await;
        world.patient.confirm(&case, slice::from_ref(&entry)).await.unwrap();
        world.patient.confirm(&case, slice::from_ref(&entry)).await.unwrap();
        world.deliver_all().await.unwrap();
        world.patient.confirm(&case, slice::from_ref(&entry)).await.unwrap();
        assert_eq!(
            world.patient.dispute(&case, slice::from_ref(&entry), "").await,
            Err(Error::AlreadyDecided)
        );
        world.hospital.approve(&case).await.unwrap();
        assert_eq!(world.hospital.decline(&case, "").await, Err(Error::AlreadyDecided));
        let again = world.patient.ask(&case, world.hospital.id(), request()).await;
        assert_eq!(again.unwrap(), patient(&world, &case).await);
        let other = TreatmentRequest { reason: "Fever".into(), ..request() };
        let other = world.patient.ask(&case, world.hospital.id(), other).await;
        assert_eq!(other, Err(Error::AlreadyDecided));
        world.settle().await.unwrap();
        assert!(world.mail.is_empty());
        assert_eq!(world.notary.log().len(), 2);
    });
}

#[test]
fn a_result_that_overtakes_the_approval_is_held_until_its_turn() {
    block_on(async {
        let (mut world, case) = requested().await;
        world.hospital.approve(&case).await.unwrap();
        world.settle().await.unwrap();
        world.hand_in(&case, vec![observation()]).await.unwrap();
        world.settle().await.unwrap();
        let [approval, result]: [Mail; 2] = std::mem::take(&mut world.mail).try_into().unwrap();
        assert_eq!(world.deliver(&result).await, Ok(Outcome::Held));
        assert_eq!(world.deliver(&result).await, Ok(Outcome::Held));
        assert!(patient(&world, &case).await.results.is_empty());
        assert_eq!(world.deliver(&approval).await, Ok(Outcome::Applied));
        assert_eq!(patient(&world, &case).await.results.len(), 1);
        assert_eq!(world.deliver(&result).await, Ok(Outcome::Repeated));
        assert_eq!(patient(&world, &case).await.results.len(), 1);
    });
}

#[test]
fn a_final_record_is_shared_with_proof_of_holding_and_an_own_one_without() {
    block_on(async {
        let (mut world, case, entry) = with_result().await;
        world.patient.confirm(&case, slice::from_ref(&entry)).await.unwrap();
        world.deliver_all().await.unwrap();
        let asked = DataRequestBody {
            id: id(9),
            resources: vec!["Observation".into()],
            purpose: "Before surgery".into(),
        };
        world.hospital.ask_for_data(&case, asked.clone()).await.unwrap();
        world.deliver_all().await.unwrap();
        let own = world.patient.add_record(observation()).await.unwrap();
        let names = [RecordName { case: case.clone(), entry }, own];
        world.patient.share(&case, &asked.id, &names).await.unwrap();
        world.patient.share(&case, &asked.id, &names).await.unwrap();
        world.deliver_all().await.unwrap();
        let shared = world.hospital.shared(&case, &asked.id).await.unwrap();
        assert!(shared[0].receipt.is_some() && !shared[0].record.ends_with('~'));
        assert!(shared[1].receipt.is_none() && shared[1].record.ends_with('~'));
        let refused = world.patient.refuse_data(&case, &asked.id, "No").await;
        assert_eq!(refused, Err(Error::AlreadyDecided));
        let fewer = world.patient.share(&case, &asked.id, &names[..1]).await;
        assert_eq!(fewer, Err(Error::AlreadyDecided));
    });
}

#[test]
fn refused_data_reaches_the_hospital_with_its_reason() {
    block_on(async {
        let (mut world, case) = approved().await;
        let asked = DataRequestBody {
            id: id(9),
            resources: vec!["Observation".into()],
            purpose: "Curiosity".into(),
        };
        world.hospital.ask_for_data(&case, asked.clone()).await.unwrap();
        world.deliver_all().await.unwrap();
        world.patient.refuse_data(&case, &asked.id, "Not needed").await.unwrap();
        world.deliver_all().await.unwrap();
        let answer = hospital(&world, &case).await.data_requests[0].answer.clone();
        assert!(
            matches!(answer, hospital::HospitalDataAnswer::Refused { reason, .. } if reason == "Not needed")
        );
        assert!(matches!(
            patient(&world, &case).await.data_requests[0].answer,
            DataAnswer::Refused { .. }
        ));
    });
}

#[test]
fn what_the_state_does_not_allow_is_refused() {
    block_on(async {
        let (mut world, case) = requested().await;
        let asked = DataRequestBody {
            id: id(9),
            resources: vec!["Observation".into()],
            purpose: "".into(),
        };
        let early = world.hospital.ask_for_data(&case, asked.clone()).await;
        assert_eq!(early, Err(Error::NotAllowedNow));
        let early = world.hand_in(&case, vec![observation()]).await;
        assert_eq!(early, Err(Error::NotAllowedNow));
        let unknown: MessageId = id(8);
        let shared = world.patient.share(&case, &unknown, &[]).await;
        assert_eq!(shared, Err(Error::UnknownEntry));
        assert_eq!(world.patient.confirm(&case, &[id(3)]).await, Err(Error::UnknownEntry));
        assert_eq!(world.hospital.approve(&id(4)).await, Err(Error::UnknownCase));
        let nonsense = DataRequestBody { resources: vec!["Horoscope".into()], ..asked };
        assert_eq!(world.hospital.ask_for_data(&case, nonsense).await, Err(Error::NotFhir));
        world.settle().await.unwrap();
        assert!(world.mail.is_empty());
    });
}

#[test]
fn a_hospital_asks_for_what_the_patient_allowed_and_repeats_what_it_has_asked_for() {
    block_on(async {
        let (world, case) = approved().await;
        let asked = |resources| DataRequestBody { id: id(9), resources, purpose: "Care".into() };
        for (resources, why) in [
            (vec!["Observation".into(), "Procedure".into()], Error::TypeNotAllowed),
            (Vec::new(), Error::CommandMalformed),
        ] {
            assert_eq!(world.hospital.ask_for_data(&case, asked(resources)).await, Err(why));
        }
        // Asked before there was this rule.
        let mut case = hospital(&world, &case).await;
        for resources in [vec!["Procedure".into()], Vec::new()] {
            let asked = asked(resources);
            let (sent, answer) = (case.begun, hospital::HospitalDataAnswer::Asked);
            case.data_requests =
                vec![hospital::HospitalDataRequest { asked: asked.clone(), sent, answer }];
            assert!(matches!(case.ask_for_data(asked, sent), Ok(Step::Repeated)));
        }
    });
}

#[test]
fn a_result_that_is_not_final_is_not_shared() {
    block_on(async {
        let (mut world, case, entry) = with_result().await;
        let asked = DataRequestBody {
            id: id(9),
            resources: vec!["Observation".into()],
            purpose: "".into(),
        };
        world.hospital.ask_for_data(&case, asked.clone()).await.unwrap();
        world.deliver_all().await.unwrap();
        let name = RecordName { case: case.clone(), entry };
        let shared = world.patient.share(&case, &asked.id, &[name]).await;
        assert_eq!(shared, Err(Error::NotAllowedNow));
        assert!(matches!(patient(&world, &case).await.results[0].status, ResultStatus::Received));
    });
}

#[test]
fn a_confirmation_that_the_notary_refused_can_be_given_again() {
    block_on(async {
        let (mut world, case, entry) = with_result().await;
        world.patient.confirm(&case, slice::from_ref(&entry)).await.unwrap();
        let deposit = world.undeposited().remove(0);
        let code = Error::CaseUnlogged.code().to_owned();
        let answer = [DepositAnswer::Refused(code.clone())];
        world.patient.deposit_answered::<PatientCase>(&deposit, &answer).await.unwrap();
        let status = patient(&world, &case).await.results[0].status.clone();
        assert_eq!(status, ResultStatus::Refused { code });
        world.patient.confirm(&case, slice::from_ref(&entry)).await.unwrap();
        world.deliver_all().await.unwrap();
        let result = hospital(&world, &case).await.results.remove(0);
        assert!(matches!(result.status, hospital::HospitalResultStatus::Committed { .. }));
    });
}

#[test]
fn each_result_of_a_hand_in_says_the_age_that_one_of_them_tells() {
    block_on(async {
        let (mut world, case) = approved().await;
        let patient = json!({"resourceType": "Patient", "birthDate": "1984-03-02"});
        let mut dated = observation();
        dated["effectiveDateTime"] = "2026-01-01".into();
        let entries = world.hand_in(&case, vec![patient, dated]).await.unwrap();
        world.deliver_all().await.unwrap();
        let result = world.patient.open_record(&case, &entries[1]).await.unwrap();
        assert_eq!((result.kinds(), result.age()), (&["Observation".to_owned()][..], Some(41)));
    });
}
