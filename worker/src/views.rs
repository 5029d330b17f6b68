//! What pages see of the node. The TypeScript types in `client/types.ts` are generated from these.

macro_rules! views {
    ($($(#[$meta:meta])* pub $kind:ident $name:ident $body:tt)+) => {
        $(
            #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
            #[cfg_attr(all(test, not(target_arch = "wasm32")), derive(ts_rs::TS))]
            $(#[$meta])*
            pub $kind $name $body
        )+

        /// The TypeScript declarations of these views, with their documentation.
        #[cfg(all(test, not(target_arch = "wasm32")))]
        pub(crate) fn declarations(config: &ts_rs::Config) -> Vec<(Option<String>, String)> {
            vec![$((<$name as ts_rs::TS>::docs(), <$name as ts_rs::TS>::decl(config))),+]
        }
    };
}

mod cases;
mod node;
mod records;

pub use cases::{
    CaseSummary, CaseView, DataAnswer, DataRequestView, EntryKind, EntryView, HandInView,
    NumbersView, PassedView, Phase, ReceiptView, ResultState, ResultView, TreatmentRequest,
};
pub use node::{
    Hospital, KeyWarningView, NodeErrorView, NodeEvent, NodeState, NodeStatus, PushState,
    Quarantined, SplitView, Storage, StreamTicket, Waiting,
};
pub use records::{RecordState, RecordSummary, RecordView};

/// The TypeScript declaration of every view, with its documentation.
#[cfg(all(test, not(target_arch = "wasm32")))]
pub(crate) fn declarations(config: &ts_rs::Config) -> Vec<(Option<String>, String)> {
    [node::declarations(config), cases::declarations(config), records::declarations(config)]
        .concat()
}
