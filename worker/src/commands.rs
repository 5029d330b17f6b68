//! What a page can ask of the node: one typed enum, from which the TypeScript interface is
//! generated. Every command may be repeated safely.

use hdms::{Error, json};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::views::TreatmentRequest;
#[cfg(all(test, not(target_arch = "wasm32")))]
use crate::views::{
    CaseSummary, CaseView, Hospital, NodeStatus, Quarantined, RecordSummary, RecordView, SplitView,
    StreamTicket, Waiting,
};

macro_rules! commands {
    ($($(#[doc = $doc:literal])+ $name:ident $(($options:ty))? = $text:literal -> $reply:ty;)+) => {
        /// A page's wish; see [`Wish`].
        #[derive(Clone, Debug, PartialEq, Deserialize)]
        pub enum Command {
            $($(#[doc = $doc])+ #[serde(rename = $text)] $name $(($options))?,)+
        }

        /// The methods of the TypeScript interface: documentation, name, options and reply.
        #[cfg(all(test, not(target_arch = "wasm32")))]
        pub(crate) fn methods(config: &ts_rs::Config) -> Vec<Method> {
            vec![$(Method {
                docs: [$($doc),+].concat(),
                name: $text,
                options: [$(<$options as ts_rs::TS>::name(config),)?].into(),
                reply: <$reply as ts_rs::TS>::name(config),
            }),+]
        }
    };
}

/// A command as it travels. serde's derived reader of such a form keeps a copy of everything and
/// has a second set of code for it.
#[derive(Debug, Deserialize)]
pub struct Wish {
    name: String,
    options: Option<Value>,
}

impl Wish {
    /// The command. [`Error::CommandMalformed`].
    pub fn read(self) -> Result<Command, Error> {
        let command = match self.options {
            Some(options) => json!({ self.name: options }),
            None => self.name.into(),
        };
        json::read(command, Error::CommandMalformed)
    }
}

/// One method of the TypeScript interface.
#[cfg(all(test, not(target_arch = "wasm32")))]
pub(crate) struct Method {
    pub docs: String,
    pub name: &'static str,
    pub options: Vec<String>,
    pub reply: String,
}

commands! {
    /// How the node is.
    Status = "status" -> NodeStatus;
    /// First run: makes keys and becomes a member of the network.
    Make(MakeOptions) = "make" -> NodeStatus;
    /// Opens the storage anew after a failure.
    Restart = "restart" -> NodeStatus;
    /// Changes how the patient is called in treatments asked for from now on.
    Rename(RenameOptions) = "rename" -> NodeStatus;
    /// Step 1: the hospitals of the Network Map.
    Hospitals = "hospitals" -> Vec<Hospital>;
    /// Steps 2-3: asks a hospital for treatment.
    Ask(AskOptions) = "ask" -> CaseView;
    /// Every case.
    Cases = "cases" -> Vec<CaseSummary>;
    /// The case with this id.
    Case(String) = "case" -> CaseView;
    /// The records that may be shared in answer to a request for data and are of the types that it
    /// asks for.
    RecordsFor(DataRequestOptions) = "recordsFor" -> Vec<RecordSummary>;
    /// Step 12: shares the chosen records.
    Share(ShareOptions) = "share" -> CaseView;
    /// Step 12: shares nothing.
    RefuseData(RefuseDataOptions) = "refuseData" -> CaseView;
    /// Steps 19-20: confirms results, 1 to 256 of a case at once.
    Confirm(ConfirmOptions) = "confirm" -> CaseView;
    /// Step 19: disputes results, 1 to 256 of a case at once.
    Dispute(DisputeOptions) = "dispute" -> CaseView;
    /// Every record: results and the patient's own.
    Records = "records" -> Vec<RecordSummary>;
    /// The record with this id, checked again.
    Record(String) = "record" -> RecordView;
    /// Adds a record of the patient's own.
    AddRecord(AddRecordOptions) = "addRecord" -> RecordSummary;
    /// What was refused.
    Quarantine = "quarantine" -> Vec<Quarantined>;
    /// The evidence that the server has shown this node two networks, if it ever has.
    Split = "split" -> Option<SplitView>;
    /// What waits to be sent.
    Outbox = "outbox" -> Vec<Waiting>;
    /// Fetches the mailbox and sends what of the outbox may go by now: asking often sends nothing more.
    Sync = "sync" -> NodeStatus;
    /// Fetches the mailbox and sends all of the outbox once, due or not: when a person says so.
    SendNow = "sendNow" -> NodeStatus;
    /// Has the server wake this browser by push. What can't be done now is done at the next contact.
    /// The client's `notifications` ask for the permission first.
    SubscribePush(PushOptions) = "subscribePush" -> NodeStatus;
    /// Ends that.
    UnsubscribePush = "unsubscribePush" -> NodeStatus;
    /// The person has seen the warning about the keys of the node with this id.
    DismissKeyWarning(String) = "dismissKeyWarning" -> NodeStatus;
    /// What opens the live stream.
    StreamTicket = "streamTicket" -> StreamTicket;
}

macro_rules! options {
    ($($(#[$meta:meta])* pub struct $name:ident $body:tt)+) => {
        $(
            #[derive(Clone, Debug, PartialEq, Deserialize)]
            #[serde(rename_all = "camelCase", deny_unknown_fields)]
            #[serde(rename(deserialize = "closed"))]
            #[cfg_attr(all(test, not(target_arch = "wasm32")), derive(ts_rs::TS))]
            $(#[$meta])*
            pub struct $name $body
        )+

        /// The TypeScript declaration of the options of every command, with their documentation.
        #[cfg(all(test, not(target_arch = "wasm32")))]
        pub(crate) fn declarations(config: &ts_rs::Config) -> Vec<(Option<String>, String)> {
            vec![$((<$name as ts_rs::TS>::docs(), <$name as ts_rs::TS>::decl(config))),+]
        }
    };
}

options! {
    /// Of `make`.
    pub struct MakeOptions {
        /// How the patient is called, at most 200 bytes of UTF-8; may be empty. It stays on this
        /// device, and goes sealed to the hospitals that are asked for treatment.
        pub name: String,
        /// A person's word that a node whose storage is lost (`store/lost`) is to be replaced by a
        /// new one.
        #[serde(default)]
        #[cfg_attr(all(test, not(target_arch = "wasm32")), ts(optional, as = "Option<bool>"))]
        pub replace_lost: bool,
    }

    /// Of `rename`.
    pub struct RenameOptions {
        /// As of `make`.
        pub name: String,
    }

    /// Of `ask`.
    pub struct AskOptions {
        /// A UUIDv7 that the page made.
        pub case: String,
        /// The hospital's node id.
        pub hospital: String,
        /// What is asked for.
        pub request: TreatmentRequest,
    }

    /// Names a request for data.
    pub struct DataRequestOptions {
        /// The case.
        pub case: String,
        /// The request's id.
        pub data_request: String,
    }

    /// Of `share`.
    pub struct ShareOptions {
        /// The case.
        pub case: String,
        /// The request's id.
        pub data_request: String,
        /// Ids of records.
        pub records: Vec<String>,
    }

    /// Of `refuseData`.
    pub struct RefuseDataOptions {
        /// The case.
        pub case: String,
        /// The request's id.
        pub data_request: String,
        /// Why, for the hospital to read.
        pub reason: String,
    }

    /// Of `confirm`.
    pub struct ConfirmOptions {
        /// The case.
        pub case: String,
        /// The results' entries.
        pub entries: Vec<String>,
    }

    /// Of `dispute`.
    pub struct DisputeOptions {
        /// The case.
        pub case: String,
        /// The results' entries.
        pub entries: Vec<String>,
        /// Why, for the hospital to read.
        pub reason: String,
    }

    /// Of `subscribePush`.
    pub struct PushOptions {
        /// The token of the Firebase SDK; `null` to subscribe at the browser's own push service.
        pub firebase_token: Option<String>,
    }

    /// Of `addRecord`.
    pub struct AddRecordOptions {
        /// A FHIR R4 resource or Bundle, JSON.
        pub fhir: String,
    }
}
