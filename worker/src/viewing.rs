//! From the node's state to what pages see of it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use hdms::Error;
use hdms::card::Role;
use hdms::fhir::resource;
use hdms::ids::{CaseId, NodeId};
use hdms::json;
use hdms::ledger::{Entry, EntryKind, VerificationKey};
use hdms::network::Trust;
use hdms::node::patient::RecordName;
use hdms::node::{Node, OutboxItem, Payload};
use hdms::record::VerifiedRecord;
use hdms::treatment::Flow;
use hdms::treatment::patient::{self, MedicalResult, PatientCase, ResultStatus};

use crate::delivery::Attempts;
use crate::platform::Browser;
use crate::views::{
    CaseSummary, CaseView, DataAnswer, DataRequestView, EntryView, Hospital, NodeErrorView, Phase,
    Quarantined, ReceiptView, RecordState, RecordSummary, RecordView, ResultState, ResultView,
    Waiting,
};

/// Rows read from the store at a time.
const PAGE: usize = 100;

/// What lists show of a record's content, which never changes.
#[derive(Debug)]
struct Content {
    title: String,
    resource_type: String,
    types: Vec<String>,
    date: Option<String>,
    author: String,
    bytes: u32,
}

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

    /// Results and the patient's own records, in the order in which they began.
    pub async fn records(&self, node: &Node<Browser>) -> Result<Vec<RecordSummary>, Error> {
        let mut records = Vec::new();
        let mut after = None;
        loop {
            let names = node.record_names(after.as_ref(), PAGE).await?;
            let Some(last) = names.last() else { return Ok(records) };
            after = Some(last.clone());
            for name in &names {
                records.extend(self.record_summary(node, name).await?);
            }
        }
    }

    /// The records that may be shared now and hold a resource of one of these types.
    pub async fn records_of_types(
        &self,
        node: &Node<Browser>,
        types: &[String],
    ) -> Result<Vec<RecordSummary>, Error> {
        let mut records = self.records(node).await?;
        let contents = self.contents.borrow();
        records.retain(|record| {
            let shareable = matches!(record.state, RecordState::Final | RecordState::Own);
            let content = contents.get(&record.id);
            let holds = content
                .is_some_and(|content| content.types.iter().any(|kind| types.contains(kind)));
            shareable && holds
        });
        Ok(records)
    }

    /// A record with its content, checked again.
    ///
    /// Errors: [`Error::UnknownEntry`], [`Error::EntryMismatch`] when it is not what its ledger
    /// entry says, those of [`Node::open_record`].
    pub async fn record(
        &self,
        node: &Node<Browser>,
        name: &RecordName,
    ) -> Result<RecordView, Error> {
        let record = node.open_record(&name.case, &name.entry).await?;
        let verification_key = VerificationKey::of(record.record().jwt());
        if let Some(result) = find_result(node, name).await?
            && result.entry.verification_key != verification_key
        {
            return Err(Error::EntryMismatch);
        }
        let summary = self.record_summary(node, name).await?.ok_or(Error::UnknownEntry)?;
        let receipt = node.receipt(&name.case, &name.entry).await?;
        let receipt = receipt.as_ref().map(|receipt| receipt.receipt());
        Ok(RecordView {
            summary,
            fhir: text(&record)?,
            verification_key: verification_key.as_ref().to_owned(),
            receipt_index: receipt.map(|receipt| receipt.index),
            receipt_time: receipt.map(|receipt| milliseconds(receipt.iat)),
        })
    }

    /// A record in a list; `None` for a treatment request, which the case shows.
    pub async fn record_summary(
        &self,
        node: &Node<Browser>,
        name: &RecordName,
    ) -> Result<Option<RecordSummary>, Error> {
        let case = match node.case::<PatientCase>(&name.case).await {
            Ok(case) => Some(case),
            Err(Error::UnknownCase) => None,
            Err(error) => return Err(error),
        };
        let result = case.as_ref().and_then(|case| case.result(&name.entry).ok());
        if case.is_some() && result.is_none() {
            return Ok(None);
        }
        let content = self.content(node, name).await?;
        let trust = node.trust();
        let notary = match result.map(|result| &result.status) {
            Some(ResultStatus::Committed { .. }) => {
                case.as_ref().and_then(|case| case.notary.clone())
            }
            _ => None,
        };
        Ok(Some(RecordSummary {
            id: id(name),
            case: name.case.to_string(),
            title: content.title.clone(),
            resource_type: content.resource_type.clone(),
            date: content.date.clone(),
            author_name: self.author_name(node, &content.author),
            author: content.author.clone(),
            own: result.is_none(),
            notary_name: notary.as_ref().map(|notary| called(&trust, notary)),
            notary: notary.map(String::from),
            verified: result.map(|result| result.received.0),
            state: record_state(result),
            bytes: content.bytes,
        }))
    }

    fn author_name(&self, node: &Node<Browser>, author: &str) -> String {
        if node.id().as_ref() == author {
            return node.card().card().name.clone();
        }
        author.parse().map_or_else(|_| author.to_owned(), |id| called(&node.trust(), &id))
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

    async fn content(&self, node: &Node<Browser>, name: &RecordName) -> Result<Rc<Content>, Error> {
        let id = id(name);
        if let Some(known) = self.contents.borrow().get(&id) {
            return Ok(known.clone());
        }
        let record = node.open_record(&name.case, &name.entry).await?;
        let content = Rc::new(Content::of(&record));
        self.contents.borrow_mut().insert(id, content.clone());
        Ok(content)
    }
}

impl Content {
    fn of(record: &VerifiedRecord) -> Self {
        let fhir = record.fhir();
        let within = resource::entries(fhir).iter().filter_map(|entry| entry.get("resource"));
        let types = std::iter::once(fhir).chain(within).filter_map(resource::kind);
        Self {
            title: resource::title(fhir),
            resource_type: resource::kind(fhir).unwrap_or_default().to_owned(),
            types: types.map(str::to_owned).collect(),
            date: resource::date(fhir),
            author: record.author().to_owned(),
            bytes: count(record.record().compact().len()),
        }
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

/// What waits to be sent; `attempts` tells how each item has fared.
pub async fn outbox(
    node: &Node<Browser>,
    attempts: impl Fn(&str) -> Attempts,
) -> Result<Vec<Waiting>, Error> {
    let trust = node.trust();
    let waiting = |item: OutboxItem| {
        let Attempts { count, problem } = attempts(&item.id);
        let refused = item.refused.as_deref().map(NodeErrorView::of_code);
        Waiting {
            to: called(&trust, &item.to),
            kind: match item.payload {
                Payload::Envelope { kind, .. } => kind,
                Payload::Deposit { .. } => "notary/deposit".to_owned(),
            },
            id: item.id,
            since: item.since.0,
            attempts: count,
            problem: refused.or(problem.map(Into::into)),
        }
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
            patient::DataAnswer::Shared { records, at } => {
                DataAnswer::Shared { records: count(records.len()), at: at.0 }
            }
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

fn record_state(result: Option<&MedicalResult>) -> RecordState {
    match result.map(|result| &result.status) {
        None => RecordState::Own,
        Some(ResultStatus::Committed { .. }) => RecordState::Final,
        Some(ResultStatus::Disputed { .. }) => RecordState::Disputed,
        Some(ResultStatus::Received | ResultStatus::Confirming | ResultStatus::Refused { .. }) => {
            RecordState::Received
        }
    }
}

async fn find_result(
    node: &Node<Browser>,
    name: &RecordName,
) -> Result<Option<MedicalResult>, Error> {
    match node.case::<PatientCase>(&name.case).await {
        Ok(case) => Ok(case.result(&name.entry).ok().cloned()),
        Err(Error::UnknownCase) => Ok(None),
        Err(error) => Err(error),
    }
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

fn text(record: &VerifiedRecord) -> Result<String, Error> {
    String::from_utf8(json::write(record.fhir())?).map_err(|_| Error::StoreCorrupt)
}

fn id(name: &RecordName) -> String {
    format!("{}/{}", name.case, name.entry)
}

fn milliseconds(seconds: u64) -> u64 {
    seconds.saturating_mul(1000)
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
