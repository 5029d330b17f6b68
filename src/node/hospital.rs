//! What a hospital decides (steps 4-11, 14-18). Every decision may be repeated safely.

use serde_json::Value;

use super::{Node, Platform, shared_key};
use crate::base64url;
use crate::error::Error;
use crate::fhir::{facts, resource};
use crate::ids::{CaseId, EntryId, MessageId};
use crate::json;
use crate::ledger::VerificationKey;
use crate::provider::{Store, Table};
use crate::record::{self, Record};
use crate::treatment::Step;
use crate::treatment::hospital::{HospitalCase, HospitalHandIn, HospitalPhase, Part};
use crate::treatment::message::{DataRequestBody, SharedRecord, check_count, check_text, divide};

/// Most bytes that a result takes in a message next to its record: its id, and its entry as it is endorsed.
const ENTRY_BYTES: usize = 512;

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
        let entry = std::slice::from_ref(&case.entry);
        let theirs = self.kept_endorsements(id, entry, &case.patient).await?;
        let theirs = theirs.first().ok_or(Error::EndorsementMissing)?;
        let step = case.approve(self.endorse(entry).await?, theirs, self.now())?;
        self.carry_out(id, step, Vec::new()).await?;
        drop(guard);
        // The notary may have been revoked since the request came.
        if let Some(item) = self.waiting_item(id.as_ref()).await? {
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

    /// Steps 14-18: hands in results, 1 to 256 FHIR resources or Bundles of which each fits an envelope;
    /// all are signed first, and go to the patient in one commit. The same once more, with or without the
    /// HIS's `key`, does nothing. Answers the hand-in's id.
    ///
    /// Errors: [`Error::UnknownCase`], [`Error::KeyReused`] when something else was handed in under this
    /// key, [`Error::NotAllowedNow`], also when the case's notary is none any more, [`Error::FormerCase`],
    /// [`Error::WrongCount`], [`Error::NotFhir`], [`Error::RecordTooLarge`]; nothing is taken in then.
    pub async fn hand_in(
        &self,
        id: &CaseId,
        results: Vec<Value>,
        key: Option<&str>,
    ) -> Result<(HospitalCase, MessageId), Error> {
        let _guard = self.platform.lock_case(id).await;
        let case: HospitalCase = self.case(id).await?;
        let digest = base64url::digest(json::write(&results)?);
        if let Some((known, step)) = case.handed_in(&digest, key)? {
            self.carry_out(id, step, Vec::new()).await?;
            return Ok((case, known));
        }
        case.takes_results()?;
        if case.notary_until(&self.trust()).is_some() {
            return Err(Error::NotAllowedNow);
        }
        check_count(results.len())?;
        let p = &self.platform;
        let hand_in = MessageId::new(p.clock(), p.randomness())?;
        let parts = self.sign_results(&case, results).await?;
        let keys = key.map(str::to_owned).into_iter().collect();
        let new = HospitalHandIn { id: hand_in.clone(), digest, keys };
        let step = case.hand_in(new, parts, self.now())?;
        self.carry_out(id, step, Vec::new()).await?;
        Ok((self.case(id).await?, hand_in))
    }

    /// Results as signed documents, and with the endorsement of their entries what travels in each message.
    async fn sign_results(
        &self,
        case: &HospitalCase,
        results: Vec<Value>,
    ) -> Result<Vec<Part>, Error> {
        let (p, mut records) = (&self.platform, Vec::with_capacity(results.len()));
        let born = facts::born(&results);
        for fhir in &results {
            let content = record::Content {
                author: self.id().as_ref(),
                patient: case.patient.as_ref(),
                case: case.id.as_ref(),
                holder: Some(&case.holder),
                issued: self.now(),
                born,
                fhir,
            };
            let record = record::issue(&content, p.keys(), p.randomness()).await?;
            records.push((EntryId::new(p.randomness())?, record));
        }
        let bytes = |(_, record): &(EntryId, Record)| record.compact().len() + ENTRY_BYTES;
        let mut parts = Vec::new();
        for records in divide(records, bytes, self.room()) {
            let entry = |(id, record): &(EntryId, Record)| {
                case.result_entry(id.clone(), VerificationKey::of(record.jwt()))
            };
            let entries: Vec<_> = records.iter().map(entry).collect();
            parts.push(Part { endorsement: self.endorse(&entries).await?, records });
        }
        Ok(parts)
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
