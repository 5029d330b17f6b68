//! Cases: what was asked for, answered, and logged.

use serde::{Deserialize, Serialize};

use super::NodeErrorView;

views! {
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
        /// With what it was handed in; of before version 2 results came one by one.
        pub hand_in: Option<String>,
        /// What it is, for people.
        pub title: String,
        /// When it came and was verified.
        pub received: u64,
        /// Where it stands.
        pub status: ResultState,
    }

    /// What a hospital handed in together.
    #[serde(rename_all = "camelCase")]
    pub struct HandInView {
        /// Its id.
        pub id: String,
        /// How many results it is.
        pub of: u32,
        /// How many of them have come.
        pub came: u32,
        /// When the first of them came.
        pub begun: u64,
        /// Whether the rest is waited for: its results are shown once all have come, or after a day.
        pub awaited: bool,
    }

    /// Numbers in a row.
    pub struct NumbersView {
        /// The first.
        pub from: u64,
        /// The last.
        pub to: u64,
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
        /// Its number in the case, by the notary's receipt; entries of before version 2 have none.
        pub number: Option<u64>,
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
        /// Whether the case's notary is a member, or none is known yet. One that was revoked logs nothing
        /// more, so nothing becomes final in the case any more.
        pub notary_listed: bool,
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
        /// What the hospital handed in together.
        pub hand_ins: Vec<HandInView>,
        /// The hospital's results, without those of which the rest is still waited for.
        pub results: Vec<ResultView>,
        /// The case's ledger, by number; what has none yet comes last.
        pub ledger: Vec<EntryView>,
        /// Numbers that the notary has given, of entries that are not here: under way, or kept back.
        pub missing: Vec<NumbersView>,
        /// The notaries that were passed over for the case's, in rank.
        pub passed: Vec<PassedView>,
        /// How much of it waits to be sent.
        pub unsent: u32,
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
}
