//! Check-in, which gives a browser an identity, and registration, which gives it subscriptions.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Form, Router, routing::post};
use prost::Message as _;
use serde::Deserialize;

use crate::check::{self, Refusal};
use crate::service::PushService;

/// The browsers that have checked in, each with its secret.
pub struct Devices {
    pub service: Arc<PushService>,
    secrets: Mutex<HashMap<u64, u64>>,
}

impl Devices {
    pub fn new(service: Arc<PushService>) -> Self {
        Self { service, secrets: Mutex::default() }
    }

    /// Whether this browser, by its decimal id and secret, has checked in.
    pub fn are_known(&self, id: &str, secret: &str) -> bool {
        let (Ok(id), Ok(secret)) = (id.parse(), secret.parse()) else { return false };
        let secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        secrets.get(&id) == Some(&secret)
    }

    /// A browser's identity: the one that it says it has, else a new one.
    fn check_in(&self, id: u64, secret: u64) -> Result<(u64, u64), Refusal> {
        if self.are_known(&id.to_string(), &secret.to_string()) {
            return Ok((id, secret));
        }
        let (id, secret) = (random()?, random()?);
        self.admit(id, secret);
        Ok((id, secret))
    }

    pub(super) fn admit(&self, id: u64, secret: u64) {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner).insert(id, secret);
    }
}

pub fn routes(devices: Arc<Devices>) -> Router {
    Router::new()
        .route("/checkin", post(check_in))
        .route("/register", post(register))
        .with_state(devices)
}

/// What counts of Chromium's `AndroidCheckinRequest` (google_apis/gcm/protocol/checkin.proto).
#[derive(prost::Message)]
pub struct CheckinRequest {
    #[prost(int64, tag = "2")]
    id: i64,
    #[prost(fixed64, tag = "13")]
    security_token: u64,
}

/// `AndroidCheckinResponse`.
#[derive(prost::Message)]
pub struct CheckinResponse {
    #[prost(bool, required, tag = "1")]
    stats_ok: bool,
    #[prost(int64, tag = "3")]
    time_msec: i64,
    #[prost(fixed64, tag = "7")]
    android_id: u64,
    #[prost(fixed64, tag = "8")]
    security_token: u64,
    #[prost(string, tag = "11")]
    version_info: String,
}

async fn check_in(State(devices): State<Arc<Devices>>, body: Bytes) -> Result<Response, Refusal> {
    let malformed = |_| Refusal::new(StatusCode::BAD_REQUEST, "no check-in");
    let request = CheckinRequest::decode(body).map_err(malformed)?;
    let (android_id, security_token) =
        devices.check_in(request.id.cast_unsigned(), request.security_token)?;
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let response = CheckinResponse {
        stats_ok: true,
        time_msec: i64::try_from(since.as_millis()).unwrap_or_default(),
        android_id,
        security_token,
        version_info: "stand-in".into(),
    };
    Ok(([(CONTENT_TYPE, "application/x-protobuf")], response.encode_to_vec()).into_response())
}

/// What counts of a registration; the sender is the application server's key.
#[derive(Deserialize)]
struct Registration {
    app: String,
    #[serde(rename = "X-subtype")]
    subtype: String,
    device: String,
    #[serde(default)]
    sender: String,
    #[serde(default)]
    delete: bool,
}

async fn register(
    State(devices): State<Arc<Devices>>,
    headers: HeaderMap,
    Form(registration): Form<Registration>,
) -> Result<String, Refusal> {
    let login = check::header(&headers, AUTHORIZATION.as_str())
        .and_then(|text| text.strip_prefix("AidLogin "))
        .and_then(|login| login.split_once(':'));
    let Registration { app, subtype, device, sender, delete } = registration;
    if !login.is_some_and(|(id, secret)| id == device && devices.are_known(id, secret)) {
        return Err(Refusal::new(StatusCode::UNAUTHORIZED, "not checked in"));
    }
    let channel = channel(&app, &subtype);
    if delete {
        devices.service.unsubscribe(&device, &channel);
        return Ok(format!("token={subtype}"));
    }
    let token = devices.service.subscribe(&device, channel, &sender)?;
    Ok(format!("token={token}"))
}

/// Which product of Google's a subscription belongs to, and what it is called there.
pub fn channel(app: &str, subtype: &str) -> String {
    format!("{app} {subtype}")
}

/// What is neither zero nor negative as a signed number.
fn random() -> Result<u64, Refusal> {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "no randomness"))?;
    Ok((u64::from_be_bytes(bytes) >> 1).max(1))
}
