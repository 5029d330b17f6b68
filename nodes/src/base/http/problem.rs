//! Refusals over HTTP: `application/problem+json` (RFC 9457), the same from every native node.

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use hdms::Error;
use hdms::card::VerifiedCard;
use serde::{Deserialize, Serialize};

/// The media type of a refusal.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// After how many seconds to ask a node again that does not serve yet.
pub const NOT_YET: u64 = 30;

/// A refusal as an HTTP answer: the status of its code, and [`ProblemDocument`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Its code.
    pub error: Error,
    /// What a person gave as the reason, or what a node waits for that does not serve yet.
    pub reason: Option<String>,
    /// After how many seconds to ask again, where the other side says so.
    pub retry_after: Option<u64>,
    /// The card of the node that refused, with [`Error::FormerKey`].
    pub card: Option<String>,
    /// The member or parameter that was refused, with [`Error::CommandMalformed`] and
    /// [`Error::TypeNotAllowed`].
    pub field: Option<String>,
}

impl Problem {
    /// That this member or parameter of a request is missing, or says what makes no sense.
    pub fn of_field(field: &str) -> Self {
        Self { field: Some(field.to_owned()), ..Error::CommandMalformed.into() }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self { error, reason: None, retry_after: None, card: None, field: None }
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        problem.error
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
    /// What the operator gave as the reason, where a person decided.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// The newest card of the node that refused, with `envelope/former-key`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub card: Option<String>,
    /// The member or parameter that was refused, with `api/malformed` and `treatment/type-not-allowed`,
    /// where it is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub field: Option<String>,
}

impl From<Problem> for ProblemDocument {
    fn from(Problem { error, reason, card, field, .. }: Problem) -> Self {
        Self {
            kind: format!("urn:hdms:{}", error.code()),
            title: status(error).canonical_reason().unwrap_or("Refused").into(),
            status: error.status(),
            detail: error.sentence().into(),
            code: error.code().into(),
            reason,
            card,
            field,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (error, retry_after) = (self.error, self.retry_after.or(retry_after(self.error)));
        let mut response = answer(status(error), &self.into(), retry_after);
        // RFC 9110 section 11.6.1: what to come back with.
        let scheme = match error {
            Error::RequestProofInvalid => "HDMS-Proof",
            Error::Unauthorised => "Bearer",
            _ => return response,
        };
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(scheme));
        response
    }
}

/// The answer of a node that does not serve yet: 503, with a code that ends nothing of what is sent to
/// it. What it waits for itself is no answer to that, and stands as the reason.
pub fn not_yet(why: Error) -> Response {
    let status = StatusCode::SERVICE_UNAVAILABLE;
    let problem = match why {
        Error::AdmissionPending => why.into(),
        why => Problem { reason: Some(why.to_string()), ..Error::NodeBusy.into() },
    };
    let title = status.canonical_reason().unwrap_or_default().into();
    let document = ProblemDocument { title, status: status.as_u16(), ..problem.into() };
    answer(status, &document, Some(NOT_YET))
}

fn answer(status: StatusCode, document: &ProblemDocument, retry_after: Option<u64>) -> Response {
    let body = serde_json::to_vec(document).unwrap_or_default();
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    if let Some(seconds) = retry_after {
        headers.insert(RETRY_AFTER, seconds.into());
    }
    response
}

/// The refusal; of a former key with the card that names the present one.
pub fn with_card(error: Error, own: &VerifiedCard) -> Problem {
    let card = (error == Error::FormerKey).then(|| own.jwt().to_owned());
    Problem { card, ..error.into() }
}

/// After how many seconds it makes sense to ask again: with every refusal that is over by itself,
/// when too much was asked or the node can't answer just now.
pub fn retry_after(error: Error) -> Option<u64> {
    match (error, error.status()) {
        (Error::TooManyRequests, _) => Some(60),
        // An address may have one more of its 20 a day.
        (Error::TooManyChanges, _) => Some(72 * 60),
        (Error::EntryQuota, _) => Some(300),
        // A patient may ask for one more of 100 treatments a day; longer counts for nothing.
        (Error::CaseQuota, _) => Some(15 * 60),
        (_, 429) => Some(30),
        (_, 503) => Some(5),
        _ => None,
    }
}

/// When it makes sense to ask again for what was refused with one of these codes for now, as a header.
pub fn pause<'a>(refused: impl Iterator<Item = &'a str>) -> Option<[(HeaderName, String); 1]> {
    let pauses = refused.filter_map(|code| Error::from_code(code).and_then(retry_after));
    Some([(RETRY_AFTER, pauses.max()?.to_string())])
}

/// For an address that the node does not have.
pub async fn not_found() -> Problem {
    Error::NotFound.into()
}

/// For a method that the address does not have.
pub async fn method_not_allowed() -> Problem {
    Error::MethodNotAllowed.into()
}

fn status(error: Error) -> StatusCode {
    StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::{ProblemDocument, not_yet};
    use axum::body::to_bytes;
    use hdms::Error;

    #[tokio::test]
    async fn a_node_that_does_not_serve_yet_ends_nothing_of_what_is_sent_to_it() {
        for why in Error::ALL {
            let answer = not_yet(*why);
            assert_eq!(answer.status(), 503);
            let body = to_bytes(answer.into_body(), 4096).await.unwrap();
            let problem: ProblemDocument = serde_json::from_slice(&body).unwrap();
            let code = Error::from_code(&problem.code).unwrap();
            assert!(!code.is_permanent() && !code.is_permanent_for_deposits(), "{why:?}");
            let said = [Some(problem.code), problem.reason].into_iter().flatten();
            assert!(said.into_iter().any(|text| text.starts_with(why.code())), "{why:?}");
        }
    }
}
