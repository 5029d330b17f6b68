//! What a record claims: its payload with what was disclosed, in the form that its format asks for.

use std::collections::BinaryHeap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::sdjwt::{self, DecoySeed, Parts, Processed, Profile, Withheld};
use super::{KIND, Record, format_1};
use crate::error::Error;
use crate::fhir::resource;
use crate::jose::jws::Unverified;
use crate::json;
use crate::jwk::EcJwk;

/// Seconds of a day: `iat` is a multiple of it.
pub(super) const DAY: u64 = 86_400;

/// Digests of the claims that may be disclosed, decoys among them.
pub(super) const DIGESTS: usize = 8;

/// What may stand in the open, and what of the content.
const OPEN: &[&str] = &[sdjwt::DIGESTS, sdjwt::ALGORITHM, "iss", "iat", "cnf", "fhir"];
const OPEN_OF_CONTENT: &[&str] = &[sdjwt::DIGESTS, "resourceType"];
const OPEN_OF_KEY: &[&str] = &["kty", "crv", "x", "y"];

/// Claims that may be disclosed; all else at the top level must stand in the open.
const CONCEALED: &[&str] = &["sub", "case", "kinds", "codes", "year", "age", DECOYS];

/// The seed of the decoys: who discloses it says that nothing is withheld.
pub(super) const DECOYS: &str = "decoys";

/// The format of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// See [`format_1`].
    One,
    /// The one that is issued.
    Two,
}

impl Format {
    fn profile(self) -> Profile {
        match self {
            Format::One => Profile::Plain,
            Format::Two => Profile::Ordered,
        }
    }
}

/// The signed JWT of a record of either format. [`Error::RecordMalformed`], [`Error::AlgorithmRefused`].
pub(super) fn unverified(jwt: &str) -> Result<(Format, Unverified), Error> {
    let kinds = [KIND, format_1::KIND];
    let signed = Unverified::parse_one_of(jwt, &kinds, Error::RecordMalformed)?;
    let is_former = signed.header().typ.as_deref() == Some(format_1::KIND.typ);
    Ok((if is_former { Format::One } else { Format::Two }, signed))
}

/// What a record's payload says with its disclosures. [`Error::RecordMalformed`], [`Error::RecordForged`].
pub(super) fn processed(
    format: Format,
    payload: Map<String, Value>,
    record: &Record,
) -> Result<Processed, Error> {
    let disclosures = Parts::parse(record.compact())?.disclosures();
    sdjwt::process(payload, disclosures, format.profile())
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
    decoys: Option<String>,
}

/// RFC 7800 section 3.2.
#[derive(Clone, Deserialize)]
pub(super) struct Confirmation {
    pub(super) jwk: EcJwk,
}

/// What a record says.
#[derive(Clone)]
pub(super) struct Said {
    pub(super) format: Format,
    pub(super) claims: Claims,
    /// The content in its author's order.
    pub(super) fhir: Value,
    /// Whether nothing was withheld but perhaps the case.
    pub(super) whole: bool,
}

impl Said {
    /// What a record says with its disclosures.
    /// [`Error::RecordMalformed`], [`Error::RecordForged`], [`Error::RecordIncomplete`].
    pub(super) fn of(
        (format, payload): (Format, Value),
        record: &Record,
        longest_name: usize,
    ) -> Result<Self, Error> {
        let malformed = Error::RecordMalformed;
        let Value::Object(payload) = payload else { return Err(malformed) };
        if format == Format::Two && !is_closed(&payload) {
            return Err(malformed);
        }
        let own = |name: &&String| *name != sdjwt::DIGESTS && *name != sdjwt::ALGORITHM;
        let open = payload.keys().filter(own).count();
        let Processed { mut claims, withheld, .. } = processed(format, payload, record)?;
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
        let claims: Claims = json::read(Value::Object(claims), malformed)?;
        if let Some(order) = &claims.order {
            format_1::reorder(&mut fhir, order);
        }
        let whole = claims.is_whole(&withheld)?;
        Ok(Self { format, claims, fhir, whole })
    }
}

impl Claims {
    /// Whether each of these digests is a decoy, but for that of the case where that is not disclosed.
    /// [`Error::RecordIncomplete`] when it is not though it claims to be, [`Error::RecordMalformed`].
    fn is_whole(&self, withheld: &[Withheld]) -> Result<bool, Error> {
        let seed = self.decoys.as_deref();
        let seed = seed.map(|seed| DecoySeed::parse(seed).ok_or(Error::RecordMalformed));
        let seed = seed.transpose()?;
        let decoys = seed.iter().flat_map(|seed| (0..withheld.len()).map(|it| seed.decoy(it)));
        let decoys = decoys.collect::<BinaryHeap<_>>().into_sorted_vec();
        let others = withheld.iter().filter(|it| decoys.binary_search(&it.digest).is_err());
        let (of_claims, of_content): (Vec<_>, Vec<_>) = others.partition(|it| it.within == 0);
        let cases = usize::from(self.case.is_none());
        match of_content.is_empty() && of_claims.len() <= cases {
            false if seed.is_some() => Err(Error::RecordIncomplete),
            whole => Ok(whole),
        }
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
    let digests = payload.get(sdjwt::DIGESTS).and_then(Value::as_array).map(Vec::len);
    has_only(payload, OPEN)
        && digests == Some(DIGESTS)
        && payload.get("fhir").is_some_and(is_typed)
        && payload.get("cnf").is_none_or(names_holder)
        && issued.is_some_and(|issued| issued.is_multiple_of(DAY))
}
