//! Receipts that count no more: once a witness was revoked, what it has co-signed since is worth nothing,
//! and the notary, a member still, gives another receipt.

use super::numbers::numbered;
use super::{Node, Platform, put};
use crate::error::Error;
use crate::ids::{CaseId, EntryId, NodeId};
use crate::ledger::{Endorsed, Entry, Receipt, VerifiedReceipt};
use crate::network::NotaryLog;
use crate::provider::{Store, Table, Write};
use crate::treatment::Flow;

impl<P: Platform> Node<P> {
    /// Deposits an entry again if the receipt that is kept of it does not count and its notary may give
    /// another one: once with the network documents of now. Does nothing while that waits to be sent, nor
    /// without both endorsements, nor when a participant was revoked.
    ///
    /// Errors: [`Error::UnknownCase`], [`Error::UnknownEntry`], those of the store.
    pub async fn renew_receipt<F: Flow>(&self, id: &CaseId, entry: &EntryId) -> Result<(), Error> {
        let _guard = self.platform.lock_case(id).await;
        let case: F = self.case(id).await?;
        let known = case.entries().into_iter().find(|known| known.id == *entry);
        let known = known.ok_or(Error::UnknownEntry)?;
        let Some((notary, first)) = case.deposit_again(known) else { return Ok(()) };
        let trust = self.trust();
        let asked = format!("renewal/{id}/{entry}");
        let documents = trust.manifest().number.to_string();
        let before = self.read_text(Table::Meta, &asked).await?.unwrap_or_default();
        let (by_documents, waiting) = before.split_once(' ').unwrap_or((&before, ""));
        // What costs signatures to find out comes last.
        let may_endorse = |node: &&NodeId| trust.check_revocation(node, self.now()).is_ok();
        if !trust.log(&notary).is_ok_and(NotaryLog::is_member)
            || !case.participants().iter().all(may_endorse)
            || by_documents == documents
            || self.waiting_item(waiting).await?.is_some()
            || self.receipt(id, entry).await.err() != Some(Error::ReceiptForged)
        {
            return Ok(());
        }
        let endorsed = match self.kept_endorsed(known).await {
            Err(error) if !error.is_transient() => return Ok(()),
            endorsed => endorsed?,
        };
        let item = self.deposit(notary, &endorsed, first)?;
        let asking = put(Table::Meta, asked, format!("{documents} {}", item.id).into());
        self.commit(vec![asking], vec![item]).await
    }

    /// What is to be written of a receipt that came. The one that is kept stays while it counts, and its
    /// word in any case, unless it was damaged. [`Error::EntryMismatch`] when the new one says something
    /// else: its notary has signed two histories, and the one that this node has proven is the first.
    pub(super) async fn kept_receipt(
        &self,
        case: &CaseId,
        receipt: &VerifiedReceipt,
    ) -> Result<Vec<Write>, Error> {
        let (said, trust) = (receipt.receipt(), self.trust());
        let key = format!("{case}/{}", said.entry);
        let kept = self.platform.store().read(Table::Receipts, &key).await?;
        if let Some(kept) = kept.and_then(|kept| String::from_utf8(kept).ok())
            && let Ok(before) = Receipt::signed(&kept, &trust, self.platform.primitives()).await
            && before.entry == said.entry
        {
            if before != *said {
                return Err(Error::EntryMismatch);
            }
            match self.verify_receipt(&kept).await {
                Err(Error::ReceiptForged) => {}
                counts => return counts.map(|_| Vec::new()),
            }
        }
        let kept = put(Table::Receipts, key, receipt.text().into());
        Ok(numbered(case, said).into_iter().chain([kept]).collect())
    }

    /// An entry with both endorsements, as they are kept.
    async fn kept_endorsed(&self, entry: &Entry) -> Result<Vec<Endorsed>, Error> {
        let statements = self.statements_of_both(entry).await?;
        self.endorsed(std::slice::from_ref(&entry.id), &statements).await
    }
}
