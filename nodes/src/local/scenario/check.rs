//! Whether both sides of a case agree in the end.

use hdms::ids::CaseId;
use hdms::ledger::{Entry, VerificationKey};
use hdms::provider::Timestamp;
use hdms::record::Record;
use hdms::treatment::Flow;
use hdms::treatment::patient::PatientCase;
use serde_json::{Value, json};

use super::report::Failed;
use crate::institution::platform::NativeNode;

/// Fails unless the hospital's ledger of a case, as its HIS sees it, is that of the patient: the
/// same entries, every one endorsed by both and with the same receipt.
pub async fn ledgers_agree(
    patient: &NativeNode,
    case: &CaseId,
    hospital: &Value,
) -> Result<(), Failed> {
    let state: PatientCase = patient.case(case).await?;
    let mut ledger = Vec::new();
    for entry in state.entries() {
        ledger.push(own_view(patient, &state, entry).await?);
    }
    ledger.sort_by_key(|entry| entry["number"].as_u64());
    if without_texts(&hospital["ledger"]) != Value::Array(ledger) {
        return Err(Failed::new("the ledgers of patient and hospital differ"));
    }
    Ok(())
}

/// A ledger without the texts of its receipts: each participant has its own, with the cosignatures of when
/// it has asked.
fn without_texts(ledger: &Value) -> Value {
    let mut ledger = ledger.clone();
    for entry in ledger.as_array_mut().into_iter().flatten() {
        if let Some(receipt) = entry.get_mut("receipt").and_then(Value::as_object_mut) {
            receipt.shift_remove("text");
        }
    }
    ledger
}

/// The FHIR JSON of every result that the patient's node keeps, verified once more.
pub async fn committed_records(patient: &NativeNode, case: &CaseId) -> Result<Vec<String>, Failed> {
    let state: PatientCase = patient.case(case).await?;
    let mut records = Vec::new();
    for result in &state.results {
        let record = patient.open_record(case, &result.entry.id).await?;
        records.push(record.fhir().to_string());
    }
    Ok(records)
}

/// A final entry as the patient keeps it, in the form in which the hospital shows its own.
async fn own_view(
    patient: &NativeNode,
    case: &PatientCase,
    entry: &Entry,
) -> Result<Value, Failed> {
    let record = Record::parse(&patient.record(&case.id, &entry.id).await?)?;
    if VerificationKey::of(record.jwt()) != entry.verification_key {
        return Err(Failed::new("a document is not the one whose verification key was logged"));
    }
    let kept = patient.ledger_entry(case, entry).await?;
    let receipt = kept.receipt?.ok_or_else(|| Failed::new("an entry has no receipt"))?;
    let trust = patient.trust();
    let name = |id| trust.node(id).map(|card| card.card().name.clone()).unwrap_or_default();
    let witnesses: Vec<_> = receipt.witnesses().iter().map(name).collect();
    let (time, receipt) = (receipt.time(), receipt.receipt());
    let both = kept.endorsed_by_patient && kept.endorsed_by_hospital;
    if !both || case.notary.as_ref() != Some(&receipt.iss) {
        return Err(Failed::new("an entry is not final"));
    }
    Ok(json!({
        "id": entry.id,
        "kind": entry.kind,
        "verificationKey": entry.verification_key,
        "number": receipt.number,
        "author": entry.author,
        "endorsedByPatient": true,
        "endorsedByHospital": true,
        "receipt": {
            "notary": receipt.iss,
            "notaryName": name(&receipt.iss),
            "index": receipt.index,
            "time": Timestamp::from_seconds(time).0,
            "witnesses": witnesses,
        },
        "receiptProblem": null,
    }))
}
