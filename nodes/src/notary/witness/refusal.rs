//! Why a witness does not co-sign, with the statuses of C2SP tlog-witness.

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use hdms::Error;

use crate::base::http::problem::Problem;

/// The media type of a size (C2SP tlog-witness).
pub const SIZE: &str = "text/x.tlog.size";

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WitnessRefusal {
    /// The body is not one, or its old size is larger than the new one.
    Malformed,
    /// No notary that is a member now has such a log.
    UnknownLog,
    /// The log has not signed it.
    NotSigned,
    /// The old size is not this one, which was last co-signed, or another root was.
    OtherSize(u64),
    /// The consistency proof does not hold.
    Unproven,
    /// Any other, as all nodes answer it.
    Other(Error),
}

impl From<Error> for WitnessRefusal {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl IntoResponse for WitnessRefusal {
    fn into_response(self) -> Response {
        let (status, sentence) = match self {
            Self::Malformed => {
                (StatusCode::BAD_REQUEST, "This is no submission of a checkpoint.\n")
            }
            Self::UnknownLog => (StatusCode::NOT_FOUND, "No member has a log of this origin.\n"),
            Self::NotSigned => (StatusCode::FORBIDDEN, "The log has not signed this.\n"),
            Self::Unproven => {
                (StatusCode::UNPROCESSABLE_ENTITY, "The consistency proof does not hold.\n")
            }
            Self::OtherSize(size) => {
                let headers = [(CONTENT_TYPE, SIZE)];
                return (StatusCode::CONFLICT, headers, format!("{size}\n")).into_response();
            }
            Self::Other(error) => return Problem::from(error).into_response(),
        };
        (status, sentence).into_response()
    }
}
