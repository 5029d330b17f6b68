//! Firebase Cloud Messaging: the registrations that its JavaScript SDK makes, and its HTTP v1
//! interface, by which servers send to them.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use axum::extract::{Path, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{patch, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tower_http::cors::CorsLayer;

use super::account::{Account, PROJECT};
use crate::check::{self, Refusal};
use crate::service::{PushService, encrypt, unique};

/// The largest `data` of a message, in bytes.
const MAX_DATA: usize = 4096;

/// What FCM keeps a message for when nobody says for how long: four weeks, in seconds.
const USUAL_TTL: u32 = 28 * 24 * 60 * 60;

/// Who sends, by the number that the browsers are told.
const SENDER: &str = "246813579";

/// What a browser may know of the project; it lets nobody send.
const API_KEY: &str = "stand-in-api-key";

/// A Firebase project, as a test sees it.
#[derive(Debug)]
pub struct Firebase {
    pub(super) account: Account,
    /// The project's own key, with which browsers subscribe.
    vapid: String,
    service: Arc<PushService>,
    state: Mutex<Project>,
}

#[derive(Debug, Default)]
struct Project {
    /// The installations' tokens by their ids.
    installations: HashMap<String, String>,
    registrations: HashMap<String, Registration>,
    failures: VecDeque<Refusal>,
    messages: Vec<Value>,
}

#[derive(Clone, Debug, Deserialize)]
struct Registration {
    endpoint: String,
    p256dh: String,
    auth: String,
    /// The key with which the browser has subscribed.
    #[serde(rename = "applicationPubKey")]
    key: String,
}

/// For tests.
impl Firebase {
    /// The project's configuration for web pages.
    pub fn web_config(&self) -> Value {
        json!({"apiKey": API_KEY, "appId": format!("1:{SENDER}:web:0"), "projectId": PROJECT,
            "messagingSenderId": SENDER, "vapidKey": self.vapid})
    }

    /// The key file of an account that may send.
    ///
    /// Errors: that of the key's encoding.
    pub fn key_file(&self) -> io::Result<Value> {
        self.account.key_file()
    }

    /// Every message of servers with a valid access token so far, oldest first, also those that
    /// were then refused.
    pub fn messages(&self) -> Vec<Value> {
        self.state().messages.clone()
    }

    /// How many registrations stand.
    pub fn registrations(&self) -> usize {
        self.state().registrations.len()
    }

    /// Ends every registration: senders are answered 404, `UNREGISTERED`.
    pub fn expire(&self) {
        self.state().registrations.clear();
    }

    /// Answers the next messages of servers, `times` of them, with this status and, in seconds,
    /// `Retry-After`.
    pub fn fail_next(&self, times: usize, status: StatusCode, retry_after: Option<u32>) {
        let failure = Refusal { status, reason: "UNAVAILABLE", retry_after };
        self.state().failures.extend(std::iter::repeat_n(failure, times));
    }

    pub(super) fn new(account: Account, service: Arc<PushService>) -> io::Result<Self> {
        let keys = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING);
        let keys = keys.map_err(io::Error::other)?;
        let vapid = BASE64_URL_SAFE_NO_PAD.encode(keys.public_key());
        Ok(Self { account, vapid, service, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, Project> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the SDK calls, and what servers call.
pub fn routes(firebase: Arc<Firebase>) -> Router {
    let project = format!("/v1/projects/{PROJECT}");
    Router::new()
        .route(&format!("{project}/installations"), post(install))
        .route(&format!("{project}/registrations"), post(register))
        .route(&format!("{project}/registrations/{{token}}"), patch(renew).delete(remove))
        .layer(CorsLayer::very_permissive())
        .route(&format!("{project}/messages:send"), post(send))
        .with_state(firebase)
}

#[derive(Deserialize)]
struct Installation {
    fid: String,
}

async fn install(
    State(firebase): State<Arc<Firebase>>,
    headers: HeaderMap,
    Json(Installation { fid }): Json<Installation>,
) -> Result<Json<Value>, Refused> {
    knows_project(&headers)?;
    let token = unique()?;
    let answer = json!({"name": format!("projects/{PROJECT}/installations/{fid}"), "fid": fid,
        "refreshToken": unique()?, "authToken": {"token": token, "expiresIn": "604800s"}});
    firebase.state().installations.insert(fid, token);
    Ok(Json(answer))
}

#[derive(Deserialize)]
struct Web {
    web: Registration,
}

async fn register(
    State(firebase): State<Arc<Firebase>>,
    headers: HeaderMap,
    Json(Web { web }): Json<Web>,
) -> Result<Json<Value>, Refused> {
    let fid = firebase.installation(&headers)?;
    firebase.accepts(&web)?;
    let token = format!("{fid}:{}", unique()?);
    firebase.state().registrations.insert(token.clone(), web);
    Ok(Json(json!({"token": token})))
}

async fn renew(
    State(firebase): State<Arc<Firebase>>,
    Path(token): Path<String>,
    headers: HeaderMap,
    Json(Web { web }): Json<Web>,
) -> Result<Json<Value>, Refused> {
    firebase.installation(&headers)?;
    firebase.accepts(&web)?;
    match firebase.state().registrations.get_mut(&token) {
        Some(registration) => *registration = web,
        None => return Err(Refused::UNREGISTERED),
    }
    Ok(Json(json!({"token": token})))
}

async fn remove(
    State(firebase): State<Arc<Firebase>>,
    Path(token): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refused> {
    firebase.installation(&headers)?;
    firebase.state().registrations.remove(&token);
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
struct Sent {
    message: Message,
}

/// What counts of a `Message` of FCM HTTP v1.
#[derive(Deserialize)]
struct Message {
    token: String,
    #[serde(default)]
    data: Map<String, Value>,
    #[serde(default)]
    webpush: Webpush,
}

#[derive(Default, Deserialize)]
struct Webpush {
    #[serde(default)]
    headers: HashMap<String, String>,
}

async fn send(
    State(firebase): State<Arc<Firebase>>,
    headers: HeaderMap,
    Json(sent): Json<Value>,
) -> Result<Json<Value>, Refused> {
    let bearer = check::header(&headers, AUTHORIZATION.as_str());
    let bearer = bearer.and_then(|text| text.strip_prefix("Bearer "));
    if !bearer.is_some_and(|token| firebase.account.has_given(token)) {
        return Err(Refused(Refusal::new(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED")));
    }
    let mut project = firebase.state();
    project.messages.push(sent.clone());
    if let Some(failure) = project.failures.pop_front() {
        return Err(Refused(failure));
    }
    let Sent { message } = serde_json::from_value(sent).map_err(|_| Refused::INVALID)?;
    let registration = project.registrations.get(&message.token).cloned();
    let registration = registration.ok_or(Refused::UNREGISTERED)?;
    let id = message.pass_on(&registration, &firebase.service)?;
    Ok(Json(json!({"name": format!("projects/{PROJECT}/messages/{id}")})))
}

impl Message {
    /// Encrypts what the browser will be told and hands it to its push service.
    fn pass_on(self, to: &Registration, service: &PushService) -> Result<String, Refused> {
        let length = |(name, value): (&String, &Value)| Some(name.len() + value.as_str()?.len());
        let length: Option<usize> = self.data.iter().map(length).sum();
        if length.is_none_or(|length| length > MAX_DATA) {
            return Err(Refused::INVALID);
        }
        let header = |name: &str| {
            let mut headers = self.webpush.headers.iter();
            headers.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
        };
        let ttl = header("TTL").map_or(Ok(USUAL_TTL), |ttl| ttl.parse());
        let ttl = ttl.map_err(|_| Refused::INVALID)?;
        let is_high = header("Urgency").is_some_and(|urgency| urgency == "high");
        let priority = if is_high { "high" } else { "normal" };
        let told = json!({"data": self.data, "from": SENDER, "fcmMessageId": unique()?,
            "priority": priority});
        let body = to.encrypt(told.to_string().into_bytes()).ok_or(Refused::INVALID)?;
        let subscription = to.endpoint.rsplit('/').next().unwrap_or_default();
        service.deliver(subscription, ttl, body).map_err(|_| Refused::UNREGISTERED)
    }
}

impl Registration {
    fn encrypt(&self, plaintext: Vec<u8>) -> Option<Vec<u8>> {
        encrypt(plaintext, &self.p256dh, &self.auth)
    }
}

impl Firebase {
    /// Errors: 400 for keys that are none, or for a subscription made with another key.
    fn accepts(&self, registration: &Registration) -> Result<(), Refused> {
        let can_encrypt = registration.encrypt(Vec::new()).is_some();
        let fits = can_encrypt && registration.key == self.vapid;
        fits.then_some(()).ok_or(Refused::INVALID)
    }

    /// The installation that asks.
    ///
    /// Errors: 401 when it is none of this project.
    fn installation(&self, headers: &HeaderMap) -> Result<String, Refused> {
        knows_project(headers)?;
        let token = check::header(headers, "x-goog-firebase-installations-auth");
        let token = token.and_then(|text| text.strip_prefix("FIS ")).unwrap_or_default();
        let project = self.state();
        let mut installations = project.installations.iter();
        let found = installations.find(|(_, issued)| *issued == token);
        let unknown = Refusal::new(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED");
        found.map(|(fid, _)| fid.clone()).ok_or(Refused(unknown))
    }
}

fn knows_project(headers: &HeaderMap) -> Result<(), Refused> {
    match check::header(headers, "x-goog-api-key") {
        Some(API_KEY) => Ok(()),
        _ => Err(Refused(Refusal::new(StatusCode::FORBIDDEN, "PERMISSION_DENIED"))),
    }
}

/// A refusal in the form of Google's interfaces.
struct Refused(Refusal);

impl Refused {
    const INVALID: Self = Self(Refusal::new(StatusCode::BAD_REQUEST, "INVALID_ARGUMENT"));
    const UNREGISTERED: Self = Self(Refusal::new(StatusCode::NOT_FOUND, "UNREGISTERED"));
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self(refusal)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Self(refusal) = self;
        let Refusal { status, reason, .. } = refusal;
        let kind = "type.googleapis.com/google.firebase.fcm.v1.FcmError";
        let error = json!({"error": {"code": status.as_u16(), "status": reason,
            "details": [{"@type": kind, "errorCode": reason}]}});
        (status, refusal.wait(), Json(error)).into_response()
    }
}
