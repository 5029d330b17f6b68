//! From the node's state to what pages see of it.

mod receipts;
mod records;

use std::cell::RefCell;
use std::rc::Rc;

use hdms::Error;
use hdms::card::Role;
use hdms::ids::{CaseId, NodeId};
use hdms::json;
use hdms::network::{self, NotaryLog, Trust};
use hdms::node::patient::RecordName;
use hdms::node::{Node, OutboxItem, Payload, Platform};
use hdms::provider::Clock;
use hdms::treatment::patient::{self, MedicalResult, PatientCase, ResultStatus};

use self::records::Content;
use crate::platform::Browser;
use crate::views::{
    CaseSummary, CaseView, DataAnswer, DataRequestView, HandInView, Hospital, NodeErrorView,
    NumbersView, PassedView, Phase, Quarantined, ResultState, ResultView, SplitView, Waiting,
};

/// Rows read from the store at a time.
const PAGE: usize = 100;

/// Makes views of one node. Keeps in memory what lists show of records, so that each is opened
/// once.
#[derive(Debug, Default)]
pub struct Viewer {
    contents: RefCell<Vec<(String, Rc<Content>)>>,
}

impl Viewer {
    /// Every case, in the order in which they began.
    pub async fn cases(&self, node: &Node<Browser>) -> Result<Vec<CaseSummary>, Error> {
        let mut cases = Vec::new();
        for case in all_cases(node).await? {
            cases.push(self.summary(node, &case).await?);
        }
        Ok(cases)
    }

    /// One case.
    pub async fn case(&self, node: &Node<Browser>, case: &PatientCase) -> Result<CaseView, Error> {
        let now = node.platform().clock().now();
        let (mut results, mut ledger) = (Vec::with_capacity(case.results.len()), Vec::new());
        ledger.push(self.entry(node, case, &case.entry).await?);
        for result in case.results.iter().filter(|result| case.shows(result, now)) {
            results.push(self.result(node, case, result).await?);
            ledger.push(self.entry(node, case, &result.entry).await?);
        }
        ledger.sort_by_key(|entry| entry.number.unwrap_or(u64::MAX));
        let missing = node.missing_numbers(&case.id).await?.into_iter();
        let missing = missing.map(|gap| NumbersView { from: *gap.start(), to: *gap.end() });
        let hand_in = |hand_in: &patient::HandIn| HandInView {
            id: hand_in.id.to_string(),
            of: count(hand_in.of),
            came: count(case.came_of(hand_in)),
            begun: hand_in.begun.0,
            awaited: case.is_under_way(hand_in, now),
        };
        let mut passed = Vec::with_capacity(case.passed.len());
        for one in &case.passed {
            let name = self.name(node, &one.notary).await?;
            passed.push(PassedView { name, silent: one.silent.map(milliseconds) });
        }
        let outbox = all_waiting(node).await?;
        let unsent = outbox.iter().filter(|item| item.case == case.id).count();
        let summary = self.summary(node, case).await?;
        Ok(CaseView {
            may_read: case.request.may_read.clone(),
            data_requests: data_requests(case, &summary.hospital_name),
            hand_ins: case.hand_ins.iter().map(hand_in).collect(),
            results,
            ledger,
            missing: missing.collect(),
            passed,
            unsent: count(unsent),
            summary,
        })
    }

    /// What waits to be sent.
    pub async fn outbox(&self, node: &Node<Browser>) -> Result<Vec<Waiting>, Error> {
        let mut waiting = Vec::new();
        for item in all_waiting(node).await? {
            let problem = item.refused.as_ref().or(item.attempts.problem.as_ref());
            waiting.push(Waiting {
                to: self.name(node, &item.to).await?,
                case: item.case.to_string(),
                since: item.since.0,
                attempts: item.attempts.count,
                next_attempt: item.attempts.next.map(|time| time.0),
                problem: problem.map(|code| NodeErrorView::of_code(code)),
                refused: item.refused.is_some(),
                entries: item.entries().unwrap_or_default().into_iter().map(String::from).collect(),
                kind: match item.payload {
                    Payload::Envelope { kind, .. } => kind,
                    Payload::Deposit { .. } => "notary/deposit".to_owned(),
                },
                id: item.id,
            });
        }
        Ok(waiting)
    }

    /// How people call a node; its id when it was never listed.
    async fn name(&self, node: &Node<Browser>, id: &NodeId) -> Result<String, Error> {
        Ok(node.name_of(id).await?.unwrap_or_else(|| id.to_string()))
    }

    async fn summary(
        &self,
        node: &Node<Browser>,
        case: &PatientCase,
    ) -> Result<CaseSummary, Error> {
        let trust = node.trust();
        let hospital_listed = trust.node(&case.hospital).is_ok();
        let is_member = |notary| trust.log(notary).is_ok_and(NotaryLog::is_member);
        let notary_listed = case.notary.as_ref().is_none_or(is_member);
        let open = |asked: &&patient::DataRequest| asked.answer == patient::DataAnswer::Open;
        let asked = case.data_requests.iter().filter(open);
        let now = node.platform().clock().now();
        let open = |result: &&MedicalResult| {
            let waits = result.status == ResultStatus::Received && case.shows(result, now);
            notary_listed && waits
        };
        // Nothing goes to a hospital that is no member, and nothing of it is logged.
        let decisions = asked.count() + case.results.iter().filter(open).count();
        Ok(CaseSummary {
            id: case.id.to_string(),
            hospital: case.hospital.to_string(),
            hospital_name: self.name(node, &case.hospital).await?,
            hospital_listed,
            notary_listed,
            former: case.secret.is_none(),
            reason: case.request.reason.clone(),
            date: case.request.date.clone(),
            phase: match &case.phase {
                patient::Phase::Requested => Phase::Requested,
                patient::Phase::Approved => Phase::Approved,
                patient::Phase::Declined { reason } => Phase::Declined { reason: reason.clone() },
            },
            begun: case.begun.0,
            changed: case.changed.0,
            open_decisions: if hospital_listed { count(decisions) } else { 0 },
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
            hand_in: result.hand_in.as_ref().map(ToString::to_string),
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
        endpoint: card.endpoint.clone().map(String::from).unwrap_or_default(),
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

/// The evidence that is kept of two networks, if there is any.
pub async fn split(node: &Node<Browser>) -> Result<Option<SplitView>, Error> {
    let kept = network::split(node.platform().store()).await?;
    kept.map(|split| {
        let evidence = String::from_utf8(json::write(&split)?).map_err(|_| Error::StoreCorrupt)?;
        Ok(SplitView { seen: split.seen.0, evidence })
    })
    .transpose()
}

fn data_requests(case: &PatientCase, hospital_name: &str) -> Vec<DataRequestView> {
    let view = |request: &patient::DataRequest| DataRequestView {
        id: request.asked.id.to_string(),
        case: case.id.to_string(),
        hospital: case.hospital.to_string(),
        hospital_name: hospital_name.to_owned(),
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

fn milliseconds(seconds: u64) -> u64 {
    seconds.saturating_mul(1000)
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
