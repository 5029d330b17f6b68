//! One thing that waits to be sent, as it is kept.

use serde::{Deserialize, Serialize};

use crate::card::Role;
use crate::envelope::{Envelope, MessageType};
use crate::ids::{CaseId, EntryId, NodeId};
use crate::ledger::{CaseSecret, Drawn};
use crate::provider::Timestamp;

/// One thing that waits to be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxItem {
    /// A UUIDv7: the message's; of a case's first entry its case's; of other deposits one of their own.
    pub id: String,
    /// The case.
    pub case: CaseId,
    /// The recipient.
    pub to: NodeId,
    /// The recipient's role, which decides the way.
    pub role: Role,
    /// What is sent.
    pub payload: Payload,
    /// Since when it waits.
    pub since: Timestamp,
    /// The code with which the recipient refused it for good, if it did.
    pub refused: Option<String>,
    /// How sending it has fared. Items of versions before this field have none.
    #[serde(default)]
    pub attempts: Attempts,
}

/// What is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Payload {
    /// A sealed message.
    Envelope {
        /// Its type.
        kind: String,
        /// The compact JWE.
        compact: String,
        /// The signed JWT in it, to be sealed anew when the recipient has another key. Items of
        /// versions before this field have none.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        signed: Option<String>,
    },
    /// Entries for the notary that were decided on together; sealed when they are sent, together with
    /// others.
    Deposit {
        /// Those that are not answered yet. Versions before this named one by the item's id.
        #[serde(default)]
        entries: Vec<EntryId>,
        /// What both participants have signed of them, each statement once.
        endorsements: Vec<String>,
        /// The author and the counterparty of the first.
        participants: [NodeId; 2],
        /// The case's secret, with its first entry alone.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        case_secret: Option<CaseSecret>,
        /// How the case's notary was drawn, with its first entry alone.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        draw: Option<Drawn>,
    },
}

impl OutboxItem {
    pub(super) fn envelope(
        case: &CaseId,
        to: NodeId,
        role: Role,
        kind: MessageType,
        Envelope { id, signed, compact }: Envelope,
        since: Timestamp,
    ) -> Self {
        let (kind, signed) = (kind.name().to_owned(), Some(signed));
        let payload = Payload::Envelope { kind, compact, signed };
        let (id, case, attempts) = (id.to_string(), case.clone(), Attempts::default());
        Self { id, case, to, role, payload, since, refused: None, attempts }
    }
}

/// How sending has fared so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempts {
    /// How often it was tried in vain.
    pub count: u32,
    /// The code of what went wrong last.
    pub problem: Option<String>,
    /// Not before this time is it tried again by itself.
    pub next: Option<Timestamp>,
    /// Until then the recipient has asked to be left alone. Versions before this field kept none.
    #[serde(default)]
    pub asked: Option<Timestamp>,
}
