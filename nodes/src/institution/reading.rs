//! What the HIS asks, as it is read off bodies and queries. A refusal names what it is about.

use std::error::Error as StdError;
use std::fmt::Display;
use std::iter;

use axum::body::Body;
use axum::extract::Query;
use axum::http::Uri;
use hdms::Error;
use hdms::ids::{CaseId, MessageId};
use hdms::ledger::Commitment;
use serde::de::{DeserializeOwned, value};
use serde_path_to_error::Error as Located;

use super::views::PageQuery;
use crate::base::http::bodies::read_body;
use crate::base::http::problem::Problem;

/// Largest body of a decision, bytes.
const MAX_DECISION: usize = 65_536;

/// Rows on a page when the query says nothing, and the most.
pub const PAGE: (usize, usize) = (100, 1000);

/// Longest name of a member that a refusal repeats, characters.
const MAX_FIELD: usize = 64;

/// A decision of the HIS's. [`Error::BodyTooLarge`], [`Error::CommandMalformed`].
pub async fn decision<T: DeserializeOwned>(body: Body) -> Result<T, Problem> {
    let body = read_body(body, MAX_DECISION, Error::BodyTooLarge).await?;
    let mut json = serde_json::Deserializer::from_slice(&body);
    let decision = serde_path_to_error::deserialize(&mut json).map_err(|why| malformed(&why))?;
    json.end().map_err(|_| Error::CommandMalformed)?;
    Ok(decision)
}

/// The parameters of a query. [`Error::CommandMalformed`].
pub fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Problem> {
    let read = Query::try_from_uri(uri).map(|Query(query)| query);
    read.map_err(|rejection| {
        let mut causes = iter::successors(rejection.source(), |cause| (*cause).source());
        let why = causes.find_map(|cause| cause.downcast_ref());
        why.map_or(Error::CommandMalformed.into(), malformed::<value::Error>)
    })
}

/// With the member or parameter that is missing, is none, or has another form.
fn malformed<E: Display>(why: &Located<E>) -> Problem {
    let (said, path) = (why.inner().to_string(), why.path().to_string());
    let named = ["missing", "unknown", "duplicate"]
        .iter()
        .find_map(|what| said.strip_prefix(what)?.strip_prefix(" field `")?.split('`').next());
    let field: String = named.unwrap_or(&path).chars().take(MAX_FIELD).collect();
    // A path of no parts, or of one that nobody knows: it is no object, or no JSON.
    let is_member = field != "." && field != "?";
    if is_member { Problem::of_field(&field) } else { Error::CommandMalformed.into() }
}

/// What may not be empty. [`Error::CommandMalformed`].
pub fn filled<'a>(field: &str, text: &'a str) -> Result<&'a str, Problem> {
    if text.trim().is_empty() { Err(Problem::of_field(field)) } else { Ok(text) }
}

/// After what, and how many. [`Error::CommandMalformed`] for an id of another form.
pub fn page(uri: &Uri, is_id: fn(&str) -> bool) -> Result<(String, usize), Problem> {
    let PageQuery { after, limit: most } = query(uri)?;
    let fits = after.as_deref().is_none_or(is_id);
    let after = after.unwrap_or_default();
    if fits { Ok((after, limit(most)?)) } else { Err(Problem::of_field("after")) }
}

/// How many, by what the query says. [`Error::CommandMalformed`] for none or too many.
pub fn limit(most: Option<usize>) -> Result<usize, Problem> {
    let most = most.unwrap_or(PAGE.0);
    if (1..=PAGE.1).contains(&most) { Ok(most) } else { Err(Problem::of_field("limit")) }
}

/// Ends a page of which one more was read, and the last on it, unless nothing follows.
pub fn ended<T>(found: &mut Vec<T>, limit: usize) -> Option<&T> {
    let goes_on = found.len() > limit;
    found.truncate(limit);
    found.last().filter(|_| goes_on)
}

/// The case that a path names. [`Error::UnknownCase`].
pub fn case_id(text: &str) -> Result<CaseId, Error> {
    text.parse().map_err(|_| Error::UnknownCase)
}

/// Whether this is the id of a message.
pub fn is_message(id: &str) -> bool {
    id.parse::<MessageId>().is_ok()
}

/// Whether this is a digest.
pub fn is_digest(id: &str) -> bool {
    Commitment::try_from(id.to_owned()).is_ok()
}
