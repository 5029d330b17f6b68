//! Records: FHIR content that its author signed once and for all, of which every part can be disclosed
//! or kept on its own.
//!
//! A record is an SD-JWT (RFC 9901, `typ: hdms-record-2+sd-jwt`, PS256, `kid` and `iss` = node id of
//! the author) with the claims `iat` (a day), `cnf` (the holder's P-256 key; absent where the author is its
//! only holder) and `fhir` (the content), and as disclosures `sub` (node id of the patient), `case`, what
//! [`Facts`] say and `decoys` (the seed of its decoys). Of `fhir` only the structure stands in the open:
//! `content.rs` says what is a disclosure of its own. A record with everything disclosed holds its
//! author's text to the byte, as each object keeps the order of its members ([`sdjwt::ORDER`]). One that
//! discloses `decoys` claims to be whole, and is refused if it is not: so nobody can sign one record and
//! show each reader another content. Records of [`format_1`] open as ever.

mod claims;
mod content;
pub mod format_1;
mod presentation;
pub mod sdjwt;
mod selection;
mod size;

pub use presentation::{KeyBinding, WINDOW, present, verify_presentation};
pub use selection::Selection;
pub use size::size;

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::base64url;
use crate::card::SigningKeys;
use crate::error::Error;
use crate::fhir::facts::{self, Facts};
use crate::fhir::resource;
use crate::ids::NodeId;
use crate::jose::jws::{self, Kind};
use crate::json;
use crate::jwk::EcJwk;
use crate::provider::{NodeKeys, Primitives, Randomness, Timestamp};
use claims::{DAY, DECOYS, DIGESTS, Format, Said, unverified};
use sdjwt::{Concealer, Parts};

/// A record's signed JWT, of format 2.
pub const KIND: Kind = Kind { typ: "hdms-record-2+sd-jwt", longest: MAX_BYTES };

/// Bytes of the compact serialisation: with 4/3 for the message's JWS, 4/3 for its JWE and room for
/// card, entry and endorsement this still makes an envelope of less than 1 MB.
pub const MAX_BYTES: usize = 570_000;

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
    /// When; the day is kept.
    pub issued: Timestamp,
    /// When the patient was born, a FHIR date, if that is known: the record says the age then.
    pub born: Option<&'a str>,
    /// The resource or Bundle, as [`resource::parse`] answers it.
    pub fhir: &'a Value,
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
    resource::check(content.fhir)?;
    let mut concealer = Concealer::new(randomness, MAX_BYTES)?;
    let facts = Facts::of(content.fhir, content.born);
    let payload = conceal(content, facts, &mut concealer)?;
    let jwt = jws::sign_ps256(KIND.typ, content.author, &payload, keys).await?;
    Record::try_from(concealer.compact(&jwt))
}

/// The claims that stand in the open.
fn conceal<R: Randomness>(
    content: &Content<'_>,
    facts: Facts,
    concealer: &mut Concealer<'_, R>,
) -> Result<Map<String, Value>, Error> {
    let fhir = content::conceal(content.fhir, concealer)?;
    let digests = conceal_claims(content, facts, concealer)?;
    let mut claims = Map::new();
    claims.insert("iss".into(), content.author.into());
    claims.insert("iat".into(), (content.issued.seconds() / DAY * DAY).into());
    if let Some(holder) = content.holder {
        claims.insert("cnf".into(), json!({ "jwk": holder }));
    }
    claims.insert("fhir".into(), fhir);
    claims.insert(sdjwt::ALGORITHM.into(), "sha-256".into());
    Ok(sdjwt::object(claims, digests))
}

/// The digests of those that are disclosures.
fn conceal_claims<R: Randomness>(
    content: &Content<'_>,
    facts: Facts,
    concealer: &mut Concealer<'_, R>,
) -> Result<Vec<String>, Error> {
    let mut texts =
        |texts: Vec<String>| concealer.array(texts.into_iter().map(Value::from).collect());
    let (kinds, codes) = (texts(facts.kinds)?, texts(facts.codes)?);
    let decoys = concealer.seed().as_str().into();
    let mut digests = Vec::with_capacity(DIGESTS);
    for (name, value) in [
        ("sub", Some(content.patient.into())),
        ("case", Some(content.case.into())),
        ("kinds", Some(kinds)),
        ("codes", Some(codes)),
        ("year", facts.year.map(Value::from)),
        ("age", facts.age.map(Value::from)),
        (DECOYS, Some(decoys)),
    ] {
        if let Some(value) = value {
            digests.push(concealer.member(name, value)?);
        }
    }
    concealer.fill_up(&mut digests, DIGESTS);
    Ok(digests)
}

/// A record whose author's signature was seen to hold, with what its holder disclosed.
#[derive(Clone)]
pub struct VerifiedRecord {
    record: Record,
    said: Said,
}

impl VerifiedRecord {
    /// Node id of the author.
    pub fn author(&self) -> &str {
        &self.said.claims.iss
    }

    /// When it was signed: the beginning of the day (UTC), to the second in format 1.
    pub fn issued(&self) -> Timestamp {
        Timestamp::from_seconds(self.said.claims.iat)
    }

    /// Node id of the patient, if disclosed.
    pub fn subject(&self) -> Option<&str> {
        self.said.claims.sub.as_deref()
    }

    /// Id of the case, if disclosed.
    pub fn case(&self) -> Option<&str> {
        self.said.claims.case.as_deref()
    }

    /// The key with which its holder proves the holding.
    pub fn holder(&self) -> Option<&EcJwk> {
        self.said.claims.cnf.as_ref().map(|confirmation| &confirmation.jwk)
    }

    /// The resource types that it is of, as far as its author says so and it was disclosed; so with what
    /// follows. See [`Facts`].
    pub fn kinds(&self) -> &[String] {
        self.said.claims.kinds.as_deref().unwrap_or_default()
    }

    /// The codes that it is about, as FHIR search tokens.
    pub fn codes(&self) -> &[String] {
        self.said.claims.codes.as_deref().unwrap_or_default()
    }

    /// The year of which it tells.
    pub fn year(&self) -> Option<u32> {
        self.said.claims.year
    }

    /// How old the person was then, in whole years.
    pub fn age(&self) -> Option<u32> {
        self.said.claims.age
    }

    /// The content, as far as disclosed.
    pub fn fhir(&self) -> &Value {
        &self.said.fhir
    }

    /// Whether all that its author signed is here, but perhaps the case. Of one that is not, what is
    /// withheld may say the opposite.
    pub fn is_whole(&self) -> bool {
        self.said.whole
    }

    /// That this is a record as it is handed over when it is new: of the present format, and whole.
    /// [`Error::RecordFormer`], [`Error::RecordIncomplete`].
    pub fn expect_new(&self) -> Result<(), Error> {
        match self.said.format {
            Format::One => Err(Error::RecordFormer),
            Format::Two if !self.said.whole => Err(Error::RecordIncomplete),
            Format::Two => Ok(()),
        }
    }

    /// That what its author says it is about is what its content gives, where all of that is here.
    /// [`Error::FactsMismatch`].
    fn expect_own_facts(&self) -> Result<(), Error> {
        let Said { format, claims, fhir, whole } = &self.said;
        if *format == Format::One || !whole {
            return Ok(());
        }
        let facts = Facts::of(fhir, facts::born([fhir]));
        // The author may know from elsewhere when the person was born.
        let fits = claims.kinds.as_ref() == Some(&facts.kinds)
            && claims.codes.as_ref() == Some(&facts.codes)
            && claims.year == facts.year
            && claims.age.is_none_or(|age| facts.age.is_none_or(|given| age == given));
        if fits { Ok(()) } else { Err(Error::FactsMismatch) }
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
    let (_, unverified) = unverified(Parts::parse(compact)?.jwt)?;
    json::read(unverified.payload()["iss"].clone(), Error::RecordMalformed)
}

/// Checks a record: signature, author, every disclosure (RFC 9901 section 7.1), and what it claims of
/// itself. One with a key binding is refused; [`verify_presentation`] takes it.
///
/// [`Error::RecordMalformed`], [`Error::RecordTooLarge`], [`Error::AlgorithmRefused`],
/// [`Error::RecordForeign`] when another node than the owner of the `author` keys issued it,
/// [`Error::RecordForged`] when the signature or a disclosure does not fit,
/// [`Error::RecordIncomplete`] when it claims to be whole and is not, or [`Error::FactsMismatch`].
pub async fn verify(
    compact: &str,
    author: &SigningKeys,
    primitives: &impl Primitives,
) -> Result<VerifiedRecord, Error> {
    let record = check(compact, author, resource::MAX_NAME, primitives).await?;
    record.expect_own_facts()?;
    Ok(record)
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
    let (format, signed) = unverified(record.jwt())?;
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
    let said = Said::of((format, payload), &record, longest_name)?;
    Ok(VerifiedRecord { record, said })
}
