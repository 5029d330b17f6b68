//! The server's addresses.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Path, Query, Request, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::request::Parts;
use axum::response::sse::{KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use hdms::Error;
use hdms::card::Role;
use hdms::doorman::{Admitted, Challenge, ChallengeAnswer, MAX_BYTES};
use hdms::ids::NodeId;
use hdms::jwk::RsaJwk;
use hdms::log::decimal;
use hdms::mailbox::{
    Acknowledgement, Deliveries, DeliveryAnswer, DeliveryAnswers, MAX_CODE, MAX_DELIVERIES,
    MAX_DELIVERY_BYTES, MAX_PAGE, ReportPage, ReportsRead,
};
use hdms::push::SubscriptionRemoval;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::proofs::Proven;
use super::{FirebaseApp, Services, pages, stream};
use crate::base::http::gate::Place;
use crate::base::http::problem::{Problem, pause};
use crate::base::http::serve::{open_to_all, with_common_answers};
use crate::base::http::unsent::LiesReady;
use crate::base::log::publication;

/// Largest body of what is small, bytes.
const SMALL: usize = 64 * 1024;

/// Most bytes of an admission request with the answer to its challenge around it.
const ADMISSION: usize = MAX_BYTES + 1024;

/// Largest number that the database counts to.
const MOST: u64 = i64::MAX as u64;

/// Between two signs of life on a live stream: proxies often cut what is silent for a minute.
const ALIVE: Duration = Duration::from_secs(25);

type App = State<Arc<Services>>;

/// Which network pages belong to: the configuration that they pin at their first start.
#[derive(Clone, Serialize)]
struct Configuration {
    server: String,
    root: RsaJwk,
    #[serde(skip_serializing_if = "Option::is_none")]
    firebase: Option<FirebaseApp>,
}

/// Every route, and the static pages behind them with the configuration for the server's own
/// address `url`.
pub(super) fn router(services: Arc<Services>, pages: Option<PathBuf>, url: &str) -> Router {
    let server = url.trim_end_matches('/').to_owned();
    let (root_key, log) = (services.network.root(), services.network.manifests().clone());
    let firebase = services.push.firebase().cloned();
    let configuration = Configuration { server, root: root_key, firebase };
    let headers = [(CACHE_CONTROL, "no-cache")];
    let router = Router::new()
        .route("/network", get(network))
        .route("/network/root", get(root))
        .route("/manifests/{number}", get(manifest))
        .route("/doorman/admissions", post(ask))
        .route("/doorman/answers", post(answer))
        .route("/mailbox", get(mailbox))
        .route("/mailbox/deliveries", post(deliver))
        .route("/mailbox/acknowledgement", post(acknowledge))
        .route("/mailbox/reports", get(reports))
        .route("/mailbox/reports/acknowledgement", post(reports_read))
        .route("/mailbox/stream", get(listen))
        .route("/mailbox/subscriptions", post(subscribe))
        .route("/mailbox/subscriptions/removal", post(unsubscribe))
        .with_state(services)
        .nest("/manifests/log", publication::routes(log));
    let Some(folder) = pages else { return with_common_answers(open_to_all(router), url) };
    let configuration = get(async move || (headers, Json(configuration)));
    let router = open_to_all(router.route("/network.json", configuration));
    pages::behind(with_common_answers(router, url), &folder, url)
}

/// How much of the manifests' log has been seen.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Seen {
    size: u64,
}

async fn network(
    State(services): App,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    request: Request,
) -> Result<Response, Problem> {
    let seen = Query::<Seen>::try_from_uri(request.uri()).map_err(|_| Error::CommandMalformed)?.0;
    let offered = services.network.offered();
    let asked = request.headers().get(IF_NONE_MATCH);
    let asked = asked.is_some_and(|etag| etag == offered.etag.as_str());
    let headers = [(ETAG, offered.etag.as_str()), (CACHE_CONTROL, "no-cache")];
    if asked {
        return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
    }
    let json = [(CONTENT_TYPE, "application/json")];
    let place = services.gates.network.enter(from.ip())?;
    let answer = place.work(services.network.answer(&offered, seen.size)).await?;
    // Of one who has not asked for long a copy is made.
    let ready = (!answer.is_unique()).then_some(Extension(LiesReady));
    Ok((headers, json, ready, answer).into_response())
}

async fn manifest(
    State(services): App,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Path(number): Path<String>,
) -> Result<impl IntoResponse, Problem> {
    let number = decimal(&number).ok().filter(|number| *number <= MOST).ok_or(Error::NotFound)?;
    let place = services.gates.network.enter(from.ip())?;
    let manifest = place.work(services.network.manifests().numbered(number)).await?;
    Ok(Json(manifest.ok_or(Error::NotFound)?))
}

async fn root(State(services): App) -> Json<RsaJwk> {
    Json(services.network.root())
}

async fn ask(
    State(services): App,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    body: Body,
) -> Result<Json<Challenge>, Problem> {
    services.doorman.hear(from.ip())?;
    let gate = &services.gates.doorman;
    let (place, body) = gate.read(from.ip(), body, ADMISSION, Error::BodyTooLarge).await?;
    let jwt = std::str::from_utf8(&body).map_err(|_| Error::AdmissionMalformed)?;
    Ok(Json(place.work(services.doorman.ask(jwt.trim())).await?))
}

async fn answer(
    State(services): App,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    body: Body,
) -> Result<Json<Admitted>, Problem> {
    let gate = &services.gates.doorman;
    let (place, body) = gate.read(from.ip(), body, ADMISSION, Error::BodyTooLarge).await?;
    let answer: ChallengeAnswer = parse(&body)?;
    let request = place.work(services.doorman.proven(&answer)).await?;
    let node = request.iss.clone();
    let decided = place.work(services.doorman.decide(request, from.ip())).await;
    // Documents may have to wait for others: that is nobody's turn.
    let answered = match decided {
        Ok(decided) => services.doorman.publish(decided).await,
        Err(problem) => Err(problem),
    };
    services.proofs.forget_node(&node);
    Ok(Json(answered?))
}

async fn deliver(State(services): App, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let sender = asker(&services, &parts).await?;
    // Personal nodes are admitted without anybody's leave: quotas of senders would not bind them.
    if sender.role == Role::Personal {
        return Err(Error::TypeNotForRole.into());
    }
    let from = client(&parts);
    let body = services.gates.deliveries.read(from, body, MAX_DELIVERY_BYTES, Error::BodyTooLarge);
    let (_place, body) = body.await?;
    sender.check_body(&body)?;
    let Deliveries { deliveries } = parse(&body)?;
    if deliveries.is_empty() || deliveries.len() > MAX_DELIVERIES {
        return Err(Error::CommandMalformed.into());
    }
    let answers = services.mailboxes.deliver(sender.node, deliveries).await?;
    let refused = answers.iter().filter_map(|answer| match answer {
        DeliveryAnswer::Accepted(_) | DeliveryAnswer::FormerKey(_) => None,
        DeliveryAnswer::Refused(code) => Some(&**code),
    });
    Ok((pause(refused), Json(DeliveryAnswers { answers })).into_response())
}

/// Which part of a mailbox.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Part {
    after: u64,
    limit: usize,
}

impl Default for Part {
    fn default() -> Self {
        Self { after: 0, limit: MAX_PAGE }
    }
}

fn part(request: &Request) -> Result<Part, Error> {
    let part = Query::<Part>::try_from_uri(request.uri()).map_err(|_| Error::CommandMalformed)?.0;
    let within = (1..=MAX_PAGE).contains(&part.limit);
    if within { Ok(part) } else { Err(Error::CommandMalformed) }
}

async fn mailbox(State(services): App, request: Request) -> Result<Response, Problem> {
    let part = part(&request)?;
    let (node, _, _place) = proven(&services, request).await?;
    let turn = services.mailboxes.page_turn(&node)?;
    let page = services.mailboxes.page(node, part.after, part.limit).await?;
    Ok(turn.answer(&page)?)
}

async fn acknowledge(State(services): App, request: Request) -> Result<StatusCode, Problem> {
    let (node, body, _place) = proven(&services, request).await?;
    let dealt: Acknowledgement = parse(&body)?;
    if dealt.refused.len() > MAX_PAGE || !dealt.refused.iter().all(|one| is_code(&one.code)) {
        return Err(Error::CommandMalformed.into());
    }
    services.mailboxes.acknowledge(node, dealt).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whether it looks like a refusal's code: its sender's operator gets to read it.
fn is_code(code: &str) -> bool {
    let is_word = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
    };
    let words = code.split_once('/').map(|(kind, name)| is_word(kind) && is_word(name));
    words == Some(true) && code.len() <= MAX_CODE
}

async fn reports(State(services): App, request: Request) -> Result<Json<ReportPage>, Problem> {
    let part = part(&request)?;
    let (node, _, _place) = proven(&services, request).await?;
    Ok(Json(services.mailboxes.reports(node, part.after, part.limit).await?))
}

async fn reports_read(State(services): App, request: Request) -> Result<StatusCode, Problem> {
    let (node, body, _place) = proven(&services, request).await?;
    let ReportsRead { upto } = parse(&body)?;
    services.mailboxes.reports_read(node, upto).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn listen(State(services): App, request: Request) -> Result<Response, Problem> {
    let seen = request.headers().get("last-event-id").cloned();
    let (node, ..) = proven(&services, request).await?;
    let seen = seen.and_then(|id| id.to_str().ok()?.parse().ok());
    // First the bell, then the place: what comes in between rings.
    let rings = services.bells.listen(&node)?;
    let (last, acknowledged) = services.mailboxes.places(node).await?;
    let seen = seen.unwrap_or(acknowledged);
    let events = stream::events(rings, seen, last, services.stop.clone());
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE)).into_response())
}

async fn subscribe(State(services): App, request: Request) -> Result<StatusCode, Problem> {
    let (node, body, _place) = proven(&services, request).await?;
    services.push.subscribe(node, parse(&body)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn unsubscribe(State(services): App, request: Request) -> Result<StatusCode, Problem> {
    let (node, body, _place) = proven(&services, request).await?;
    let SubscriptionRemoval { id } = parse(&body)?;
    services.push.unsubscribe(node, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Who asks, the body of the request, and the place that is held until it is answered.
async fn proven(services: &Services, request: Request) -> Result<(NodeId, Bytes, Place), Error> {
    let (parts, body) = request.into_parts();
    let asker = asker(services, &parts).await?;
    let gate = &services.gates.mailboxes;
    let (place, body) = gate.read(client(&parts), body, SMALL, Error::BodyTooLarge).await?;
    asker.check_body(&body)?;
    Ok((asker.node, body, place))
}

async fn asker(services: &Services, parts: &Parts) -> Result<Proven, Error> {
    services.proofs.check(parts, client(parts)).await
}

/// From where it is asked.
fn client(parts: &Parts) -> IpAddr {
    let from = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    from.map_or(Ipv4Addr::UNSPECIFIED.into(), |ConnectInfo(from)| from.ip())
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(body).map_err(|_| Error::CommandMalformed)
}
