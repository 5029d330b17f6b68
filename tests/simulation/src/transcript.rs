//! The whole treatment scenario with everything fixed, written down. The transcript must be the
//! same, byte for byte, native and wasm32, today and tomorrow.

use hdms::Error;
use hdms::ids::{CaseId, EntryId, MessageId};
use hdms::node::patient::RecordName;
use hdms::treatment::hospital::HospitalCase;
use hdms::treatment::message::DataRequestBody;
use hdms::treatment::patient::PatientCase;
use hdms::treatment::request::TreatmentRequest;
use serde_json::{Value, json};

use crate::{Mail, World};

/// The transcript that was written down.
pub const KNOWN: &str = include_str!("../vectors/treatment.json");

/// The case of every transcript.
pub const CASE: &str = "019b7985-7400-7000-8000-000000000001";
pub(crate) const DATA_REQUESTS: [&str; 2] =
    ["019b7985-7400-7000-8000-000000000002", "019b7985-7400-7000-8000-000000000005"];

/// A laboratory value whose number text a plain JSON number would lose.
pub const RESULT: &str = r#"{"resourceType":"Observation","id":"hba1c","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"4548-4","display":"Hemoglobin A1c"}]},"subject":{"reference":"Patient/example","display":"Kim Minji"},"effectiveDateTime":"2026-01-01","valueQuantity":{"value":6.10,"unit":"%","system":"http://unitsofmeasure.org","code":"%"}}"#;

const ALLERGY: &str = r#"{"resourceType":"AllergyIntolerance","id":"penicillin","code":{"text":"Penicillin"},"patient":{"reference":"Patient/example"}}"#;

/// The scenario: a request, approved; data asked for and shared; two results in one hand-in, confirmed; one
/// of them shared.
pub struct Run {
    /// The network in which it happens.
    pub world: World,
    case: CaseId,
    /// Every message, in the order in which it was sent.
    pub messages: Vec<Mail>,
}

impl Run {
    /// Steps 1-3.
    pub async fn begin(seed: u64) -> Result<Self, Error> {
        let world = World::new(seed).await?;
        let case: CaseId = CASE.parse()?;
        let request = TreatmentRequest {
            reason: "Persistent cough".into(),
            date: Some("2026-01-05".into()),
            may_read: vec!["AllergyIntolerance".into(), "Observation".into()],
        };
        world.patient.ask(&case, world.hospital.id(), request).await?;
        let mut run = Self { world, case, messages: Vec::new() };
        run.deliver().await?;
        Ok(run)
    }

    /// Steps 4-10.
    pub async fn approve(&mut self) -> Result<(), Error> {
        self.world.hospital.approve(&self.case).await?;
        self.deliver().await
    }

    /// Steps 11-12, with a record of the patient's own.
    pub async fn share_own(&mut self) -> Result<(), Error> {
        let own = self.world.patient.add_record(hdms::json::parse(ALLERGY.as_bytes())?).await?;
        self.share(DATA_REQUESTS[0], "AllergyIntolerance", own).await
    }

    /// Steps 11-12, with a final result, presented by its holder.
    pub async fn share_final(&mut self) -> Result<(), Error> {
        let [first, ..] = &self.result_ids().await?[..] else { return Err(Error::UnknownEntry) };
        let name = RecordName { case: self.case.clone(), entry: first.clone() };
        self.share(DATA_REQUESTS[1], "Observation", name).await
    }

    async fn share(&mut self, id: &str, kind: &str, record: RecordName) -> Result<(), Error> {
        let id: MessageId = id.parse()?;
        let asked = DataRequestBody {
            id: id.clone(),
            resources: vec![kind.into()],
            purpose: "Before prescribing".into(),
        };
        self.world.hospital.ask_for_data(&self.case, asked).await?;
        self.deliver().await?;
        self.world.patient.share(&self.case, &id, &[record]).await?;
        self.deliver().await
    }

    /// Steps 14-21, for two results that are handed in, and confirmed, together.
    pub async fn results(&mut self) -> Result<(), Error> {
        let fhir = hdms::json::parse(RESULT.as_bytes())?;
        let results = vec![fhir.clone(), fhir];
        self.world.hospital.hand_in(&self.case, results, None).await?;
        self.deliver().await?;
        self.world.patient.confirm(&self.case, &self.result_ids().await?).await?;
        self.deliver().await
    }

    /// The results' entries.
    pub async fn result_ids(&self) -> Result<Vec<EntryId>, Error> {
        let case: HospitalCase = self.world.hospital.case(&self.case).await?;
        Ok(case.results.into_iter().map(|result| result.id).collect())
    }

    /// The request's ledger entry: the first that was logged.
    pub fn request(&self) -> Result<EntryId, Error> {
        let logged = self.world.notary.log().first().ok_or(Error::UnknownEntry)?;
        Ok(logged.entry.id.clone())
    }

    async fn deliver(&mut self) -> Result<(), Error> {
        self.world.settle().await?;
        while !self.world.mail.is_empty() {
            let mail = self.world.mail.remove(0);
            self.messages.push(mail.clone());
            self.world.deliver(&mail).await?;
        }
        Ok(())
    }

    /// All that was sent, and where both sides and the notary stand.
    pub async fn written(&self) -> Result<String, Error> {
        let messages = self.messages.iter().map(|mail| {
            let to = if mail.to_patient { "patient" } else { "hospital" };
            json!({"to": to, "type": mail.kind, "envelope": mail.envelope})
        });
        let patient: PatientCase = self.world.patient.case(&self.case).await?;
        let hospital: HospitalCase = self.world.hospital.case(&self.case).await?;
        let log = self.world.notary.log().iter();
        let log: Vec<Value> = log.map(|logged| json!({"receipt": logged.receipt})).collect();
        let transcript = json!({
            "messages": messages.collect::<Vec<_>>(),
            "patient": patient,
            "hospital": hospital,
            "log": log,
        });
        let text = serde_json::to_string_pretty(&transcript).map_err(|_| Error::StoreCorrupt)?;
        Ok(text + "\n")
    }
}

/// The whole scenario.
pub async fn run() -> Result<Run, Error> {
    let mut run = Run::begin(1).await?;
    run.approve().await?;
    run.share_own().await?;
    run.results().await?;
    run.share_final().await?;
    Ok(run)
}

/// The transcript, made anew.
pub async fn treatment() -> Result<String, Error> {
    run().await?.written().await
}
