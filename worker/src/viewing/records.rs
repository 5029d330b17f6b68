//! Records in lists, and a record opened.

use std::rc::Rc;

use hdms::Error;
use hdms::fhir::{date, resource};
use hdms::json;
use hdms::ledger::VerificationKey;
use hdms::node::patient::RecordName;
use hdms::node::{Node, Platform};
use hdms::provider::Clock;
use hdms::record::VerifiedRecord;
use hdms::treatment::patient::{MedicalResult, PatientCase, ResultStatus};

use super::{PAGE, Viewer, count};
use crate::platform::Browser;
use crate::views::{RecordState, RecordSummary, RecordView};

/// What lists show of a record's content, which never changes.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) title: String,
    verification_key: String,
    resource_type: String,
    types: Vec<String>,
    date: Option<String>,
    author: String,
    bytes: u32,
}

impl Viewer {
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
        records.retain(|record| {
            let shareable = matches!(record.state, RecordState::Final | RecordState::Own);
            let content = self.known(&record.id);
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
        let case = find_case(node, name).await?;
        let result = case.as_ref().and_then(|case| case.result(&name.entry).ok());
        let checked = match (&case, result) {
            (_, Some(result)) if result.entry.verification_key != verification_key => {
                return Err(Error::EntryMismatch);
            }
            (Some(case), Some(result)) => node.checked_receipt(case, &result.entry).await?,
            _ => Ok(None),
        };
        let (receipt, receipt_problem) = self.receipt(node, checked).await?;
        let summary = self.record_summary(node, name).await?.ok_or(Error::UnknownEntry)?;
        Ok(RecordView { summary, fhir: text(&record)?, receipt, receipt_problem })
    }

    /// A record in a list; `None` for a treatment request, which the case shows, and for a result of
    /// which the rest is still under way.
    pub async fn record_summary(
        &self,
        node: &Node<Browser>,
        name: &RecordName,
    ) -> Result<Option<RecordSummary>, Error> {
        let case = find_case(node, name).await?;
        let result = case.as_ref().and_then(|case| case.result(&name.entry).ok());
        let now = node.platform().clock().now();
        let is_shown =
            case.as_ref().is_none_or(|case| result.is_some_and(|one| case.shows(one, now)));
        if !is_shown {
            return Ok(None);
        }
        let content = self.content(node, name).await?;
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
            verification_key: content.verification_key.clone(),
            resource_type: content.resource_type.clone(),
            date: content.date.clone(),
            author_name: self.author_name(node, &content.author).await?,
            author: content.author.clone(),
            own: result.is_none(),
            notary_name: match &notary {
                Some(notary) => Some(self.name(node, notary).await?),
                None => None,
            },
            notary: notary.map(String::from),
            verified: result.map(|result| result.received.0),
            state: record_state(result),
            bytes: content.bytes,
        }))
    }

    async fn author_name(&self, node: &Node<Browser>, author: &str) -> Result<String, Error> {
        match author.parse() {
            Ok(id) => self.name(node, &id).await,
            Err(_) => Ok(author.to_owned()),
        }
    }

    fn known(&self, id: &str) -> Option<Rc<Content>> {
        let contents = self.contents.borrow();
        contents.iter().find(|(known, _)| known == id).map(|(_, content)| content.clone())
    }

    pub(super) async fn content(
        &self,
        node: &Node<Browser>,
        name: &RecordName,
    ) -> Result<Rc<Content>, Error> {
        let id = id(name);
        if let Some(known) = self.known(&id) {
            return Ok(known);
        }
        let record = node.open_record(&name.case, &name.entry).await?;
        let content = Rc::new(Content::of(&record));
        self.contents.borrow_mut().push((id, content.clone()));
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
            verification_key: record.verification_key(),
            resource_type: resource::kind(fhir).unwrap_or_default().to_owned(),
            types: types.map(str::to_owned).collect(),
            date: date::of(fhir),
            author: record.author().to_owned(),
            bytes: count(record.record().compact().len()),
        }
    }
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

/// None for a record of the patient's own.
async fn find_case(node: &Node<Browser>, name: &RecordName) -> Result<Option<PatientCase>, Error> {
    match node.case(&name.case).await {
        Ok(case) => Ok(Some(case)),
        Err(Error::UnknownCase) => Ok(None),
        Err(error) => Err(error),
    }
}

fn text(record: &VerifiedRecord) -> Result<String, Error> {
    String::from_utf8(json::write(record.fhir())?).map_err(|_| Error::StoreCorrupt)
}

fn id(name: &RecordName) -> String {
    format!("{}/{}", name.case, name.entry)
}
