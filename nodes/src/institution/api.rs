//! The REST interface of the HIS. Every call may be repeated safely.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::{Next, from_fn};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::{Stream, StreamExt, stream};
use hdms::Error;
use hdms::fhir::{intake, resource};
use hdms::ids::{CaseId, EntryId, MessageId};
use hdms::node::Platform;
use hdms::record;
use hdms::treatment::hospital::HospitalCase;
use hdms::treatment::message::DataRequestBody;
use serde_json::Value;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::spawn_blocking;

use super::access::Door;
use super::case_view::{CaseSummary, CaseView, CasesView};
use super::hand_in::{self, NO_KEY, NO_NOTARY};
use super::outcome::{FHIR_JSON, OperationOutcome};
use super::reading::{
    PAGE, case_id, decision, ended, filled, is_digest, is_message, limit, page, query,
};
use super::shared_view::SharedView;
use super::views::{
    AskData, Asked, CasesQuery, HandedIn, NodeView, OutboxView, PageQuery, PhaseName,
    QuarantineView, QuarantinedView, Refusal, SharedQuery, UndeliveredMessage, UndeliveredView,
    WaitingView,
};
use super::{Desk, verification, warnings};
use crate::base::http::bodies::read_body;
use crate::base::http::problem::{Problem, method_not_allowed};

/// Largest result, bytes: whole-patient Bundles have a few million.
const MAX_RESULT: usize = 32 * 1024 * 1024;

/// Bytes of texts after which a page of cases ends.
const CASES_BYTES: usize = 1024 * 1024;

/// The interface's routes, behind `door`.
pub fn routes(door: Arc<Door>) -> Router<Desk> {
    let guarded = door.clone();
    let fhir = Router::new()
        .route("/api/cases/{case}/results", post(hand_in_results))
        .route("/api/cases/{case}/results/{entry}", get(result))
        .method_not_allowed_fallback(async || OperationOutcome::from(Error::MethodNotAllowed))
        .route_layer(from_fn(move |request, next| {
            pass::<OperationOutcome>(door.clone(), request, next)
        }));
    Router::new()
        .route("/api/node", get(node))
        .route("/api/cases", get(cases))
        .route("/api/cases/{case}", get(case))
        .route("/api/cases/{case}/approval", post(approve))
        .route("/api/cases/{case}/refusal", post(refuse))
        .route("/api/cases/{case}/data-requests", post(ask_for_data))
        .route("/api/cases/{case}/shared", get(shared))
        .route("/api/cases/{case}/verification", post(verification::verify))
        .route("/api/outbox", get(outbox))
        .route("/api/undelivered", get(undelivered))
        .route("/api/quarantine", get(quarantine))
        .route("/api/warnings", get(warnings::warnings))
        .route("/api/warnings/{node}/dismissal", post(warnings::dismiss))
        .route("/api/events", get(events))
        .method_not_allowed_fallback(method_not_allowed)
        .route_layer(from_fn(move |request, next| pass::<Problem>(guarded.clone(), request, next)))
        .merge(fhir)
}

async fn pass<R: From<Error> + IntoResponse>(
    door: Arc<Door>,
    request: Request,
    next: Next,
) -> Result<Response, R> {
    door.check(&request)?;
    Ok(next.run(request).await)
}

/// The node itself.
#[utoipa::path(get, path = "/api/node", responses((status = 200, body = NodeView)))]
pub async fn node(State(desk): State<Desk>) -> Result<Json<NodeView>, Problem> {
    Ok(Json(NodeView::of(&desk.node).await?))
}

/// Cases, in the order of their beginning.
#[utoipa::path(get, path = "/api/cases", params(CasesQuery),
    responses((status = 200, body = CasesView)))]
pub async fn cases(State(desk): State<Desk>, uri: Uri) -> Result<Json<CasesView>, Problem> {
    let query: CasesQuery = query(&uri)?;
    let limit = limit(query.limit)?;
    let after: Option<Result<CaseId, _>> = query.after.as_deref().map(str::parse);
    let mut after = after.transpose().map_err(|_| Problem::of_field("after"))?;
    let (mut found, mut bytes) = (Vec::new(), 0);
    loop {
        let page: Vec<HospitalCase> = desk.node.cases(after.as_ref(), PAGE.1).await?;
        let last_page = page.len() < PAGE.1;
        for case in page {
            let wanted = query.phase.is_none_or(|phase| phase == PhaseName::from(&case.phase));
            if wanted && (found.len() == limit || bytes >= CASES_BYTES) {
                return Ok(Json(CasesView { cases: found, next: after.map(Into::into) }));
            }
            if wanted {
                let summary = CaseSummary::of(&desk.node, &case).await;
                bytes += summary.bytes();
                found.push(summary);
            }
            after = Some(case.id);
        }
        if last_page {
            return Ok(Json(CasesView { cases: found, next: None }));
        }
    }
}

/// A case with its requests for data, results and ledger.
#[utoipa::path(get, path = "/api/cases/{case}", responses((status = 200, body = CaseView)))]
pub async fn case(
    State(desk): State<Desk>,
    Path(id): Path<String>,
) -> Result<Json<CaseView>, Problem> {
    let case: HospitalCase = desk.node.case(&case_id(&id)?).await?;
    Ok(Json(CaseView::of(&desk.node, &case).await?))
}

/// Steps 4 and 7-9: approves the request.
#[utoipa::path(post, path = "/api/cases/{case}/approval",
    responses((status = 200, body = CaseSummary)))]
pub async fn approve(
    State(desk): State<Desk>,
    Path(id): Path<String>,
) -> Result<Json<CaseSummary>, Problem> {
    let case = desk.node.approve(&case_id(&id)?).await?;
    Ok(Json(CaseSummary::of(&desk.node, &case).await))
}

/// Steps 4 and 10: declines the request.
#[utoipa::path(post, path = "/api/cases/{case}/refusal", request_body = Refusal,
    responses((status = 200, body = CaseSummary)))]
pub async fn refuse(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    body: Body,
) -> Result<Json<CaseSummary>, Problem> {
    let id = case_id(&id)?;
    let Refusal { reason } = decision(body).await?;
    let case = desk.node.decline(&id, filled("reason", &reason)?).await?;
    Ok(Json(CaseSummary::of(&desk.node, &case).await))
}

/// Step 11: asks the patient for records of these FHIR resource types.
#[utoipa::path(post, path = "/api/cases/{case}/data-requests", request_body = AskData,
    responses((status = 201, body = Asked)))]
pub async fn ask_for_data(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    body: Body,
) -> Result<(StatusCode, Json<Asked>), Problem> {
    let case = case_id(&id)?;
    let AskData { id, resources, purpose } = decision(body).await?;
    filled("purpose", &purpose)?;
    let p = desk.node.platform();
    let id: MessageId = match id {
        Some(id) => id.parse().map_err(|_| Problem::of_field("id"))?,
        None => MessageId::new(p.clock(), p.randomness())?,
    };
    let asked = DataRequestBody { id: id.clone(), resources, purpose };
    desk.node.ask_for_data(&case, asked).await.map_err(of_resources)?;
    Ok((StatusCode::CREATED, Json(Asked { id: id.into() })))
}

/// Steps 14 to 18: hands in results, a FHIR R4 resource or Bundle of at most 32 MB; a whole-patient Bundle
/// is divided into 1 to 256 records, which go to the patient together. The same once more does nothing.
#[utoipa::path(post, path = "/api/cases/{case}/results",
    params(("Idempotency-Key" = Option<String>, Header,
        description = "Chosen by the HIS, for this case: 1 to 255 ASCII characters. Handing in something \
            else under the same key, also more or less, is refused (422)")),
    request_body(content = serde_json::Value, content_type = "application/fhir+json"),
    responses((status = 201, body = HandedIn)))]
pub async fn hand_in_results(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<HandedIn>), OperationOutcome> {
    let id = case_id(&id)?;
    let case: HospitalCase = desk.node.case(&id).await?;
    let key = hand_in::key(&headers).map_err(|error| OperationOutcome::explained(error, NO_KEY))?;
    let body = read_body(body, MAX_RESULT, Error::BodyTooLarge).await?;
    let results = contents(body).await?;
    let has_no_notary = || case.notary_until(&desk.node.trust()).is_some();
    let handed_in = desk.node.hand_in(&id, results, key).await;
    let (case, hand_in) = handed_in.map_err(|error| match error {
        Error::NotAllowedNow if has_no_notary() => OperationOutcome::explained(error, NO_NOTARY),
        _ => error.into(),
    })?;
    let of_it = case.results.iter().filter(|result| result.hand_in.as_ref() == Some(&hand_in));
    let results = of_it.map(|result| result.id.to_string()).collect();
    Ok((StatusCode::CREATED, Json(HandedIn { hand_in: hand_in.into(), results })))
}

/// What a hand-in becomes. A large one is the work of seconds.
async fn contents(body: Bytes) -> Result<Vec<Value>, Error> {
    let fits = |content: &Value| record::size(content).is_ok();
    let work = move || intake::take_in(resource::parse(&body)?, fits);
    spawn_blocking(work).await.map_err(|_| Error::NodeRestarted)?
}

/// A result as it was signed.
#[utoipa::path(get, path = "/api/cases/{case}/results/{entry}",
    responses((status = 200, body = serde_json::Value, content_type = "application/fhir+json")))]
pub async fn result(
    State(desk): State<Desk>,
    Path((case, entry)): Path<(String, String)>,
) -> Result<impl IntoResponse, OperationOutcome> {
    let entry: EntryId = entry.parse().map_err(|_| Error::UnknownEntry)?;
    let case: HospitalCase = desk.node.case(&case_id(&case)?).await?;
    if case.results.iter().all(|result| result.id != entry) {
        return Err(Error::UnknownEntry.into());
    }
    let record = desk.node.open_record(&case.id, &entry).await?;
    Ok(([(CONTENT_TYPE, FHIR_JSON)], record.fhir().to_string()))
}

/// Step 12: what the patient shared, checked again.
#[utoipa::path(get, path = "/api/cases/{case}/shared", params(SharedQuery),
    responses((status = 200, body = SharedView)))]
pub async fn shared(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Json<SharedView>, Problem> {
    let SharedQuery { after } = query(&uri)?;
    let case: HospitalCase = desk.node.case(&case_id(&id)?).await?;
    Ok(Json(SharedView::of(&desk.node, &case, after.as_deref()).await?))
}

/// What waits to be sent, in the order in which it was queued, and what its recipient refused.
#[utoipa::path(get, path = "/api/outbox", params(PageQuery),
    responses((status = 200, body = OutboxView)))]
pub async fn outbox(State(desk): State<Desk>, uri: Uri) -> Result<Json<OutboxView>, Problem> {
    let (after, limit) = page(&uri, is_message)?;
    let mut items = desk.node.waiting(&after, limit + 1).await?;
    let next = ended(&mut items, limit).map(|last| last.id.clone());
    let mut outbox = Vec::with_capacity(items.len());
    for item in items {
        outbox.push(WaitingView::of(&desk.node, item).await);
    }
    Ok(Json(OutboxView { outbox, next }))
}

/// Messages that a patient's mailbox had accepted, and that the patient's node refused or never
/// fetched: it is not sent again by itself.
#[utoipa::path(get, path = "/api/undelivered", params(PageQuery),
    responses((status = 200, body = UndeliveredView)))]
pub async fn undelivered(
    State(desk): State<Desk>,
    uri: Uri,
) -> Result<Json<UndeliveredView>, Problem> {
    let (after, limit) = page(&uri, is_message)?;
    let mut messages = desk.node.undelivered(&after, limit + 1).await?;
    let next = ended(&mut messages, limit).map(|last| last.id.clone());
    let mut undelivered = Vec::with_capacity(messages.len());
    for one in messages {
        undelivered.push(UndeliveredMessage::of(&desk.node, one).await);
    }
    Ok(Json(UndeliveredView { undelivered, next }))
}

/// Envelopes that were refused.
#[utoipa::path(get, path = "/api/quarantine", params(PageQuery),
    responses((status = 200, body = QuarantineView)))]
pub async fn quarantine(
    State(desk): State<Desk>,
    uri: Uri,
) -> Result<Json<QuarantineView>, Problem> {
    let (after, limit) = page(&uri, is_digest)?;
    let mut envelopes = desk.node.quarantined(&after, limit + 1).await?;
    let next = ended(&mut envelopes, limit).map(|(last, _)| last.clone());
    let quarantined = envelopes.into_iter().map(QuarantinedView::of).collect();
    Ok(Json(QuarantineView { quarantined, next }))
}

/// Says `event: case`, `data: {"case": id}` whenever a case changes, and `event: resync` when the
/// listener was too slow to hear of each.
#[utoipa::path(get, path = "/api/events",
    responses((status = 200, body = String, content_type = "text/event-stream")))]
pub async fn events(
    State(desk): State<Desk>,
) -> Sse<impl Stream<Item = Result<Event, axum::Error>>> {
    let changes = desk.node.platform().changes();
    let events = stream::unfold(changes, |mut changes| async {
        let event = match changes.recv().await {
            Ok(case) => Event::default().event("case").json_data(ChangedCase { case }),
            Err(RecvError::Lagged(_)) => Ok(Event::default().event("resync").data("{}")),
            Err(RecvError::Closed) => return None,
        };
        Some((event, changes))
    });
    Sse::new(events.take_until(desk.stop.cancelled_owned())).keep_alive(KeepAlive::default())
}

#[derive(serde::Serialize)]
struct ChangedCase {
    case: CaseId,
}

/// With the member that a request for data was refused for, if it was.
fn of_resources(error: Error) -> Problem {
    let is_refused = matches!(error, Error::CommandMalformed | Error::TypeNotAllowed);
    Problem { field: is_refused.then(|| "resources".to_owned()), ..error.into() }
}
