//! What pages see of the node. The TypeScript types in `client/types.ts` are generated from these.

use hdms::Error;
use hdms::network::KeyWarning;
use serde::{Deserialize, Serialize};

macro_rules! views {
    ($($(#[$meta:meta])* pub $kind:ident $name:ident $body:tt)+) => {
        $(
            #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
            #[cfg_attr(all(test, not(target_arch = "wasm32")), derive(ts_rs::TS))]
            $(#[$meta])*
            pub $kind $name $body
        )+

        /// The TypeScript declaration of every view, with its documentation.
        #[cfg(all(test, not(target_arch = "wasm32")))]
        pub(crate) fn declarations(config: &ts_rs::Config) -> Vec<(Option<String>, String)> {
            vec![$((<$name as ts_rs::TS>::docs(), <$name as ts_rs::TS>::decl(config))),+]
        }
    };
}

views! {
    /// A refusal: a stable code, of which `sentenceOf` makes what people read.
    #[serde(rename_all = "camelCase")]
    pub struct NodeErrorView {
        /// Such as `treatment/unknown-case`.
        pub code: String,
    }

    /// What a node is doing.
    #[serde(rename_all = "lowercase")]
    pub enum NodeState {
        /// No node on this device yet.
        Absent,
        /// It is being made, or was interrupted while it was.
        Making,
        /// It works.
        Ready,
        /// It stopped; `problem` says why.
        Stopped,
    }

    /// How the node is. Times are milliseconds since the epoch, here and everywhere.
    #[serde(rename_all = "camelCase")]
    pub struct NodeStatus {
        /// What it is doing.
        pub state: NodeState,
        /// Its id.
        pub node: Option<String>,
        /// How the patient is called.
        pub name: Option<String>,
        /// The network's name.
        pub network: Option<String>,
        /// The server's base URL.
        pub server: Option<String>,
        /// Whether the browser has promised to keep the node's storage; only a page can ask.
        pub persistent: Option<bool>,
        /// How much waits to be sent.
        pub waiting: u32,
        /// How many messages were refused.
        pub quarantined: u32,
        /// How much room the browser gives the node; `null` where it does not tell.
        pub storage: Option<Storage>,
        /// When what waits is tried again by itself while a page is open.
        pub next_attempt: Option<u64>,
        /// When the server was last reached, also before the worker was started.
        pub last_reached: Option<u64>,
        /// How this browser is woken when something comes.
        pub push: PushState,
        /// The key for subscribing to web push (VAPID, RFC 8292); `null` where the server sends none.
        pub vapid: Option<String>,
        /// What the person should know before trusting a node of the network further.
        pub key_warnings: Vec<KeyWarningView>,
        /// What is wrong, if something is. With `network/version`, `card/revoked`, `card/expired` and
        /// `card/forged` nothing is sent; what comes is kept, and decisions wait.
        pub problem: Option<NodeErrorView>,
    }

    /// A node of the network has other keys than before, and its old key has not signed for them.
    #[serde(rename_all = "camelCase")]
    pub struct KeyWarningView {
        /// Node id, as the Network Map lists it now.
        pub node: String,
        /// How people call it.
        pub name: String,
        /// Id of the node that was listed in its place before; `null` when its own keys changed.
        pub former: Option<String>,
        /// When it was noticed.
        pub seen: u64,
    }

    /// How this browser is woken, as the patient has chosen. `since` is when the server was told;
    /// `null` while it does not know, or when it knows no more: it is told at the next contact.
    #[serde(tag = "kind", rename_all = "lowercase")]
    pub enum PushState {
        /// Not at all.
        None,
        /// By its own push service.
        WebPush {
            /// When the server was told.
            since: Option<u64>,
        },
        /// By Firebase Cloud Messaging.
        Firebase {
            /// When the server was told.
            since: Option<u64>,
        },
    }

    /// The node's room on this device, in bytes.
    #[serde(rename_all = "camelCase")]
    pub struct Storage {
        /// What this origin uses.
        pub used: u64,
        /// What the browser lets it use.
        pub quota: u64,
        /// Whether so little is left that a person should make room before something is refused.
        pub low: bool,
    }

    /// A hospital of the Network Map.
    #[serde(rename_all = "camelCase")]
    pub struct Hospital {
        /// Node id.
        pub id: String,
        /// How people call it.
        pub name: String,
        /// Base URL.
        pub endpoint: String,
    }

    /// Where a case stands.
    #[serde(tag = "kind", rename_all = "lowercase")]
    pub enum Phase {
        /// The hospital has not yet decided.
        Requested,
        /// The hospital approved.
        Approved,
        /// The hospital declined.
        Declined {
            /// Why.
            reason: String,
        },
    }

    /// What the patient answered to a request for data.
    #[serde(tag = "kind", rename_all = "lowercase")]
    pub enum DataAnswer {
        /// Nothing yet.
        Open,
        /// Records were shared.
        Shared {
            /// The records' verification keys.
            records: Vec<String>,
            /// When.
            at: u64,
        },
        /// Nothing was shared.
        Refused {
            /// Why.
            reason: String,
            /// When.
            at: u64,
        },
    }

    /// A hospital's request for data.
    #[serde(rename_all = "camelCase")]
    pub struct DataRequestView {
        /// Its id.
        pub id: String,
        /// The case.
        pub case: String,
        /// The hospital's node id.
        pub hospital: String,
        /// How people call the hospital.
        pub hospital_name: String,
        /// FHIR resource types that it asks for.
        pub resources: Vec<String>,
        /// Why.
        pub purpose: String,
        /// When it came.
        pub received: u64,
        /// What the patient answered.
        pub answer: DataAnswer,
    }

    /// Where a medical result stands.
    #[serde(tag = "kind", rename_all = "lowercase")]
    pub enum ResultState {
        /// Verified; it waits for the patient.
        Received,
        /// Confirmed; the notary's receipt is awaited.
        Confirming,
        /// Final.
        Committed {
            /// Since when.
            at: u64,
        },
        /// The patient disputed it.
        Disputed {
            /// Why.
            reason: String,
        },
        /// The notary refused it.
        Refused {
            /// The refusal's code.
            code: String,
        },
    }

    /// A medical result.
    #[serde(rename_all = "camelCase")]
    pub struct ResultView {
        /// Its ledger entry; its record's id is `case/entry`.
        pub entry: String,
        /// The case.
        pub case: String,
        /// What it is, for people.
        pub title: String,
        /// When it came and was verified.
        pub received: u64,
        /// Where it stands.
        pub status: ResultState,
    }

    /// What a ledger entry is about.
    #[serde(rename_all = "lowercase")]
    pub enum EntryKind {
        /// The treatment request.
        Request,
        /// A medical result.
        Result,
    }

    /// A notary's receipt.
    #[serde(rename_all = "camelCase")]
    pub struct ReceiptView {
        /// The notary's node id.
        pub notary: String,
        /// How people call it.
        pub notary_name: String,
        /// Place in the notary's log.
        pub index: u64,
        /// When the entry was logged, by the witnesses' word where there are any.
        pub time: u64,
        /// How people call the other notaries that have co-signed the notary's log; without any
        /// nobody watches it.
        pub witnesses: Vec<String>,
    }

    /// An entry of the case's ledger.
    #[serde(rename_all = "camelCase")]
    pub struct EntryView {
        /// Its id.
        pub id: String,
        /// What it is about.
        pub kind: EntryKind,
        /// SHA-256 of the signed document, base64url.
        pub verification_key: String,
        /// The entry that it follows.
        pub previous: Option<String>,
        /// The author's node id.
        pub author: String,
        /// Whether the patient endorsed it.
        pub endorsed_by_patient: bool,
        /// Whether the hospital endorsed it.
        pub endorsed_by_hospital: bool,
        /// The notary's receipt, once there is one; checked by this node each time it is shown.
        pub receipt: Option<ReceiptView>,
        /// Why the receipt that is kept does not count, if it does not.
        pub receipt_problem: Option<NodeErrorView>,
    }

    /// A case in a list.
    #[serde(rename_all = "camelCase")]
    pub struct CaseSummary {
        /// Its id.
        pub id: String,
        /// The hospital's node id.
        pub hospital: String,
        /// How people call the hospital.
        pub hospital_name: String,
        /// Whether the Network Map lists the hospital. From one that it does not list, as it was
        /// revoked, nothing is taken, and nothing goes there.
        pub hospital_listed: bool,
        /// Whether it began under version 1 of the protocol: it can be read and verified, and takes no
        /// new entries.
        pub former: bool,
        /// Why the patient asked.
        pub reason: String,
        /// The wished date, `YYYY-MM-DD`.
        pub date: Option<String>,
        /// Where it stands.
        pub phase: Phase,
        /// When it began.
        pub begun: u64,
        /// When something happened last.
        pub changed: u64,
        /// How many decisions wait for the patient.
        pub open_decisions: u32,
    }

    /// A notary that came before the case's in rank when that was drawn, and was passed over.
    #[serde(rename_all = "camelCase")]
    pub struct PassedView {
        /// How people call it.
        pub name: String,
        /// Since when it had not answered; `null` when it was a notary no more.
        pub silent: Option<u64>,
    }

    /// A whole case.
    #[serde(rename_all = "camelCase")]
    pub struct CaseView {
        /// What a list shows of it.
        #[serde(flatten)]
        pub summary: CaseSummary,
        /// FHIR resource types of which the hospital may ask to read records.
        pub may_read: Vec<String>,
        /// The hospital's requests for data.
        pub data_requests: Vec<DataRequestView>,
        /// The hospital's results.
        pub results: Vec<ResultView>,
        /// The case's ledger.
        pub ledger: Vec<EntryView>,
        /// The notaries that were passed over for the case's, in rank.
        pub passed: Vec<PassedView>,
        /// How much of it waits to be sent.
        pub unsent: u32,
    }

    /// Where a record stands.
    #[serde(rename_all = "lowercase")]
    pub enum RecordState {
        /// A result that a notary has logged.
        Final,
        /// A result that is not final.
        Received,
        /// A result that the patient disputed.
        Disputed,
        /// The patient's own.
        Own,
    }

    /// A record in a list.
    #[serde(rename_all = "camelCase")]
    pub struct RecordSummary {
        /// `case/entry`.
        pub id: String,
        /// The case in which it was written.
        pub case: String,
        /// What it is, for people.
        pub title: String,
        /// SHA-256 of the signed document, base64url.
        pub verification_key: String,
        /// FHIR resource type.
        pub resource_type: String,
        /// When what it tells of happened: a FHIR date, dateTime or instant.
        pub date: Option<String>,
        /// The author's node id.
        pub author: String,
        /// How people call the author.
        pub author_name: String,
        /// Whether the patient is the author.
        pub own: bool,
        /// Node id of the notary that has logged it.
        pub notary: Option<String>,
        /// How people call the notary.
        pub notary_name: Option<String>,
        /// When it came and was verified; it is again whenever it is opened.
        pub verified: Option<u64>,
        /// Where it stands.
        pub state: RecordState,
        /// Size of the record.
        pub bytes: u32,
    }

    /// A record with its content.
    #[serde(rename_all = "camelCase")]
    pub struct RecordView {
        /// What a list shows of it.
        #[serde(flatten)]
        pub summary: RecordSummary,
        /// JSON text, with the numbers and the order of its author.
        pub fhir: String,
        /// The notary's receipt, once there is one; checked by this node each time it is shown.
        pub receipt: Option<ReceiptView>,
        /// Why the receipt that is kept does not count, if it does not.
        pub receipt_problem: Option<NodeErrorView>,
    }

    /// A message that was refused.
    #[serde(rename_all = "camelCase")]
    pub struct Quarantined {
        /// Digest of the envelope.
        pub id: String,
        /// When it came.
        pub received: u64,
        /// Why it was refused.
        pub error: NodeErrorView,
    }

    /// That the server has shown this node two networks.
    #[serde(rename_all = "camelCase")]
    pub struct SplitView {
        /// When.
        pub seen: u64,
        /// JSON text with the documents of both, as they were signed: for the operator, who has to
        /// explain them.
        pub evidence: String,
    }

    /// Something that waits to be sent.
    #[serde(rename_all = "camelCase")]
    pub struct Waiting {
        /// Its id.
        pub id: String,
        /// The case that it belongs to.
        pub case: String,
        /// To whom: how people call it.
        pub to: String,
        /// The type of the message.
        pub kind: String,
        /// Since when.
        pub since: u64,
        /// How often sending was tried.
        pub attempts: u32,
        /// When it is tried again; `null` for at once.
        pub next_attempt: Option<u64>,
        /// Why it was not sent.
        pub problem: Option<NodeErrorView>,
        /// Whether the recipient refused it for good: it is not sent again.
        pub refused: bool,
    }

    /// What a patient asks of a hospital.
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    #[serde(rename(deserialize = "closed"))]
    pub struct TreatmentRequest {
        /// Why.
        pub reason: String,
        /// The wished date, `YYYY-MM-DD`.
        pub date: Option<String>,
        /// FHIR resource types of which the hospital may ask to read records.
        pub may_read: Vec<String>,
    }

    /// What opens the live stream: `GET url` with the header `HDMS-Proof`.
    #[serde(rename_all = "camelCase")]
    pub struct StreamTicket {
        /// Where.
        pub url: String,
        /// Good for one request, for two minutes.
        pub proof: String,
    }

    /// What the node tells every page.
    #[serde(tag = "kind", rename_all = "lowercase")]
    pub enum NodeEvent {
        /// Something happened in these cases.
        Changed {
            /// Their ids.
            cases: Vec<String>,
        },
        /// The node's status is another.
        Status {
            /// The new one.
            status: NodeStatus,
        },
    }
}

impl From<KeyWarning> for KeyWarningView {
    fn from(warning: KeyWarning) -> Self {
        Self {
            node: warning.node.into(),
            name: warning.name,
            former: warning.former.map(Into::into),
            seen: warning.seen.0,
        }
    }
}

impl From<Error> for NodeErrorView {
    fn from(error: Error) -> Self {
        Self::of_code(error.code())
    }
}

impl NodeErrorView {
    /// The view of a code that was stored or came over the wire.
    pub fn of_code(code: &str) -> Self {
        Self { code: code.to_owned() }
    }
}
