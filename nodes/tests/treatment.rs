//! The treatment between a native patient and an institution, over real HTTP.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod stage;

use std::path::PathBuf;
use std::slice;

use hdms::ids::MessageId;
use hdms::node::Platform;
use hdms::node::patient::RecordName;
use hdms::provider::{Store, Table, Write};
use hdms::treatment::Flow;
use hdms::treatment::patient::{DataAnswer, PatientCase, Phase, ResultStatus};
use hdms_nodes::local::scenario::{Style, Treatment};
use serde_json::json;
use stage::{PATIENT, RESULT, Stage, received, refusal, until};

fn treatment(records: Vec<PathBuf>) -> Treatment {
    Treatment { records, cases: None, concurrency: 8, style: Style::Summary }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_scenario_takes_every_file_through_all_steps() {
    let dir = tempfile::tempdir().unwrap();
    let own = dir.path().join("observation.json");
    std::fs::write(&own, RESULT).unwrap();
    let samples = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/sample"));
    let summary = treatment(vec![samples, own]).run().await.unwrap();
    assert_eq!((summary.passed, summary.failed, summary.results), (4, 0, 4));
}

#[tokio::test]
async fn the_scenario_names_a_file_that_is_not_fhir() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("notes.json"), r#"{"resourceType":"Novel"}"#).unwrap();
    let failed = treatment(vec![dir.path().to_owned()]).run().await.unwrap_err().to_string();
    assert!(failed.contains("notes.json") && failed.contains("fhir/not-fhir"), "{failed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declined_request_ends_the_case_on_both_sides() {
    let stage = Stage::set().await;
    let case = stage.ask().await;
    stage.his.until(&case, |view| view["summary"]["phase"]["kind"] == "requested").await;
    let path = |what: &str| format!("/api/cases/{case}/{what}");
    let declined = stage.his.post(&path("refusal"), refusal("No bed is free")).await;
    assert_eq!(declined.body["phase"]["reason"], "No bed is free");
    let state = until(stage.node(), &case, |case| case.phase != Phase::Requested).await;
    assert_eq!(state.phase, Phase::Declined { reason: "No bed is free".into() });

    let again = stage.his.post(&path("refusal"), refusal("No bed is free")).await;
    assert_eq!(again.status, 200);
    let approval = stage.his.post(&path("approval"), "").await;
    assert_eq!((approval.status, approval.code()), (409, "treatment/already-decided"));
    let result = stage.his.post(&path("results"), RESULT).await;
    assert_eq!((result.status, result.code()), (409, "treatment/not-allowed-now"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_patient_did_not_allow_to_ask_for_has_its_own_code() {
    let stage = Stage::set().await;
    let path = format!("/api/cases/{}/data-requests", stage.approved().await);
    for (resources, status, code, field) in [
        (json!(["Observation", "Procedure"]), 403, "treatment/type-not-allowed", Some("resources")),
        (json!([]), 400, "api/malformed", Some("resources")),
        (json!(["Observation", "Novel"]), 422, "fhir/not-fhir", None),
    ] {
        let body = json!({"resources": resources, "purpose": "p"}).to_string();
        let answer = stage.his.post(&path, body).await;
        let said = (answer.status, answer.code(), answer.body["field"].as_str());
        assert_eq!(said, (status, code, field));
    }
    let asked = json!({"resources": ["Observation"], "purpose": "p"}).to_string();
    assert_eq!(stage.his.post(&path, asked).await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disputed_result_is_corrected_and_only_the_correction_becomes_final() {
    let stage = Stage::set().await;
    let case = stage.approved().await;
    let patient = stage.node();
    let wrong = stage.his.hand_in(&case, RESULT).await.remove(0);
    let right = stage.his.hand_in(&case, &RESULT.replace("61.0", "67.0")).await.remove(0);
    received(patient, &case, &wrong).await;
    patient.dispute(&case, slice::from_ref(&wrong), "This is not my pulse").await.unwrap();
    received(patient, &case, &right).await;
    patient.confirm(&case, slice::from_ref(&right)).await.unwrap();
    let view = stage.his.until(&case, |view| view["summary"]["openResults"] == 0).await;
    let state: PatientCase = patient.case(&case).await.unwrap();

    let disputed = ResultStatus::Disputed { reason: "This is not my pulse".into() };
    assert_eq!(state.result(&wrong).unwrap().status, disputed);
    assert_eq!(view["results"][0]["status"]["reason"], "This is not my pulse");
    assert_eq!(view["results"][1]["status"]["kind"], "committed");
    assert!(view["ledger"][1]["receipt"].is_object() && view["ledger"][2]["receipt"].is_null());
    assert_eq!(
        (&view["ledger"][0]["number"], &view["ledger"][1]["number"]),
        (&1.into(), &2.into())
    );
    assert_eq!(view["ledger"][1]["id"], right.as_ref());
    assert_eq!(view["missing"], json!([]));
    assert_eq!(state.entries().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_patient_decides_what_is_shared_and_the_his_reads_exactly_that() {
    let stage = Stage::set().await;
    let case = stage.approved().await;
    let patient = stage.node();
    let ask = async |body: &str| {
        let path = format!("/api/cases/{case}/data-requests");
        let asked = stage.his.post(&path, body.to_owned()).await;
        assert_eq!(asked.status, 201, "{asked:?}");
        let id: MessageId = asked.body["id"].as_str().unwrap().parse().unwrap();
        let open = |state: &PatientCase| {
            state
                .data_requests
                .iter()
                .any(|asked| asked.asked.id == id && asked.answer == DataAnswer::Open)
        };
        until(patient, &case, open).await;
        id
    };

    let own = hdms::json::parse(RESULT.as_bytes()).unwrap();
    let own: RecordName = patient.add_record(own).await.unwrap();
    let first = ask(r#"{"resources":["Observation"],"purpose":"To compare"}"#).await;
    patient.share(&case, &first, &[own]).await.unwrap();
    let second = ask(r#"{"resources":["Condition"],"purpose":"To know"}"#).await;
    patient.refuse_data(&case, &second, "Not needed for a cough").await.unwrap();
    let view =
        stage.his.until(&case, |view| view["dataRequests"][1]["answer"]["kind"] == "refused").await;

    assert_eq!(view["dataRequests"][0]["answer"]["kind"], "answered");
    assert_eq!(view["dataRequests"][1]["answer"]["reason"], "Not needed for a cough");
    let shared = stage.his.get(&format!("/api/cases/{case}/shared")).await.body;
    let record = &shared["shared"][0]["records"][0];
    assert_eq!(record["fhir"], RESULT);
    assert_eq!(record["authorName"], PATIENT);
    assert_eq!(record["part"], false);
    assert_eq!(shared["shared"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_final_result_is_shared_with_another_case_under_its_notarys_receipt() {
    let stage = Stage::set().await;
    let patient = stage.node();
    let case = stage.approved().await;
    let entry = stage.his.hand_in(&case, RESULT).await.remove(0);
    received(patient, &case, &entry).await;
    patient.confirm(&case, slice::from_ref(&entry)).await.unwrap();
    stage.his.until(&case, |view| view["summary"]["openResults"] == 0).await;

    let other = stage.approved().await;
    let body = r#"{"resources":["Observation"],"purpose":"To compare"}"#;
    let asked = stage.his.post(&format!("/api/cases/{other}/data-requests"), body).await;
    let asked: MessageId = asked.body["id"].as_str().unwrap().parse().unwrap();
    until(patient, &other, |case| !case.data_requests.is_empty()).await;
    let name = RecordName { case, entry };
    patient.share(&other, &asked, &[name]).await.unwrap();
    stage.his.until(&other, |view| view["dataRequests"][0]["answer"]["kind"] == "answered").await;
    let shared = stage.his.get(&format!("/api/cases/{other}/shared")).await.body;
    let record = &shared["shared"][0]["records"][0];
    assert_eq!(record["fhir"], RESULT);
    assert_eq!(record["authorName"], "The hospital");
    assert!(record["notaryName"].as_str().unwrap().starts_with("Notary"));
    assert!(record["receiptIndex"].is_u64());
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_that_have_changed_places_count_for_neither_entry() {
    let stage = Stage::set().await;
    let case = stage.approved().await;
    let entry = stage.his.hand_in(&case, RESULT).await.remove(0);
    received(stage.node(), &case, &entry).await;
    stage.node().confirm(&case, slice::from_ref(&entry)).await.unwrap();
    let path = format!("/api/cases/{case}");
    let is_final = |view: &serde_json::Value| view["ledger"][1]["receipt"].is_object();
    stage.his.until(&case, is_final).await;

    let store = stage.network.institutions()[0].node().platform().store();
    let rows = store.scan(Table::Receipts, &format!("{case}/"), "", 9).await.unwrap();
    let receipts = rows.into_iter().filter(|(key, _)| !key.contains("/number/"));
    let [(one, first), (other, second)] = receipts.collect::<Vec<_>>().try_into().unwrap();
    let put = |key, value| Write::Put { table: Table::Receipts, key, value };
    store.commit(vec![put(one, second), put(other, first)]).await.unwrap();
    for entry in stage.his.get(&path).await.body["ledger"].as_array().unwrap() {
        assert_eq!(entry["receiptProblem"]["code"], "ledger/mismatch", "{entry}");
        assert!(entry["receipt"].is_null());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_handed_in_twice_under_one_key_is_one_result() {
    let stage = Stage::set().await;
    let case = stage.approved().await;
    let path = format!("/api/cases/{case}/results");
    let hand_in = async |key: &str, result: String| {
        let request = stage.his.request(reqwest::Method::POST, &path);
        stage.his.send(request.header("idempotency-key", key).body(result)).await
    };
    let amended = RESULT.replace("final", "amended");
    let one = hand_in("order 66", RESULT.into());
    let (once, twice) = (one.await, hand_in("order 66", RESULT.into()).await);
    assert_eq!((once.status, &once.body), (201, &twice.body));
    let other = hand_in("order 66", amended.clone()).await;
    assert_eq!((other.status, other.code()), (422, "api/idempotency-key"));
    let unkeyed = stage.his.post(&path, RESULT).await;
    assert_eq!((unkeyed.status, &unkeyed.body), (201, &once.body), "recognised without a key");
    let corrected = RESULT.replace("final", "corrected");
    let both = tokio::join!(hand_in("order 67", corrected), hand_in("order 67", amended));
    let mut statuses = [both.0.status, both.1.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 422], "who is told that it was taken in was");
    for key in [String::new(), "k".repeat(256)] {
        let refused = hand_in(&key, RESULT.into()).await;
        assert_eq!((refused.status, refused.code()), (400, "api/malformed"));
        assert!(refused.body["issue"][0]["diagnostics"].as_str().unwrap().contains("1 to 255"));
    }
    let encounter = |id: &str| json!({"resource": {"resourceType": "Encounter", "id": id}});
    let stays = |ids: &[&str]| {
        let entries: Vec<_> = ids.iter().map(|id| encounter(id)).collect();
        json!({"resourceType": "Bundle", "type": "collection", "entry": entries}).to_string()
    };
    let (less, more) = (stays(&["a"]), stays(&["a", "b"]));
    for (key, first, other) in [("order 68", &less, &more), ("order 69", &more, &less)] {
        let once = hand_in(key, first.clone()).await;
        let refused = hand_in(key, other.clone()).await;
        assert_eq!((once.status, refused.code()), (201, "api/idempotency-key"), "{key}");
        assert_eq!(hand_in(key, first.clone()).await.body, once.body, "{key}");
    }
    let view = stage.his.get(&format!("/api/cases/{case}")).await.body;
    assert_eq!(view["summary"]["results"], 2 + 1 + 2);
    let entry = once.body["results"][0].as_str().unwrap();
    received(stage.node(), &case, &entry.parse().unwrap()).await;
    let result = stage.his.request(reqwest::Method::GET, &format!("{path}/{entry}")).send().await;
    assert_eq!(result.unwrap().text().await.unwrap(), RESULT);
}
