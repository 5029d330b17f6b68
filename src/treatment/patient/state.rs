//! What the patient's node keeps of a treatment.

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::ids::{CaseId, MessageId, NodeId};
use crate::jwk::EcJwk;
use crate::ledger::{CaseSecret, Entry, Passed, VerificationKey};
use crate::provider::Timestamp;
use crate::treatment::message::DataRequestBody;
use crate::treatment::request::TreatmentRequest;

/// A treatment as the patient's node keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatientCase {
    /// Version of this stored form.
    pub version: u32,
    /// The case.
    pub id: CaseId,
    /// The patient.
    pub patient: NodeId,
    /// The hospital.
    pub hospital: NodeId,
    /// Public half of the key made for this case.
    pub holder: EcJwk,
    /// What was asked for.
    pub request: TreatmentRequest,
    /// The request's ledger entry.
    pub entry: Entry,
    /// The case's secret; cases of version 1 have none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub secret: Option<CaseSecret>,
    /// The notaries of the manifest that the draw goes by; cases of before there was one have none.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub notaries: Vec<NodeId>,
    /// Where the case stands.
    pub phase: Phase,
    /// The case's notary, once the request is approved.
    pub notary: Option<NodeId>,
    /// The notaries that were passed over for it, in rank.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub passed: Vec<Passed>,
    /// What the hospital asked to read.
    pub data_requests: Vec<DataRequest>,
    /// What the hospital handed in together; results of before version 2 came one by one.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub hand_ins: Vec<HandIn>,
    /// What the hospital handed over.
    pub results: Vec<MedicalResult>,
    /// When the request was made.
    pub begun: Timestamp,
    /// When something happened last.
    pub changed: Timestamp,
}

/// How long the rest of a hand-in is waited for before what came of it is shown, milliseconds.
const AWAITED: u64 = 24 * 3600 * 1000;

impl PatientCase {
    /// How many results of a hand-in have come.
    pub fn came_of(&self, hand_in: &HandIn) -> usize {
        let of_it = |result: &&MedicalResult| result.hand_in.as_ref() == Some(&hand_in.id);
        self.results.iter().filter(of_it).count()
    }

    /// Whether the rest of a hand-in is waited for.
    pub fn is_under_way(&self, hand_in: &HandIn, now: Timestamp) -> bool {
        let is_young = now.0 < hand_in.begun.0.saturating_add(AWAITED);
        is_young && self.came_of(hand_in) < hand_in.of
    }

    /// Whether a result is shown to people: with all that was handed in together, or with what has come of
    /// it after a day.
    pub fn shows(&self, result: &MedicalResult, now: Timestamp) -> bool {
        let hand_in = self.hand_ins.iter().find(|one| Some(&one.id) == result.hand_in.as_ref());
        hand_in.is_none_or(|hand_in| !self.is_under_way(hand_in, now))
    }
}

/// What shows before anything that a message carries is verified.
impl PatientCase {
    /// The case about which this node writes, its hospital. [`Error::UnknownCase`].
    pub fn known<'a>(case: Option<&'a Self>, sender: &NodeId) -> Result<&'a Self, Error> {
        case.filter(|case| case.hospital == *sender).ok_or(Error::UnknownCase)
    }

    /// Whether an approval is awaited; not when it came before. [`Error::AlreadyDecided`].
    pub fn awaits_approval(&self) -> Result<bool, Error> {
        match self.phase {
            Phase::Requested => Ok(true),
            Phase::Approved => Ok(false),
            Phase::Declined { .. } => Err(Error::AlreadyDecided),
        }
    }

    /// Whether what follows an approval is awaited; not before its turn, while the approval is still under
    /// way. [`Error::NotAllowedNow`].
    pub fn awaits_more(&self) -> Result<bool, Error> {
        match self.phase {
            Phase::Approved => Ok(true),
            Phase::Requested => Ok(false),
            Phase::Declined { .. } => Err(Error::NotAllowedNow),
        }
    }
}

/// Where a case stands for the patient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The hospital has not yet decided.
    Requested,
    /// The hospital approved, and the request is final.
    Approved,
    /// The hospital declined.
    Declined {
        /// Why.
        reason: String,
    },
}

/// A request for health data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataRequest {
    /// What is asked for and why.
    pub asked: DataRequestBody,
    /// When it came.
    pub received: Timestamp,
    /// What the patient decided.
    pub answer: DataAnswer,
}

/// What came of a request for health data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DataAnswer {
    /// It waits for the patient's decision.
    Open,
    /// Records were shared.
    Shared {
        /// Verification keys of the records.
        records: Vec<VerificationKey>,
        /// When.
        at: Timestamp,
    },
    /// Nothing was shared.
    Refused {
        /// Why.
        reason: String,
        /// When.
        at: Timestamp,
    },
}

/// Results that were handed in together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandIn {
    /// Named by the hospital.
    pub id: MessageId,
    /// How many they are.
    pub of: usize,
    /// When the first of them came.
    pub begun: Timestamp,
}

/// A medical result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MedicalResult {
    /// Its ledger entry.
    pub entry: Entry,
    /// With what it was handed in.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hand_in: Option<MessageId>,
    /// When it came and was verified.
    pub received: Timestamp,
    /// What the patient decided and what came of it.
    pub status: ResultStatus,
}

/// Where a medical result stands for the patient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResultStatus {
    /// Verified; it waits for the patient's decision.
    Received,
    /// Confirmed; the notary's receipt is awaited.
    Confirming,
    /// Final.
    Committed {
        /// When the receipt came.
        at: Timestamp,
    },
    /// The patient disputed it; it will not become final.
    Disputed {
        /// Why.
        reason: String,
    },
    /// Confirmed, but the notary refused the deposit; it waits for a decision again.
    Refused {
        /// The code of the refusal.
        code: String,
    },
}
