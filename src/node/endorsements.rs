//! Endorsements as a node signs and keeps them: each statement once, however many entries it is about.

use super::{Node, Platform, put};
use crate::base64url::digest;
use crate::error::Error;
use crate::ids::{CaseId, EntryId, NodeId};
use crate::ledger::{Endorsed, Entry, UnverifiedEndorsement, VerifiedEndorsement};
use crate::provider::{Store, Table, Write};

impl<P: Platform> Node<P> {
    /// This node's endorsement of entries. Errors: those of [`VerifiedEndorsement::sign`].
    pub(super) async fn endorse(&self, entries: &[Entry]) -> Result<VerifiedEndorsement, Error> {
        let keys = self.platform.keys();
        VerifiedEndorsement::sign(entries, self.id(), self.now(), keys).await
    }

    /// Who has endorsed an entry, as this node keeps it.
    pub(super) async fn endorsers(
        &self,
        case: &CaseId,
        entry: &EntryId,
    ) -> Result<Vec<NodeId>, Error> {
        let prefix = format!("{case}/{entry}/");
        let rows = self.platform.store().scan(Table::Entries, &prefix, "", 2).await?;
        rows.iter().map(|(key, _)| key[prefix.len()..].parse()).collect()
    }

    /// What `by` has endorsed of these entries, each statement once, checked again.
    /// [`Error::EndorsementMissing`]; those of a card that will not do even for later.
    pub(super) async fn kept_endorsements(
        &self,
        case: &CaseId,
        entries: &[Entry],
        by: &NodeId,
    ) -> Result<Vec<VerifiedEndorsement>, Error> {
        let card = match by == self.id() {
            true => (*self.card()).clone(),
            false => self.card_for_later(by).await?,
        };
        let (mut checked, primitives) = (Vec::new(), self.platform.primitives());
        for jwt in self.statements(case, entries, by).await? {
            checked.push(VerifiedEndorsement::verify(&jwt, &card, primitives).await?);
        }
        Ok(checked)
    }

    /// The same of both participants, unchecked. [`Error::EndorsementMissing`].
    pub(super) async fn statements_of_both(&self, entry: &Entry) -> Result<Vec<String>, Error> {
        let mut statements = Vec::with_capacity(2);
        for by in [&entry.author, &entry.counterparty] {
            statements.extend(self.statements(&entry.case, [entry], by).await?);
        }
        Ok(statements)
    }

    async fn statements<'a>(
        &self,
        case: &CaseId,
        entries: impl IntoIterator<Item = &'a Entry>,
        by: &NodeId,
    ) -> Result<Vec<String>, Error> {
        let (mut names, mut statements) = (Vec::new(), Vec::new());
        for Entry { id, .. } in entries {
            let kept = self.read_text(Table::Entries, &format!("{case}/{id}/{by}")).await?;
            let kept = kept.ok_or(Error::EndorsementMissing)?;
            if names.contains(&kept) {
                continue;
            }
            // Versions before this kept the statement itself with its entry.
            statements.push(if kept.contains('.') {
                kept.clone()
            } else {
                let said = self.read_text(Table::Entries, &said(case, &kept)).await?;
                said.ok_or(Error::StoreCorrupt)?
            });
            names.push(kept);
        }
        Ok(statements)
    }

    /// What is to be written of an endorsement: the statement, and with each of its entries which that is.
    /// Of another's the first stays: a later one might be made to be disowned.
    pub(super) async fn kept_of(
        &self,
        endorsement: &VerifiedEndorsement,
    ) -> Result<Vec<Write>, Error> {
        let (name, by) = (digest(endorsement.jwt()), endorsement.by());
        let (mut writes, store) = (Vec::new(), self.platform.store());
        for Entry { case, id, .. } in endorsement.entries() {
            let key = format!("{case}/{id}/{by}");
            if by == self.id() || store.read(Table::Entries, &key).await?.is_none() {
                writes.push(put(Table::Entries, key, name.clone().into()));
            }
        }
        if let (Some(first), false) = (endorsement.entries().first(), writes.is_empty()) {
            let key = said(&first.case, &name);
            writes.push(put(Table::Entries, key, endorsement.jwt().into()));
        }
        Ok(writes)
    }

    /// What both participants have endorsed of entries of which a deposit was answered. Whether they are
    /// members by now is no matter: the notary has looked.
    pub(super) async fn endorsed(
        &self,
        entries: &[EntryId],
        endorsements: &[String],
    ) -> Result<Vec<Endorsed>, Error> {
        let (mut said, primitives) =
            (Vec::with_capacity(endorsements.len()), self.platform.primitives());
        for jwt in endorsements {
            let statement = UnverifiedEndorsement::parse(jwt)?;
            let card = match statement.claimed_by() == self.id() {
                true => (*self.card()).clone(),
                false => self.known_card(statement.claimed_by()).await?,
            };
            said.push(statement.verify(&card, primitives).await?);
        }
        let join = |id: &EntryId| {
            let mut about = said.iter().filter(|said| said.entry(id).is_ok());
            let missing = Error::EndorsementMissing;
            let (one, other) = (about.next().ok_or(missing)?, about.next().ok_or(missing)?);
            Endorsed::join(id, one, other)
        };
        entries.iter().map(join).collect()
    }
}

/// Rows of [`Table::Entries`]: a statement, by its digest.
fn said(case: &CaseId, digest: &str) -> String {
    format!("{case}/said/{digest}")
}
