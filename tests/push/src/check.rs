//! What a push service checks before it takes a message (RFC 8030, 8188, 8291, 8292).

use aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED;
use axum::http::header::{AUTHORIZATION, CONTENT_ENCODING, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{AppendHeaders, IntoResponse, Response};

use crate::jwt::{self, Jwt};

/// The largest content that services take (RFC 8030, section 7.2).
const MAX_CONTENT: usize = 4096;

/// How far ahead VAPID's `exp` may lie (RFC 8292, section 2), in seconds.
const MAX_AHEAD: u64 = 24 * 60 * 60;

/// The longest that Mozilla's and Google's services keep a message, in seconds.
const MAX_TTL: u32 = 28 * 24 * 60 * 60;

/// Salt, record size, the length of the key and an uncompressed point of P-256 (RFC 8188, section
/// 2.1), then at least a delimiter and a tag.
const ENCRYPTED: std::ops::RangeInclusive<usize> = 16 + 4 + 1 + POINT + 17..=MAX_CONTENT;

/// An uncompressed point of P-256.
pub const POINT: usize = 65;

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The answer's status.
    pub status: StatusCode,
    /// A word for whoever debugs the sender.
    pub reason: &'static str,
    /// Seconds to wait.
    pub retry_after: Option<u32>,
}

impl Refusal {
    pub(crate) const fn new(status: StatusCode, reason: &'static str) -> Self {
        Self { status, reason, retry_after: None }
    }

    pub(crate) fn wait(&self) -> AppendHeaders<Option<(HeaderName, String)>> {
        AppendHeaders(self.retry_after.map(|seconds| (RETRY_AFTER, seconds.to_string())))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, self.wait(), self.reason).into_response()
    }
}

/// Whether whoever sends holds `key`, the P-256 point with which the subscription was made, and
/// means this service, whose endpoints have one of the origins `audiences` (RFC 8292).
///
/// Errors: 401 without a valid token of a sender; 403 for that of another one.
pub fn vapid(headers: &HeaderMap, audiences: &[String], key: &[u8]) -> Result<(), Refusal> {
    let refused = |reason| Refusal::new(StatusCode::UNAUTHORIZED, reason);
    let (scheme, parameters) = header(headers, AUTHORIZATION.as_str())
        .and_then(|text| text.split_once(' '))
        .ok_or(refused("no authorization"))?;
    if !scheme.eq_ignore_ascii_case("vapid") {
        return Err(refused("not by VAPID"));
    }
    let parameter = |name: &str| {
        let mut parameters = parameters.split(',').filter_map(|one| one.trim().split_once('='));
        parameters.find(|(found, _)| *found == name).map(|(_, value)| value)
    };
    let token = parameter("t").and_then(Jwt::parse).ok_or(refused("no token"))?;
    let sender = parameter("k").and_then(jwt::decode).ok_or(refused("no key"))?;
    if !token.is_signed("ES256", &ECDSA_P256_SHA256_FIXED, &sender) {
        return Err(refused("wrong signature"));
    }
    if !audiences.iter().any(|audience| audience == token.claim("aud")) {
        return Err(refused("wrong audience"));
    }
    if !token.is_current(MAX_AHEAD) {
        return Err(refused("expired, or valid for too long"));
    }
    let contact = token.claim("sub");
    if !["mailto:", "https://"].iter().any(|scheme| contact.starts_with(scheme)) {
        return Err(refused("no contact"));
    }
    if sender != key {
        return Err(Refusal::new(StatusCode::FORBIDDEN, "not the subscription's sender"));
    }
    Ok(())
}

/// The seconds for which the message may wait (RFC 8030, section 5.2).
///
/// Errors: 400 when they are missing.
pub fn time_to_live(headers: &HeaderMap) -> Result<u32, Refusal> {
    let ttl: Option<u32> = header(headers, "ttl").and_then(|ttl| ttl.parse().ok());
    ttl.map(|ttl| ttl.min(MAX_TTL)).ok_or(Refusal::new(StatusCode::BAD_REQUEST, "no TTL"))
}

/// Whether the message is small enough and, as far as can be seen from outside, encrypted to a
/// browser (RFC 8291, section 4).
///
/// Errors: 413 or 400.
pub fn content(headers: &HeaderMap, body: &[u8]) -> Result<(), Refusal> {
    let refused = |reason| Err(Refusal::new(StatusCode::BAD_REQUEST, reason));
    if body.len() > MAX_CONTENT {
        return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "too large"));
    }
    if body.is_empty() {
        return Ok(());
    }
    if header(headers, CONTENT_ENCODING.as_str()) != Some("aes128gcm") {
        return refused("not encoded as aes128gcm");
    }
    if !ENCRYPTED.contains(&body.len()) || usize::from(body[20]) != POINT || body[21] != 4 {
        return refused("not encrypted to a browser");
    }
    Ok(())
}

/// Whether what is said of urgency and topic can be understood (RFC 8030, sections 5.3 and 5.4).
///
/// Errors: 400.
pub fn manners(headers: &HeaderMap) -> Result<(), Refusal> {
    let urgencies = ["very-low", "low", "normal", "high"];
    if header(headers, "urgency").is_some_and(|urgency| !urgencies.contains(&urgency)) {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "unknown urgency"));
    }
    let is_topic = |topic: &str| topic.len() <= 32 && jwt::decode(topic).is_some();
    if header(headers, "topic").is_some_and(|topic| !is_topic(topic)) {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "no topic"));
    }
    Ok(())
}

/// A header that is a text.
pub fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
