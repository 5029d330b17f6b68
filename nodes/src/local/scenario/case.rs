//! One case of the treatment scenario, step by step. The patient's person decides through the
//! personal node, the hospital's through the REST interface of its node; nobody else is touched.

use std::sync::Arc;
use std::time::Duration;

use hdms::ids::{CaseId, EntryId, MessageId, NodeId};
use hdms::node::Platform;
use hdms::node::patient::RecordName;
use hdms::treatment::patient::{DataAnswer, PatientCase, Phase, ResultStatus};
use hdms::treatment::request::TreatmentRequest;
use serde_json::Value;

use super::check;
use super::his::{Changes, His};
use super::input::Input;
use super::report::{Actor, Failed, Journal};
use crate::institution::platform::NativeNode;

/// How long the patient waits for a case to go on.
const PATIENCE: Duration = Duration::from_secs(120);

/// Why the patient asks for treatment.
const REASON: &str = "Persistent cough for three weeks";

/// What all cases share.
#[derive(Debug)]
pub struct Stage {
    /// The patient's node.
    pub patient: Arc<NativeNode>,
    /// How the patient wants to be called.
    pub name: String,
    /// What changes at the patient's node.
    pub changes: Changes,
    /// The hospital.
    pub hospital: NodeId,
    /// Its information system.
    pub his: His,
    /// A record of the patient's own, to be shared.
    pub own: OwnRecord,
}

/// A record that the patient wrote.
#[derive(Debug)]
pub struct OwnRecord {
    /// Names it.
    pub name: RecordName,
    /// Its FHIR resource type.
    pub kind: String,
    /// Its FHIR JSON.
    pub text: String,
}

/// Runs the 21 steps with the records of `input` as the hospital's results. Answers how many
/// results were committed.
pub async fn run(stage: &Stage, input: &Input, journal: &mut Journal) -> Result<usize, Failed> {
    let case = request(stage, journal).await?;
    approval(stage, &case, journal).await?;
    data(stage, &case, journal).await?;
    let entries = stage.his.hand_in(&case, input.bytes.clone()).await?;
    journal.step(14, Actor::His, "hands in the medical result");
    let entries = entries.iter().map(|entry| entry.parse()).collect::<Result<Vec<_>, _>>()?;
    results(stage, &case, &entries, journal).await?;
    let all_committed =
        |view: &Value| view["summary"]["openResults"] == 0 && view["results"][0].is_object();
    let view = stage.his.wait_for(&case, "the commitment of all results", all_committed).await?;
    let committed = "deposits the same entry and commits: the receipts agree";
    journal.results(21, Actor::Hospital, committed, entries.len());
    check::ledgers_agree(&stage.patient, &case, &view).await?;
    input.expect_within(&check::committed_records(&stage.patient, &case).await?)?;
    Ok(entries.len())
}

/// Steps 1-5.
async fn request(stage: &Stage, journal: &mut Journal) -> Result<CaseId, Failed> {
    let patient = &stage.patient;
    patient.trust().node(&stage.hospital)?;
    journal.step(1, Actor::Patient, "has the hospital's card from the Network Map");
    let case = CaseId::new(patient.platform().clock(), patient.platform().randomness())?;
    let request = TreatmentRequest {
        reason: REASON.to_owned(),
        date: None,
        may_read: vec![stage.own.kind.clone()],
    };
    patient.ask_by_name(&case, &stage.hospital, request, &stage.name).await?;
    journal.step(2, Actor::Patient, "signs a treatment request and endorses its entry");
    let view = stage.his.wait_for(&case, "the request", |_| true).await?;
    journal.step(3, Actor::Patient, "has sealed and sent it to the hospital");
    journal.step(4, Actor::Hospital, "has opened it: every check passed");
    if view["summary"]["patientName"] != stage.name.as_str() {
        return Err(Failed::new("the HIS reads another name than the patient's"));
    }
    if view["summary"]["reason"] != REASON || view["summary"]["phase"]["kind"] != "requested" {
        return Err(Failed::new("the HIS reads another request than the patient wrote"));
    }
    journal.step(5, Actor::His, "reads the request");
    Ok(case)
}

/// Steps 6-10 and 13.
async fn approval(stage: &Stage, case: &CaseId, journal: &mut Journal) -> Result<(), Failed> {
    stage.his.approve(case).await?;
    journal.step(6, Actor::His, "approves it");
    let approved = |case: &PatientCase| case.phase == Phase::Approved;
    wait_for(stage, case, "the approval", approved).await?;
    journal.step(7, Actor::Hospital, "has taken the request's verification key");
    journal.step(8, Actor::Hospital, "has endorsed the entry");
    journal.step(9, Actor::Hospital, "has deposited it, sealed, at the notary drawn for the case");
    journal.step(13, Actor::Notary, "has checked and logged it and given a receipt");
    journal.step(
        10,
        Actor::Hospital,
        "has sent approval and receipt: the patient has verified both",
    );
    Ok(())
}

/// Steps 11 and 12.
async fn data(stage: &Stage, case: &CaseId, journal: &mut Journal) -> Result<(), Failed> {
    let OwnRecord { name, kind, text } = &stage.own;
    let asked: MessageId = stage.his.ask_for_data(case, kind).await?.parse()?;
    let open = |case: &PatientCase| {
        let mut requests = case.data_requests.iter();
        requests.any(|known| known.asked.id == asked && known.answer == DataAnswer::Open)
    };
    wait_for(stage, case, "the request for data", open).await?;
    journal.step(11, Actor::Hospital, "has asked for health data, saying which and why");
    stage.patient.share(case, &asked, std::slice::from_ref(name)).await?;
    let answered = |view: &Value| view["dataRequests"][0]["answer"]["kind"] == "answered";
    stage.his.wait_for(case, "the patient's records", answered).await?;
    if stage.his.shared(case).await? != [text.clone()] {
        return Err(Failed::new("the hospital reads another record than the patient shared"));
    }
    journal.step(12, Actor::Patient, "has shared the chosen record: the HIS reads it");
    Ok(())
}

/// Steps 15-20, of all results at once.
async fn results(
    stage: &Stage,
    case: &CaseId,
    entries: &[EntryId],
    journal: &mut Journal,
) -> Result<(), Failed> {
    let (patient, count) = (&stage.patient, entries.len());
    let are_all = |case: &PatientCase, is: &dyn Fn(&ResultStatus) -> bool| {
        entries.iter().all(|entry| case.result(entry).is_ok_and(|result| is(&result.status)))
    };
    let received = |case: &PatientCase| are_all(case, &|one| *one == ResultStatus::Received);
    wait_for(stage, case, "the results", received).await?;
    let hospital = Actor::Hospital;
    journal.results(15, hospital, "has signed it as a record, bound to the case's key", count);
    journal.results(16, hospital, "has taken its verification key and endorsed its entry", count);
    journal.results(17, hospital, "has sealed it to the patient", count);
    let found = "has put it into the patient's mailbox, where it was found";
    journal.results(18, hospital, found, count);
    for entry in entries {
        patient.open_record(case, entry).await?;
    }
    patient.confirm(case, entries).await?;
    journal.results(19, Actor::Patient, "opens, verifies and confirms it", count);
    let committed =
        |case: &PatientCase| are_all(case, &|one| matches!(one, ResultStatus::Committed { .. }));
    wait_for(stage, case, "the notary's receipts", committed).await?;
    journal.results(20, Actor::Patient, "has deposited it and holds the notary's receipt", count);
    Ok(())
}

/// Until the patient's side of the case is as `is` says.
async fn wait_for(
    stage: &Stage,
    case: &CaseId,
    what: &str,
    is: impl Fn(&PatientCase) -> bool,
) -> Result<(), Failed> {
    let changed = stage.changes.of(case);
    let waiting = async {
        loop {
            let next = changed.notified();
            if is(&stage.patient.case(case).await?) {
                return Ok(());
            }
            next.await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    waited.unwrap_or_else(|_| Err(Failed::new(&format!("the patient waited in vain for {what}"))))
}
