//! Records: FHIR content that its author signed once and for all, of which every part that leads to
//! a person can be disclosed or kept on its own.
//!
//! A record is an SD-JWT (RFC 9901, `typ: hdms-record+sd-jwt`, PS256, `kid` and `iss` = node id of
//! the author) with the claims `iat`, `cnf` (the holder's P-256 key; absent where the author is its
//! only holder), `fhir` (the content), and as disclosures `sub` (node id of the patient), `case`
//! and `order`. In `fhir` every entry of a Bundle and every contained resource is a disclosure, and
//! every element that [`crate::fhir::identifying`] names. `order` gives back to objects with
//! concealed members the order that their author gave them, so that a record with everything
//! disclosed holds its author's text to the byte.

mod content;
mod presentation;
pub mod sdjwt;

pub use presentation::{KeyBinding, Selection, WINDOW, present, verify_presentation};

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::base64url;
use crate::card::SigningKeys;
use crate::error::Error;
use crate::fhir::resource;
use crate::ids::NodeId;
use crate::jose::jws::{self, Kind, Unverified};
use crate::json;
use crate::jwk::EcJwk;
use crate::provider::{NodeKeys, Primitives, Randomness, Timestamp};
use sdjwt::{Concealer, Parts};

/// A record's signed JWT.
pub const KIND: Kind = Kind { typ: "hdms-record+sd-jwt", longest: MAX_BYTES };

/// Bytes of the compact serialisation: with 4/3 for the message's JWS, 4/3 for its JWE and room for
/// card, entry and endorsement this still makes an envelope of less than 1 MB.
pub const MAX_BYTES: usize = 570_000;

/// Claims that may be disclosed; all else at the top level must stand in the open.
const CONCEALED: [&str; 3] = ["sub", "case", "order"];

/// What an author signs.
#[derive(Clone)]
pub struct Content<'a> {
    /// Node id of the author, thumbprint of the key that signs.
    pub author: &'a str,
    /// Node id of the patient whom it is about.
    pub patient: &'a str,
    /// Id of the case in which it is written.
    pub case: &'a str,
    /// The key that the patient made for this case; `None` where the patient is the author.
    pub holder: Option<&'a EcJwk>,
    /// When; kept to the second.
    pub issued: Timestamp,
    /// The resource or Bundle, as [`resource::parse`] answers it.
    pub fhir: Value,
}

/// A record in its compact serialisation, of which only the form is known.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Record {
    compact: String,
    /// Length of the signed JWT.
    jwt: usize,
}

impl Record {
    /// Takes in a compact serialisation without key binding. [`Error::RecordMalformed`] for
    /// anything else, [`Error::RecordTooLarge`] above [`MAX_BYTES`].
    pub fn parse(compact: &str) -> Result<Self, Error> {
        Self::try_from(compact.to_owned())
    }

    /// `jwt~disclosure~…~`.
    pub fn compact(&self) -> &str {
        &self.compact
    }

    /// The JWT that the author signed, without disclosures.
    pub fn jwt(&self) -> &str {
        self.compact.get(..self.jwt).unwrap_or_default()
    }

    /// base64url of the SHA-256 over the ASCII of the signed JWT: what the notary keeps. It is the
    /// same whatever is disclosed.
    pub fn verification_key(&self) -> String {
        base64url::digest(self.jwt())
    }

    /// The record with all disclosures thrown away: its content is gone, its proofs stay valid.
    pub fn forget(&self) -> Record {
        Record { compact: sdjwt::compact(self.jwt(), std::iter::empty()), jwt: self.jwt }
    }
}

impl TryFrom<String> for Record {
    type Error = Error;

    fn try_from(compact: String) -> Result<Self, Error> {
        if compact.len() > MAX_BYTES {
            return Err(Error::RecordTooLarge);
        }
        let parts = Parts::parse(&compact)?;
        if parts.key_binding.is_some() || !compact.is_ascii() {
            return Err(Error::RecordMalformed);
        }
        let jwt = parts.jwt.len();
        Ok(Self { compact, jwt })
    }
}

impl From<Record> for String {
    fn from(record: Record) -> String {
        record.compact
    }
}

/// Names the record, and shows nothing of it.
impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Record").field(&self.verification_key()).finish()
    }
}

/// Signs `content`. `keys` are the author's.
///
/// [`Error::NotFhir`] when the content is no FHIR R4 resource, [`Error::RecordTooLarge`] when the
/// record would be larger than [`MAX_BYTES`].
pub async fn issue(
    content: &Content<'_>,
    keys: &impl NodeKeys,
    randomness: &impl Randomness,
) -> Result<Record, Error> {
    resource::check(&content.fhir)?;
    let mut concealer = Concealer::new(randomness);
    let (fhir, order) = content::conceal(&content.fhir, &mut concealer)?;
    let digests = vec![
        concealer.member("sub", content.patient.into())?,
        concealer.member("case", content.case.into())?,
        concealer.member("order", order)?,
    ];
    let mut claims = Map::new();
    claims.insert("iss".into(), content.author.into());
    claims.insert("iat".into(), content.issued.seconds().into());
    if let Some(holder) = content.holder {
        claims.insert("cnf".into(), serde_json::json!({ "jwk": holder }));
    }
    claims.insert("fhir".into(), fhir);
    claims.insert(sdjwt::ALGORITHM.into(), "sha-256".into());
    let payload = sdjwt::object(claims, digests);
    let jwt = jws::sign_ps256(KIND.typ, content.author, &payload, keys).await?;
    Record::try_from(concealer.compact(&jwt))
}

/// A record whose author's signature was seen to hold, with what its holder disclosed.
#[derive(Clone)]
pub struct VerifiedRecord {
    record: Record,
    claims: Claims,
    fhir: Value,
}

impl VerifiedRecord {
    /// Node id of the author.
    pub fn author(&self) -> &str {
        &self.claims.iss
    }

    /// When it was signed, to the second.
    pub fn issued(&self) -> Timestamp {
        Timestamp::from_seconds(self.claims.iat)
    }

    /// Node id of the patient, if disclosed.
    pub fn subject(&self) -> Option<&str> {
        self.claims.sub.as_deref()
    }

    /// Id of the case, if disclosed.
    pub fn case(&self) -> Option<&str> {
        self.claims.case.as_deref()
    }

    /// The key with which its holder proves the holding.
    pub fn holder(&self) -> Option<&EcJwk> {
        self.claims.cnf.as_ref().map(|confirmation| &confirmation.jwk)
    }

    /// The content, as far as disclosed.
    pub fn fhir(&self) -> &Value {
        &self.fhir
    }

    /// The record as it came, without key binding.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// See [`Record::verification_key`].
    pub fn verification_key(&self) -> String {
        self.record.verification_key()
    }
}

/// Names the record, and shows nothing of it.
impl fmt::Debug for VerifiedRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VerifiedRecord").field(&self.verification_key()).finish()
    }
}

/// Whose record an SD-JWT claims to be, before anything is checked. [`Error::RecordMalformed`].
pub fn claimed_author(compact: &str) -> Result<NodeId, Error> {
    let jwt = Parts::parse(compact)?.jwt;
    let unverified = Unverified::parse(jwt, &KIND, Error::RecordMalformed)?;
    json::read(unverified.payload()["iss"].clone(), Error::RecordMalformed)
}

/// Checks a record: signature, author and every disclosure (RFC 9901 section 7.1). One with a key
/// binding is refused; [`verify_presentation`] takes it.
///
/// [`Error::RecordMalformed`], [`Error::RecordTooLarge`], [`Error::AlgorithmRefused`],
/// [`Error::RecordForeign`] when another node than the owner of the `author` keys issued it, or
/// [`Error::RecordForged`] when the signature or a disclosure does not fit.
pub fn verify(
    compact: &str,
    author: &SigningKeys,
    primitives: &impl Primitives,
) -> impl Future<Output = Result<VerifiedRecord, Error>> {
    check(compact, author, resource::MAX_NAME, primitives)
}

/// As [`verify`], of what was taken in before, when its author could give members names of any length.
pub fn verify_kept(
    compact: &str,
    author: &SigningKeys,
    primitives: &impl Primitives,
) -> impl Future<Output = Result<VerifiedRecord, Error>> {
    check(compact, author, usize::MAX, primitives)
}

async fn check(
    compact: &str,
    author: &SigningKeys,
    longest_name: usize,
    primitives: &impl Primitives,
) -> Result<VerifiedRecord, Error> {
    let record = Record::parse(compact)?;
    let signed = Unverified::parse(record.jwt(), &KIND, Error::RecordMalformed)?;
    let names_author = |name: Option<&str>| name == Some(author.node().as_ref());
    if !names_author(signed.header().kid.as_deref())
        || !names_author(signed.payload().get("iss").and_then(Value::as_str))
    {
        return Err(Error::RecordForeign);
    }
    let (signed, payload) = signed.into_parts();
    let dated = payload.get("iat").and_then(Value::as_u64).ok_or(Error::RecordMalformed)?;
    author.check(&signed, dated, primitives).await.map_err(|error| match error {
        Error::SignatureInvalid => Error::RecordForged,
        other => other,
    })?;
    let (claims, fhir) = disclosed(&record, payload, longest_name)?;
    Ok(VerifiedRecord { record, claims, fhir })
}

#[derive(Clone, Deserialize)]
struct Claims {
    iss: String,
    iat: u64,
    cnf: Option<Confirmation>,
    sub: Option<String>,
    case: Option<String>,
    order: Option<Map<String, Value>>,
}

/// RFC 7800 section 3.2.
#[derive(Clone, Deserialize)]
struct Confirmation {
    jwk: EcJwk,
}

/// The claims of a record with what its disclosures say, and its content in its author's order.
fn disclosed(
    record: &Record,
    payload: Value,
    longest_name: usize,
) -> Result<(Claims, Value), Error> {
    let malformed = Error::RecordMalformed;
    let Value::Object(payload) = payload else { return Err(malformed) };
    let parts = Parts::parse(record.compact())?;
    let mut only_concealed = true;
    let mut claims = sdjwt::process(payload, parts.disclosures(), &mut |_, place| {
        // From its end, as its beginning may be long and is that of many.
        if let Some(("", name)) = place.rsplit_once('/') {
            only_concealed &= CONCEALED.contains(&name);
        }
    })?;
    // Taken out first: to read it with the rest would write its numbers anew.
    let mut fhir = claims.shift_remove("fhir").ok_or(malformed)?;
    if !only_concealed || !resource::has_element_names(&fhir, longest_name) {
        return Err(malformed);
    }
    let claims: Claims = json::read(Value::Object(claims), malformed)?;
    if let Some(order) = &claims.order {
        content::reorder(&mut fhir, order);
    }
    Ok((claims, fhir))
}
