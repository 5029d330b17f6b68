//! What a hospital and a patient read of what they have stored, whatever the version.

use hdms::ids::CaseId;
use hdms::node::patient::RecordName;
use hdms::treatment::Flow;
use hdms::treatment::patient::{PatientCase, Phase, ResultStatus};

use crate::kept::Copied;
use crate::stage::{His, RESULT};

/// The cases, the ledger with its receipts, and the results.
pub async fn as_hospital(mut copied: Copied) {
    let _server = copied.server().await;
    let hospital = copied.hospital().await;
    let his = His::new(&hospital.url(), hospital.api_key());
    let cases = his.get("/api/cases").await.body;
    assert_eq!(cases["cases"].as_array().unwrap().len(), 4);
    let case = async |id: &CaseId| his.get(&format!("/api/cases/{id}")).await.body;
    let done = case(&copied.kept.cases.done).await;
    assert_eq!(done["results"][0]["status"]["kind"], "committed");
    for entry in done["ledger"].as_array().unwrap() {
        assert!(entry["receipt"].is_object(), "{entry}");
    }
    let path = format!("/api/cases/{}/results/{}", copied.kept.cases.done, copied.kept.result);
    assert_eq!(
        his.get(&path).await.body,
        serde_json::from_str::<serde_json::Value>(RESULT).unwrap()
    );
    let kind = async |id: &CaseId| case(id).await["summary"]["phase"]["kind"].clone();
    assert_eq!(kind(&copied.kept.cases.open).await, "approved");
    assert_eq!(kind(&copied.kept.cases.refused).await, "declined");
    assert_eq!(kind(&copied.kept.cases.asked).await, "requested");
}

/// The cases, the receipts, which hold, and the records.
pub async fn as_patient(mut copied: Copied) {
    let _server = copied.server().await;
    let patient = copied.patient().await;
    let node = patient.node();
    let cases: Vec<PatientCase> = node.cases(None, 10).await.unwrap();
    assert_eq!(cases.len(), 4);
    let case = async |id: &CaseId| -> PatientCase { node.case(id).await.unwrap() };
    let done = case(&copied.kept.cases.done).await;
    let status = &done.result(&copied.kept.result).unwrap().status;
    assert!(matches!(status, ResultStatus::Committed { .. }));
    for entry in done.entries() {
        let receipt = node.receipt(&done.id, &entry.id).await.unwrap().unwrap();
        receipt.expect(entry, done.secret).unwrap();
        assert!(!receipt.witnesses().is_empty());
    }
    assert_eq!(case(&copied.kept.cases.open).await.results[0].status, ResultStatus::Received);
    let declined = Phase::Declined { reason: "No bed is free".into() };
    assert_eq!(case(&copied.kept.cases.refused).await.phase, declined);
    assert_eq!(case(&copied.kept.cases.asked).await.phase, Phase::Requested);
    let names: Vec<RecordName> = node.record_names(None, 10).await.unwrap();
    assert_eq!(names.len(), 6, "four requests and two results");
    for RecordName { case, entry } in &names {
        hdms::record::Record::parse(&node.record(case, entry).await.unwrap()).unwrap();
    }
}
