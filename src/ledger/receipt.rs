//! Receipts: a notary's proof that it has logged an entry, checked without asking anybody. A receipt
//! is the text of a C2SP tlog-proof whose `extra` opens the leaf.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::cosignatures::VerifiedCheckpoint;
use super::leaf::{CaseSecret, Commitment, Leaf, Place, Salt};
use super::{Entry, EntryKind, VerificationKey};
use crate::card::VerifiedCard;
use crate::error::Error;
use crate::ids::{EntryId, NodeId};
use crate::jose::jws::{self, Kind, Unverified};
use crate::json;
use crate::log::{MAX_TEXT, TlogProof};
use crate::network::{NotaryLog, Trust, notary_of};
use crate::provider::{CLOCK_SKEW, NodeKeys, Primitives, Timestamp};

/// Why a notary refuses an entry. A receipt is in it.
pub const CONFLICT: Kind = Kind { typ: "hdms-conflict+jwt", longest: 4 * MAX_TEXT };

/// What a receipt says, once it is checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The notary.
    pub iss: NodeId,
    /// When the entry was logged, seconds, as the notary says.
    pub iat: u64,
    /// The entry.
    pub entry: EntryId,
    /// The entry's verification key.
    pub verification_key: VerificationKey,
    /// Place of the entry in the notary's log, from 0.
    pub index: u64,
    /// Its number in its case, for the participants; those of before version 2 have none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub number: Option<u64>,
    /// SHA-256 of the leaf, whose salts are in it; what earlier versions have kept has none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub leaf: Option<Commitment>,
}

impl Receipt {
    /// Whether the two are of one leaf at one place of one log, under whatever checkpoints.
    pub fn agrees_with(&self, other: &Self) -> bool {
        let both = self.leaf.and(other.leaf);
        let compared = |one: &Self| Self { leaf: both.and(one.leaf), ..one.clone() };
        compared(self) == compared(other)
    }

    /// What a receipt says that its notary has signed, whether it counts or not. [`Error::ReceiptForged`];
    /// [`Error::NodeUnknown`] for a notary that the Network Map has never listed.
    pub async fn signed(
        text: &str,
        trust: &Trust,
        primitives: &impl Primitives,
    ) -> Result<Self, Error> {
        let (included, log) = Included::parse(text, trust)?;
        let signed = included.proof.checkpoint.verify_log(&log.log_key(), primitives).await;
        signed.map_err(as_receipt)?;
        Ok(included.receipt)
    }

    fn of(iss: NodeId, opening: &LeafOpening, index: u64) -> Self {
        let leaf = Some(Commitment(Sha256::digest(opening.leaf().to_bytes()).into()));
        let LeafOpening { entry, verification_key, time: iat, number, .. } = opening.clone();
        Self { iss, iat, entry, verification_key, index, number, leaf }
    }
}

/// What opens a leaf: JSON in the `extra` of a receipt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeafOpening {
    /// Of the leaf; 1 where it is left out.
    #[serde(skip_serializing_if = "is_former", default = "former")]
    pub version: u8,
    /// The entry.
    pub entry: EntryId,
    /// Its verification key.
    pub verification_key: VerificationKey,
    /// When it was logged, seconds.
    pub time: u64,
    /// Salt of the document's commitment.
    pub salt: Salt,
    /// The place's commitment.
    pub place: Commitment,
    /// The parties' commitment.
    pub parties: Commitment,
    /// Its salt; only the participants of the entry have it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub parties_salt: Option<Salt>,
    /// The entry's number in its case; only its participants have it, and before version 2 nobody.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub number: Option<u64>,
}

fn former() -> u8 {
    Place::Former.version()
}

fn is_former(version: &u8) -> bool {
    *version == former()
}

impl LeafOpening {
    /// Of an entry logged in this place at `time` with these salts, as its participants get it.
    pub fn of(entry: &Entry, salts: [Salt; 2], place: Place, time: u64) -> Self {
        let leaf = Leaf::of(entry, salts, place, time);
        Self {
            version: leaf.version,
            entry: entry.id.clone(),
            verification_key: entry.verification_key.clone(),
            time,
            salt: salts[0],
            place: leaf.place,
            parties: leaf.parties,
            parties_salt: Some(salts[1]),
            number: place.number(),
        }
    }

    /// For those who may know the document and not whose it is.
    pub fn for_others(self) -> Self {
        Self { parties_salt: None, number: None, ..self }
    }

    /// The leaf that it opens.
    pub fn leaf(&self) -> Leaf {
        let document = Commitment::to_document(self.salt, &self.entry, &self.verification_key);
        let Self { version, time, place, parties, .. } = *self;
        Leaf { version, time, document, place, parties }
    }

    /// The receipt with this opening and that proof.
    pub fn receipt(&self, proof: TlogProof) -> Result<String, Error> {
        Ok(TlogProof { extra: Some(json::write(self)?), ..proof }.to_text())
    }

    fn parse(proof: &TlogProof) -> Result<Self, Error> {
        let forged = Error::ReceiptForged;
        let extra = proof.extra.as_deref().ok_or(forged)?;
        let opening: Self = json::read(json::parse(extra).map_err(|_| forged)?, forged)?;
        // A leaf of another version is in no log, and no page reads a larger number.
        let is_whole = opening.number.is_none_or(|number| number < 1 << 53);
        let fits = is_whole && Leaf::parse(&opening.leaf().to_bytes()).is_ok();
        if fits { Ok(opening) } else { Err(forged) }
    }
}

/// A receipt whose leaf is in the tree of its checkpoint, of which no signature is checked.
struct Included {
    proof: TlogProof,
    opening: LeafOpening,
    receipt: Receipt,
}

impl Included {
    /// With its notary's log.
    fn parse<'a>(text: &str, trust: &'a Trust) -> Result<(Self, &'a NotaryLog), Error> {
        let forged = Error::ReceiptForged;
        let proof = TlogProof::parse(text).map_err(|_| forged)?;
        let iss = notary_of(&proof.checkpoint.checkpoint().origin).map_err(|_| forged)?;
        let log = trust.log(&iss)?;
        let opening = LeafOpening::parse(&proof)?;
        if !proof.includes(&opening.leaf().to_bytes()) {
            return Err(forged);
        }
        let receipt = Receipt::of(iss, &opening, proof.index);
        Ok((Self { proof, opening, receipt }, log))
    }
}

/// A receipt that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedReceipt {
    receipt: Receipt,
    opening: LeafOpening,
    checkpoint: Arc<VerifiedCheckpoint>,
    text: String,
}

impl VerifiedReceipt {
    /// Checks that the leaf is in the tree of the checkpoint, that the notary has signed this, and that
    /// as many other notaries have co-signed it, after the leaf's time, as the network asked for when
    /// they did ([`super::Cosignatures`]).
    ///
    /// Errors: [`Error::ReceiptForged`]; [`Error::NodeUnknown`] for a notary that the Network Map
    /// has never listed.
    pub async fn verify(
        text: &str,
        trust: &Trust,
        primitives: &impl Primitives,
    ) -> Result<Self, Error> {
        Self::verify_after(text, None, trust, primitives).await
    }

    /// The same after another receipt, whose checkpoint was verified with the same `trust`: those that a
    /// notary gives at once are under one, and its signatures are checked once.
    pub async fn verify_after(
        text: &str,
        known: Option<&Arc<VerifiedCheckpoint>>,
        trust: &Trust,
        primitives: &impl Primitives,
    ) -> Result<Self, Error> {
        let (Included { proof, opening, receipt }, log) = Included::parse(text, trust)?;
        let checkpoint = match known.filter(|known| known.is(&proof.checkpoint)) {
            Some(known) => known.clone(),
            None => {
                let verified =
                    VerifiedCheckpoint::verify(&proof.checkpoint, log, trust, primitives);
                Arc::new(verified.await.map_err(as_receipt)?)
            }
        };
        if checkpoint.time().is_some_and(|time| opening.time > time) {
            return Err(Error::ReceiptForged);
        }
        Ok(Self { receipt, opening, checkpoint, text: text.to_owned() })
    }

    /// What it says.
    pub fn receipt(&self) -> &Receipt {
        &self.receipt
    }

    /// What opens the leaf.
    pub fn opening(&self) -> &LeafOpening {
        &self.opening
    }

    /// When the entry was in the log by the word of its witnesses, seconds; by the notary's own, that
    /// nobody has watched, where there are none.
    pub fn time(&self) -> u64 {
        self.checkpoint.time().unwrap_or(self.receipt.iat)
    }

    /// The other notaries that have co-signed it and were members then; without any, nobody watches
    /// the log.
    pub fn witnesses(&self) -> &[NodeId] {
        self.checkpoint.witnesses()
    }

    /// That of which the log is proven to have the entry.
    pub fn checkpoint(&self) -> &Arc<VerifiedCheckpoint> {
        &self.checkpoint
    }

    /// The receipt itself.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The receipt for those who may know the document and not whose it is.
    pub fn for_others(&self) -> Result<String, Error> {
        self.opening.clone().for_others().receipt(TlogProof::parse(&self.text)?)
    }

    /// As a participant: [`Error::EntryMismatch`] unless all that the leaf commits to is `entry`, under its
    /// number in a case with this secret, or in one without.
    pub fn expect(&self, entry: &Entry, secret: Option<CaseSecret>) -> Result<(), Error> {
        let LeafOpening { version, place, parties, parties_salt, number, .. } = self.opening;
        let own = match (secret, number) {
            (Some(secret), Some(number)) => Place::Numbered(secret, number),
            (None, None) => Place::Former,
            _ => return Err(Error::EntryMismatch),
        };
        let parties_salt = parties_salt.ok_or(Error::EntryMismatch)?;
        let begins = entry.kind == EntryKind::Request;
        let same = version == own.version()
            && self.receipt.entry == entry.id
            && self.receipt.verification_key == entry.verification_key
            && number.is_none_or(|number| number > 0 && begins == (number == 1))
            && place == own.commitment(entry)
            && parties == Commitment::to_parties(parties_salt, entry);
        if same { Ok(()) } else { Err(Error::EntryMismatch) }
    }

    /// [`Error::NotYetValid`] when it is of a time that is not yet at `now`: who hands a receipt on can
    /// exchange a witness's line for a later one of the same witness's.
    pub fn expect_past(&self, now: Timestamp) -> Result<(), Error> {
        let latest = now.seconds().saturating_add(CLOCK_SKEW);
        if self.time() <= latest { Ok(()) } else { Err(Error::NotYetValid) }
    }
}

/// Whether the notary of a receipt, or one of its witnesses, has ceased to be a member: one that does not
/// hold may then have been given after that.
pub fn is_of_former_member(text: &str, trust: &Trust) -> bool {
    let Ok(proof) = TlogProof::parse(text) else { return false };
    let lines = &proof.checkpoint.note().signatures;
    let has_signed = |log: &NotaryLog| {
        let names = [log.log_key().name, log.witness_key().name];
        lines.iter().any(|line| names.contains(&line.name))
    };
    trust.logs().iter().any(|log| log.until.is_some() && has_signed(log))
}

fn as_receipt(error: Error) -> Error {
    if error == Error::LogForged { Error::ReceiptForged } else { error }
}

/// The notary's word that the id of an entry is taken: the claims of an `hdms-conflict+jwt`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    /// The notary.
    pub iss: NodeId,
    /// Signed at, seconds.
    pub iat: u64,
    /// The entry that it has logged under this id.
    pub entry: Entry,
    /// Its receipt, as its participants get it: they are those of the entry that is refused.
    pub receipt: String,
}

impl Conflict {
    /// Signs it with the notary's keys. Answers the JWT.
    pub async fn sign(&self, notary: &impl NodeKeys) -> Result<String, Error> {
        jws::sign_ps256(CONFLICT.typ, self.iss.as_ref(), self, notary).await
    }

    /// Checks that `notary` refuses `entry` and proves why: that another entry is in its log under the
    /// same id.
    ///
    /// Errors: [`Error::ReceiptForged`], those of [`VerifiedReceipt::verify`].
    pub async fn verify(
        jwt: &str,
        entry: &Entry,
        notary: &VerifiedCard,
        trust: &Trust,
        primitives: &impl Primitives,
    ) -> Result<Self, Error> {
        let forged = Error::ReceiptForged;
        let (signed, payload) = Unverified::parse(jwt, &CONFLICT, forged)?.into_parts();
        let conflict: Self = json::read(payload, forged)?;
        let checked = notary.keys().check(&signed, conflict.iat, primitives).await;
        checked.map_err(|error| if error.is_transient() { error } else { forged })?;
        let receipt = VerifiedReceipt::verify(&conflict.receipt, trust, primitives).await?;
        let (logged, opening) = (&conflict.entry, &receipt.opening);
        let opened = |salt| opening.parties == Commitment::to_parties(salt, logged);
        // To the rest of a case's first entry no leaf commits.
        let rest = (entry.case_secret, entry.draw.clone());
        let as_logged = Entry { case_secret: rest.0, draw: rest.1, ..logged.clone() };
        let proven = conflict.iss == *notary.id()
            && receipt.receipt.iss == conflict.iss
            && [&receipt.receipt.entry, &logged.id].iter().all(|id| **id == entry.id)
            && receipt.receipt.verification_key == logged.verification_key
            && opening.parties_salt.is_some_and(opened)
            && as_logged != *entry;
        if proven { Ok(conflict) } else { Err(forged) }
    }
}
