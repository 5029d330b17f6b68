//! What a record claims: its payload with what was disclosed, in the form that its format asks for.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::sdjwt::{self, Parts, Processed};
use super::{KIND, Record, format_1};
use crate::error::Error;
use crate::fhir::resource;
use crate::jose::jws::{self, Unverified};
use crate::json;
use crate::jwk::EcJwk;

/// Seconds of a day: `iat` is a multiple of it.
pub(super) const DAY: u64 = 86_400;

/// What may stand in the open, and what of the content.
const OPEN: &[&str] = &[sdjwt::DIGESTS, sdjwt::ALGORITHM, "iss", "iat", "cnf", "fhir"];
const OPEN_OF_CONTENT: &[&str] = &[sdjwt::DIGESTS, "resourceType"];
const OPEN_OF_KEY: &[&str] = &["kty", "crv", "x", "y"];

/// Claims that may be disclosed; all else at the top level must stand in the open.
const CONCEALED: &[&str] = &["sub", "case", "kinds", "codes", "year", "age"];

/// The format of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// See [`format_1`].
    One,
    /// The one that is issued.
    Two,
}

/// The signed JWT of a record of either format. [`Error::RecordMalformed`], [`Error::AlgorithmRefused`].
pub(super) fn unverified(jwt: &str) -> Result<(Format, Unverified), Error> {
    let malformed = Error::RecordMalformed;
    let header = jwt.split('.').next().map(|header| jws::parse_header(header, malformed));
    let (format, kind) = match header {
        Some(Ok(header)) if header["typ"] == format_1::KIND.typ => (Format::One, &format_1::KIND),
        _ => (Format::Two, &KIND),
    };
    Ok((format, Unverified::parse(jwt, kind, malformed)?))
}

/// What a record's payload says with its disclosures. [`Error::RecordMalformed`], [`Error::RecordForged`].
pub(super) fn processed(
    format: Format,
    payload: Map<String, Value>,
    record: &Record,
) -> Result<Processed, Error> {
    let disclosures = Parts::parse(record.compact())?.disclosures();
    sdjwt::process(payload, disclosures, format == Format::Two)
}

#[derive(Clone, Deserialize)]
pub(super) struct Claims {
    pub(super) iss: String,
    pub(super) iat: u64,
    pub(super) cnf: Option<Confirmation>,
    pub(super) sub: Option<String>,
    pub(super) case: Option<String>,
    order: Option<Map<String, Value>>,
    pub(super) kinds: Option<Vec<String>>,
    pub(super) codes: Option<Vec<String>>,
    pub(super) year: Option<u32>,
    pub(super) age: Option<u32>,
}

/// RFC 7800 section 3.2.
#[derive(Clone, Deserialize)]
pub(super) struct Confirmation {
    pub(super) jwk: EcJwk,
}

impl Claims {
    /// The claims of a record with what its disclosures say, and its content in its author's order.
    /// [`Error::RecordMalformed`], [`Error::RecordForged`].
    pub(super) fn of(
        (format, payload): (Format, Value),
        record: &Record,
        longest_name: usize,
    ) -> Result<(Self, Value), Error> {
        let malformed = Error::RecordMalformed;
        let Value::Object(payload) = payload else { return Err(malformed) };
        if format == Format::Two && !is_closed(&payload) {
            return Err(malformed);
        }
        let own = |name: &&String| *name != sdjwt::DIGESTS && *name != sdjwt::ALGORITHM;
        let open = payload.keys().filter(own).count();
        let mut claims = processed(format, payload, record)?.claims;
        let concealed = match format {
            Format::One => format_1::CONCEALED,
            Format::Two => CONCEALED,
        };
        // What stood in the open comes first.
        let only_concealed =
            claims.keys().skip(open).all(|name| concealed.contains(&name.as_str()));
        // Taken out first: to read it with the rest would write its numbers anew.
        let mut fhir = claims.shift_remove("fhir").ok_or(malformed)?;
        if !only_concealed || !resource::has_element_names(&fhir, longest_name) {
            return Err(malformed);
        }
        let claims: Self = json::read(Value::Object(claims), malformed)?;
        if let Some(order) = &claims.order {
            format_1::reorder(&mut fhir, order);
        }
        Ok((claims, fhir))
    }
}

/// Whether nothing but author, holder, day and structure stands in the open.
fn is_closed(payload: &Map<String, Value>) -> bool {
    let has_only = |members: &Map<String, Value>, names: &[&str]| {
        members.keys().all(|name| names.contains(&name.as_str()))
    };
    let is_typed = |content: &Value| {
        resource::kind(content).is_some()
            && content.as_object().is_some_and(|content| has_only(content, OPEN_OF_CONTENT))
    };
    // A key that is disclosed could be another one for each reader.
    let names_holder = |confirmation: &Value| {
        let key = confirmation.get("jwk").and_then(Value::as_object);
        confirmation.as_object().is_some_and(|it| has_only(it, &["jwk"]))
            && key.is_some_and(|key| has_only(key, OPEN_OF_KEY))
    };
    let issued = payload.get("iat").and_then(Value::as_u64);
    has_only(payload, OPEN)
        && payload.get("fhir").is_some_and(is_typed)
        && payload.get("cnf").is_none_or(names_holder)
        && issued.is_some_and(|issued| issued.is_multiple_of(DAY))
}
