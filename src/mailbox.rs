//! The Message Queue as nodes see it: what goes in and out of a mailbox over HTTP. Every request is
//! authorised by a [`crate::proof`].

use serde::{Deserialize, Serialize};

use crate::card::VerifiedCard;
use crate::ids::{MessageId, NodeId};

/// Most deliveries in one request.
pub const MAX_DELIVERIES: usize = 100;

/// Largest body of such a request, bytes: some envelopes of full size, or many small ones.
pub const MAX_DELIVERY_BYTES: usize = 8 * 1024 * 1024;

/// Most messages in one page.
pub const MAX_PAGE: usize = 100;

/// Body of `POST /mailbox/deliveries`: 1 to [`MAX_DELIVERIES`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename(deserialize = "closed"))]
pub struct Deliveries {
    /// In the order in which they are to be kept.
    pub deliveries: Vec<Delivery>,
}

/// One envelope for one mailbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename(deserialize = "closed"))]
pub struct Delivery {
    /// Whose mailbox.
    pub to: NodeId,
    /// The message's id: the same delivery again is answered as the first time.
    pub id: MessageId,
    /// The compact JWE.
    pub envelope: String,
}

/// Answer to `POST /mailbox/deliveries`, one for each delivery, in their order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryAnswers {
    /// See [`DeliveryAnswer`].
    pub answers: Vec<DeliveryAnswer>,
}

/// The answer to one delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryAnswer {
    /// Kept on stable storage, now or before, at this place of the mailbox.
    Accepted(u64),
    /// Refused: the code.
    Refused(String),
    /// Sealed to another key than its recipient has now: the recipient's newest card.
    #[serde(rename = "former_key")]
    FormerKey(String),
}

/// Answer to `GET /mailbox?after=…&limit=…`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailboxPage {
    /// Oldest first.
    pub messages: Vec<MailboxMessage>,
    /// Whether more wait behind the last of them.
    pub more: bool,
    /// Ids of the node's push subscriptions that stand now. One that is missing here was dropped,
    /// since its push service no longer knows it: the browser is to subscribe anew.
    #[serde(default)]
    pub subscriptions: Vec<String>,
    /// Thumbprint of the encryption key that the node's newest card names, as far as the server knows:
    /// what is sealed to another is refused.
    pub kid: String,
}

impl MailboxPage {
    /// Whether the server has the node's own card `card`, or another with the same encryption key. If
    /// it was put back to before the last renewal, it turns away what is sealed to the node's present
    /// key: then the node asks for a card again.
    pub fn knows(&self, card: &VerifiedCard) -> bool {
        card.is_present_encryption_key(&self.kid)
    }
}

/// One message in a mailbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailboxMessage {
    /// Its place: 1 for the mailbox's first message ever.
    pub seq: u64,
    /// The node that delivered it, by its request proof.
    pub from: NodeId,
    /// The compact JWE.
    pub envelope: String,
}

/// Body of `POST /mailbox/acknowledgement`: everything up to this place is dealt with and goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename(deserialize = "closed"))]
pub struct Acknowledgement {
    /// The last place.
    pub upto: u64,
    /// What of it was refused for good, or could not be kept until it may be taken in, and what of all
    /// before was given up since: at most [`MAX_PAGE`]. Who delivered it is told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Refused>,
}

/// A message that was fetched and not taken in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename(deserialize = "closed"))]
pub struct Refused {
    /// Its place.
    pub seq: u64,
    /// Why: the code.
    pub code: String,
}

/// Longest code in an acknowledgement, bytes.
pub const MAX_CODE: usize = 64;

/// Most reports that the server keeps for one node: of more, the oldest go.
pub const MAX_REPORTS: u64 = 10_000;

/// Answer to `GET /mailbox/reports?after=…&limit=…`: what became of what the node has delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportPage {
    /// Oldest first.
    pub reports: Vec<Report>,
    /// Whether there are more behind the last of them.
    pub more: bool,
}

/// What became of something that was delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Its number, among those of the server.
    pub number: u64,
    /// Whose mailbox.
    pub to: NodeId,
    /// The place in it.
    pub seq: u64,
    /// What happened.
    pub outcome: Fate,
}

/// What became of a message, or of all up to a place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// Everything that the node delivered there, up to this place, was fetched or is gone; of what
    /// was not taken in another report tells.
    Fetched,
    /// Its recipient has fetched it and not taken it in: the code.
    Refused(String),
    /// Its recipient has not fetched it in time, and it is gone.
    Expired,
}

/// Body of `POST /mailbox/reports/acknowledgement`: the reports up to this number go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename(deserialize = "closed"))]
pub struct ReportsRead {
    /// The last number.
    pub upto: u64,
}

/// What `GET /mailbox/stream` says whenever something has come: a bell, not the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bell {
    /// The mailbox's last place.
    pub seq: u64,
}
