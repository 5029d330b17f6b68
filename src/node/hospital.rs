//! What a hospital decides (steps 4-11, 14-18). Every decision may be repeated safely.

use std::collections::HashSet;

use serde::Serialize;
use serde_json::Value;

use super::{Node, Platform, draft_key, shared_key};
use crate::error::Error;
use crate::fhir::{facts, resource};
use crate::ids::{CaseId, EntryId, MessageId};
use crate::json;
use crate::ledger::VerificationKey;
use crate::provider::{Store, Table};
use crate::record;
use crate::treatment::hospital::{HospitalCase, HospitalPhase};
use crate::treatment::message::{DataRequestBody, SharedRecord, check_text};
use crate::treatment::{Authored, Step};

/// A result that waits for its turn, as it is kept.
#[derive(Serialize)]
pub(super) struct Draft {
    pub(super) fhir: Value,
    pub(super) born: Option<String>,
}

impl Draft {
    /// Reads what is kept: of before records said how old somebody was, the FHIR alone.
    fn read(bytes: &[u8]) -> Result<Self, Error> {
        let mut kept = json::parse(bytes)?;
        if resource::kind(&kept).is_some() {
            return Ok(Self { fhir: kept, born: None });
        }
        let fhir = kept.get_mut("fhir").map(Value::take).ok_or(Error::StoreCorrupt)?;
        let born = kept.get("born").and_then(Value::as_str).map(str::to_owned);
        Ok(Self { fhir, born })
    }
}

impl<P: Platform> Node<P> {
    /// Steps 4 and 7-9: approves a request; it goes to the notary that was drawn when it came.
    ///
    /// Errors: [`Error::UnknownCase`], [`Error::AlreadyDecided`], [`Error::NoNotary`],
    /// [`Error::FormerCase`].
    pub async fn approve(&self, id: &CaseId) -> Result<HospitalCase, Error> {
        let guard = self.platform.lock_case(id).await;
        let case: HospitalCase = self.case(id).await?;
        match case.phase {
            HospitalPhase::Requested | HospitalPhase::Approving { refused: Some(_), .. } => {}
            HospitalPhase::Approving { .. } | HospitalPhase::Approved => return Ok(case),
            HospitalPhase::Declined { .. } => return Err(Error::AlreadyDecided),
        }
        let theirs = self.kept_endorsement(id, &case.entry.id, &case.patient).await?;
        let mine = self.endorse(&case.entry).await?;
        let step = case.approve(mine, theirs, self.now())?;
        self.carry_out(id, step, Vec::new()).await?;
        drop(guard);
        // The notary may have been revoked since the request came.
        if let Some(item) = self.waiting_item(case.entry.id.as_ref()).await? {
            self.pass_over_all(item).await?;
        }
        self.case(id).await
    }

    /// Steps 4 and 10: declines a request. [`Error::UnknownCase`], [`Error::AlreadyDecided`], also when it
    /// was declined for another reason, [`Error::TextTooLong`].
    pub async fn decline(&self, id: &CaseId, reason: &str) -> Result<HospitalCase, Error> {
        check_text(reason)?;
        self.decide_as_hospital(id, |case| case.decline(reason, self.now())).await
    }

    /// Step 11: asks the patient for records of these FHIR resource types.
    ///
    /// Errors: [`Error::UnknownCase`], [`Error::NotFhir`] for an unknown type, [`Error::TextTooLong`];
    /// those of [`HospitalCase::ask_for_data`].
    pub async fn ask_for_data(
        &self,
        id: &CaseId,
        asked: DataRequestBody,
    ) -> Result<HospitalCase, Error> {
        if !asked.resources.iter().all(|kind| resource::is_type(kind)) {
            return Err(Error::NotFhir);
        }
        asked.check()?;
        self.decide_as_hospital(id, |case| case.ask_for_data(asked.clone(), self.now())).await
    }

    /// Step 14: hands in results, each a FHIR resource or Bundle that fits an envelope; they go to
    /// the patient one after another.
    ///
    /// Errors: [`Error::UnknownCase`], [`Error::NotAllowedNow`], also when the case's notary is none any
    /// more and they are new, [`Error::AlreadyDecided`] when an id names another result, or only some of
    /// them were handed in before; none is taken in then.
    pub async fn hand_in(
        &self,
        id: &CaseId,
        results: Vec<(EntryId, Value)>,
    ) -> Result<HospitalCase, Error> {
        self.take_in_results(id, results).await?;
        self.send_next_result(id).await?;
        self.case(id).await
    }

    /// Steps 14-18: sends the result whose turn it is, if any: none of a case whose notary is none any
    /// more, which is never final. To be called after whatever may have settled the one before; calling it
    /// once more does nothing.
    pub async fn send_next_result(&self, id: &CaseId) -> Result<(), Error> {
        let _guard = self.platform.lock_case(id).await;
        let case: HospitalCase = self.case(id).await?;
        let is_over = case.notary_until(&self.trust()).is_some();
        let Some(entry) = case.next_result().filter(|_| !is_over) else { return Ok(()) };
        let draft = self.platform.store().read(Table::Records, &draft_key(id, entry)).await?;
        let draft = Draft::read(&draft.ok_or(Error::StoreCorrupt)?)?;
        let content = record::Content {
            author: self.id().as_ref(),
            patient: case.patient.as_ref(),
            case: id.as_ref(),
            holder: Some(&case.holder),
            issued: self.now(),
            born: draft.born.as_deref(),
            fhir: &draft.fhir,
        };
        let p = &self.platform;
        let record = record::issue(&content, p.keys(), p.randomness()).await?;
        let entry = case.result_entry(entry, VerificationKey::of(record.jwt()));
        let endorsement = self.endorse(&entry).await?;
        let step = case.send_result(Authored { record, endorsement }, self.now())?;
        self.carry_out(id, step, Vec::new()).await?;
        Ok(())
    }

    async fn take_in_results(
        &self,
        id: &CaseId,
        results: Vec<(EntryId, Value)>,
    ) -> Result<(), Error> {
        let _guard = self.platform.lock_case(id).await;
        let case: HospitalCase = self.case(id).await?;
        let before: HashSet<_> = case.results.iter().map(|result| &result.id).collect();
        let mut known = 0;
        for (entry, fhir) in &results {
            if before.contains(entry) {
                known += 1;
                if self.handed_in(id, entry).await? != *fhir {
                    return Err(Error::AlreadyDecided);
                }
            }
        }
        if known == results.len() {
            return Ok(());
        }
        if known > 0 {
            return Err(Error::AlreadyDecided);
        }
        if case.notary_until(&self.trust()).is_some() {
            return Err(Error::NotAllowedNow);
        }
        let born = facts::born(results.iter().map(|(_, fhir)| fhir)).map(str::to_owned);
        let step = case.hand_in(results, born.as_deref(), self.now())?;
        self.carry_out(id, step, Vec::new()).await.map(drop)
    }

    /// What was handed in as this result: it is kept as it came until it is sent, then as a record.
    async fn handed_in(&self, id: &CaseId, entry: &EntryId) -> Result<Value, Error> {
        let draft = self.platform.store().read(Table::Records, &draft_key(id, entry)).await?;
        match draft {
            Some(draft) => Ok(Draft::read(&draft)?.fhir),
            None => Ok(self.open_record(id, entry).await?.fhir().clone()),
        }
    }

    /// The records that a patient shared in answer to a request for data, as they came.
    /// [`Error::UnknownEntry`] when none did.
    pub async fn shared(
        &self,
        id: &CaseId,
        request: &MessageId,
    ) -> Result<Vec<SharedRecord>, Error> {
        let store = self.platform.store();
        let stored = store.read(Table::Records, &shared_key(id, request)).await?;
        json::stored(&stored.ok_or(Error::UnknownEntry)?)
    }

    async fn decide_as_hospital(
        &self,
        id: &CaseId,
        decision: impl Fn(&HospitalCase) -> Result<Step<HospitalCase>, Error>,
    ) -> Result<HospitalCase, Error> {
        let _guard = self.platform.lock_case(id).await;
        let step = decision(&self.case(id).await?)?;
        self.carry_out(id, step, Vec::new()).await?;
        self.case(id).await
    }
}
