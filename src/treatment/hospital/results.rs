//! Handing in medical results, and what becomes of each (steps 14-18 and 21).

use super::{HospitalCase, HospitalHandIn, HospitalResult, HospitalResultStatus, MOST_KEYS};
use crate::envelope::MessageType;
use crate::error::Error;
use crate::ids::{EntryId, MessageId};
use crate::ledger::{
    Endorsed, Entry, EntryKind, Final, VerificationKey, VerifiedEndorsement, VerifiedReceipt,
};
use crate::provider::Timestamp;
use crate::record::Record;
use crate::treatment::message::{HandedIn, ResultBody, check_count};
use crate::treatment::{Effect, Step};

/// What travels of a hand-in in one message: signed documents, and the hospital's endorsement of their
/// entries.
#[derive(Clone, Debug)]
pub struct Part {
    /// Each with the id of its entry.
    pub records: Vec<(EntryId, Record)>,
    /// Of these entries.
    pub endorsement: VerifiedEndorsement,
}

impl HospitalCase {
    /// The ledger entry of a new result.
    pub fn result_entry(&self, id: EntryId, verification_key: VerificationKey) -> Entry {
        Entry {
            id,
            kind: EntryKind::Result,
            case: self.id.clone(),
            author: self.hospital.clone(),
            counterparty: self.patient.clone(),
            verification_key,
            previous: None,
            case_secret: None,
            draw: None,
        }
    }

    /// Whether results may be handed in: [`Error::NotAllowedNow`] before the request is final,
    /// [`Error::FormerCase`].
    pub fn takes_results(&self) -> Result<(), Error> {
        self.expect_approved()?;
        self.secret.map(drop).ok_or(Error::FormerCase)
    }

    /// Steps 14-18: results that are handed in together go to the patient, all at once.
    ///
    /// Errors: those of [`HospitalCase::takes_results`], [`Error::WrongCount`].
    pub fn hand_in(
        &self,
        hand_in: HospitalHandIn,
        parts: Vec<Part>,
        now: Timestamp,
    ) -> Result<Step<Self>, Error> {
        self.takes_results()?;
        let of = parts.iter().map(|part| part.records.len()).sum();
        check_count(of)?;
        let (mut case, mut effects) = (self.clone(), Vec::new());
        for Part { records, endorsement } in parts {
            let mut results = Vec::with_capacity(records.len());
            for (id, record) in records {
                let status = HospitalResultStatus::Sent { entry: endorsement.entry(&id)?.clone() };
                let (entry, compact) = (id.clone(), record.compact().to_owned());
                results.push(HandedIn { entry: entry.clone(), record: compact.clone() });
                effects.push(Effect::KeepRecord { entry, compact });
                let hand_in = Some(hand_in.id.clone());
                case.results.push(HospitalResult { id, hand_in, handed_in: now, status });
            }
            let (hand_in, jwt) = (hand_in.id.clone(), endorsement.jwt().to_owned());
            let body = ResultBody { hand_in, of, results, endorsement: jwt };
            effects.push(Effect::send(&case.patient, MessageType::MedicalResult, &body)?);
            effects.push(Effect::KeepEndorsement(endorsement));
        }
        case.hand_ins.push(hand_in);
        Ok(case.applied(now, effects))
    }

    /// The hand-in of before with this digest, if there was one, and what is to be kept where this key is
    /// new for it. [`Error::KeyReused`] when something else was handed in under this key, or this under
    /// [`MOST_KEYS`] others.
    pub fn handed_in(
        &self,
        digest: &str,
        key: Option<&str>,
    ) -> Result<Option<(MessageId, Step<Self>)>, Error> {
        let has_key = |known: &HospitalHandIn| known.keys.iter().any(|known| Some(&**known) == key);
        if self.hand_ins.iter().any(|known| has_key(known) && known.digest != digest) {
            return Err(Error::KeyReused);
        }
        let Some(nth) = self.hand_ins.iter().position(|known| known.digest == digest) else {
            return Ok(None);
        };
        let known = &self.hand_ins[nth];
        let step = match key.filter(|_| !has_key(known)) {
            None => Step::Repeated,
            Some(_) if known.keys.len() >= MOST_KEYS => return Err(Error::KeyReused),
            Some(key) => {
                let mut case = self.clone();
                case.hand_ins[nth].keys.push(key.to_owned());
                Step::Applied(case, Vec::new())
            }
        };
        Ok(Some((known.id.clone(), step)))
    }

    fn result_mut(&mut self, id: &EntryId) -> Result<&mut HospitalResult, Error> {
        self.results.iter_mut().find(|result| result.id == *id).ok_or(Error::UnknownEntry)
    }

    /// Steps 20-21: the patient confirmed; the hospital deposits the same entries. What it knows already
    /// is left as it is.
    pub(super) fn confirmed(
        &self,
        theirs: &VerifiedEndorsement,
        mine: &[VerifiedEndorsement],
        receipts: &[VerifiedReceipt],
        at: Timestamp,
    ) -> Result<Step<Self>, Error> {
        let notary = self.notary.clone().ok_or(Error::NotAllowedNow)?;
        let (mut case, mut endorsed) = (self.clone(), Vec::with_capacity(receipts.len()));
        for entry in theirs.entries() {
            if case.result_mut(&entry.id)?.status.entry() != Some(entry) {
                return Err(Error::EntryMismatch);
            }
        }
        for receipt in receipts {
            let said = receipt.receipt();
            if said.iss != notary {
                return Err(Error::ReceiptForged);
            }
            let result = case.result_mut(&said.entry)?;
            let entry = match &result.status {
                HospitalResultStatus::Sent { entry } => entry.clone(),
                HospitalResultStatus::Confirmed { .. } | HospitalResultStatus::Committed { .. } => {
                    continue;
                }
                HospitalResultStatus::Disputed { .. } => return Err(Error::AlreadyDecided),
                HospitalResultStatus::Waiting => return Err(Error::NotAllowedNow),
            };
            let mine = mine.iter().find(|mine| mine.entry(&entry.id).is_ok());
            let mine = mine.ok_or(Error::UnknownEntry)?;
            receipt.expect(&entry, self.secret)?;
            endorsed.push(Endorsed::join(&entry.id, mine, theirs)?);
            result.status =
                HospitalResultStatus::Confirmed { entry, receipt: said.clone(), refused: None };
        }
        if endorsed.is_empty() {
            return Ok(Step::Repeated);
        }
        let deposit = Effect::Deposit { notary, endorsed, first: None };
        Ok(case.applied(at, vec![Effect::KeepEndorsement(theirs.clone()), deposit]))
    }

    /// Step 19: the patient disputes results.
    pub(super) fn disputed(
        &self,
        entries: &[EntryId],
        reason: &str,
        at: Timestamp,
    ) -> Result<Step<Self>, Error> {
        let (mut case, mut changed) = (self.clone(), false);
        for entry in entries {
            let result = case.result_mut(entry)?;
            let entry = match &result.status {
                HospitalResultStatus::Sent { entry } => entry.clone(),
                HospitalResultStatus::Disputed { .. } => continue,
                HospitalResultStatus::Waiting => return Err(Error::NotAllowedNow),
                _ => return Err(Error::AlreadyDecided),
            };
            result.status = HospitalResultStatus::Disputed { entry, reason: reason.to_owned() };
            changed = true;
        }
        Ok(if changed { case.applied(at, Vec::new()) } else { Step::Repeated })
    }

    /// Step 21: a result is awaited from the notary once the patient has confirmed it, and with the same
    /// receipt.
    pub(super) fn awaits_result(&self, committed: &Final) -> Result<(), Error> {
        let id = &committed.entry().id;
        let result = self.results.iter().find(|result| result.id == *id);
        match &result.ok_or(Error::UnknownEntry)?.status {
            HospitalResultStatus::Confirmed { entry, receipt, .. }
                if entry == committed.entry() =>
            {
                let same = receipt.agrees_with(committed.receipt().receipt());
                if same { Ok(()) } else { Err(Error::EntryMismatch) }
            }
            HospitalResultStatus::Committed { entry, .. } if entry == committed.entry() => Ok(()),
            _ => Err(Error::NotAllowedNow),
        }
    }

    /// Step 21: commits, as the receipts agree.
    pub(super) fn result_final(&mut self, entry: &Entry, now: Timestamp) -> Result<(), Error> {
        let result = self.result_mut(&entry.id)?;
        if let HospitalResultStatus::Confirmed { .. } = result.status {
            result.status = HospitalResultStatus::Committed { entry: entry.clone(), at: now };
        }
        Ok(())
    }

    /// The notary has refused the hospital's deposit.
    pub(super) fn result_refused(&mut self, entry: &EntryId, code: &str) {
        let result = self.result_mut(entry).map(|result| &mut result.status);
        if let Ok(HospitalResultStatus::Confirmed { refused, .. }) = result {
            *refused = Some(code.to_owned());
        }
    }
}
