//! The ledger of a case, each receipt checked again.

use hdms::Error;
use hdms::ledger::{self, Entry};
use hdms::node::{CheckedReceipt, LedgerEntry, Node};
use hdms::treatment::patient::PatientCase;

use super::{Viewer, milliseconds};
use crate::platform::Browser;
use crate::views::{EntryKind, EntryView, NodeErrorView, ReceiptView};

impl Viewer {
    pub(super) async fn entry(
        &self,
        node: &Node<Browser>,
        case: &PatientCase,
        entry: &Entry,
    ) -> Result<EntryView, Error> {
        let LedgerEntry { endorsed_by_patient, endorsed_by_hospital, receipt } =
            node.ledger_entry(case, entry).await?;
        let kept = receipt.as_ref().ok().and_then(Option::as_ref);
        let number = kept.and_then(|receipt| receipt.receipt().number);
        let (receipt, receipt_problem) = self.receipt(node, receipt).await?;
        Ok(EntryView {
            id: entry.id.to_string(),
            kind: match entry.kind {
                ledger::EntryKind::Request => EntryKind::Request,
                ledger::EntryKind::Result => EntryKind::Result,
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

    /// What checking a receipt came to: the receipt, or why it does not count.
    pub(super) async fn receipt(
        &self,
        node: &Node<Browser>,
        checked: CheckedReceipt,
    ) -> Result<(Option<ReceiptView>, Option<NodeErrorView>), Error> {
        let receipt = match checked {
            Ok(Some(receipt)) => receipt,
            Ok(None) => return Ok((None, None)),
            Err(error) => return Ok((None, Some(error.into()))),
        };
        let mut witnesses = Vec::with_capacity(receipt.witnesses().len());
        for witness in receipt.witnesses() {
            witnesses.push(self.name(node, witness).await?);
        }
        let time = milliseconds(receipt.time());
        let receipt = receipt.receipt();
        let receipt = ReceiptView {
            notary: receipt.iss.to_string(),
            notary_name: self.name(node, &receipt.iss).await?,
            index: receipt.index,
            time,
            witnesses,
        };
        Ok((Some(receipt), None))
    }
}
