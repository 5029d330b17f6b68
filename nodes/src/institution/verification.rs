//! Asking the notaries whether they keep the verification keys of what a patient shared (the papers'
//! steps 13 to 15 of trading).

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use hdms::Error;
use hdms::ids::{CaseId, MessageId, NodeId};
use hdms::ledger::VerifiedReceipt;
use hdms::node::Platform;
use hdms::notary::{MAX_QUERIED, Queried};
use hdms::provider::Clock;
use hdms::treatment::hospital::{HospitalCase, HospitalDataAnswer};
use hdms::treatment::message::SharedRecord;
use serde::Serialize;
use utoipa::ToSchema;

use super::Desk;
use super::names::name_of;
use super::reading::case_id;
use super::views::ProblemView;
use crate::base::http::problem::Problem;
use crate::institution::platform::NativeNode;

/// What the notaries say of a case's shared records.
#[derive(Debug, Serialize, ToSchema)]
pub struct VerificationView {
    /// One for each record that was shared with a notary's receipt that counts.
    pub records: Vec<CheckedRecordView>,
}

/// What its notary says of a shared record.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckedRecordView {
    /// The request for data in answer to which it was shared.
    pub request: String,
    /// Of the record as it was shared.
    pub verification_key: String,
    /// Node id of the notary.
    pub notary: String,
    /// The notary's name.
    pub notary_name: String,
    /// What it answered.
    pub outcome: VerificationOutcome,
    /// Why it was not asked or did not answer.
    pub problem: Option<ProblemView>,
}

/// A notary's answer about a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum VerificationOutcome {
    /// The verification key that it keeps is that of the record.
    Agrees,
    /// It keeps another one: the record is not what was logged.
    Differs,
    /// It knows no such entry.
    Unknown,
    /// There is no answer.
    Unanswered,
}

/// A record to ask about.
struct AskedRecord {
    request: MessageId,
    verification_key: String,
    queried: Queried,
}

/// Steps 13 to 15 of trading: asks the notaries of all that was shared, and compares what they keep.
#[utoipa::path(post, path = "/api/cases/{case}/verification",
    responses((status = 200, body = VerificationView)))]
pub async fn verify(
    State(desk): State<Desk>,
    Path(id): Path<String>,
) -> Result<Json<VerificationView>, Problem> {
    let node = &*desk.node;
    let case: HospitalCase = node.case(&case_id(&id)?).await?;
    let mut records = Vec::new();
    for (notary, asked) in by_notary(node, &case).await? {
        let notary_name = name_of(node, &notary).await;
        for asked in asked.chunks(MAX_QUERIED) {
            let answers = ask(node, &notary, asked).await;
            for (place, asked) in asked.iter().enumerate() {
                let answer = answers.as_ref().map(|answers| answers[place].as_ref());
                records.push(CheckedRecordView {
                    request: asked.request.to_string(),
                    verification_key: asked.verification_key.clone(),
                    notary: notary.to_string(),
                    notary_name: notary_name.clone(),
                    outcome: answer.map_or(VerificationOutcome::Unanswered, |kept| {
                        compared(&asked.verification_key, kept)
                    }),
                    problem: answer.err().map(|error| ProblemView::of(error.code().to_owned())),
                });
            }
        }
    }
    Ok(Json(VerificationView { records }))
}

fn compared(shared: &str, kept: Option<&VerifiedReceipt>) -> VerificationOutcome {
    match kept.map(|receipt| receipt.receipt().verification_key.as_ref()) {
        None => VerificationOutcome::Unknown,
        Some(kept) if kept == shared => VerificationOutcome::Agrees,
        Some(_) => VerificationOutcome::Differs,
    }
}

/// What to ask each notary about.
async fn by_notary(
    node: &NativeNode,
    case: &HospitalCase,
) -> Result<BTreeMap<NodeId, Vec<AskedRecord>>, Error> {
    let mut notaries: BTreeMap<NodeId, Vec<AskedRecord>> = BTreeMap::new();
    for request in &case.data_requests {
        let HospitalDataAnswer::Answered { .. } = request.answer else { continue };
        for shared in node.shared(&case.id, &request.asked.id).await? {
            if let Some((notary, asked)) = asked(node, &request.asked.id, &shared).await? {
                notaries.entry(notary).or_default().push(asked);
            }
        }
    }
    Ok(notaries)
}

async fn asked(
    node: &NativeNode,
    request: &MessageId,
    shared: &SharedRecord,
) -> Result<Option<(NodeId, AskedRecord)>, Error> {
    // Of one that does not count the record's view says so.
    let Ok(Some(receipt)) = node.shared_receipt(shared).await? else { return Ok(None) };
    let (entry, salt) = (receipt.receipt().entry.clone(), receipt.opening().salt);
    let asked = AskedRecord {
        request: request.clone(),
        verification_key: shared.verification_key()?.as_ref().to_owned(),
        queried: Queried { entry, salt },
    };
    Ok(Some((receipt.receipt().iss.clone(), asked)))
}

/// The receipts that `notary` keeps of what it is asked about, in its order.
async fn ask(
    node: &NativeNode,
    notary: &NodeId,
    asked: &[AskedRecord],
) -> Result<Vec<Option<VerifiedReceipt>>, Error> {
    let (p, trust) = (node.platform(), node.trust());
    trust.check_standing(&node.card(), p.clock().now())?;
    // It is not listed then: that would say less.
    trust.check_revocation(notary, p.clock().now())?;
    let endpoint = trust.notary(notary)?.card().endpoint.clone().ok_or(Error::NodeUnknown)?;
    let exchange = CaseId::new(p.clock(), p.randomness())?;
    let queried: Vec<_> = asked.iter().map(|asked| asked.queried.clone()).collect();
    let client = p.member().client();
    let query = async || node.query(notary, &exchange, queried.clone()).await;
    let answer = match client.query(endpoint.as_ref(), query().await?).await {
        Err(Problem { error: Error::FormerKey, card: Some(card), .. }) => {
            node.learn_card(notary, &card).await?;
            client.query(endpoint.as_ref(), query().await?).await?
        }
        answer => answer?,
    };
    node.queried(notary, &exchange, &queried, &answer).await
}
