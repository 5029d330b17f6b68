//! What the HIS sees of cases.

use hdms::Error;
use hdms::fhir::resource;
use hdms::treatment::hospital::{
    HospitalCase, HospitalDataAnswer, HospitalDataRequest, HospitalPhase, HospitalResult,
    HospitalResultStatus,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::hand_in;
use super::ledger_view::{EntryView, LedgerView, NumbersView};
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
    /// The case's path through the ledger, by number; what has none yet comes last.
    pub ledger: Vec<EntryView>,
    /// Numbers that the notary has given, of entries that are not here: under way, or kept back.
    pub missing: Vec<NumbersView>,
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
    /// With what it was handed in; results of before version 2 were handed in one by one.
    pub hand_in: Option<String>,
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
    /// Of before version 2: it was never sent, and can't be any more.
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
        let LedgerView { ledger, missing } = LedgerView::of(node, case).await?;
        Ok(Self {
            summary: CaseSummary::of(node, case).await,
            data_requests: case.data_requests.iter().map(DataRequestView::of).collect(),
            results,
            ledger,
            missing,
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
            hand_in: result.hand_in.as_ref().map(ToString::to_string),
            title,
            handed_in: result.handed_in.0,
            status,
            never_final: ended.then(hand_in::no_notary),
        })
    }
}
