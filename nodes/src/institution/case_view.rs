//! What the HIS sees of cases.

use futures_util::future::join_all;
use hdms::Error;
use hdms::fhir::resource;
use hdms::ledger::{Entry, EntryKind, VerifiedReceipt};
use hdms::node::{CheckedReceipt, LedgerEntry};
use hdms::provider::Timestamp;
use hdms::treatment::Flow;
use hdms::treatment::hospital::{
    HospitalCase, HospitalDataAnswer, HospitalDataRequest, HospitalPhase, HospitalResult,
    HospitalResultStatus,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::hand_in;
use super::names::{name_of, patient_name};
use super::views::ProblemView;
use crate::institution::platform::NativeNode;

/// A page of cases.
#[derive(Debug, Serialize, ToSchema)]
pub struct CasesView {
    /// In the order of their beginning.
    pub cases: Vec<CaseSummary>,
    /// Give it as `after` for the next page; null on the last.
    pub next: Option<String>,
}

/// A case in a list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CaseSummary {
    /// The case.
    pub id: String,
    /// Node id of the patient.
    pub patient: String,
    /// How the patient wants to be called, as the request says; may be empty.
    pub patient_name: String,
    /// Why treatment is asked for.
    pub reason: String,
    /// The wished date, `YYYY-MM-DD`.
    pub date: Option<String>,
    /// FHIR resource types of which records may be asked for.
    pub may_read: Vec<String>,
    /// Where the case stands.
    pub phase: PhaseView,
    /// Node id of the case's notary, once drawn.
    pub notary: Option<String>,
    /// The notary's name.
    pub notary_name: Option<String>,
    /// When the notary of an approved case ceased to be a member, milliseconds since 1970: the case
    /// takes no further results.
    pub notary_until: Option<u64>,
    /// When the request came, milliseconds since 1970.
    pub begun: u64,
    /// When something happened last, milliseconds since 1970.
    pub changed: u64,
    /// Requests for data that the patient has not answered.
    pub open_data_requests: usize,
    /// Results handed in.
    pub results: usize,
    /// Results neither committed nor disputed.
    pub open_results: usize,
}

/// Where a case stands.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum PhaseView {
    /// It waits for the hospital's decision.
    Requested,
    /// Approved; the notary's receipt is awaited.
    Approving {
        /// The code with which the notary refused, if it did.
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

/// A case with everything in it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CaseView {
    /// As in the list.
    pub summary: CaseSummary,
    /// What the hospital asked to read.
    pub data_requests: Vec<DataRequestView>,
    /// What the HIS handed in.
    pub results: Vec<ResultView>,
    /// The case's path through the ledger.
    pub ledger: Vec<EntryView>,
}

/// A request for health data.
#[derive(Debug, Serialize, ToSchema)]
pub struct DataRequestView {
    /// Names it.
    pub id: String,
    /// FHIR resource types.
    pub resources: Vec<String>,
    /// Why.
    pub purpose: String,
    /// When it was sent, milliseconds since 1970.
    pub sent: u64,
    /// The patient's answer.
    pub answer: AnswerView,
}

/// The patient's answer to a request for health data.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum AnswerView {
    /// It is awaited.
    Asked,
    /// Records came.
    Answered {
        /// How many.
        records: usize,
        /// When, milliseconds since 1970.
        at: u64,
    },
    /// Nothing is shared.
    Refused {
        /// Why.
        reason: String,
        /// When, milliseconds since 1970.
        at: u64,
    },
}

/// A result that the HIS handed in.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResultView {
    /// Its ledger entry.
    pub entry: String,
    /// What it is, once it was sent.
    pub title: Option<String>,
    /// When, milliseconds since 1970.
    pub handed_in: u64,
    /// What came of it.
    pub status: StatusView,
    /// Why it never becomes final, where that is so: its case's notary is none any more.
    pub never_final: Option<ProblemView>,
}

/// Where a result stands.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum StatusView {
    /// It waits for its turn.
    Waiting,
    /// The patient has not yet decided.
    Sent,
    /// The patient confirmed; the hospital's own deposit is under way.
    Confirmed {
        /// The code with which the notary refused, if it did.
        refused: Option<String>,
    },
    /// Final.
    Committed {
        /// When, milliseconds since 1970.
        at: u64,
    },
    /// The patient disputed it.
    Disputed {
        /// Why.
        reason: String,
    },
}

/// An entry of the ledger.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EntryView {
    /// The entry.
    pub id: String,
    /// `request` or `result`.
    pub kind: String,
    /// Of its document.
    pub verification_key: String,
    /// The entry that it follows.
    pub previous: Option<String>,
    /// Node id of the document's author.
    pub author: String,
    /// Whether the patient's endorsement is kept here.
    pub endorsed_by_patient: bool,
    /// Whether the hospital has endorsed it.
    pub endorsed_by_hospital: bool,
    /// The notary's receipt; with it and both endorsements the entry is final.
    pub receipt: Option<ReceiptView>,
    /// Why the receipt that is kept does not count, if it does not: that its notary was revoked before
    /// it logged this, say.
    pub receipt_problem: Option<ProblemView>,
}

/// A notary's receipt.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReceiptView {
    /// Node id of the notary.
    pub notary: String,
    /// The notary's name.
    pub notary_name: String,
    /// Place in its log.
    pub index: u64,
    /// When it was logged, by the witnesses' word where there are any, milliseconds since 1970.
    pub time: u64,
    /// Names of the other notaries that have co-signed the notary's log; without any nobody watches
    /// it.
    pub witnesses: Vec<String>,
    /// The receipt itself, the text of a C2SP tlog-proof: whoever has it can check it without asking
    /// anybody.
    pub text: String,
}

impl CaseSummary {
    /// Of a case as the node keeps it.
    pub async fn of(node: &NativeNode, case: &HospitalCase) -> Self {
        let asked = |request: &&HospitalDataRequest| request.answer == HospitalDataAnswer::Asked;
        let notary_name = match &case.notary {
            Some(notary) => Some(name_of(node, notary).await),
            None => None,
        };
        Self {
            id: case.id.to_string(),
            patient: case.patient.to_string(),
            patient_name: patient_name(node, case).await,
            reason: case.request.reason.clone(),
            date: case.request.date.clone(),
            may_read: case.request.may_read.clone(),
            phase: PhaseView::of(&case.phase),
            notary: case.notary.as_ref().map(ToString::to_string),
            notary_name,
            notary_until: case.notary_until(&node.trust()).map(|until| until.0),
            begun: case.begun.0,
            changed: case.changed.0,
            open_data_requests: case.data_requests.iter().filter(asked).count(),
            results: case.results.len(),
            open_results: case.results.iter().filter(|result| result.status.is_open()).count(),
        }
    }
}

impl CaseSummary {
    /// About how large it is.
    pub fn bytes(&self) -> usize {
        let declined = match &self.phase {
            PhaseView::Declined { reason } => reason.len(),
            _ => 0,
        };
        let kinds: usize = self.may_read.iter().map(String::len).sum();
        1024 + self.reason.len() + kinds + declined
    }
}

impl PhaseView {
    fn of(phase: &HospitalPhase) -> Self {
        match phase.clone() {
            HospitalPhase::Requested => Self::Requested,
            HospitalPhase::Approving { refused, .. } => Self::Approving { refused },
            HospitalPhase::Approved => Self::Approved,
            HospitalPhase::Declined { reason } => Self::Declined { reason },
        }
    }
}

impl CaseView {
    /// Of a case as the node keeps it. Errors: those of the store.
    pub async fn of(node: &NativeNode, case: &HospitalCase) -> Result<Self, Error> {
        let mut results = Vec::with_capacity(case.results.len());
        for result in &case.results {
            results.push(ResultView::of(node, case, result).await?);
        }
        let mut ledger = Vec::new();
        for entry in case.entries() {
            ledger.push(EntryView::of(node, case, entry).await?);
        }
        Ok(Self {
            summary: CaseSummary::of(node, case).await,
            data_requests: case.data_requests.iter().map(DataRequestView::of).collect(),
            results,
            ledger,
        })
    }
}

impl DataRequestView {
    fn of(request: &HospitalDataRequest) -> Self {
        let answer = match &request.answer {
            HospitalDataAnswer::Asked => AnswerView::Asked,
            HospitalDataAnswer::Answered { records, at } => {
                AnswerView::Answered { records: records.len(), at: at.0 }
            }
            HospitalDataAnswer::Refused { reason, at } => {
                AnswerView::Refused { reason: reason.clone(), at: at.0 }
            }
        };
        Self {
            id: request.asked.id.to_string(),
            resources: request.asked.resources.clone(),
            purpose: request.asked.purpose.clone(),
            sent: request.sent.0,
            answer,
        }
    }
}

impl ResultView {
    async fn of(
        node: &NativeNode,
        case: &HospitalCase,
        result: &HospitalResult,
    ) -> Result<Self, Error> {
        let title = match result.status {
            HospitalResultStatus::Waiting => None,
            _ => Some(resource::title(node.open_record(&case.id, &result.id).await?.fhir())),
        };
        let status = match result.status.clone() {
            HospitalResultStatus::Waiting => StatusView::Waiting,
            HospitalResultStatus::Sent { .. } => StatusView::Sent,
            HospitalResultStatus::Confirmed { refused, .. } => StatusView::Confirmed { refused },
            HospitalResultStatus::Committed { at, .. } => StatusView::Committed { at: at.0 },
            HospitalResultStatus::Disputed { reason, .. } => StatusView::Disputed { reason },
        };
        let ended = result.status.is_open() && case.notary_until(&node.trust()).is_some();
        Ok(Self {
            entry: result.id.to_string(),
            title,
            handed_in: result.handed_in.0,
            status,
            never_final: ended.then(hand_in::no_notary),
        })
    }
}

impl EntryView {
    async fn of(node: &NativeNode, case: &HospitalCase, entry: &Entry) -> Result<Self, Error> {
        let LedgerEntry { endorsed_by_patient, endorsed_by_hospital, receipt } =
            node.ledger_entry(case, entry).await?;
        let (receipt, receipt_problem) = ReceiptView::checked(node, receipt).await;
        Ok(Self {
            id: entry.id.to_string(),
            kind: match entry.kind {
                EntryKind::Request => "request".into(),
                EntryKind::Result => "result".into(),
            },
            verification_key: entry.verification_key.as_ref().to_owned(),
            previous: entry.previous.as_ref().map(ToString::to_string),
            author: entry.author.to_string(),
            endorsed_by_patient,
            endorsed_by_hospital,
            receipt,
            receipt_problem,
        })
    }
}

impl ReceiptView {
    /// Of what checking a receipt came to: the receipt, or why it does not count.
    pub async fn checked(
        node: &NativeNode,
        checked: CheckedReceipt,
    ) -> (Option<Self>, Option<ProblemView>) {
        match checked {
            Err(error) => (None, Some(ProblemView::of(error.code().to_owned()))),
            Ok(Some(receipt)) => (Some(Self::of(node, &receipt).await), None),
            Ok(None) => (None, None),
        }
    }

    async fn of(node: &NativeNode, receipt: &VerifiedReceipt) -> Self {
        let names = receipt.witnesses().iter().map(|id| name_of(node, id));
        let witnesses = join_all(names).await;
        let (time, text) = (Timestamp::from_seconds(receipt.time()).0, receipt.text().to_owned());
        let receipt = receipt.receipt();
        Self {
            notary: receipt.iss.to_string(),
            notary_name: name_of(node, &receipt.iss).await,
            index: receipt.index,
            time,
            witnesses,
            text,
        }
    }
}
