//! The patient's side of a treatment (steps 1-3, 10-12, 18-20).
//!
//! ```text
//! request ─► Requested ─ approval ─► Approved ─┬─ data request ─► Open ─ share ───► Shared
//!                │                             │                    └── refuse ──► Refused
//!                └ refusal ─► Declined         └─ result ─► Received ─ confirm ─► Confirming ─ receipt ─► Committed
//!                                                              └── dispute ─► Disputed
//! ```
//!
//! Results come in hand-ins of several and are decided on in any order, one by one or many at once: none
//! waits for another.

mod data;
mod results;
mod state;

use super::message::{Received, RequestBody, VerifiedContent};
use super::request::TreatmentRequest;
use super::{Answered, Authored, Effect, Flow, Step};
use crate::envelope::MessageType;
use crate::error::Error;
use crate::ids::{EntryId, NodeId};
use crate::jwk::EcJwk;
use crate::ledger::{
    CaseSecret, Drawn, Entry, Final, VerifiedDraw, VerifiedEndorsement, VerifiedReceipt,
};
use crate::provider::Timestamp;

pub use state::{DataAnswer, DataRequest, HandIn, MedicalResult, PatientCase, Phase, ResultStatus};

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
        let entry = endorsement.only_entry()?.clone();
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
            hand_ins: Vec::new(),
            results: Vec::new(),
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
        if *theirs.only_entry()? != self.entry {
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
            VerifiedContent::Results { hand_in, of, records, endorsement } => {
                case.results_came((hand_in, *of), records, endorsement, at)
            }
            _ => Err(Error::TypeNotForRole),
        }
    }

    fn awaits(&self, committed: &Final) -> Result<(), Error> {
        if self.notary.as_ref() != Some(&committed.receipt().receipt().iss) {
            return Err(Error::ReceiptForged);
        }
        let result = self.result(&committed.entry().id)?;
        let is_awaited =
            matches!(result.status, ResultStatus::Confirming | ResultStatus::Committed { .. });
        let fits = is_awaited && result.entry == *committed.entry();
        if fits { Ok(()) } else { Err(Error::NotAllowedNow) }
    }

    /// Step 20: receipts make results final; the hospital is told.
    fn deposited(
        &self,
        answered: &Answered,
        room: usize,
        now: Timestamp,
    ) -> Result<Step<Self>, Error> {
        self.results_deposited(answered, room, now)
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
