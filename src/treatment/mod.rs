//! Scenario 1, hospital treatment (the papers' steps 1-21), as two state machines: [`patient`] and
//! [`hospital`]. Verified messages, decisions and receipts go in; the new state of the case and a
//! list of effects come out. Nothing in here does I/O or cryptography.

pub mod hospital;
pub mod message;
pub mod patient;
pub mod request;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::card::VerifiedCard;
use crate::envelope::MessageType;
use crate::error::Error;
use crate::ids::{EntryId, MessageId, NodeId};
use crate::json;
use crate::ledger::{
    CaseSecret, Drawn, Endorsed, Entry, Final, VerifiedEndorsement, VerifiedReceipt,
};
use crate::provider::Timestamp;
use crate::record::Record;
use message::{Received, SharedRecord};

/// What a step wants done, all in one transaction with the new state.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Seal this and send it.
    Send {
        /// The recipient.
        to: NodeId,
        /// What it is.
        kind: MessageType,
        /// Its members.
        body: Value,
    },
    /// Deposit entries at the case's notary, which were decided on together.
    Deposit {
        /// The case's notary.
        notary: NodeId,
        /// The entries with both endorsements.
        endorsed: Vec<Endorsed>,
        /// The case's secret and how its notary was drawn, with its first entry alone.
        first: Option<(CaseSecret, Drawn)>,
    },
    /// Keep an endorsement of entries.
    KeepEndorsement(VerifiedEndorsement),
    /// Keep a record, with its disclosures, as an entry's document.
    KeepRecord {
        /// The entry.
        entry: EntryId,
        /// The SD-JWT.
        compact: String,
    },
    /// Keep the records that were shared in answer to a request for data.
    KeepShared {
        /// The request for data.
        request: MessageId,
        /// The presentations as they came.
        records: Vec<SharedRecord>,
    },
    /// Keep the card of a record's author, with which the record is read whatever becomes of the author.
    KeepCard(VerifiedCard),
    /// Keep a notary's receipt.
    KeepReceipt(VerifiedReceipt),
}

impl Effect {
    fn send<T: Serialize>(to: &NodeId, kind: MessageType, body: &T) -> Result<Self, Error> {
        Ok(Effect::Send { to: to.clone(), kind, body: json::value(body)? })
    }
}

/// What came of an input.
#[derive(Clone, Debug)]
pub enum Step<Case> {
    /// It took effect.
    Applied(Case, Vec<Effect>),
    /// It did so before; nothing is to be done.
    Repeated,
    /// It did so before, and is no news; what it brings anew is kept.
    Renewed(Vec<Effect>),
    /// It came before its turn: hold it and try again after the case's next step.
    Early,
}

/// A document and its author's endorsement: what a step begins with that needed a private key.
#[derive(Clone, Debug)]
pub struct Authored {
    /// The signed document.
    pub record: Record,
    /// The author's endorsement of its entry.
    pub endorsement: VerifiedEndorsement,
}

/// What the case's notary has answered to deposits.
#[derive(Clone, Debug, Default)]
pub struct Answered {
    /// Logged, now or before.
    pub committed: Vec<Final>,
    /// Refused for good, each with the code.
    pub refused: Vec<(EntryId, String)>,
}

/// One side of the flow: a case's state, stored between its steps.
pub trait Flow: Clone + Serialize + DeserializeOwned {
    /// Takes in a verified message; `case` is `None` when no such case is known.
    fn receive(case: Option<&Self>, message: &Received) -> Result<Step<Self>, Error>;

    /// Whether the case awaits that this entry is logged, or knows that it was: then another receipt takes
    /// the place of one that counts no more. [`Error::ReceiptForged`] of another notary,
    /// [`Error::EntryMismatch`] where the other participant has another receipt, [`Error::NotAllowedNow`].
    fn awaits(&self, committed: &Final) -> Result<(), Error>;

    /// The notary answered after [`Effect::Deposit`]: what it has logged [is awaited](Flow::awaits); the
    /// decision that led to what it has refused may be taken again. What is sent has up to `room` bytes in
    /// a message.
    fn deposited(
        &self,
        answered: &Answered,
        room: usize,
        now: Timestamp,
    ) -> Result<Step<Self>, Error>;

    /// At which notary an entry is deposited again that was logged before, and what goes along with a
    /// case's first; nowhere where that is the other participant's part.
    fn deposit_again(&self, entry: &Entry) -> Option<(NodeId, Option<(CaseSecret, Drawn)>)>;

    /// The case's secret; a case of before version 2 has none, and takes no new entries.
    fn secret(&self) -> Option<CaseSecret>;

    /// Every entry of the case so far, in the order in which they began.
    fn entries(&self) -> Vec<&Entry>;

    /// The two participants: patient and hospital.
    fn participants(&self) -> [&NodeId; 2];
}
