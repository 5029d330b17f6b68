//! The messages of the treatment scenario as they travel, and what is left of them once everything
//! that they carry was verified.

use serde::{Deserialize, Serialize};

use crate::card::VerifiedCard;
use crate::error::Error;
use crate::ids::{EntryId, MessageId, NodeId};
use crate::ledger::{
    CaseSecret, Drawn, MAX_ENTRIES, VerificationKey, VerifiedDraw, VerifiedEndorsement,
    VerifiedReceipt,
};
use crate::provider::Timestamp;
use crate::record::VerifiedRecord;
use crate::record::sdjwt::Parts;

/// Longest text for a person to read, bytes of UTF-8.
pub const MAX_TEXT: usize = 4_000;

/// Most FHIR resource types in one list, and the longest name of one.
pub const MAX_KINDS: usize = 100;
const MAX_KIND: usize = 64;

/// Largest record of a request (compact SD-JWT), bytes.
pub const MAX_REQUEST: usize = 64 * 1024;

/// Whether a text is as long as others have to keep. [`Error::TextTooLong`].
pub fn check_text(text: &str) -> Result<(), Error> {
    if text.len() <= MAX_TEXT { Ok(()) } else { Err(Error::TextTooLong) }
}

/// The same of a list of FHIR resource types.
pub fn check_kinds(kinds: &[String]) -> Result<(), Error> {
    let fits = kinds.len() <= MAX_KINDS && kinds.iter().all(|kind| kind.len() <= MAX_KIND);
    if fits { Ok(()) } else { Err(Error::TextTooLong) }
}

/// Body of `treatment/request` (steps 2-3).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename(deserialize = "closed"))]
pub struct RequestBody {
    /// SD-JWT of the patient over a FHIR ServiceRequest; its `cnf` is the case's holder key.
    pub record: String,
    /// The patient's endorsement of the request's entry.
    pub endorsement: String,
    /// How the patient wants to be called; may be empty.
    pub name: String,
    /// The case's secret.
    pub case_secret: CaseSecret,
    /// The network's manifest that the draw of the case's notary goes by.
    pub manifest: String,
}

/// Longest name of a patient, bytes of UTF-8.
pub const MAX_NAME: usize = 200;

/// Body of `treatment/approval` (step 10).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename(deserialize = "closed"))]
pub struct ApprovalBody {
    /// The hospital's endorsement of the request's entry.
    pub endorsement: String,
    /// The notary's receipt.
    pub receipt: String,
    /// How the notary was drawn.
    pub draw: Drawn,
}

/// Body of `treatment/refusal` (step 10).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename(deserialize = "closed"))]
pub struct RefusalBody {
    /// The request's entry.
    pub entry: EntryId,
    /// Why, for the patient to read.
    pub reason: String,
}

/// Body of `treatment/data-request` (step 11).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename(deserialize = "closed"))]
pub struct DataRequestBody {
    /// Names this request for data; the nonce of the presentations that answer it.
    pub id: MessageId,
    /// FHIR resource types that the hospital asks for.
    pub resources: Vec<String>,
    /// Why, for the patient to read.
    pub purpose: String,
}

impl DataRequestBody {
    /// Whether it is as long as others have to keep. [`Error::TextTooLong`].
    pub fn check(&self) -> Result<(), Error> {
        check_text(&self.purpose)?;
        check_kinds(&self.resources)
    }
}

/// Body of `treatment/data` (step 12).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename(deserialize = "closed"))]
pub struct DataBody {
    /// The request for data that it answers.
    pub request: MessageId,
    /// The chosen records.
    pub records: Vec<SharedRecord>,
    /// The card of each node but sender and recipient that wrote one of them: of one that the Network Map
    /// lists no more the recipient may have none.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub cards: Vec<String>,
}

/// One record that a patient shares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename(deserialize = "closed"))]
pub struct SharedRecord {
    /// The SD-JWT with the chosen disclosures and, when the record has a holder, a key binding JWT.
    pub record: String,
    /// The notary's receipt, for a record that is an entry of the ledger.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub receipt: Option<String>,
}

impl SharedRecord {
    /// What a notary keeps of the record, of which nothing is verified yet. [`Error::RecordMalformed`].
    pub fn verification_key(&self) -> Result<VerificationKey, Error> {
        Ok(VerificationKey::of(Parts::parse(&self.record)?.jwt))
    }
}

/// Body of `treatment/data-refusal` (step 12).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename(deserialize = "closed"))]
pub struct DataRefusalBody {
    /// The request for data that it answers.
    pub request: MessageId,
    /// Why, for the hospital to read.
    pub reason: String,
}

/// Body of `treatment/result` (steps 14-18): a hand-in, or a part of one. Each part stands by itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename(deserialize = "closed"))]
pub struct ResultBody {
    /// Names what was handed in together.
    pub hand_in: MessageId,
    /// How many results that is, in all parts: 1 to [`MAX_ENTRIES`].
    pub of: usize,
    /// Those of this part.
    pub results: Vec<HandedIn>,
    /// The hospital's endorsement of their entries, and of no others.
    pub endorsement: String,
}

/// One medical result of a hand-in.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename(deserialize = "closed"))]
pub struct HandedIn {
    /// Its entry.
    pub entry: EntryId,
    /// SD-JWT of the hospital over a FHIR resource or Bundle, bound to the case's holder key.
    pub record: String,
}

/// Body of `treatment/confirmation` (steps 19-20).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename(deserialize = "closed"))]
pub struct ConfirmationBody {
    /// The patient's endorsement of the results' entries.
    pub endorsement: String,
    /// The notary's receipts of entries that are endorsed; those of others come in another message.
    pub receipts: Vec<String>,
}

/// Body of `treatment/dispute` (step 19).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename(deserialize = "closed"))]
pub struct DisputeBody {
    /// The results' entries: 1 to [`MAX_ENTRIES`].
    pub entries: Vec<EntryId>,
    /// Why, for the hospital to read.
    pub reason: String,
}

/// Whether as many results are handed in or decided on together as may be. [`Error::WrongCount`].
pub fn check_count(results: usize) -> Result<(), Error> {
    if (1..=MAX_ENTRIES).contains(&results) { Ok(()) } else { Err(Error::WrongCount) }
}

/// Divides what travels together into messages of up to `room` bytes, or of one piece that is larger.
pub fn divide<T>(pieces: Vec<T>, bytes: impl Fn(&T) -> usize, room: usize) -> Vec<Vec<T>> {
    let (mut parts, mut taken): (Vec<Vec<T>>, _) = (Vec::new(), 0);
    for piece in pieces {
        let more = bytes(&piece);
        taken += more;
        match parts.last_mut().filter(|_| taken <= room) {
            Some(part) => part.push(piece),
            None => {
                parts.push(vec![piece]);
                taken = more;
            }
        }
    }
    parts
}

/// A message of which every signature inside was checked. What depends on the case's state is for
/// the state machines to check.
#[derive(Clone, Debug)]
pub enum VerifiedContent {
    /// `treatment/request`
    Request {
        /// The request's record.
        record: VerifiedRecord,
        /// The patient's.
        endorsement: VerifiedEndorsement,
        /// How the patient wants to be called.
        name: String,
        /// The case's secret.
        secret: CaseSecret,
        /// Who may become the case's notary.
        ranking: Ranking,
    },
    /// `treatment/approval`
    Approval {
        /// The hospital's.
        endorsement: VerifiedEndorsement,
        /// The case's notary's.
        receipt: VerifiedReceipt,
        /// How that was drawn.
        draw: VerifiedDraw,
    },
    /// `treatment/refusal`
    Refusal(RefusalBody),
    /// `treatment/data-request`
    DataRequest(DataRequestBody),
    /// `treatment/data`
    Data {
        /// The request for data that it answers.
        request: MessageId,
        /// The shared records, each checked.
        records: Vec<VerifiedShare>,
    },
    /// `treatment/data-refusal`
    DataRefusal(DataRefusalBody),
    /// `treatment/result`
    Results {
        /// Names the hand-in.
        hand_in: MessageId,
        /// How many results that is.
        of: usize,
        /// Those that came, each with its entry.
        records: Vec<(EntryId, VerifiedRecord)>,
        /// The hospital's, of these entries and no others.
        endorsement: VerifiedEndorsement,
    },
    /// `treatment/confirmation`
    Confirmation {
        /// The patient's.
        theirs: VerifiedEndorsement,
        /// The hospital's own of the same entries, as it kept them.
        mine: Vec<VerifiedEndorsement>,
        /// The case's notary's.
        receipts: Vec<VerifiedReceipt>,
    },
    /// `treatment/dispute`
    Dispute(DisputeBody),
}

/// The notaries of a request's manifest as the hospital has ranked them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ranking {
    /// The first is the case's notary.
    pub notaries: Vec<NodeId>,
    /// The hospital's part of the draw.
    pub drawn: Drawn,
}

/// A shared record whose author, holder and, if it came with one that counts, receipt were checked.
#[derive(Clone, Debug)]
pub struct VerifiedShare {
    /// What the patient disclosed.
    pub record: VerifiedRecord,
    /// Of who wrote it; it need not count any more.
    pub author: VerifiedCard,
    /// The presentation as it came.
    pub shared: SharedRecord,
}

/// A verified message on its way into a state machine.
#[derive(Clone, Debug)]
pub struct Received {
    /// Who sent it.
    pub sender: NodeId,
    /// When it came.
    pub at: Timestamp,
    /// What it says.
    pub content: VerifiedContent,
}
