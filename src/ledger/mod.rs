//! The ledger: entries, the endorsements of their participants, the notary's receipts, and when an
//! entry is final (docs/architecture.md).

mod cosignatures;
mod draw;
mod endorsement;
mod leaf;
mod receipt;

use serde::{Deserialize, Serialize};

use crate::base64url::{decode, digest};
use crate::error::Error;
use crate::ids::{CaseId, EntryId, NodeId};

pub use cosignatures::{Cosignatures, VerifiedCheckpoint};
pub use draw::{Draw, DrawSignature, DrawValue, Drawn, Passed, SILENCE, VerifiedDraw};
pub use endorsement::{
    ENDORSEMENT, Endorsed, MAX_ENTRIES, UnverifiedEndorsement, VerifiedEndorsement,
};
pub use leaf::{CaseSecret, Commitment, LEAF_BYTES, Leaf, Place, Salt};
pub use receipt::{CONFLICT, Conflict, LeafOpening, Receipt, VerifiedReceipt, is_of_former_member};

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
    /// Of version 1: the entry of the same case that this one follows.
    #[serde(skip_serializing_if = "Option::is_none", default)]
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
    /// Whether it is of version 1, of whose cases every first entry has no secret and every other one a
    /// predecessor.
    pub fn is_former(&self) -> bool {
        let begins = self.kind == EntryKind::Request;
        self.previous.is_some() || (begins && self.case_secret.is_none())
    }

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
        receipt.expect(endorsed.entry(), secret)?;
        Ok(Self { endorsed, receipt })
    }

    /// The entry.
    pub fn entry(&self) -> &Entry {
        self.endorsed.entry()
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
