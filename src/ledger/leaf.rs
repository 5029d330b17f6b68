//! What a notary's log holds of an entry: commitments from which nobody learns anything, and which
//! a participant, or whoever a participant tells, can open.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Entry, EntryKind, VerificationKey};
use crate::base64url::{decode, encode};
use crate::error::Error;
use crate::ids::EntryId;
use crate::log::Hash;
use crate::provider::Randomness;

/// The first byte of the leaves of cases without a secret, of before version 2 of the protocol.
const FORMER: u8 = 1;

/// The first byte of all others.
const PRESENT: u8 = 2;

/// Bytes of a leaf.
pub const LEAF_BYTES: usize = 1 + 8 + 3 * 32;

/// 32 bytes as base64url.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Commitment(pub Hash);

/// 16 unpredictable bytes that blind a commitment, as base64url.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Salt(pub [u8; 16]);

/// What the two participants of a case and its notary know, and nobody else: 32 unpredictable bytes,
/// as base64url. Without it nobody tells which leaves of a log are of one case.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CaseSecret(pub [u8; 32]);

impl fmt::Debug for CaseSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CaseSecret")
    }
}

macro_rules! base64url {
    ($($name:ident),+) => {$(
        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(text: String) -> Result<Self, Error> {
                let bytes = decode(text).and_then(|bytes| bytes.try_into().ok());
                bytes.map(Self).ok_or(Error::ReceiptForged)
            }
        }

        impl From<$name> for String {
            fn from(bytes: $name) -> String {
                encode(bytes.0)
            }
        }
    )+};
}

pub(super) use base64url;

base64url!(Commitment, Salt, CaseSecret);

impl CaseSecret {
    /// A new one.
    pub fn new(randomness: &impl Randomness) -> Result<Self, Error> {
        let mut bytes = [0; 32];
        randomness.fill(&mut bytes)?;
        Ok(Self(bytes))
    }
}

impl Salt {
    /// A new one.
    pub fn new(randomness: &impl Randomness) -> Result<Self, Error> {
        let mut bytes = [0; 16];
        randomness.fill(&mut bytes)?;
        Ok(Self(bytes))
    }
}

impl Commitment {
    /// To a document: opened by those who know the entry's id, its verification key and the salt.
    pub fn to_document(salt: Salt, entry: &EntryId, key: &VerificationKey) -> Self {
        hash("hdms-document/v1", &salt.0, &[entry.as_ref(), key.as_ref()])
    }

    /// To the secret of a case, in its first entry: its participants have endorsed which it is.
    pub fn to_secret(secret: CaseSecret) -> Self {
        hash("hdms-case-secret/v2", &secret.0, &[])
    }

    /// To kind, case and participants; of an entry of version 1 to its predecessor, too.
    pub fn to_parties(salt: Salt, entry: &Entry) -> Self {
        let kind = match entry.kind {
            EntryKind::Request => "request",
            EntryKind::Result => "result",
        };
        let (case, author) = (entry.case.as_ref(), entry.author.as_ref());
        let counterparty = entry.counterparty.as_ref();
        if entry.is_former() {
            let parts = [kind, case, predecessor(entry), author, counterparty];
            return hash("hdms-parties/v1", &salt.0, &parts);
        }
        hash("hdms-parties/v2", &salt.0, &[kind, case, author, counterparty])
    }
}

/// Where an entry stands in its case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a case with this secret: its number, which the notary gives it as it logs it. The request is 1.
    Numbered(CaseSecret, u64),
    /// In a case of before version 2, which has no secret: after the entry that it names.
    Former,
}

impl Place {
    /// Of the leaf.
    pub(super) fn version(self) -> u8 {
        match self {
            Place::Numbered(..) => PRESENT,
            Place::Former => FORMER,
        }
    }

    /// The number, where entries have one.
    pub fn number(self) -> Option<u64> {
        match self {
            Place::Numbered(_, number) => Some(number),
            Place::Former => None,
        }
    }

    /// What the leaf of an entry in this place says of it. It has no salt of its own, so that whoever
    /// reads the log sees that no place is taken twice; the case's secret keeps those from finding it who
    /// were shown one of its records, and its id keeps patients who use a secret twice from making two
    /// leaves look like one place.
    pub fn commitment(self, entry: &Entry) -> Commitment {
        match self {
            Place::Numbered(secret, number) => {
                let place = [&secret.0[..], &number.to_be_bytes()].concat();
                hash("hdms-place/v2", &place, &[entry.case.as_ref()])
            }
            Place::Former => hash("hdms-place/v1", &[], &[entry.case.as_ref(), predecessor(entry)]),
        }
    }
}

fn predecessor(entry: &Entry) -> &str {
    entry.previous.as_ref().map_or("", |id| id.as_ref())
}

/// Name, line feed, salt, and the parts with a line feed between them.
fn hash(name: &str, salt: &[u8], parts: &[&str]) -> Commitment {
    let mut hasher = Sha256::new_with_prefix(name);
    hasher.update(b"\n");
    hasher.update(salt);
    hasher.update(parts.join("\n"));
    Commitment(hasher.finalize().into())
}

/// The leaf of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// 2, or 1 in a case without a secret.
    pub version: u8,
    /// When the entry was logged, seconds.
    pub time: u64,
    /// See [`Commitment::to_document`].
    pub document: Commitment,
    /// See [`Place::commitment`].
    pub place: Commitment,
    /// See [`Commitment::to_parties`].
    pub parties: Commitment,
}

impl Leaf {
    /// Of an entry logged in this place at `time`, blinded with the salts of its document and of its
    /// parties.
    pub fn of(entry: &Entry, [document, parties]: [Salt; 2], place: Place, time: u64) -> Self {
        Self {
            version: place.version(),
            time,
            document: Commitment::to_document(document, &entry.id, &entry.verification_key),
            place: place.commitment(entry),
            parties: Commitment::to_parties(parties, entry),
        }
    }

    /// The bytes that the log hashes: version, time, big-endian, and the three commitments.
    pub fn to_bytes(&self) -> Vec<u8> {
        let commitments = [self.document.0, self.place.0, self.parties.0];
        [&[self.version], &self.time.to_be_bytes()[..], commitments.as_flattened()].concat()
    }

    /// The leaf with these bytes. [`Error::LogForged`] for any others.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let forged = Error::LogForged;
        let (&[version @ (FORMER | PRESENT)], rest) = bytes.split_first_chunk().ok_or(forged)?
        else {
            return Err(forged);
        };
        let (time, rest) = rest.split_first_chunk().ok_or(forged)?;
        let (commitments, []) = rest.as_chunks::<32>() else { return Err(forged) };
        let [document, place, parties] = commitments else { return Err(forged) };
        let time = u64::from_be_bytes(*time);
        let [document, place, parties] = [*document, *place, *parties].map(Commitment);
        Ok(Self { version, time, document, place, parties })
    }
}
