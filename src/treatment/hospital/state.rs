//! What the hospital's node keeps of a treatment.

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::ids::{CaseId, EntryId, MessageId, NodeId};
use crate::jwk::EcJwk;
use crate::ledger::{CaseSecret, Entry, Receipt, VerificationKey};
use crate::provider::Timestamp;
use crate::treatment::message::{DataRequestBody, Ranking};
use crate::treatment::request::TreatmentRequest;

/// A treatment as the hospital's node keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HospitalCase {
    /// Version of this stored form.
    pub version: u32,
    /// The case.
    pub id: CaseId,
    /// The patient.
    pub patient: NodeId,
    /// How the patient wants to be called; empty in cases of version 1, where the card says so.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub patient_name: String,
    /// The hospital.
    pub hospital: NodeId,
    /// The key to which the case's records are bound.
    pub holder: EcJwk,
    /// What the patient asks for.
    pub request: TreatmentRequest,
    /// The request's ledger entry.
    pub entry: Entry,
    /// The case's secret; cases of version 1 have none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub secret: Option<CaseSecret>,
    /// Who may become the case's notary; cases of before it was drawn by both have none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ranking: Option<Ranking>,
    /// Where the case stands.
    pub phase: HospitalPhase,
    /// The case's notary, once the request is approved.
    pub notary: Option<NodeId>,
    /// What the hospital asked to read.
    pub data_requests: Vec<HospitalDataRequest>,
    /// What the HIS handed in together; results of before version 2 were handed in one by one.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub hand_ins: Vec<HospitalHandIn>,
    /// What the HIS handed in.
    pub results: Vec<HospitalResult>,
    /// When the request came.
    pub begun: Timestamp,
    /// When something happened last.
    pub changed: Timestamp,
}

/// What shows before anything that a message carries is verified.
impl HospitalCase {
    /// The case about which this node writes, its patient. [`Error::UnknownCase`].
    pub fn known<'a>(case: Option<&'a Self>, sender: &NodeId) -> Result<&'a Self, Error> {
        case.filter(|case| case.patient == *sender).ok_or(Error::UnknownCase)
    }

    /// Whether records with these verification keys are awaited in answer to a request for data; not when
    /// they came before. [`Error::UnknownEntry`], [`Error::AlreadyDecided`].
    pub fn awaits_data(
        &self,
        request: &MessageId,
        keys: &[VerificationKey],
    ) -> Result<bool, Error> {
        let asked = self.data_requests.iter().find(|known| known.asked.id == *request);
        match &asked.ok_or(Error::UnknownEntry)?.answer {
            HospitalDataAnswer::Asked => Ok(true),
            HospitalDataAnswer::Answered { records, .. } if *records == keys => Ok(false),
            _ => Err(Error::AlreadyDecided),
        }
    }
}

/// Where a case stands for the hospital.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HospitalPhase {
    /// The HIS or a person has not yet decided.
    Requested,
    /// Approved; the notary's receipt is awaited.
    Approving {
        /// The code with which the notary refused, if it did; the request can be approved again.
        refused: Option<String>,
    },
    /// Approved and final.
    Approved,
    /// Declined.
    Declined {
        /// Why.
        reason: String,
    },
}

/// A request for health data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HospitalDataRequest {
    /// What was asked for and why.
    pub asked: DataRequestBody,
    /// When.
    pub sent: Timestamp,
    /// The patient's answer.
    pub answer: HospitalDataAnswer,
}

/// The patient's answer to a request for health data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HospitalDataAnswer {
    /// It is awaited.
    Asked,
    /// Records were shared.
    Answered {
        /// Verification keys of the records.
        records: Vec<VerificationKey>,
        /// When they came.
        at: Timestamp,
    },
    /// Nothing was shared.
    Refused {
        /// Why.
        reason: String,
        /// When the refusal came.
        at: Timestamp,
    },
}

/// Idempotency keys that are kept of one hand-in.
pub const MOST_KEYS: usize = 16;

/// Results that were handed in together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HospitalHandIn {
    /// Names it for the patient.
    pub id: MessageId,
    /// SHA-256 of what was handed in, base64url.
    pub digest: String,
    /// The HIS's idempotency keys, of each time that it came with one; [`MOST_KEYS`] at most.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub keys: Vec<String>,
}

/// A medical result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HospitalResult {
    /// Names its ledger entry from the moment that it is handed in.
    pub id: EntryId,
    /// With what it was handed in.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hand_in: Option<MessageId>,
    /// When it was handed in.
    pub handed_in: Timestamp,
    /// What came of it.
    pub status: HospitalResultStatus,
}

/// Where a medical result stands for the hospital.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HospitalResultStatus {
    /// Of version 1: it was never sent, and can't be any more.
    Waiting,
    /// The patient has not yet decided.
    Sent {
        /// Its ledger entry.
        entry: Entry,
    },
    /// The patient confirmed; the hospital's own deposit is under way.
    Confirmed {
        /// Its ledger entry.
        entry: Entry,
        /// The receipt that the patient got.
        receipt: Receipt,
        /// The code with which the notary refused the hospital's deposit, if it did.
        refused: Option<String>,
    },
    /// Final: the receipts agree.
    Committed {
        /// Its ledger entry.
        entry: Entry,
        /// When.
        at: Timestamp,
    },
    /// The patient disputed it.
    Disputed {
        /// Its ledger entry.
        entry: Entry,
        /// Why.
        reason: String,
    },
}

impl HospitalResultStatus {
    /// The ledger entry, once the result was sent.
    pub fn entry(&self) -> Option<&Entry> {
        match self {
            HospitalResultStatus::Waiting => None,
            HospitalResultStatus::Sent { entry }
            | HospitalResultStatus::Confirmed { entry, .. }
            | HospitalResultStatus::Committed { entry, .. }
            | HospitalResultStatus::Disputed { entry, .. } => Some(entry),
        }
    }

    /// Whether it is neither committed nor disputed.
    pub fn is_open(&self) -> bool {
        !matches!(
            self,
            HospitalResultStatus::Committed { .. } | HospitalResultStatus::Disputed { .. }
        )
    }
}
