//! The notary's decisions (the papers' steps 9, 13, 20 and 21): what a deposit must be, and where
//! an entry may stand in its case. Keeping the log is the notary node's part.

use serde::{Deserialize, Serialize};

use crate::card::VerifiedCard;
use crate::envelope::{MessageType, Opened};
use crate::error::Error;
use crate::ids::{EntryId, NodeId};
use crate::ledger::{Endorsed, Entry, VerifiedEndorsement};
use crate::network::Trust;
use crate::provider::{Primitives, Timestamp};

/// Most deposits in one envelope: so many fit, with keys of 4096 bits too.
pub const MAX_DEPOSITS: usize = 50;

/// One entry to be logged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deposit {
    /// The author's and the counterparty's endorsement, in this order.
    pub endorsements: [String; 2],
    /// Their cards, in the same order: personal nodes are listed nowhere.
    pub cards: [String; 2],
}

/// Body of `notary/deposit`: 1 to [`MAX_DEPOSITS`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DepositBody {
    /// In the order in which they are to be logged.
    pub deposits: Vec<Deposit>,
}

/// The notary's answer to one deposit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DepositAnswer {
    /// Logged, now or before: the receipt.
    Receipt(String),
    /// Refused: the code.
    Refused(String),
}

/// The notary's answer to `notary/deposit`, one for each deposit, in their order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DepositAnswers {
    /// See [`DepositAnswer`].
    pub answers: Vec<DepositAnswer>,
}

/// The deposits in an opened envelope. [`Error::BodyMalformed`] for another type, none or too many.
pub fn deposits(opened: &Opened) -> Result<Vec<Deposit>, Error> {
    if opened.kind() != MessageType::Deposit {
        return Err(Error::UnknownType);
    }
    let body: DepositBody = opened.body()?;
    let count = body.deposits.len();
    if count == 0 || count > MAX_DEPOSITS { Err(Error::BodyMalformed) } else { Ok(body.deposits) }
}

/// Checks one deposit: both cards, both endorsements, and that the depositor is a participant.
///
/// Errors: those of [`VerifiedCard::verify`] and [`VerifiedEndorsement::verify`],
/// [`Error::EntryMismatch`], [`Error::EndorsementMissing`], [`Error::NotParticipant`].
pub async fn check(
    deposit: &Deposit,
    depositor: &NodeId,
    trust: &Trust,
    now: Timestamp,
    primitives: &impl Primitives,
) -> Result<Endorsed, Error> {
    let mut endorsements = Vec::with_capacity(2);
    for (card, endorsement) in deposit.cards.iter().zip(&deposit.endorsements) {
        let card = VerifiedCard::verify(card, trust, now, primitives).await?;
        endorsements.push(VerifiedEndorsement::verify(endorsement, &card, primitives).await?);
    }
    let [a, b]: [VerifiedEndorsement; 2] =
        endorsements.try_into().map_err(|_| Error::EndorsementMissing)?;
    let endorsed = Endorsed::join(a, b)?;
    endorsed.entry().other(depositor)?;
    Ok(endorsed)
}

/// What the notary's log already holds around an entry.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// The entry logged under the same id.
    pub same: Option<Logged>,
    /// The predecessor that the entry names.
    pub predecessor: Option<Logged>,
    /// The entry already logged in the same place: same case and same predecessor.
    pub occupant: Option<EntryId>,
}

/// What a notary remembers of a logged entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// The entry as both endorsed it.
    pub entry: Entry,
    /// Its receipt.
    pub receipt: String,
}

/// What is to be done with a checked entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Log it and make a receipt.
    Log,
    /// It is logged: answer with the same receipt.
    Repeat(String),
}

/// Uniqueness and idempotence: the same entry again gets the same receipt, an entry has one
/// successor, a case one first entry, and a successor the same participants.
///
/// Errors: [`Error::EntryConflict`], [`Error::PredecessorUnknown`], [`Error::NotParticipant`].
pub fn decide(entry: &Entry, place: &Place) -> Result<Decision, Error> {
    if let Some(same) = &place.same {
        let repeated = same.entry == *entry;
        return if repeated {
            Ok(Decision::Repeat(same.receipt.clone()))
        } else {
            Err(Error::EntryConflict)
        };
    }
    if place.occupant.is_some() {
        return Err(Error::EntryConflict);
    }
    if entry.previous.is_some() {
        let predecessor = place.predecessor.as_ref().ok_or(Error::PredecessorUnknown)?;
        if predecessor.entry.case != entry.case {
            return Err(Error::PredecessorUnknown);
        }
        predecessor.entry.other(&entry.author)?;
        predecessor.entry.other(&entry.counterparty)?;
    }
    Ok(Decision::Log)
}
