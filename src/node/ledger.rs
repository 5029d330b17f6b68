//! A case's ledger as people are shown it, each receipt checked again without asking anybody.

use super::{Node, Platform};
use crate::error::Error;
use crate::ledger::{Entry, VerifiedReceipt};
use crate::treatment::Flow;
use crate::treatment::message::SharedRecord;

/// What checking a receipt came to: the receipt if there is one, or why it does not count.
pub type CheckedReceipt = Result<Option<VerifiedReceipt>, Error>;

/// What a node keeps of a ledger entry.
#[derive(Clone, Debug)]
pub struct LedgerEntry {
    /// Whether the patient's endorsement is kept.
    pub endorsed_by_patient: bool,
    /// Whether the hospital's is.
    pub endorsed_by_hospital: bool,
    /// The notary's receipt.
    pub receipt: CheckedReceipt,
}

impl<P: Platform> Node<P> {
    /// What is kept of an entry of this case. Errors: those of [`Node::checked_receipt`].
    pub async fn ledger_entry<F: Flow>(
        &self,
        case: &F,
        entry: &Entry,
    ) -> Result<LedgerEntry, Error> {
        let endorsers = self.endorsers(&entry.case, &entry.id).await?;
        let endorsed = case.participants().map(|participant| endorsers.contains(participant));
        let [endorsed_by_patient, endorsed_by_hospital] = endorsed;
        let receipt = self.checked_receipt(case, entry).await?;
        Ok(LedgerEntry { endorsed_by_patient, endorsed_by_hospital, receipt })
    }

    /// The receipt of an entry of this case: [`Error::EntryMismatch`] where it is another's. One that
    /// counts no more is [asked for again](Node::renew_receipt). Errors: those that say nothing of it.
    pub async fn checked_receipt<F: Flow>(
        &self,
        case: &F,
        entry: &Entry,
    ) -> Result<CheckedReceipt, Error> {
        let kept = self.receipt(&entry.case, &entry.id).await.and_then(|kept| {
            kept.as_ref().map_or(Ok(()), |kept| kept.expect(entry, case.secret()))?;
            Ok(kept)
        });
        if kept.as_ref().err() == Some(&Error::ReceiptForged) {
            self.renew_receipt::<F>(&entry.case, &entry.id).await?;
        }
        about_receipt(kept)
    }

    /// The receipt that came with a shared record, by what is known now. Errors: those that say nothing
    /// of it.
    pub async fn shared_receipt(&self, shared: &SharedRecord) -> Result<CheckedReceipt, Error> {
        let Some(text) = &shared.receipt else { return Ok(Ok(None)) };
        about_receipt(self.verify_receipt(text).await.map(Some))
    }
}

/// Whether what came of checking a receipt says that it does not count, and not that it could not be
/// checked.
fn about_receipt(checked: CheckedReceipt) -> Result<CheckedReceipt, Error> {
    match checked {
        Err(error) if error.is_transient() && error != Error::StoreCorrupt => Err(error),
        checked => Ok(checked),
    }
}
