//! The ledger: entries, the endorsements of their participants, the notary's receipts, and when an
//! entry is final (docs/architecture.md).

mod cosignatures;
mod draw;
mod leaf;
mod receipt;

use serde::{Deserialize, Serialize};

use crate::base64url::{decode, digest};
use crate::card::VerifiedCard;
use crate::error::Error;
use crate::ids::{CaseId, EntryId, NodeId};
use crate::jose::jws::{self, Compact, Kind, Unverified};
use crate::json;
use crate::provider::{NodeKeys, Primitives, Timestamp};

pub use cosignatures::Cosignatures;
pub use draw::{Draw, DrawSignature, DrawValue, Drawn, Passed, SILENCE, VerifiedDraw};
pub use leaf::{CaseSecret, Commitment, LEAF_BYTES, Leaf, Salt};
pub use receipt::{CONFLICT, Conflict, LeafOpening, Receipt, VerifiedReceipt, is_of_former_member};

const ENDORSEMENT: Kind = Kind::statement("hdms-endorsement+jwt");

/// SHA-256 over the ASCII of a signed JWT, base64url: what notaries keep of a document. The salted
/// digests inside the JWT make it say nothing about the content.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VerificationKey(String);

impl VerificationKey {
    /// Of the signed JWT, disclosures left out.
    pub fn of(jwt: &str) -> Self {
        Self(digest(jwt))
    }
}

impl TryFrom<String> for VerificationKey {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        let bytes = decode(&text).ok_or(Error::EntryMalformed)?;
        if bytes.len() == 32 { Ok(Self(text)) } else { Err(Error::EntryMalformed) }
    }
}

impl From<VerificationKey> for String {
    fn from(key: VerificationKey) -> String {
        key.0
    }
}

impl AsRef<str> for VerificationKey {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// What an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryKind {
    /// A patient's treatment request.
    Request,
    /// A hospital's medical result.
    Result,
}

/// One entry of a case's ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename(deserialize = "closed"))]
pub struct Entry {
    /// Chosen by the author.
    pub id: EntryId,
    /// What it is about.
    pub kind: EntryKind,
    /// The case.
    pub case: CaseId,
    /// Who wrote the document.
    pub author: NodeId,
    /// The other participant.
    pub counterparty: NodeId,
    /// Of the document.
    pub verification_key: VerificationKey,
    /// The entry of the same case that this one follows; `null` for the first.
    pub previous: Option<EntryId>,
    /// In a case's first entry [`Commitment::to_secret`] of the case's secret; cases of before
    /// version 2 have none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub case_secret: Option<Commitment>,
    /// In a case's first entry the patient's part of the draw of its notary.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub draw: Option<Draw>,
}

impl Entry {
    /// The participant who is not `node`; [`Error::NotParticipant`] when `node` is none.
    pub fn other(&self, node: &NodeId) -> Result<&NodeId, Error> {
        if *node == self.author {
            Ok(&self.counterparty)
        } else if *node == self.counterparty {
            Ok(&self.author)
        } else {
            Err(Error::NotParticipant)
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct EndorsementClaims {
    iss: NodeId,
    iat: u64,
    entry: Entry,
}

/// A participant's checked signature over an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedEndorsement {
    by: NodeId,
    iat: u64,
    entry: Entry,
    jwt: String,
}

impl VerifiedEndorsement {
    /// Signs `entry` as `by`, whose keys these are.
    pub async fn sign(
        entry: &Entry,
        by: &NodeId,
        now: Timestamp,
        keys: &impl NodeKeys,
    ) -> Result<Self, Error> {
        entry.other(by)?;
        let claims =
            EndorsementClaims { iss: by.clone(), iat: now.seconds(), entry: entry.clone() };
        let jwt = jws::sign_ps256(ENDORSEMENT.typ, by.as_ref(), &claims, keys).await?;
        Ok(Self { by: by.clone(), iat: claims.iat, entry: entry.clone(), jwt })
    }

    /// [`UnverifiedEndorsement::parse`] and [`UnverifiedEndorsement::verify`], with their errors.
    pub async fn verify(
        jwt: &str,
        by: &VerifiedCard,
        primitives: &impl Primitives,
    ) -> Result<Self, Error> {
        UnverifiedEndorsement::parse(jwt)?.verify(by, primitives).await
    }

    /// Who endorsed.
    pub fn by(&self) -> &NodeId {
        &self.by
    }

    /// When it was signed, by the word of who did, seconds.
    pub fn signed_at(&self) -> u64 {
        self.iat
    }

    /// What was endorsed.
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// The signed statement.
    pub fn jwt(&self) -> &str {
        &self.jwt
    }
}

/// An endorsement that nobody has checked yet: good for finding the card of who endorsed.
#[derive(Clone, Debug)]
pub struct UnverifiedEndorsement<'a> {
    jwt: &'a str,
    signed: Compact,
    claims: EndorsementClaims,
}

impl<'a> UnverifiedEndorsement<'a> {
    /// Takes the statement apart. [`Error::EntryMalformed`], [`Error::AlgorithmRefused`].
    pub fn parse(jwt: &'a str) -> Result<Self, Error> {
        let malformed = Error::EntryMalformed;
        let (signed, claims) = Unverified::parse(jwt, &ENDORSEMENT, malformed)?.into_parts();
        Ok(Self { jwt, signed, claims: json::read(claims, malformed)? })
    }

    /// Who claims to have endorsed.
    pub fn claimed_by(&self) -> &NodeId {
        &self.claims.iss
    }

    /// Checks that `by` signed and is a participant of the entry.
    ///
    /// Errors: [`Error::EndorsementForged`], [`Error::NotParticipant`], [`Error::AlgorithmRefused`].
    pub async fn verify(
        self,
        by: &VerifiedCard,
        primitives: &impl Primitives,
    ) -> Result<VerifiedEndorsement, Error> {
        let Self { jwt, signed, claims: EndorsementClaims { iss, iat, entry } } = self;
        let checked = by.keys().check(&signed, iat, primitives).await;
        checked.map_err(|error| instead_of_signature(error, Error::EndorsementForged))?;
        if iss != *by.id() {
            return Err(Error::EndorsementForged);
        }
        entry.other(by.id())?;
        Ok(VerifiedEndorsement { by: iss, iat, entry, jwt: jwt.to_owned() })
    }
}

/// An entry that both participants have endorsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endorsed {
    entry: Entry,
    authored: u64,
    jwts: [String; 2],
}

impl Endorsed {
    /// Joins two endorsements of one entry, in any order. [`Error::EntryMismatch`] when they speak
    /// of different ones, [`Error::EndorsementMissing`] when one participant signed both.
    pub fn join(a: VerifiedEndorsement, b: VerifiedEndorsement) -> Result<Self, Error> {
        if a.entry != b.entry {
            return Err(Error::EntryMismatch);
        }
        if a.by == b.by || a.entry.author == a.entry.counterparty {
            return Err(Error::EndorsementMissing);
        }
        let (author, counterparty) = if a.by == a.entry.author { (a, b) } else { (b, a) };
        let jwts = [author.jwt, counterparty.jwt];
        Ok(Self { entry: author.entry, authored: author.iat, jwts })
    }

    /// The entry.
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// When its author says that it was endorsed, seconds.
    pub fn authored(&self) -> u64 {
        self.authored
    }

    /// The author's and the counterparty's statement.
    pub fn jwts(&self) -> &[String; 2] {
        &self.jwts
    }
}

/// A final entry: endorsed by both participants and logged by the case's notary. Nothing else
/// makes an entry count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Final {
    endorsed: Endorsed,
    receipt: VerifiedReceipt,
}

impl Final {
    /// In a case with this secret, or without one. [`Error::EntryMismatch`] when the receipt is about
    /// another entry.
    pub fn new(
        endorsed: Endorsed,
        receipt: VerifiedReceipt,
        secret: Option<CaseSecret>,
    ) -> Result<Self, Error> {
        receipt.expect(&endorsed.entry, secret)?;
        Ok(Self { endorsed, receipt })
    }

    /// The entry.
    pub fn entry(&self) -> &Entry {
        &self.endorsed.entry
    }

    /// The entry with both endorsements.
    pub fn endorsed(&self) -> &Endorsed {
        &self.endorsed
    }

    /// The notary's receipt.
    pub fn receipt(&self) -> &VerifiedReceipt {
        &self.receipt
    }
}

fn instead_of_signature(error: Error, named: Error) -> Error {
    if error == Error::SignatureInvalid { named } else { error }
}
