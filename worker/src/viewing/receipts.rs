//! The ledger of a case, each receipt checked again.

use hdms::Error;
use hdms::ledger::{self, CaseSecret, Entry};
use hdms::node::Node;
use hdms::treatment::patient::PatientCase;

use super::{Viewer, milliseconds};
use crate::platform::Browser;
use crate::views::{EntryKind, EntryView, NodeErrorView, ReceiptView};

/// A receipt, or why the one that is kept does not count; neither when there is none.
#[derive(Default)]
pub(super) struct Checked {
    pub(super) receipt: Option<ReceiptView>,
    pub(super) problem: Option<NodeErrorView>,
}

impl Viewer {
    pub(super) async fn entry(
        &self,
        node: &Node<Browser>,
        case: &PatientCase,
        entry: &Entry,
    ) -> Result<EntryView, Error> {
        let endorsers = node.endorsers(&case.id, &entry.id).await?;
        let Checked { receipt, problem } = self.receipt(node, entry, case.secret).await?;
        Ok(EntryView {
            id: entry.id.to_string(),
            kind: match entry.kind {
                ledger::EntryKind::Request => EntryKind::Request,
                ledger::EntryKind::Result => EntryKind::Result,
            },
            verification_key: entry.verification_key.as_ref().to_owned(),
            previous: entry.previous.as_ref().map(ToString::to_string),
            author: entry.author.to_string(),
            endorsed_by_patient: endorsers.contains(&case.patient),
            endorsed_by_hospital: endorsers.contains(&case.hospital),
            receipt,
            receipt_problem: problem,
        })
    }

    /// The receipt of an entry in which the patient takes part, checked without asking anybody.
    pub(super) async fn receipt(
        &self,
        node: &Node<Browser>,
        entry: &Entry,
        secret: Option<CaseSecret>,
    ) -> Result<Checked, Error> {
        let kept = node.receipt(&entry.case, &entry.id).await;
        let kept = kept.and_then(|kept| {
            kept.as_ref().map_or(Ok(()), |kept| kept.expect(entry, secret))?;
            Ok(kept)
        });
        let kept = match kept {
            Err(error) if !error.is_passing() || error == Error::StoreCorrupt => {
                if error == Error::ReceiptForged {
                    node.renew_receipt::<PatientCase>(&entry.case, &entry.id).await?;
                }
                return Ok(Checked { problem: Some(error.into()), ..Checked::default() });
            }
            kept => kept?,
        };
        let Some(kept) = kept else { return Ok(Checked::default()) };
        let mut witnesses = Vec::with_capacity(kept.witnesses().len());
        for witness in kept.witnesses() {
            witnesses.push(self.name(node, witness).await?);
        }
        let receipt = kept.receipt();
        let receipt = ReceiptView {
            notary: receipt.iss.to_string(),
            notary_name: self.name(node, &receipt.iss).await?,
            index: receipt.index,
            time: milliseconds(kept.time()),
            witnesses,
        };
        Ok(Checked { receipt: Some(receipt), problem: None })
    }
}
