//! What patients shared, as the HIS sees it.

use hdms::Error;
use hdms::fhir::resource;
use hdms::record::{self, VerifiedRecord};
use hdms::treatment::hospital::{HospitalCase, HospitalDataAnswer, HospitalDataRequest};
use hdms::treatment::message::SharedRecord;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::ledger_view::ReceiptView;
use super::names::name_in;
use super::views::ProblemView;
use crate::institution::platform::NativeNode;

/// Bytes of records after which a page of what was shared ends.
const SHARED_BYTES: usize = 4 * 1024 * 1024;

/// What a patient shared in a case: as many whole answers as make about 4 MB.
#[derive(Debug, Serialize, ToSchema)]
pub struct SharedView {
    /// One for each answered request for data.
    pub shared: Vec<AnsweredView>,
    /// Give it as `after` for the next page; null on the last.
    pub next: Option<String>,
}

/// What was shared in answer to one request.
#[derive(Debug, Serialize, ToSchema)]
pub struct AnsweredView {
    /// The request for data.
    pub request: String,
    /// The records.
    pub records: Vec<SharedRecordView>,
}

/// A record that a patient shared; its author's signature was checked, unless `problem` says why it could
/// not be: then there is nothing of its content.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SharedRecordView {
    /// What its notary keeps of it.
    pub verification_key: String,
    /// Node id of its author.
    pub author: String,
    /// The author's name.
    pub author_name: String,
    /// Whether the author is a member: the patient, or listed by the Network Map.
    pub author_listed: bool,
    /// The notary that vouches for it; null for what the patient wrote.
    pub notary: Option<String>,
    /// The notary's name.
    pub notary_name: Option<String>,
    /// Place in the notary's log.
    pub receipt_index: Option<u64>,
    /// Why the receipt that came with it does not count any more, if it does not: nobody vouches for
    /// the record then but its author.
    pub receipt_problem: Option<ProblemView>,
    /// Names of the other notaries that have co-signed its log; without any nobody watches it.
    pub witnesses: Vec<String>,
    /// FHIR resource type.
    pub resource_type: Option<String>,
    /// What it is.
    pub title: Option<String>,
    /// FHIR JSON, to the byte as its author wrote it.
    pub fhir: Option<String>,
    /// Whether not all of this record was shown: what is withheld may say the opposite.
    pub part: bool,
    /// Why it can't be opened, if so.
    pub problem: Option<ProblemView>,
}

impl SharedView {
    /// Of a case as the node keeps it, behind the request `after`.
    ///
    /// Errors: [`Error::UnknownEntry`] for one that the case does not have; those of the records and
    /// their receipts.
    pub async fn of(
        node: &NativeNode,
        case: &HospitalCase,
        after: Option<&str>,
    ) -> Result<Self, Error> {
        let place = |after: &str| {
            let place = case.data_requests.iter().position(|it| it.asked.id.as_ref() == after);
            place.map(|place| place + 1).ok_or(Error::UnknownEntry)
        };
        let begin = after.map_or(Ok(0), place)?;
        let answered = |request: &&HospitalDataRequest| {
            matches!(request.answer, HospitalDataAnswer::Answered { .. })
        };
        let (mut shared, mut bytes): (Vec<AnsweredView>, _) = (Vec::new(), 0);
        for request in case.data_requests.iter().skip(begin).filter(answered) {
            if bytes >= SHARED_BYTES {
                let next = shared.last().map(|last| last.request.clone());
                return Ok(Self { shared, next });
            }
            let id = &request.asked.id;
            let mut records = Vec::new();
            for record in node.shared(&case.id, id).await? {
                let record = SharedRecordView::of(node, case, &record).await?;
                bytes += record.fhir.as_ref().map_or(0, String::len);
                records.push(record);
            }
            shared.push(AnsweredView { request: id.to_string(), records });
        }
        Ok(Self { shared, next: None })
    }
}

impl SharedRecordView {
    async fn of(
        node: &NativeNode,
        case: &HospitalCase,
        shared: &SharedRecord,
    ) -> Result<Self, Error> {
        let author = record::claimed_author(&shared.record)?;
        let (receipt, receipt_problem) =
            ReceiptView::checked(node, node.shared_receipt(shared).await?).await;
        let (opened, problem) = match node.open_shared(shared).await {
            Err(error) if error.is_transient() => return Err(error),
            Ok(opened) => (Some(opened), None),
            Err(error) => (None, Some(error)),
        };
        let part = opened.as_ref().is_some_and(|record| !record.is_whole());
        let record = opened.as_ref().map(VerifiedRecord::fhir);
        Ok(Self {
            verification_key: shared.verification_key()?.as_ref().to_owned(),
            author_name: name_in(node, case, &author).await,
            author_listed: author == case.patient || node.trust().node(&author).is_ok(),
            author: author.into(),
            receipt_index: receipt.as_ref().map(|receipt| receipt.index),
            notary_name: receipt.as_ref().map(|receipt| receipt.notary_name.clone()),
            notary: receipt.as_ref().map(|receipt| receipt.notary.clone()),
            receipt_problem,
            witnesses: receipt.map(|receipt| receipt.witnesses).unwrap_or_default(),
            resource_type: record.map(|fhir| resource::kind(fhir).unwrap_or_default().into()),
            title: record.map(resource::title),
            fhir: record.map(Value::to_string),
            part,
            problem: problem.map(|error| ProblemView::of(error.code().to_owned())),
        })
    }
}
