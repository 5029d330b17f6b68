//! The hospital's side of a treatment (steps 4-11, 14-18, 21).
//!
//! ```text
//! request ─► Requested ─ approve ─► Approving ─ receipt ─► Approved ─┬─ ask ─► Asked ─ data ────► Answered
//!                │                                                   │            └─ refusal ─► Refused
//!                └ decline ─► Declined                               └─ hand in ─► Sent
//!                                    Committed ◄─ receipts agree ─ Confirmed ◄─ confirmation ─┤
//!                                                                  Disputed ◄─ dispute ───────┘
//! ```
//!
//! What is handed in together goes out at once, and no result waits for another.

mod approval;
mod data;
mod results;
mod state;

use super::message::{Ranking, Received, VerifiedContent};
use super::request::TreatmentRequest;
use super::{Answered, Effect, Flow, Step};
use crate::error::Error;
use crate::ids::NodeId;
use crate::ledger::{CaseSecret, Commitment, Drawn, Entry, EntryKind, Final, VerifiedEndorsement};
use crate::network::Trust;
use crate::provider::{CLOCK_SKEW, Timestamp};
use crate::record::VerifiedRecord;

pub use results::Part;
pub use state::{
    HospitalCase, HospitalDataAnswer, HospitalDataRequest, HospitalHandIn, HospitalPhase,
    HospitalResult, HospitalResultStatus, MOST_KEYS,
};

impl HospitalCase {
    /// When the notary of an approved case ceased to be a member: it logs nothing more. Of one that is
    /// still to be approved another one is drawn then.
    pub fn notary_until(&self, trust: &Trust) -> Option<Timestamp> {
        let notary = self.notary.as_ref().filter(|_| self.phase == HospitalPhase::Approved)?;
        trust.log(notary).ok()?.until.map(Timestamp::from_seconds)
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
        let entry = theirs.only_entry()?.clone();
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
            hand_ins: Vec::new(),
            results: Vec::new(),
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
                Some(case) if Ok(&case.entry) == endorsement.only_entry() => Ok(Step::Repeated),
                Some(_) => Err(Error::NotAllowedNow),
            };
        }
        let case = Self::known(case, &message.sender)?;
        match &message.content {
            VerifiedContent::Data { request, records } => case.data_came(request, records, at),
            VerifiedContent::DataRefusal(body) => {
                case.data_refused(&body.request, &body.reason, at)
            }
            VerifiedContent::Confirmation { theirs, mine, receipts } => {
                case.confirmed(theirs, mine, receipts, at)
            }
            VerifiedContent::Dispute(body) => case.disputed(&body.entries, &body.reason, at),
            _ => Err(Error::TypeNotForRole),
        }
    }

    fn awaits(&self, committed: &Final) -> Result<(), Error> {
        if self.notary.as_ref() != Some(&committed.receipt().receipt().iss) {
            return Err(Error::ReceiptForged);
        }
        if *committed.entry() != self.entry {
            return self.awaits_result(committed);
        }
        match self.phase {
            HospitalPhase::Approving { .. } | HospitalPhase::Approved => Ok(()),
            _ => Err(Error::NotAllowedNow),
        }
    }

    /// Steps 9-10 and 21: what is logged is final.
    fn deposited(
        &self,
        answered: &Answered,
        _room: usize,
        now: Timestamp,
    ) -> Result<Step<Self>, Error> {
        let (mut case, mut effects) = (self.clone(), Vec::new());
        for committed in &answered.committed {
            effects.push(Effect::KeepReceipt(committed.receipt().clone()));
            if *committed.entry() == self.entry {
                effects.push(case.request_final(committed)?);
            } else {
                case.result_final(committed.entry(), now)?;
            }
        }
        for (entry, code) in &answered.refused {
            match &mut case.phase {
                HospitalPhase::Approving { refused } if *entry == self.entry.id => {
                    *refused = Some(code.clone());
                }
                _ => case.result_refused(entry, code),
            }
        }
        Ok(case.applied(now, effects))
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
        && !entry.is_former()
        && entry.case_secret == Some(Commitment::to_secret(secret))
        && entry.verification_key.as_ref() == record.verification_key();
    if fits { Ok(()) } else { Err(Error::EntryMismatch) }
}
