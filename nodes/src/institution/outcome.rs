//! Refusals on FHIR paths: an OperationOutcome (FHIR R4, 2.1.0 "RESTful API", rejecting).

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use hdms::Error;
use serde_json::json;

/// The media type of FHIR JSON.
pub const FHIR_JSON: &str = "application/fhir+json";

/// A refusal as a FHIR server gives it: `issue.details.coding.code` is the stable code.
#[derive(Clone, Copy, Debug)]
pub struct OperationOutcome {
    /// Its code.
    pub error: Error,
    /// What makes this case of it special, if anything does.
    pub diagnostics: Option<&'static str>,
}

impl OperationOutcome {
    /// With what makes this case of it special.
    pub fn explained(error: Error, diagnostics: &'static str) -> Self {
        Self { error, diagnostics: Some(diagnostics) }
    }
}

impl From<Error> for OperationOutcome {
    fn from(error: Error) -> Self {
        Self { error, diagnostics: None }
    }
}

impl IntoResponse for OperationOutcome {
    fn into_response(self) -> Response {
        let Self { error, diagnostics } = self;
        let mut outcome = json!({
            "resourceType": "OperationOutcome",
            "issue": [{
                "severity": "error",
                "code": issue_type(error),
                "details": {
                    "coding": [{"system": "urn:hdms:error", "code": error.code()}],
                    "text": error.sentence(),
                },
            }],
        });
        if let Some(text) = diagnostics {
            outcome["issue"][0]["diagnostics"] = text.into();
        }
        let status =
            StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, [(CONTENT_TYPE, FHIR_JSON)], outcome.to_string()).into_response()
    }
}

/// The code of FHIR's value set `issue-type`.
fn issue_type(error: Error) -> &'static str {
    match error.status() {
        401 => "login",
        403 => "forbidden",
        404 => "not-found",
        405 => "not-supported",
        409 => "conflict",
        413 => "too-long",
        400 | 422 => "invalid",
        429 => "throttled",
        503 | 504 => "transient",
        _ => "exception",
    }
}
