//! Records of format 1 that a node kept when it began to know the present one.

#![allow(clippy::unwrap_used, reason = "a test fails so")]

use std::slice;
use std::str::FromStr;

use futures_lite::future::block_on;
use hdms::Error;
use hdms::ids::{CaseId, EntryId};
use hdms::jose::jws::sign_ps256;
use hdms::ledger::{Entry, VerificationKey, VerifiedEndorsement};
use hdms::node::patient::RecordName;
use hdms::node::{Node, Platform};
use hdms::provider::{Clock, Store, Table, Write};
use hdms::record::{format_1, sdjwt};
use hdms::testing::SeededRandomness;
use hdms::treatment::hospital::{HospitalCase, HospitalResultStatus};
use hdms::treatment::message::DataRequestBody;
use hdms::treatment::patient::{PatientCase, ResultStatus};
use hdms_simulation::{Simulated, World};
use serde::Serialize;
use serde_json::{Map, Value, json};

fn id<T: FromStr<Err = Error>>(number: u32) -> T {
    format!("019b7985-7400-7000-8000-{number:012}").parse().unwrap()
}

fn observation() -> Value {
    json!({ "resourceType": "Observation", "status": "final", "code": { "text": "HbA1c" } })
}

/// A network in which the patient has received a result and not decided yet, in case 1. Its entry.
async fn with_result() -> (World, EntryId) {
    let results = vec![observation()];
    let (world, mut entries) = World::with_results(17, &id(1), results).await.unwrap();
    (world, entries.remove(0))
}

/// The result as a hospital of before would have issued it.
async fn former(world: &World, case: &PatientCase) -> String {
    let randomness = SeededRandomness::new(3);
    let mut concealer = sdjwt::Concealer::new(&randomness, 10_000).unwrap();
    let hidden = [("sub", json!(case.patient)), ("case", json!(case.id))];
    let digests = hidden.map(|(name, value)| concealer.member(name, value).unwrap()).into();
    let mut claims = Map::new();
    claims.insert("iss".into(), json!(case.hospital));
    claims.insert("iat".into(), world.providers.clock.now().seconds().into());
    claims.insert("cnf".into(), json!({ "jwk": case.holder }));
    claims.insert("fhir".into(), observation());
    let payload = sdjwt::object(claims, digests);
    let keys = world.hospital.platform().keys();
    let kid = case.hospital.as_ref();
    let jwt = sign_ps256(format_1::KIND.typ, kid, &payload, keys).await.unwrap();
    concealer.compact(&jwt)
}

/// Writes what a node of before would have kept of it.
async fn keep<C: Serialize>(node: &Node<Simulated>, case: &C, entry: &Entry, kept: [&str; 3]) {
    let [record, by, endorsement] = kept;
    let put = |table, key, value: Vec<u8>| Write::Put { table, key, value };
    let writes = vec![
        put(Table::Cases, entry.case.to_string(), serde_json::to_vec(case).unwrap()),
        put(Table::Records, format!("record/{}/{}", entry.case, entry.id), record.into()),
        put(Table::Entries, format!("{}/{}/{by}", entry.case, entry.id), endorsement.into()),
    ];
    node.platform().store().commit(writes).await.unwrap();
}

#[test]
fn a_result_of_format_1_is_confirmed_and_shared_with_its_receipt() {
    block_on(async {
        let (mut world, entry) = with_result().await;
        let case: CaseId = id(1);
        let mut of_patient: PatientCase = world.patient.case(&case).await.unwrap();
        let mut of_hospital: HospitalCase = world.hospital.case(&case).await.unwrap();
        let record = former(&world, &of_patient).await;
        let verification_key = VerificationKey::of(record.split_once('~').unwrap().0);
        let logged = Entry { verification_key, ..of_patient.results[0].entry.clone() };
        let (hospital, now) = (world.hospital.id(), world.providers.clock.now());
        let keys = world.hospital.platform().keys();
        let signed =
            VerifiedEndorsement::sign(slice::from_ref(&logged), hospital, now, keys).await.unwrap();
        of_patient.results[0].entry = logged.clone();
        of_hospital.results[0].status = HospitalResultStatus::Sent { entry: logged.clone() };
        let kept = [record.as_str(), hospital.as_ref(), signed.jwt()];
        keep(&world.patient, &of_patient, &logged, kept).await;
        keep(&world.hospital, &of_hospital, &logged, kept).await;

        world.patient.confirm(&case, slice::from_ref(&entry)).await.unwrap();
        world.deliver_all().await.unwrap();
        let confirmed: PatientCase = world.patient.case(&case).await.unwrap();
        assert!(matches!(confirmed.results[0].status, ResultStatus::Committed { .. }));

        let resources = vec!["Observation".into()];
        let asked = DataRequestBody { id: id(9), resources, purpose: "To see".into() };
        world.hospital.ask_for_data(&case, asked).await.unwrap();
        world.deliver_all().await.unwrap();
        let name = RecordName { case: case.clone(), entry };
        world.patient.share(&case, &id(9), &[name]).await.unwrap();
        world.deliver_all().await.unwrap();
        let shared = world.hospital.shared(&case, &id(9)).await.unwrap();
        assert!(shared[0].receipt.is_some());
        let shown = world.hospital.open_shared(&shared[0]).await.unwrap();
        assert_eq!((shown.fhir(), shown.case()), (&observation(), None));
        assert!(shown.is_whole());
    });
}
