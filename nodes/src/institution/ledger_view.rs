//! What the HIS sees of a case's ledger.

use futures_util::future::join_all;
use hdms::Error;
use hdms::ledger::{Entry, EntryKind, VerifiedReceipt};
use hdms::node::{CheckedReceipt, LedgerEntry};
use hdms::provider::Timestamp;
use hdms::treatment::Flow;
use hdms::treatment::hospital::HospitalCase;
use serde::Serialize;
use utoipa::ToSchema;

use super::names::name_of;
use super::views::ProblemView;
use crate::institution::platform::NativeNode;

/// A case's ledger.
pub struct LedgerView {
    /// By number; what has none yet comes last.
    pub ledger: Vec<EntryView>,
    /// Numbers that the notary has given, of entries that are not here.
    pub missing: Vec<NumbersView>,
}

/// An entry of the ledger.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EntryView {
    /// The entry.
    pub id: String,
    /// `request` or `result`.
    pub kind: String,
    /// Of its document.
    pub verification_key: String,
    /// Its number in the case, by the notary's receipt; entries of before version 2 have none.
    pub number: Option<u64>,
    /// Node id of the document's author.
    pub author: String,
    /// Whether the patient's endorsement is kept here.
    pub endorsed_by_patient: bool,
    /// Whether the hospital has endorsed it.
    pub endorsed_by_hospital: bool,
    /// The notary's receipt; with it and both endorsements the entry is final.
    pub receipt: Option<ReceiptView>,
    /// Why the receipt that is kept does not count, if it does not: that its notary was revoked before
    /// it logged this, say.
    pub receipt_problem: Option<ProblemView>,
}

/// A notary's receipt.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReceiptView {
    /// Node id of the notary.
    pub notary: String,
    /// The notary's name.
    pub notary_name: String,
    /// Place in its log.
    pub index: u64,
    /// When it was logged, by the witnesses' word where there are any, milliseconds since 1970.
    pub time: u64,
    /// Names of the other notaries that have co-signed the notary's log; without any nobody watches
    /// it.
    pub witnesses: Vec<String>,
    /// The receipt itself, the text of a C2SP tlog-proof: whoever has it can check it without asking
    /// anybody.
    pub text: String,
}

/// Numbers in a row.
#[derive(Debug, Serialize, ToSchema)]
pub struct NumbersView {
    /// The first.
    pub from: u64,
    /// The last.
    pub to: u64,
}

impl LedgerView {
    /// Of a case as the node keeps it.
    pub async fn of(node: &NativeNode, case: &HospitalCase) -> Result<Self, Error> {
        let mut ledger = Vec::new();
        for entry in case.entries() {
            ledger.push(EntryView::of(node, case, entry).await?);
        }
        ledger.sort_by_key(|entry| entry.number.unwrap_or(u64::MAX));
        let missing = node.missing_numbers(&case.id).await?.into_iter();
        let missing = missing.map(|gap| NumbersView { from: *gap.start(), to: *gap.end() });
        Ok(Self { ledger, missing: missing.collect() })
    }
}

impl EntryView {
    async fn of(node: &NativeNode, case: &HospitalCase, entry: &Entry) -> Result<Self, Error> {
        let LedgerEntry { endorsed_by_patient, endorsed_by_hospital, receipt } =
            node.ledger_entry(case, entry).await?;
        let kept = receipt.as_ref().ok().and_then(Option::as_ref);
        let number = kept.and_then(|receipt| receipt.receipt().number);
        let (receipt, receipt_problem) = ReceiptView::checked(node, receipt).await;
        Ok(Self {
            id: entry.id.to_string(),
            kind: match entry.kind {
                EntryKind::Request => "request".into(),
                EntryKind::Result => "result".into(),
            },
            verification_key: entry.verification_key.as_ref().to_owned(),
            number,
            author: entry.author.to_string(),
            endorsed_by_patient,
            endorsed_by_hospital,
            receipt,
            receipt_problem,
        })
    }
}

impl ReceiptView {
    /// Of what checking a receipt came to: the receipt, or why it does not count.
    pub async fn checked(
        node: &NativeNode,
        checked: CheckedReceipt,
    ) -> (Option<Self>, Option<ProblemView>) {
        match checked {
            Err(error) => (None, Some(ProblemView::of(error.code().to_owned()))),
            Ok(Some(receipt)) => (Some(Self::of(node, &receipt).await), None),
            Ok(None) => (None, None),
        }
    }

    async fn of(node: &NativeNode, receipt: &VerifiedReceipt) -> Self {
        let names = receipt.witnesses().iter().map(|id| name_of(node, id));
        let witnesses = join_all(names).await;
        let (time, text) = (Timestamp::from_seconds(receipt.time()).0, receipt.text().to_owned());
        let receipt = receipt.receipt();
        Self {
            notary: receipt.iss.to_string(),
            notary_name: name_of(node, &receipt.iss).await,
            index: receipt.index,
            time,
            witnesses,
            text,
        }
    }
}
