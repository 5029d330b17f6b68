//! The patient's side of a treatment (steps 1-3, 10-12, 18-20).
//!
//! ```text
//! request ─► Requested ─ approval ─► Approved ─┬─ data request ─► Open ─ share ───► Shared
//!                │                             │                    └── refuse ──► Refused
//!                └ refusal ─► Declined         └─ result ─► Received ─ confirm ─► Confirming ─ receipt ─► Committed
//!                                                              └── dispute ─► Disputed
//! ```

mod data;
mod state;

use super::message::{ConfirmationBody, DisputeBody, Received, RequestBody, VerifiedContent};
use super::request::TreatmentRequest;
use super::{Authored, Effect, Flow, Step};
use crate::envelope::MessageType;
use crate::error::Error;
use crate::ids::{EntryId, NodeId};
use crate::jwk::EcJwk;
use crate::ledger::{
    CaseSecret, Drawn, Endorsed, Entry, EntryKind, Final, VerifiedDraw, VerifiedEndorsement,
    VerifiedReceipt,
};
use crate::provider::Timestamp;
use crate::record::VerifiedRecord;

pub use state::{DataAnswer, DataRequest, MedicalResult, PatientCase, Phase, ResultStatus};

impl PatientCase {
    /// Steps 2-3: asks `hospital` for treatment. The record is that of
    /// [`TreatmentRequest::to_fhir`], the endorsement the patient's over the case's first entry, the
    /// name for the hospital alone, the manifest the one that the draw goes by, with its notaries.
    pub fn ask(
        (request, name): (TreatmentRequest, &str),
        (holder, secret): (EcJwk, CaseSecret),
        (manifest, notaries): (&str, &[NodeId]),
        authored: Authored,
        now: Timestamp,
    ) -> Result<Step<Self>, Error> {
        let Authored { record, endorsement } = authored;
        let entry = endorsement.entry().clone();
        let case = Self {
            version: 2,
            id: entry.case.clone(),
            patient: entry.author.clone(),
            hospital: entry.counterparty.clone(),
            holder,
            request,
            secret: Some(secret),
            notaries: notaries.to_vec(),
            phase: Phase::Requested,
            notary: None,
            passed: Vec::new(),
            data_requests: Vec::new(),
            results: Vec::new(),
            head: None,
            begun: now,
            changed: now,
            entry: entry.clone(),
        };
        let body = RequestBody {
            record: record.compact().to_owned(),
            endorsement: endorsement.jwt().to_owned(),
            name: name.to_owned(),
            case_secret: secret,
            manifest: manifest.to_owned(),
        };
        let send = Effect::send(&case.hospital, MessageType::TreatmentRequest, &body)?;
        let keep =
            Effect::KeepRecord { entry: entry.id.clone(), compact: record.compact().to_owned() };
        Ok(Step::Applied(case, vec![keep, Effect::KeepEndorsement(endorsement), send]))
    }

    /// The entry that a confirmation endorses; `None` when it is confirmed already.
    ///
    /// Errors: [`Error::UnknownEntry`], [`Error::AlreadyDecided`], [`Error::EntryConflict`] when
    /// another result has taken its place in the ledger, [`Error::FormerCase`].
    pub fn to_confirm(&self, entry: &EntryId) -> Result<Option<&Entry>, Error> {
        let result = self.result(entry)?;
        match result.status {
            ResultStatus::Received | ResultStatus::Refused { .. } => {
                self.secret.ok_or(Error::FormerCase)?;
                let next = result.entry.previous == self.head;
                if next { Ok(Some(&result.entry)) } else { Err(Error::EntryConflict) }
            }
            ResultStatus::Confirming | ResultStatus::Committed { .. } => Ok(None),
            ResultStatus::Disputed { .. } => Err(Error::AlreadyDecided),
        }
    }

    /// Steps 19-20: confirms a result. `theirs` is the hospital's endorsement as it was verified
    /// when the result came, `mine` the patient's over the same entry.
    pub fn confirm(
        &self,
        mine: VerifiedEndorsement,
        theirs: VerifiedEndorsement,
        now: Timestamp,
    ) -> Result<Step<Self>, Error> {
        let entry = mine.entry().id.clone();
        if self.to_confirm(&entry)?.is_none() {
            return Ok(Step::Repeated);
        }
        let mut case = self.clone();
        case.result_mut(&entry)?.status = ResultStatus::Confirming;
        let notary = case.notary.clone().ok_or(Error::NotAllowedNow)?;
        let endorsed = Endorsed::join(mine.clone(), theirs)?;
        let deposit = Effect::Deposit { notary, endorsed, first: None };
        Ok(case.applied(now, vec![Effect::KeepEndorsement(mine), deposit]))
    }

    /// Step 19: disputes a result. Repeating it does nothing.
    ///
    /// Errors: [`Error::UnknownEntry`], [`Error::AlreadyDecided`].
    pub fn dispute(
        &self,
        entry: &EntryId,
        reason: &str,
        now: Timestamp,
    ) -> Result<Step<Self>, Error> {
        let mut case = self.clone();
        let result = case.result_mut(entry)?;
        match result.status {
            ResultStatus::Received | ResultStatus::Refused { .. } => {}
            ResultStatus::Disputed { .. } => return Ok(Step::Repeated),
            _ => return Err(Error::AlreadyDecided),
        }
        result.status = ResultStatus::Disputed { reason: reason.to_owned() };
        let body = DisputeBody { entry: entry.clone(), reason: reason.to_owned() };
        let send = Effect::send(&case.hospital, MessageType::Dispute, &body)?;
        Ok(case.applied(now, vec![send]))
    }

    /// The result with this entry. [`Error::UnknownEntry`].
    pub fn result(&self, entry: &EntryId) -> Result<&MedicalResult, Error> {
        let found = self.results.iter().find(|result| result.entry.id == *entry);
        found.ok_or(Error::UnknownEntry)
    }

    fn result_mut(&mut self, entry: &EntryId) -> Result<&mut MedicalResult, Error> {
        let found = self.results.iter_mut().find(|result| result.entry.id == *entry);
        found.ok_or(Error::UnknownEntry)
    }

    fn applied(mut self, now: Timestamp, effects: Vec<Effect>) -> Step<Self> {
        self.changed = now;
        Step::Applied(self, effects)
    }

    /// Step 10: the hospital's approval makes the request final, where the case's notary was drawn as
    /// it should be. Of a further one its receipt is kept.
    fn approval(
        &self,
        theirs: &VerifiedEndorsement,
        (receipt, draw): (&VerifiedReceipt, &VerifiedDraw),
        at: Timestamp,
    ) -> Result<Step<Self>, Error> {
        let notary = &receipt.receipt().iss;
        let awaited = self.awaits_approval()?;
        if !awaited && self.notary.as_ref() != Some(notary) {
            return Ok(Step::Repeated);
        }
        if *theirs.entry() != self.entry {
            return Err(Error::EntryMismatch);
        }
        receipt.expect(&self.entry, self.secret)?;
        let times = (self.begun.seconds(), at.seconds());
        draw.expect(notary, &self.notaries, times)?;
        let keep_receipt = Effect::KeepReceipt(receipt.clone());
        if !awaited {
            return Ok(Step::Renewed(vec![keep_receipt]));
        }
        let mut case = self.clone();
        case.phase = Phase::Approved;
        case.notary = Some(notary.clone());
        case.passed = draw.passed().to_vec();
        case.head = Some(case.entry.id.clone());
        Ok(case.applied(at, vec![keep_receipt, Effect::KeepEndorsement(theirs.clone())]))
    }

    /// Step 10: the hospital's refusal ends the case.
    fn refusal(&self, entry: &EntryId, reason: &str, at: Timestamp) -> Result<Step<Self>, Error> {
        match self.phase {
            Phase::Requested => {}
            Phase::Declined { .. } => return Ok(Step::Repeated),
            Phase::Approved => return Err(Error::AlreadyDecided),
        }
        if *entry != self.entry.id {
            return Err(Error::EntryMismatch);
        }
        let mut case = self.clone();
        case.phase = Phase::Declined { reason: reason.to_owned() };
        Ok(case.applied(at, Vec::new()))
    }

    /// Steps 18-19: a result came; signature and digest hold, now its place in this case must.
    fn result_came(
        &self,
        record: &VerifiedRecord,
        theirs: &VerifiedEndorsement,
        at: Timestamp,
    ) -> Result<Step<Self>, Error> {
        if !self.awaits_more()? {
            return Ok(Step::Early);
        }
        let entry = theirs.entry();
        if let Ok(known) = self.result(&entry.id) {
            let same = known.entry == *entry;
            return if same { Ok(Step::Repeated) } else { Err(Error::EntryMismatch) };
        }
        self.expect_fitting(record, entry)?;
        if entry.previous != self.head {
            return if self.follows_known(entry) {
                Err(Error::EntryConflict)
            } else {
                Ok(Step::Early)
            };
        }
        let mut case = self.clone();
        case.results.push(MedicalResult {
            entry: entry.clone(),
            endorsement: theirs.jwt().to_owned(),
            received: at,
            status: ResultStatus::Received,
        });
        let keep = vec![
            Effect::KeepRecord {
                entry: entry.id.clone(),
                compact: record.record().compact().to_owned(),
            },
            Effect::KeepEndorsement(theirs.clone()),
        ];
        Ok(case.applied(at, keep))
    }

    /// Whether the record and its entry speak of the same document, author, patient and case.
    fn expect_fitting(&self, record: &VerifiedRecord, entry: &Entry) -> Result<(), Error> {
        let foreign = record.author() != self.hospital.as_ref()
            || record.subject() != Some(self.patient.as_ref())
            || record.case() != Some(self.id.as_ref())
            || record.holder() != Some(&self.holder);
        if foreign {
            return Err(Error::RecordForeign);
        }
        let fits = entry.kind == EntryKind::Result
            && entry.case == self.id
            && entry.author == self.hospital
            && entry.counterparty == self.patient
            && entry.verification_key.as_ref() == record.verification_key();
        if fits { Ok(()) } else { Err(Error::EntryMismatch) }
    }

    fn follows_known(&self, entry: &Entry) -> bool {
        let Some(previous) = &entry.previous else { return true };
        self.entries().iter().any(|known| known.id == *previous)
    }
}

impl Flow for PatientCase {
    fn receive(case: Option<&Self>, message: &Received) -> Result<Step<Self>, Error> {
        let case = Self::known(case, &message.sender)?;
        let at = message.at;
        match &message.content {
            VerifiedContent::Approval { endorsement, receipt, draw } => {
                case.approval(endorsement, (receipt, draw), at)
            }
            VerifiedContent::Refusal(body) => case.refusal(&body.entry, &body.reason, at),
            VerifiedContent::DataRequest(body) => case.asked_for_data(body, at),
            VerifiedContent::Result { record, endorsement } => {
                case.result_came(record, endorsement, at)
            }
            _ => Err(Error::TypeNotForRole),
        }
    }

    /// Step 20: the receipt makes the result final; the hospital is told.
    fn deposited(&self, committed: &Final, now: Timestamp) -> Result<Step<Self>, Error> {
        let receipt = committed.receipt();
        if self.notary.as_ref() != Some(&receipt.receipt().iss) {
            return Err(Error::ReceiptForged);
        }
        let entry = committed.entry();
        let mut case = self.clone();
        let result = case.result_mut(&entry.id)?;
        match result.status {
            ResultStatus::Confirming if result.entry == *entry => {
                result.status = ResultStatus::Committed { at: now };
                case.head = Some(entry.id.clone());
            }
            ResultStatus::Committed { .. } if result.entry == *entry => {}
            _ => return Err(Error::NotAllowedNow),
        }
        let [_, mine] = committed.endorsed().jwts();
        let body =
            ConfirmationBody { endorsement: mine.clone(), receipt: receipt.text().to_owned() };
        let send = Effect::send(&case.hospital, MessageType::Confirmation, &body)?;
        Ok(case.applied(now, vec![Effect::KeepReceipt(receipt.clone()), send]))
    }

    fn deposit_refused(&self, entry: &EntryId, code: &str, now: Timestamp) -> Step<Self> {
        let mut case = self.clone();
        let Ok(result) = case.result_mut(entry) else { return Step::Repeated };
        if result.status != ResultStatus::Confirming {
            return Step::Repeated;
        }
        result.status = ResultStatus::Refused { code: code.to_owned() };
        case.applied(now, Vec::new())
    }

    /// The hospital deposits the request, and sends the receipt with its approval.
    fn deposit_again(&self, entry: &Entry) -> Option<(NodeId, Option<(CaseSecret, Drawn)>)> {
        self.notary.clone().filter(|_| *entry != self.entry).map(|notary| (notary, None))
    }

    fn secret(&self) -> Option<CaseSecret> {
        self.secret
    }

    fn entries(&self) -> Vec<&Entry> {
        let results = self.results.iter().map(|result| &result.entry);
        std::iter::once(&self.entry).chain(results).collect()
    }

    fn participants(&self) -> [&NodeId; 2] {
        [&self.patient, &self.hospital]
    }
}
