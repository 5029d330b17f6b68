//! The hospital's side of a treatment (steps 4-11, 14-18, 21).
//!
//! ```text
//! request ─► Requested ─ approve ─► Approving ─ receipt ─► Approved ─┬─ ask ─► Asked ─ data ────► Answered
//!                │                                                   │            └─ refusal ─► Refused
//!                └ decline ─► Declined                               └─ hand in ─► Waiting ─ its turn ─► Sent
//!                                    Committed ◄─ receipts agree ─ Confirmed ◄─ confirmation ─┤
//!                                                                  Disputed ◄─ dispute ───────┘
//! ```
//!
//! The notary accepts one successor of an entry, so results go out one at a time; what is handed in
//! meanwhile waits.

mod approval;
mod data;
mod state;

use serde_json::Value;

use super::message::{ApprovalBody, Ranking, Received, ResultBody, VerifiedContent};
use super::request::TreatmentRequest;
use super::{Authored, Effect, Flow, Step};
use crate::envelope::MessageType;
use crate::error::Error;
use crate::ids::{EntryId, NodeId};
use crate::ledger::{
    CaseSecret, Commitment, Drawn, Endorsed, Entry, EntryKind, Final, VerificationKey,
    VerifiedEndorsement, VerifiedReceipt,
};
use crate::network::Trust;
use crate::provider::{CLOCK_SKEW, Timestamp};
use crate::record::VerifiedRecord;

pub use state::{
    HospitalCase, HospitalDataAnswer, HospitalDataRequest, HospitalPhase, HospitalResult,
    HospitalResultStatus,
};

impl HospitalCase {
    /// Step 14: the HIS hands in results, whose ids are new, of a patient who was `born` then, if they say
    /// so; they wait for their turn.
    /// [`Error::NotAllowedNow`] before the request is final, [`Error::FormerCase`].
    pub fn hand_in(
        &self,
        results: Vec<(EntryId, Value)>,
        born: Option<&str>,
        now: Timestamp,
    ) -> Result<Step<Self>, Error> {
        self.expect_approved()?;
        self.secret.ok_or(Error::FormerCase)?;
        let (mut case, mut keep) = (self.clone(), Vec::with_capacity(results.len()));
        for (entry, fhir) in results {
            let status = HospitalResultStatus::Waiting;
            case.results.push(HospitalResult { id: entry.clone(), handed_in: now, status });
            keep.push(Effect::KeepDraft { entry, fhir, born: born.map(str::to_owned) });
        }
        Ok(case.applied(now, keep))
    }

    /// When the notary of an approved case ceased to be a member: it logs nothing more. Of one that is
    /// still to be approved another one is drawn then.
    pub fn notary_until(&self, trust: &Trust) -> Option<Timestamp> {
        let notary = self.notary.as_ref().filter(|_| self.phase == HospitalPhase::Approved)?;
        trust.log(notary).ok()?.until.map(Timestamp::from_seconds)
    }

    /// The result whose turn it is, if one waits and none is under way.
    pub fn next_result(&self) -> Option<&EntryId> {
        let under_way = self.results.iter().any(|result| result.status.is_under_way());
        if under_way || self.secret.is_none() {
            return None;
        }
        let waits = |result: &&HospitalResult| result.status == HospitalResultStatus::Waiting;
        self.results.iter().find(waits).map(|result| &result.id)
    }

    /// The ledger entry of a result whose turn it is.
    pub fn result_entry(&self, id: &EntryId, verification_key: VerificationKey) -> Entry {
        Entry {
            id: id.clone(),
            kind: EntryKind::Result,
            case: self.id.clone(),
            author: self.hospital.clone(),
            counterparty: self.patient.clone(),
            verification_key,
            previous: self.head.clone(),
            case_secret: None,
            draw: None,
        }
    }

    /// Steps 14-18: sends the result whose turn it is. [`Error::NotAllowedNow`] for any other.
    pub fn send_result(&self, authored: Authored, now: Timestamp) -> Result<Step<Self>, Error> {
        let Authored { record, endorsement } = authored;
        let entry = endorsement.entry().clone();
        if self.next_result() != Some(&entry.id) {
            return Err(Error::NotAllowedNow);
        }
        let mut case = self.clone();
        case.result_mut(&entry.id)?.status = HospitalResultStatus::Sent { entry: entry.clone() };
        let compact = record.compact().to_owned();
        let body =
            ResultBody { record: compact.clone(), endorsement: endorsement.jwt().to_owned() };
        let effects = vec![
            Effect::DropDraft(entry.id.clone()),
            Effect::KeepRecord { entry: entry.id.clone(), compact },
            Effect::KeepEndorsement(endorsement),
            Effect::send(&case.patient, MessageType::MedicalResult, &body)?,
        ];
        Ok(case.applied(now, effects))
    }

    fn result_mut(&mut self, id: &EntryId) -> Result<&mut HospitalResult, Error> {
        self.results.iter_mut().find(|result| result.id == *id).ok_or(Error::UnknownEntry)
    }

    fn expect_approved(&self) -> Result<(), Error> {
        if self.phase == HospitalPhase::Approved { Ok(()) } else { Err(Error::NotAllowedNow) }
    }

    fn applied(mut self, now: Timestamp, effects: Vec<Effect>) -> Step<Self> {
        self.changed = now;
        Step::Applied(self, effects)
    }

    /// Steps 3-4: a request came; it waits for a decision.
    fn requested(
        (sender, name): (&NodeId, &str),
        record: &VerifiedRecord,
        theirs: &VerifiedEndorsement,
        (secret, ranking): (CaseSecret, &Ranking),
        at: Timestamp,
    ) -> Result<Step<Self>, Error> {
        // From it the silence of a notary is counted.
        if theirs.signed_at() > at.seconds().saturating_add(CLOCK_SKEW) {
            return Err(Error::NotYetValid);
        }
        let entry = theirs.entry().clone();
        expect_request(&entry, sender, record, secret)?;
        let case = Self {
            version: 2,
            id: entry.case.clone(),
            patient: sender.clone(),
            patient_name: name.to_owned(),
            hospital: entry.counterparty.clone(),
            holder: record.holder().cloned().ok_or(Error::RecordMalformed)?,
            request: TreatmentRequest::from_fhir(record.fhir())?,
            secret: Some(secret),
            ranking: Some(ranking.clone()),
            phase: HospitalPhase::Requested,
            notary: None,
            data_requests: Vec::new(),
            results: Vec::new(),
            head: None,
            begun: at,
            changed: at,
            entry: entry.clone(),
        };
        let keep = vec![
            Effect::KeepRecord { entry: entry.id, compact: record.record().compact().to_owned() },
            Effect::KeepEndorsement(theirs.clone()),
        ];
        Ok(Step::Applied(case, keep))
    }

    /// Steps 20-21: the patient confirmed; the hospital deposits the same entry.
    fn confirmed(
        &self,
        theirs: &VerifiedEndorsement,
        mine: &VerifiedEndorsement,
        receipt: &VerifiedReceipt,
        at: Timestamp,
    ) -> Result<Step<Self>, Error> {
        let notary = self.notary.clone().ok_or(Error::NotAllowedNow)?;
        if receipt.receipt().iss != notary {
            return Err(Error::ReceiptForged);
        }
        let mut case = self.clone();
        let result = case.result_mut(&theirs.entry().id)?;
        let entry = match &result.status {
            HospitalResultStatus::Sent { entry } => entry.clone(),
            HospitalResultStatus::Confirmed { .. } | HospitalResultStatus::Committed { .. } => {
                return Ok(Step::Repeated);
            }
            HospitalResultStatus::Disputed { .. } => return Err(Error::AlreadyDecided),
            HospitalResultStatus::Waiting => return Err(Error::NotAllowedNow),
        };
        if *theirs.entry() != entry {
            return Err(Error::EntryMismatch);
        }
        receipt.expect(&entry, self.secret)?;
        let receipt = receipt.receipt().clone();
        result.status = HospitalResultStatus::Confirmed { entry, receipt, refused: None };
        let endorsed = Endorsed::join(mine.clone(), theirs.clone())?;
        let deposit = Effect::Deposit { notary, endorsed, first: None };
        let effects = vec![Effect::KeepEndorsement(theirs.clone()), deposit];
        Ok(case.applied(at, effects))
    }

    /// Step 19: the patient disputes a result.
    fn disputed(&self, entry: &EntryId, reason: &str, at: Timestamp) -> Result<Step<Self>, Error> {
        let mut case = self.clone();
        let result = case.result_mut(entry)?;
        let entry = match &result.status {
            HospitalResultStatus::Sent { entry } => entry.clone(),
            HospitalResultStatus::Disputed { .. } => return Ok(Step::Repeated),
            HospitalResultStatus::Waiting => return Err(Error::NotAllowedNow),
            _ => return Err(Error::AlreadyDecided),
        };
        result.status = HospitalResultStatus::Disputed { entry, reason: reason.to_owned() };
        Ok(case.applied(at, Vec::new()))
    }

    /// Steps 9-10: the request is final; the patient is told.
    fn request_final(&self, committed: &Final, now: Timestamp) -> Result<Step<Self>, Error> {
        let mut case = self.clone();
        match &self.phase {
            HospitalPhase::Approving { .. } => {
                case.phase = HospitalPhase::Approved;
                case.head = Some(case.entry.id.clone());
            }
            HospitalPhase::Approved => {}
            _ => return Err(Error::NotAllowedNow),
        }
        let receipt = committed.receipt();
        let [_, mine] = committed.endorsed().jwts();
        let draw = case.ranking.clone().ok_or(Error::FormerCase)?.drawn;
        let endorsement = mine.clone();
        let body = ApprovalBody { endorsement, receipt: receipt.text().to_owned(), draw };
        let send = Effect::send(&case.patient, MessageType::TreatmentApproval, &body)?;
        Ok(case.applied(now, vec![Effect::KeepReceipt(receipt.clone()), send]))
    }

    /// Step 21: commits when the receipts agree.
    fn result_final(&self, committed: &Final, now: Timestamp) -> Result<Step<Self>, Error> {
        let mut case = self.clone();
        let result = case.result_mut(&committed.entry().id)?;
        match &result.status {
            HospitalResultStatus::Confirmed { entry, receipt, .. }
                if entry == committed.entry() =>
            {
                if receipt != committed.receipt().receipt() {
                    return Err(Error::EntryMismatch);
                }
            }
            HospitalResultStatus::Committed { entry, .. } if entry == committed.entry() => {
                let keep = Effect::KeepReceipt(committed.receipt().clone());
                return Ok(case.applied(now, vec![keep]));
            }
            _ => return Err(Error::NotAllowedNow),
        }
        let entry = committed.entry().clone();
        case.head = Some(entry.id.clone());
        case.result_mut(&committed.entry().id)?.status =
            HospitalResultStatus::Committed { entry, at: now };
        Ok(case.applied(now, vec![Effect::KeepReceipt(committed.receipt().clone())]))
    }
}

impl Flow for HospitalCase {
    fn receive(case: Option<&Self>, message: &Received) -> Result<Step<Self>, Error> {
        let at = message.at;
        if let VerifiedContent::Request { record, endorsement, secret, name, ranking } =
            &message.content
        {
            let sender = (&message.sender, name.as_str());
            return match case {
                None => Self::requested(sender, record, endorsement, (*secret, ranking), at),
                Some(case) if case.entry == *endorsement.entry() => Ok(Step::Repeated),
                Some(_) => Err(Error::NotAllowedNow),
            };
        }
        let case = Self::known(case, &message.sender)?;
        match &message.content {
            VerifiedContent::Data { request, records } => case.data_came(request, records, at),
            VerifiedContent::DataRefusal(body) => {
                case.data_refused(&body.request, &body.reason, at)
            }
            VerifiedContent::Confirmation { theirs, mine, receipt } => {
                case.confirmed(theirs, mine, receipt, at)
            }
            VerifiedContent::Dispute(body) => case.disputed(&body.entry, &body.reason, at),
            _ => Err(Error::TypeNotForRole),
        }
    }

    fn deposited(&self, committed: &Final, now: Timestamp) -> Result<Step<Self>, Error> {
        if self.notary.as_ref() != Some(&committed.receipt().receipt().iss) {
            return Err(Error::ReceiptForged);
        }
        if *committed.entry() == self.entry {
            self.request_final(committed, now)
        } else {
            self.result_final(committed, now)
        }
    }

    fn deposit_refused(&self, entry: &EntryId, code: &str, now: Timestamp) -> Step<Self> {
        let mut case = self.clone();
        let code = Some(code.to_owned());
        if *entry == case.entry.id {
            let HospitalPhase::Approving { refused, .. } = &mut case.phase else {
                return Step::Repeated;
            };
            *refused = code;
        } else {
            let Ok(result) = case.result_mut(entry) else { return Step::Repeated };
            let HospitalResultStatus::Confirmed { refused, .. } = &mut result.status else {
                return Step::Repeated;
            };
            *refused = code;
        }
        case.applied(now, Vec::new())
    }

    fn deposit_again(&self, entry: &Entry) -> Option<(NodeId, Option<(CaseSecret, Drawn)>)> {
        let first = match *entry == self.entry {
            true => Some((self.secret?, self.ranking.clone()?.drawn)),
            false => None,
        };
        Some((self.notary.clone()?, first))
    }

    fn secret(&self) -> Option<CaseSecret> {
        self.secret
    }

    fn entries(&self) -> Vec<&Entry> {
        let results = self.results.iter().filter_map(|result| result.status.entry());
        std::iter::once(&self.entry).chain(results).collect()
    }

    fn participants(&self) -> [&NodeId; 2] {
        [&self.patient, &self.hospital]
    }
}

/// That the patient who sent it asks for treatment with this record. [`Error::RecordForeign`],
/// [`Error::EntryMismatch`].
fn expect_request(
    entry: &Entry,
    sender: &NodeId,
    record: &VerifiedRecord,
    secret: CaseSecret,
) -> Result<(), Error> {
    let foreign = record.author() != sender.as_ref()
        || record.subject() != Some(sender.as_ref())
        || record.case() != Some(entry.case.as_ref());
    if foreign {
        return Err(Error::RecordForeign);
    }
    let fits = entry.kind == EntryKind::Request
        && entry.author == *sender
        && entry.previous.is_none()
        && entry.case_secret == Some(Commitment::to_secret(secret))
        && entry.verification_key.as_ref() == record.verification_key();
    if fits { Ok(()) } else { Err(Error::EntryMismatch) }
}
