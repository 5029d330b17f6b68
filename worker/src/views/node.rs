//! The node, its network, and what comes, waits and went wrong.

use hdms::Error;
use hdms::network::KeyWarning;
use serde::{Deserialize, Serialize};

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
        /// How much storage the browser gives the node; `null` where it does not tell.
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

    /// The node's storage on this device, in bytes.
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
        /// Of a deposit: the results' entries that the notary has not yet logged.
        pub entries: Vec<String>,
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
