//! A person forgets what a record says; that it was, and all that proves it, stays.

#![allow(clippy::unwrap_used, reason = "a test fails so")]

use std::slice;
use std::str::FromStr;

use futures_lite::future::block_on;
use hdms::Error;
use hdms::ids::{CaseId, EntryId};
use hdms::ledger::VerificationKey;
use hdms::node::Platform;
use hdms::node::patient::RecordName;
use hdms::provider::{Store, Table};
use hdms::record::Record;
use hdms::treatment::message::DataRequestBody;
use hdms::treatment::patient::PatientCase;
use hdms_simulation::World;
use serde_json::{Value, json};

fn id<T: FromStr<Err = Error>>(number: u32) -> T {
    format!("019b7985-7400-7000-8000-{number:012}").parse().unwrap()
}

fn observation() -> Value {
    json!({ "resourceType": "Observation", "status": "final", "code": { "text": "HbA1c" } })
}

/// A network in which the patient has received a result, in case 1. Its entry.
async fn with_result(seed: u64) -> (World, EntryId) {
    let results = vec![observation()];
    let (world, mut entries) = World::with_results(seed, &id(1), results).await.unwrap();
    (world, entries.remove(0))
}

/// What the patient's node keeps of a record.
async fn kept(world: &World, name: &RecordName) -> Record {
    let key = format!("record/{}/{}", name.case, name.entry);
    let kept = world.patient.platform().store().read(Table::Records, &key).await.unwrap();
    Record::parse(std::str::from_utf8(&kept.unwrap()).unwrap()).unwrap()
}

#[test]
fn of_a_forgotten_result_the_proof_is_left() {
    block_on(async {
        let (mut world, entry) = with_result(41).await;
        let case: CaseId = id(1);
        let name = RecordName { case: case.clone(), entry: entry.clone() };
        let undecided = world.patient.forget_content(&name).await;
        assert_eq!(undecided, Err(Error::NotAllowedNow));
        world.patient.confirm(&case, slice::from_ref(&entry)).await.unwrap();
        world.deliver_all().await.unwrap();
        let before = kept(&world, &name).await;
        for _ in 0..2 {
            world.patient.forget_content(&name).await.unwrap();
        }
        let left = kept(&world, &name).await;
        assert_eq!(left.compact(), format!("{}~", before.jwt()), "no disclosure, and no seed");

        let opened = world.patient.open_record(&case, &entry).await.unwrap();
        assert_eq!(*opened.fhir(), json!({ "resourceType": "Observation" }));
        assert_eq!((opened.subject(), opened.case(), opened.is_whole()), (None, None, false));
        let state: PatientCase = world.patient.case(&case).await.unwrap();
        let logged = &state.results[0].entry;
        assert_eq!(logged.verification_key, VerificationKey::of(left.jwt()));
        assert!(world.patient.checked_receipt(&state, logged).await.unwrap().unwrap().is_some());

        let resources = vec!["Observation".into()];
        let asked = DataRequestBody { id: id(9), resources, purpose: "To see".into() };
        world.hospital.ask_for_data(&case, asked).await.unwrap();
        world.deliver_all().await.unwrap();
        assert!(world.patient.share(&case, &id(9), &[name]).await.is_err());
        // The hospital has what it wrote.
        let theirs = world.hospital.open_record(&case, &entry).await.unwrap();
        assert_eq!(*theirs.fhir(), observation());
    });
}

#[test]
fn disputed_results_and_own_records_are_forgotten_and_requests_stay() {
    block_on(async {
        let (mut world, entry) = with_result(42).await;
        let case: CaseId = id(1);
        world.patient.dispute(&case, slice::from_ref(&entry), "Not mine").await.unwrap();
        world.deliver_all().await.unwrap();
        let own = world.patient.add_record(observation()).await.unwrap();
        for name in [RecordName { case: case.clone(), entry }, own] {
            world.patient.forget_content(&name).await.unwrap();
            let opened = world.patient.open_record(&name.case, &name.entry).await.unwrap();
            assert_eq!(*opened.fhir(), json!({ "resourceType": "Observation" }));
        }
        let state: PatientCase = world.patient.case(&case).await.unwrap();
        let request = RecordName { case, entry: state.entry.id };
        let answer = world.patient.forget_content(&request).await;
        assert_eq!(answer, Err(Error::UnknownEntry));
    });
}
