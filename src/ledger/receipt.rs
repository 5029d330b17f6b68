//! Receipts: a notary's proof that it has logged an entry, checked without asking anybody. A receipt
//! is the text of a C2SP tlog-proof whose `extra` opens the leaf.

use serde::{Deserialize, Serialize};

use super::cosignatures::Cosignatures;
use super::leaf::{CaseSecret, Commitment, Leaf, PRESENT, Salt, version};
use super::{Entry, VerificationKey};
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
}

impl Receipt {
    /// What a receipt says that its notary has signed, whether it counts or not. [`Error::ReceiptForged`];
    /// [`Error::NodeUnknown`] for a notary that the Network Map has never listed.
    pub async fn signed(
        text: &str,
        trust: &Trust,
        primitives: &impl Primitives,
    ) -> Result<Self, Error> {
        Ok(Signed::verify(text, trust, primitives).await?.receipt)
    }

    fn of(iss: NodeId, opening: &LeafOpening, index: u64) -> Self {
        let LeafOpening { entry, verification_key, time: iat, .. } = opening;
        let (entry, verification_key) = (entry.clone(), verification_key.clone());
        Self { iss, iat: *iat, entry, verification_key, index }
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
}

fn former() -> u8 {
    version(None)
}

fn is_former(version: &u8) -> bool {
    *version == former()
}

impl LeafOpening {
    /// Of an entry logged at `time` with these salts in a case with this secret, as its participants
    /// get it.
    pub fn of(entry: &Entry, salts: [Salt; 2], secret: Option<CaseSecret>, time: u64) -> Self {
        let leaf = Leaf::of(entry, salts, secret, time);
        Self {
            version: leaf.version,
            entry: entry.id.clone(),
            verification_key: entry.verification_key.clone(),
            time,
            salt: salts[0],
            place: leaf.place,
            parties: leaf.parties,
            parties_salt: Some(salts[1]),
        }
    }

    /// For those who may know the document and not whose it is.
    pub fn for_others(self) -> Self {
        Self { parties_salt: None, ..self }
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
        if (1..=PRESENT).contains(&opening.version) { Ok(opening) } else { Err(forged) }
    }
}

/// A receipt of which the leaf is in the tree of a checkpoint that the notary has signed.
struct Signed {
    proof: TlogProof,
    opening: LeafOpening,
    receipt: Receipt,
}

impl Signed {
    async fn verify(
        text: &str,
        trust: &Trust,
        primitives: &impl Primitives,
    ) -> Result<Self, Error> {
        let forged = Error::ReceiptForged;
        let proof = TlogProof::parse(text).map_err(|_| forged)?;
        let iss = notary_of(&proof.checkpoint.checkpoint().origin).map_err(|_| forged)?;
        let log = trust.log(&iss)?;
        let opening = LeafOpening::parse(&proof)?;
        if !proof.includes(&opening.leaf().to_bytes()) {
            return Err(forged);
        }
        let signed = proof.checkpoint.verify_log(&log.log_key(), primitives).await;
        signed.map_err(as_receipt)?;
        Ok(Self { receipt: Receipt::of(iss, &opening, proof.index), opening, proof })
    }
}

/// A receipt that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedReceipt {
    receipt: Receipt,
    opening: LeafOpening,
    time: Option<u64>,
    witnesses: Vec<NodeId>,
    text: String,
}

impl VerifiedReceipt {
    /// Checks that the leaf is in the tree of the checkpoint, that the notary has signed this, and that
    /// as many other notaries have co-signed it, after the leaf's time, as the network asked for when
    /// they did ([`Cosignatures`]).
    ///
    /// Errors: [`Error::ReceiptForged`]; [`Error::NodeUnknown`] for a notary that the Network Map
    /// has never listed.
    pub async fn verify(
        text: &str,
        trust: &Trust,
        primitives: &impl Primitives,
    ) -> Result<Self, Error> {
        let Signed { proof, opening, receipt } = Signed::verify(text, trust, primitives).await?;
        let (forged, log) = (Error::ReceiptForged, trust.log(&receipt.iss)?);
        let tree = proof.checkpoint.checkpoint();
        let cosignatures = Cosignatures::read(&proof.checkpoint, log, trust, primitives).await;
        let cosignatures = cosignatures.map_err(as_receipt)?;
        let time = cosignatures.time();
        let ahead = time.is_some_and(|time| opening.time > time);
        if ahead || !cosignatures.suffice(tree, log, trust.parameters()) {
            return Err(forged);
        }
        let witnesses = cosignatures.witnesses().map(|witness| witness.notary.clone()).collect();
        Ok(Self { receipt, opening, time, witnesses, text: text.to_owned() })
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
        self.time.unwrap_or(self.receipt.iat)
    }

    /// The other notaries that have co-signed it and were members then; without any, nobody watches
    /// the log.
    pub fn witnesses(&self) -> &[NodeId] {
        &self.witnesses
    }

    /// The receipt itself.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The receipt for those who may know the document and not whose it is.
    pub fn for_others(&self) -> Result<String, Error> {
        self.opening.clone().for_others().receipt(TlogProof::parse(&self.text)?)
    }

    /// As a participant: [`Error::EntryMismatch`] unless all that the leaf commits to is `entry`, in
    /// its place in a case with this secret, or without one.
    pub fn expect(&self, entry: &Entry, secret: Option<CaseSecret>) -> Result<(), Error> {
        let LeafOpening { place, parties, parties_salt, .. } = self.opening;
        let parties_salt = parties_salt.ok_or(Error::EntryMismatch)?;
        let same = self.opening.version == version(secret)
            && self.receipt.entry == entry.id
            && self.receipt.verification_key == entry.verification_key
            && place == Commitment::to_place(secret, &entry.case, entry.previous.as_ref())
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

/// The notary's word that the place of an entry is taken: the claims of an `hdms-conflict+jwt`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    /// The notary.
    pub iss: NodeId,
    /// Signed at, seconds.
    pub iat: u64,
    /// The entry that it refuses.
    pub entry: EntryId,
    /// The entry that it logged there first.
    pub first: EntryId,
    /// Its receipt, as others than the participants get it.
    pub receipt: String,
}

impl Conflict {
    /// Signs it with the notary's keys. Answers the JWT.
    pub async fn sign(&self, notary: &impl NodeKeys) -> Result<String, Error> {
        jws::sign_ps256(CONFLICT.typ, self.iss.as_ref(), self, notary).await
    }

    /// Checks that `notary` refuses `entry`, of a case with this secret or without one, and proves
    /// why: that the first entry is in its log and takes the same place, or has the same id with
    /// another document or place.
    ///
    /// Errors: [`Error::ReceiptForged`], those of [`VerifiedReceipt::verify`].
    pub async fn verify(
        jwt: &str,
        (entry, secret): (&Entry, Option<CaseSecret>),
        notary: &VerifiedCard,
        trust: &Trust,
        primitives: &impl Primitives,
    ) -> Result<Self, Error> {
        let forged = Error::ReceiptForged;
        let (signed, payload) = Unverified::parse(jwt, &CONFLICT, forged)?.into_parts();
        let conflict: Self = json::read(payload, forged)?;
        let checked = notary.keys().check(&signed, conflict.iat, primitives).await;
        checked.map_err(|error| if error.is_transient() { error } else { forged })?;
        let first = VerifiedReceipt::verify(&conflict.receipt, trust, primitives).await?;
        let place = Commitment::to_place(secret, &entry.case, entry.previous.as_ref());
        let same_id = conflict.first == entry.id;
        let same_place = first.opening.place == place;
        let same_document = first.receipt.verification_key == entry.verification_key;
        let proven = conflict.iss == *notary.id()
            && first.receipt.iss == conflict.iss
            && first.receipt.entry == conflict.first
            && conflict.entry == entry.id
            && if same_id { !(same_place && same_document) } else { same_place };
        if proven { Ok(conflict) } else { Err(forged) }
    }
}
