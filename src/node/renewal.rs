//! Receipts that count no more: once a witness was revoked, what it has co-signed since is worth nothing,
//! and the notary, a member still, gives another receipt.

use super::{Node, Platform};
use crate::error::Error;
use crate::ids::{CaseId, EntryId};
use crate::ledger::{Endorsed, Entry};
use crate::network::NotaryLog;
use crate::provider::Table;
use crate::treatment::{Effect, Flow};

impl<P: Platform> Node<P> {
    /// Deposits an entry again if the receipt that is kept of it does not count and its notary may give
    /// another one. Does nothing while that waits to be sent, nor without both endorsements.
    ///
    /// Errors: [`Error::UnknownCase`], [`Error::UnknownEntry`], those of the store.
    pub async fn renew_receipt<F: Flow>(&self, id: &CaseId, entry: &EntryId) -> Result<(), Error> {
        let _guard = self.platform.lock_case(id).await;
        let is_void = self.receipt(id, entry).await.err() == Some(Error::ReceiptForged);
        if !is_void || self.waiting_item(entry.as_ref()).await?.is_some() {
            return Ok(());
        }
        let case: F = self.case(id).await?;
        let known = case.entries().into_iter().find(|known| known.id == *entry);
        let endorsed = match self.kept_endorsed(known.ok_or(Error::UnknownEntry)?).await {
            Err(error) if !error.is_passing() => return Ok(()),
            endorsed => endorsed?,
        };
        let Some(deposit) = case.deposit_again(endorsed).filter(|it| self.may_deposit(it)) else {
            return Ok(());
        };
        let (mut writes, mut queued) = (Vec::new(), Vec::new());
        self.prepare(id, deposit, &mut writes, &mut queued).await?;
        self.commit(writes, queued).await
    }

    /// An entry with both endorsements, as they are kept.
    async fn kept_endorsed(&self, entry: &Entry) -> Result<Endorsed, Error> {
        let participants = [entry.author.clone(), entry.counterparty.clone()];
        let mut endorsements = [String::new(), String::new()];
        for (jwt, by) in endorsements.iter_mut().zip(&participants) {
            let key = format!("{}/{}/{by}", entry.case, entry.id);
            *jwt = self.read_text(Table::Entries, &key).await?.ok_or(Error::EndorsementMissing)?;
        }
        self.endorsed(&endorsements, &participants).await
    }

    /// Whether the notary of a deposit is a member.
    fn may_deposit(&self, deposit: &Effect) -> bool {
        let Effect::Deposit { notary, .. } = deposit else { return false };
        self.trust().log(notary).is_ok_and(NotaryLog::is_member)
    }
}
