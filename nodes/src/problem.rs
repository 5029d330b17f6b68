//! Refusals over HTTP: `application/problem+json` (RFC 9457), the same from every native node.

use axum::body::{Body, Bytes, to_bytes};
use axum::http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use hdms::Error;
use serde::{Deserialize, Serialize};

/// The media type of a refusal.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// A refusal as an HTTP answer: the status of its code, and [`ProblemDocument`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Problem(pub Error);

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

/// The members of a refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ProblemDocument {
    /// `urn:hdms:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The HTTP status in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened and what to do about it.
    pub detail: String,
    /// The stable code.
    pub code: String,
}

impl From<Error> for ProblemDocument {
    fn from(error: Error) -> Self {
        Self {
            kind: format!("urn:hdms:{}", error.code()),
            title: status(error).canonical_reason().unwrap_or("Refused").into(),
            status: error.status(),
            detail: error.sentence().into(),
            code: error.code().into(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let document = ProblemDocument::from(self.0);
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = (status(self.0), body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        // RFC 9110 section 11.6.1: what to come back with.
        let scheme = match self.0 {
            Error::RequestProofInvalid => "HDMS-Proof",
            Error::Unauthorised => "Bearer",
            _ => return response,
        };
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(scheme));
        response
    }
}

/// The whole body of a request, or `too_large` when it has more than `limit` bytes.
/// [`Error::CommandMalformed`] when it breaks off.
pub async fn read_body(body: Body, limit: usize, too_large: Error) -> Result<Bytes, Error> {
    to_bytes(body, limit).await.map_err(|error| {
        let limited = std::error::Error::source(&error)
            .is_some_and(|source| source.is::<http_body_util::LengthLimitError>());
        if limited { too_large } else { Error::CommandMalformed }
    })
}

/// For an address that the node does not have.
pub async fn not_found() -> Problem {
    Problem(Error::NotFound)
}

/// For a method that the address does not have.
pub async fn method_not_allowed() -> Problem {
    Problem(Error::MethodNotAllowed)
}

fn status(error: Error) -> StatusCode {
    StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
