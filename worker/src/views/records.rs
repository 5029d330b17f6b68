//! Records.

use serde::{Deserialize, Serialize};

use super::{NodeErrorView, ReceiptView};

views! {
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
}
