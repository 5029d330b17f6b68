//! From the node's state to what pages see of it.

mod records;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use hdms::Error;
use hdms::card::Role;
use hdms::ids::{CaseId, NodeId};
use hdms::ledger::{Entry, EntryKind};
use hdms::network::Trust;
use hdms::node::patient::RecordName;
use hdms::node::{Node, OutboxItem, Payload};
use hdms::treatment::Flow;
use hdms::treatment::patient::{self, MedicalResult, PatientCase, ResultStatus};

use self::records::Content;
use crate::platform::Browser;
use crate::views::{
    CaseSummary, CaseView, DataAnswer, DataRequestView, EntryView, Hospital, NodeErrorView, Phase,
    Quarantined, ReceiptView, ResultState, ResultView, Waiting,
};

/// Rows read from the store at a time.
const PAGE: usize = 100;

/// Makes views of one node. Keeps in memory what lists show of records, so that each is opened
/// once.
#[derive(Debug, Default)]
pub struct Viewer {
    contents: RefCell<HashMap<String, Rc<Content>>>,
}

impl Viewer {
    /// Every case, in the order in which they began.
    pub async fn cases(&self, node: &Node<Browser>) -> Result<Vec<CaseSummary>, Error> {
        let trust = node.trust();
        Ok(all_cases(node).await?.iter().map(|case| summary(case, &trust)).collect())
    }

    /// One case.
    pub async fn case(&self, node: &Node<Browser>, case: &PatientCase) -> Result<CaseView, Error> {
        let trust = node.trust();
        let mut results = Vec::with_capacity(case.results.len());
        for result in &case.results {
            results.push(self.result(node, case, result).await?);
        }
        let mut ledger = Vec::new();
        for entry in case.entries() {
            ledger.push(entry_view(node, case, entry).await?);
        }
        let outbox = all_waiting(node).await?;
        let unsent = outbox.iter().filter(|item| item.case == case.id).count();
        Ok(CaseView {
            summary: summary(case, &trust),
            may_read: case.request.may_read.clone(),
            data_requests: data_requests(case, &trust),
            results,
            ledger,
            unsent: count(unsent),
        })
    }

    async fn result(
        &self,
        node: &Node<Browser>,
        case: &PatientCase,
        result: &MedicalResult,
    ) -> Result<ResultView, Error> {
        let name = RecordName { case: case.id.clone(), entry: result.entry.id.clone() };
        Ok(ResultView {
            entry: name.entry.to_string(),
            case: name.case.to_string(),
            title: self.content(node, &name).await?.title.clone(),
            received: result.received.0,
            status: match &result.status {
                ResultStatus::Received => ResultState::Received,
                ResultStatus::Confirming => ResultState::Confirming,
                ResultStatus::Committed { at } => ResultState::Committed { at: at.0 },
                ResultStatus::Disputed { reason } => {
                    ResultState::Disputed { reason: reason.clone() }
                }
                ResultStatus::Refused { code } => ResultState::Refused { code: code.clone() },
            },
        })
    }
}

/// The hospitals of the Network Map.
pub fn hospitals(trust: &Trust) -> Vec<Hospital> {
    let institutions = trust.with_role(Role::Institution).map(|card| card.card());
    let hospital = |card: &hdms::card::Card| Hospital {
        id: card.sub.to_string(),
        name: card.name.clone(),
        endpoint: card.endpoint.clone().unwrap_or_default(),
    };
    institutions.map(hospital).collect()
}

/// What was refused, oldest digest first.
pub async fn quarantine(node: &Node<Browser>) -> Result<Vec<Quarantined>, Error> {
    let mut refused = Vec::new();
    let mut after = String::new();
    loop {
        let page = node.quarantined(&after, PAGE).await?;
        let Some((last, _)) = page.last() else { return Ok(refused) };
        after = last.clone();
        refused.extend(page.into_iter().map(|(id, item)| Quarantined {
            id,
            received: item.received.0,
            error: NodeErrorView::of_code(&item.code),
        }));
    }
}

/// What waits to be sent.
pub async fn outbox(node: &Node<Browser>) -> Result<Vec<Waiting>, Error> {
    let trust = node.trust();
    let waiting = |item: OutboxItem| Waiting {
        to: called(&trust, &item.to),
        kind: match item.payload {
            Payload::Envelope { kind, .. } => kind,
            Payload::Deposit { .. } => "notary/deposit".to_owned(),
        },
        id: item.id,
        case: item.case.to_string(),
        since: item.since.0,
        attempts: item.attempts.count,
        next_attempt: item.attempts.next.map(|time| time.0),
        refused: item.refused.is_some(),
        problem: item.refused.or(item.attempts.problem).as_deref().map(NodeErrorView::of_code),
    };
    Ok(all_waiting(node).await?.into_iter().map(waiting).collect())
}

fn summary(case: &PatientCase, trust: &Trust) -> CaseSummary {
    let asked = case.data_requests.iter().filter(|asked| asked.answer == patient::DataAnswer::Open);
    let results = case.results.iter().filter(|result| result.status == ResultStatus::Received);
    CaseSummary {
        id: case.id.to_string(),
        hospital: case.hospital.to_string(),
        hospital_name: called(trust, &case.hospital),
        reason: case.request.reason.clone(),
        date: case.request.date.clone(),
        phase: match &case.phase {
            patient::Phase::Requested => Phase::Requested,
            patient::Phase::Approved => Phase::Approved,
            patient::Phase::Declined { reason } => Phase::Declined { reason: reason.clone() },
        },
        begun: case.begun.0,
        changed: case.changed.0,
        open_decisions: count(asked.count() + results.count()),
    }
}

fn data_requests(case: &PatientCase, trust: &Trust) -> Vec<DataRequestView> {
    let view = |request: &patient::DataRequest| DataRequestView {
        id: request.asked.id.to_string(),
        case: case.id.to_string(),
        hospital: case.hospital.to_string(),
        hospital_name: called(trust, &case.hospital),
        resources: request.asked.resources.clone(),
        purpose: request.asked.purpose.clone(),
        received: request.received.0,
        answer: match &request.answer {
            patient::DataAnswer::Open => DataAnswer::Open,
            patient::DataAnswer::Shared { records, at } => DataAnswer::Shared {
                records: records.iter().map(|key| key.as_ref().to_owned()).collect(),
                at: at.0,
            },
            patient::DataAnswer::Refused { reason, at } => {
                DataAnswer::Refused { reason: reason.clone(), at: at.0 }
            }
        },
    };
    case.data_requests.iter().map(view).collect()
}

async fn entry_view(
    node: &Node<Browser>,
    case: &PatientCase,
    entry: &Entry,
) -> Result<EntryView, Error> {
    let endorsers = node.endorsers(&case.id, &entry.id).await?;
    let trust = node.trust();
    let receipt = node.receipt(&case.id, &entry.id).await?.map(|verified| {
        let receipt = verified.receipt();
        ReceiptView {
            notary: receipt.iss.to_string(),
            notary_name: called(&trust, &receipt.iss),
            index: receipt.index,
            time: milliseconds(receipt.iat),
        }
    });
    Ok(EntryView {
        id: entry.id.to_string(),
        kind: match entry.kind {
            EntryKind::Request => crate::views::EntryKind::Request,
            EntryKind::Result => crate::views::EntryKind::Result,
        },
        verification_key: entry.verification_key.as_ref().to_owned(),
        previous: entry.previous.as_ref().map(ToString::to_string),
        author: entry.author.to_string(),
        endorsed_by_patient: endorsers.contains(&case.patient),
        endorsed_by_hospital: endorsers.contains(&case.hospital),
        receipt,
    })
}

async fn all_cases(node: &Node<Browser>) -> Result<Vec<PatientCase>, Error> {
    let mut cases: Vec<PatientCase> = Vec::new();
    loop {
        let after: Option<CaseId> = cases.last().map(|case| case.id.clone());
        let page = node.cases(after.as_ref(), PAGE).await?;
        if page.is_empty() {
            return Ok(cases);
        }
        cases.extend(page);
    }
}

async fn all_waiting(node: &Node<Browser>) -> Result<Vec<OutboxItem>, Error> {
    let mut items: Vec<OutboxItem> = Vec::new();
    loop {
        let after = items.last().map(|item| item.id.clone()).unwrap_or_default();
        let page = node.waiting(&after, PAGE).await?;
        if page.is_empty() {
            return Ok(items);
        }
        items.extend(page);
    }
}

/// How people call a node; its id when the map does not list it any more.
fn called(trust: &Trust, id: &NodeId) -> String {
    trust.node(id).map_or_else(|_| id.to_string(), |card| card.card().name.clone())
}

fn milliseconds(seconds: u64) -> u64 {
    seconds.saturating_mul(1000)
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
