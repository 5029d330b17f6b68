//! Requests that a hospital lets go undecided, and what it keeps of patients of whom it knows nothing else.

use super::{Node, Platform, put, record_key};
use crate::error::Error;
use crate::ids::{CaseId, NodeId};
use crate::json;
use crate::provider::{Store, Table, Timestamp, Write};
use crate::treatment::Step;
use crate::treatment::hospital::{HospitalCase, HospitalPhase};

/// Rows deleted at a time.
const PAGE: usize = 500;

/// Rows of [`Table::Meta`]: until when it is remembered what a patient has sent, of whom a request was let
/// go, by node id.
const REMEMBERED: &str = "remembered/";

/// How a request goes.
#[derive(Clone, Copy, Debug)]
pub struct Lapse<'a> {
    /// What the patient is told.
    pub why: &'a str,
    /// Until when its envelope is remembered, so that it does not begin the case once more, and the
    /// refusal may be sent: a newer card comes with the answer that it was sealed to a former key.
    pub remembered: Timestamp,
}

impl<P: Platform> Node<P> {
    /// Lets a request of `patient` go that nobody has decided: the patient is told, and nothing of the
    /// case is kept, nor the card of a patient who is a stranger otherwise, which is asked while nothing
    /// of this patient's is taken in. Answers whether it is gone: one that was decided stays.
    ///
    /// Errors: those of the store; [`Error::RandomnessFailed`] and others of this node's own.
    pub async fn let_lapse(
        &self,
        (id, patient): (&CaseId, &NodeId),
        lapse: Lapse<'_>,
        is_stranger: impl FnOnce() -> bool,
    ) -> Result<bool, Error> {
        let _nothing_comes = self.platform.lock_sender(patient).await;
        let _guard = self.platform.lock_case(id).await;
        let Some(case) = self.find_case::<HospitalCase>(id).await? else { return Ok(true) };
        if case.phase != HospitalPhase::Requested || case.patient != *patient {
            return Ok(false);
        }
        let mut writes = self.forgetting(&case).await?;
        writes.push(put(Table::Meta, remembered(patient), json::write(&lapse.remembered)?));
        if is_stranger() {
            writes.push(delete(Table::Cards, patient.to_string()));
        }
        self.decline_and_forget(&case, lapse.why, writes).await?;
        Ok(true)
    }

    /// Forgets what was [remembered](Lapse::remembered) of patients who are strangers still, once its time
    /// is over.
    pub async fn forget_lapsed(&self, is_stranger: impl Fn(&NodeId) -> bool) -> Result<(), Error> {
        let mut after = String::new();
        loop {
            let rows = self.platform.store().scan(Table::Meta, REMEMBERED, &after, PAGE).await?;
            let Some((last, _)) = rows.last() else { return Ok(()) };
            after.clone_from(last);
            for (key, row) in rows {
                let until: Timestamp = json::stored(&row)?;
                if until > self.now() {
                    continue;
                }
                let patient: NodeId = key[REMEMBERED.len()..].parse()?;
                let _nothing_comes = self.platform.lock_sender(&patient).await;
                let mut deletes = vec![delete(Table::Meta, key)];
                if is_stranger(&patient) {
                    self.forget_seen(&patient).await?;
                    deletes.push(delete(Table::Cards, patient.to_string()));
                }
                self.platform.store().commit(deletes).await?;
            }
        }
    }

    /// What deletes a case that was only begun.
    async fn forgetting(&self, case: &HospitalCase) -> Result<Vec<Write>, Error> {
        let prefix = format!("{}/", case.id);
        let entries = self.platform.store().scan(Table::Entries, &prefix, "", PAGE).await?;
        let record = record_key(&case.id, &case.entry.id);
        let rows = [delete(Table::Cases, case.id.to_string()), delete(Table::Records, record)];
        let entries = entries.into_iter().map(|(key, _)| delete(Table::Entries, key));
        Ok(entries.chain(rows).collect())
    }

    /// Commits `writes` together with the refusal, if that can be sent.
    async fn decline_and_forget(
        &self,
        case: &HospitalCase,
        why: &str,
        mut writes: Vec<Write>,
    ) -> Result<(), Error> {
        let mut queued = Vec::new();
        if let Step::Applied(_, effects) = case.decline(why, self.now())? {
            for effect in effects {
                match self.prepare(&case.id, effect, &mut writes, &mut queued).await {
                    Err(error) if error.is_transient() => return Err(error),
                    // There is nobody to be told any more.
                    Ok(()) | Err(_) => {}
                }
            }
        }
        self.commit(writes, queued).await
    }

    /// Forgets which messages of a patient were taken in, however many.
    async fn forget_seen(&self, patient: &NodeId) -> Result<(), Error> {
        let (store, prefix) = (self.platform.store(), format!("seen/{patient}/"));
        loop {
            let rows = store.scan(Table::Inbox, &prefix, "", PAGE).await?;
            if rows.is_empty() {
                return Ok(());
            }
            let deletes = rows.into_iter().map(|(key, _)| delete(Table::Inbox, key));
            store.commit(deletes.collect()).await?;
        }
    }
}

fn remembered(patient: &NodeId) -> String {
    format!("{REMEMBERED}{patient}")
}

fn delete(table: Table, key: String) -> Write {
    Write::Delete { table, key }
}
