//! What the HIS sees besides cases: the node, what waits, what was refused.

use hdms::Error;
use hdms::envelope::MessageType;
use hdms::node::{OutboxItem, Payload, Quarantined, Undelivered};
use hdms::treatment::hospital::{HospitalCase, HospitalPhase};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::names::{name_in, name_of};
use crate::base::http::problem::Problem;
use crate::institution::platform::NativeNode;

/// The node itself.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeView {
    /// Node id.
    pub id: String,
    /// How people call it.
    pub name: String,
    /// Its base URL.
    pub endpoint: Option<String>,
    /// The network's name.
    pub network: String,
    /// Messages and deposits that wait to be sent, at most 1,000 are counted.
    pub waiting: usize,
    /// Messages that a mailbox had accepted and that were not taken in, at most 1,000 are counted.
    pub undelivered: usize,
    /// Envelopes that were refused, at most 1,000 are counted.
    pub quarantined: usize,
    /// Why it may not take part in the network as it is, if so.
    pub trouble: Option<TroubleView>,
}

/// Why a node may not take part in the network. What it has to send waits, and nothing is lost.
#[derive(Debug, Serialize, ToSchema)]
pub struct TroubleView {
    /// The stable code.
    pub code: String,
    /// What to do about it.
    pub sentence: String,
    /// What the network's operator gave as the reason, where a person decided.
    pub reason: Option<String>,
}

/// Which cases.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CasesQuery {
    /// Those in this phase; all when left out.
    #[param(inline)]
    pub phase: Option<PhaseName>,
    /// The case after which to go on: `next` of the page before.
    pub after: Option<String>,
    /// How many, 1 to 1,000; 100 when left out.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<usize>,
}

/// Where a case stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PhaseName {
    /// It waits for the hospital's decision.
    Requested,
    /// Approved; the notary's receipt is awaited.
    Approving,
    /// Approved and final.
    Approved,
    /// Declined.
    Declined,
}

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// The id after which to go on: `next` of the page before.
    pub after: Option<String>,
    /// How many, 1 to 1,000; 100 when left out.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<usize>,
}

/// Which part of what was shared.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SharedQuery {
    /// The request for data after which to go on.
    pub after: Option<String>,
}

/// Why a request is declined.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// For the patient to read.
    pub reason: String,
}

/// What is asked of the patient.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AskData {
    /// UUIDv7, to repeat the request safely; made by the node when left out.
    pub id: Option<String>,
    /// FHIR resource types.
    pub resources: Vec<String>,
    /// Why, for the patient to read.
    pub purpose: String,
}

/// The request for data that was sent.
#[derive(Debug, Serialize, ToSchema)]
pub struct Asked {
    /// Names it.
    pub id: String,
}

/// The results that were taken in.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HandedIn {
    /// Names what was handed in together.
    pub hand_in: String,
    /// Ledger entries, one for each record.
    pub results: Vec<String>,
}

/// What is not yet sent, or was refused.
#[derive(Debug, Serialize, ToSchema)]
pub struct OutboxView {
    /// In the order in which it was queued.
    pub outbox: Vec<WaitingView>,
    /// Give it as `after` for the next page; null on the last.
    pub next: Option<String>,
}

/// A message or deposit that its recipient has not accepted.
#[derive(Debug, Serialize, ToSchema)]
pub struct WaitingView {
    /// Names it.
    pub id: String,
    /// The case.
    pub case: String,
    /// Node id of the recipient.
    pub to: String,
    /// The recipient's name; may be empty.
    pub name: String,
    /// The type of the message.
    pub kind: String,
    /// Since when it waits, milliseconds since 1970.
    pub since: u64,
    /// Why it was not accepted, as far as is known.
    pub problem: Option<ProblemView>,
    /// Whether the recipient refused it for good; else it is tried again by itself.
    pub refused: bool,
}

/// What mailboxes had accepted and was not taken in.
#[derive(Debug, Serialize, ToSchema)]
pub struct UndeliveredView {
    /// In the order in which it was queued.
    pub undelivered: Vec<UndeliveredMessage>,
    /// Give it as `after` for the next page; null on the last.
    pub next: Option<String>,
}

/// A message that the recipient's mailbox had accepted, and that was not taken in. It is gone.
#[derive(Debug, Serialize, ToSchema)]
pub struct UndeliveredMessage {
    /// Names it.
    pub id: String,
    /// The case.
    pub case: String,
    /// Node id of the recipient.
    pub to: String,
    /// The recipient's name; may be empty.
    pub name: String,
    /// The type of the message.
    pub kind: String,
    /// Since when it was to be sent, milliseconds since 1970.
    pub since: u64,
    /// When this became known, milliseconds since 1970.
    pub known: u64,
    /// Why: `mailbox/expired` when the recipient has not fetched it within 30 days, else the code
    /// with which the recipient's node refused it.
    pub problem: ProblemView,
}

/// What went wrong.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProblemView {
    /// The stable code.
    pub code: String,
    /// What to do about it.
    pub sentence: String,
}

/// Envelopes that were refused.
#[derive(Debug, Serialize, ToSchema)]
pub struct QuarantineView {
    /// Each with its reason, in the order of their ids.
    pub quarantined: Vec<QuarantinedView>,
    /// Give it as `after` for the next page; null on the last.
    pub next: Option<String>,
}

/// An envelope that was refused: neither acted on nor lost.
#[derive(Debug, Serialize, ToSchema)]
pub struct QuarantinedView {
    /// SHA-256 of the envelope, base64url.
    pub id: String,
    /// When it came, milliseconds since 1970.
    pub received: u64,
    /// Why: the stable code.
    pub code: String,
    /// Why: what to do about it.
    pub sentence: String,
}

/// Most that are counted.
const COUNTED: usize = 1000;

impl NodeView {
    /// Of a node. Errors: those of the store.
    pub async fn of(node: &NativeNode) -> Result<Self, Error> {
        let own = node.card();
        let card = own.card();
        let waiting = node.waiting("", COUNTED).await?;
        Ok(Self {
            id: node.id().to_string(),
            name: card.name.clone(),
            endpoint: card.endpoint.clone().map(Into::into),
            network: node.trust().parameters().name.clone(),
            waiting: waiting.iter().filter(|item| item.refused.is_none()).count(),
            undelivered: node.undelivered("", COUNTED).await?.len(),
            quarantined: node.quarantined("", COUNTED).await?.len(),
            trouble: node.platform().member().standing().trouble.clone().map(Into::into),
        })
    }
}

impl From<Problem> for TroubleView {
    fn from(Problem { error, reason, .. }: Problem) -> Self {
        Self { code: error.code().to_owned(), sentence: error.sentence().to_owned(), reason }
    }
}

impl WaitingView {
    /// Of an item of the outbox.
    pub async fn of(node: &NativeNode, item: OutboxItem) -> Self {
        let name = match node.case::<HospitalCase>(&item.case).await {
            Ok(case) => name_in(node, &case, &item.to).await,
            Err(_) => name_of(node, &item.to).await,
        };
        Self {
            name,
            id: item.id,
            case: item.case.into(),
            to: item.to.into(),
            kind: match item.payload {
                Payload::Envelope { kind, .. } => kind,
                Payload::Deposit { .. } => MessageType::Deposit.name().to_owned(),
            },
            since: item.since.0,
            refused: item.refused.is_some(),
            problem: item.refused.or(item.attempts.problem).map(ProblemView::of),
        }
    }
}

impl UndeliveredMessage {
    /// Of what the node keeps.
    pub async fn of(node: &NativeNode, one: Undelivered) -> Self {
        Self {
            name: name_of(node, &one.to).await,
            id: one.id,
            case: one.case.into(),
            to: one.to.into(),
            kind: one.kind,
            since: one.since.0,
            known: one.known.0,
            problem: ProblemView::of(one.code),
        }
    }
}

impl From<&HospitalPhase> for PhaseName {
    fn from(phase: &HospitalPhase) -> Self {
        match phase {
            HospitalPhase::Requested => Self::Requested,
            HospitalPhase::Approving { .. } => Self::Approving,
            HospitalPhase::Approved => Self::Approved,
            HospitalPhase::Declined { .. } => Self::Declined,
        }
    }
}

impl ProblemView {
    /// With a stable code.
    pub fn of(code: String) -> Self {
        let sentence = Error::from_code(&code).map_or("", Error::sentence).to_owned();
        Self { code, sentence }
    }
}

impl QuarantinedView {
    /// Of a refused envelope and its id.
    pub fn of((id, quarantined): (String, Quarantined)) -> Self {
        let error = Error::from_code(&quarantined.code);
        Self {
            id,
            received: quarantined.received.0,
            sentence: error.map_or("", Error::sentence).to_owned(),
            code: quarantined.code,
        }
    }
}
