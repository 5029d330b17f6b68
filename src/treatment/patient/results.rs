//! Medical results as they come, and what the patient decides (steps 18-20).

use super::{HandIn, MedicalResult, PatientCase, ResultStatus};
use crate::envelope::MessageType;
use crate::error::Error;
use crate::ids::{EntryId, MessageId};
use crate::ledger::{Endorsed, Entry, EntryKind, Final, VerifiedEndorsement};
use crate::provider::Timestamp;
use crate::record::VerifiedRecord;
use crate::treatment::message::{ConfirmationBody, DisputeBody, check_count, check_text, divide};
use crate::treatment::{Answered, Effect, Step};

impl PatientCase {
    /// The entries that a confirmation of these results endorses; none when all are confirmed already.
    ///
    /// Errors: [`Error::WrongCount`], [`Error::UnknownEntry`], [`Error::AlreadyDecided`],
    /// [`Error::FormerCase`].
    pub fn to_confirm(&self, entries: &[EntryId]) -> Result<Vec<Entry>, Error> {
        check_count(entries.len())?;
        let mut endorsed: Vec<Entry> = Vec::with_capacity(entries.len());
        for id in entries {
            let result = self.result(id)?;
            match result.status {
                ResultStatus::Received | ResultStatus::Refused { .. } => {
                    self.secret.ok_or(Error::FormerCase)?;
                    if endorsed.iter().all(|entry| entry.id != *id) {
                        endorsed.push(result.entry.clone());
                    }
                }
                ResultStatus::Confirming | ResultStatus::Committed { .. } => {}
                ResultStatus::Disputed { .. } => return Err(Error::AlreadyDecided),
            }
        }
        Ok(endorsed)
    }

    /// Steps 19-20: confirms results. `theirs` are the hospital's endorsements as they were verified
    /// when the results came, `mine` is the patient's over the same entries.
    pub fn confirm(
        &self,
        mine: VerifiedEndorsement,
        theirs: &[VerifiedEndorsement],
        now: Timestamp,
    ) -> Result<Step<Self>, Error> {
        let notary = self.notary.clone().ok_or(Error::NotAllowedNow)?;
        let (mut case, mut endorsed) = (self.clone(), Vec::with_capacity(mine.entries().len()));
        for Entry { id, .. } in mine.entries() {
            let theirs = theirs.iter().find(|theirs| theirs.entry(id).is_ok());
            endorsed.push(Endorsed::join(id, &mine, theirs.ok_or(Error::EndorsementMissing)?)?);
            case.result_mut(id)?.status = ResultStatus::Confirming;
        }
        let deposit = Effect::Deposit { notary, endorsed, first: None };
        Ok(case.applied(now, vec![Effect::KeepEndorsement(mine), deposit]))
    }

    /// Step 19: disputes results. Repeating it does nothing.
    ///
    /// Errors: [`Error::WrongCount`], [`Error::TextTooLong`], [`Error::UnknownEntry`],
    /// [`Error::AlreadyDecided`].
    pub fn dispute(
        &self,
        entries: &[EntryId],
        reason: &str,
        now: Timestamp,
    ) -> Result<Step<Self>, Error> {
        check_count(entries.len())?;
        check_text(reason)?;
        let (mut case, mut disputed) = (self.clone(), Vec::with_capacity(entries.len()));
        for entry in entries {
            let result = case.result_mut(entry)?;
            match result.status {
                ResultStatus::Received | ResultStatus::Refused { .. } => {}
                ResultStatus::Disputed { .. } => continue,
                _ => return Err(Error::AlreadyDecided),
            }
            result.status = ResultStatus::Disputed { reason: reason.to_owned() };
            disputed.push(entry.clone());
        }
        if disputed.is_empty() {
            return Ok(Step::Repeated);
        }
        let body = DisputeBody { entries: disputed, reason: reason.to_owned() };
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

    /// Steps 18-19: a hand-in came, or a part of one, in any order; signatures and digests hold, now the
    /// place in this case must. What came before is left as it is.
    pub(super) fn results_came(
        &self,
        (hand_in, of): (&MessageId, usize),
        records: &[(EntryId, VerifiedRecord)],
        theirs: &VerifiedEndorsement,
        at: Timestamp,
    ) -> Result<Step<Self>, Error> {
        if !self.awaits_more()? {
            return Ok(Step::Early);
        }
        let mut case = self.clone();
        let known = case.hand_ins.iter().find(|known| known.id == *hand_in);
        if known.is_some_and(|known| known.of != of) {
            return Err(Error::EntryMismatch);
        }
        if known.is_none() {
            case.hand_ins.push(HandIn { id: hand_in.clone(), of, begun: at });
        }
        // A part comes again as it was, and never with others.
        let repeated = records.iter().filter(|(id, _)| self.result(id).is_ok()).count();
        if repeated != 0 && repeated != records.len() {
            return Err(Error::EntryMismatch);
        }
        let mut keep = vec![Effect::KeepEndorsement(theirs.clone())];
        for (id, record) in records {
            let entry = theirs.entry(id)?.clone();
            if let Ok(known) = self.result(id) {
                let same = known.entry == entry && known.hand_in.as_ref() == Some(hand_in);
                if same { continue } else { return Err(Error::EntryMismatch) }
            }
            self.expect_fitting(record, &entry)?;
            let compact = record.record().compact().to_owned();
            keep.push(Effect::KeepRecord { entry: id.clone(), compact });
            let (hand_in, status) = (Some(hand_in.clone()), ResultStatus::Received);
            case.results.push(MedicalResult { entry, hand_in, received: at, status });
        }
        if case.results.len() == self.results.len() {
            return Ok(Step::Repeated);
        }
        let came = case.results.iter().filter(|result| result.hand_in.as_ref() == Some(hand_in));
        if came.count() > of {
            return Err(Error::EntryMismatch);
        }
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
            && entry.is_former() == self.secret.is_none()
            && entry.case == self.id
            && entry.author == self.hospital
            && entry.counterparty == self.patient
            && entry.verification_key.as_ref() == record.verification_key();
        if fits { Ok(()) } else { Err(Error::EntryMismatch) }
    }

    /// Step 20: the receipts make results final, and the hospital is told; what was refused waits for a
    /// decision again.
    pub(super) fn results_deposited(
        &self,
        Answered { committed, refused }: &Answered,
        room: usize,
        now: Timestamp,
    ) -> Result<Step<Self>, Error> {
        let (mut case, mut effects) = (self.clone(), Vec::new());
        for one in committed {
            let result = case.result_mut(&one.entry().id)?;
            if result.status == ResultStatus::Confirming {
                result.status = ResultStatus::Committed { at: now };
            }
            effects.push(Effect::KeepReceipt(one.receipt().clone()));
        }
        for (entry, code) in refused {
            let result = case.result_mut(entry)?;
            if result.status == ResultStatus::Confirming {
                result.status = ResultStatus::Refused { code: code.clone() };
            }
        }
        for body in confirmations(committed, room) {
            effects.push(Effect::send(&case.hospital, MessageType::Confirmation, &body)?);
        }
        Ok(case.applied(now, effects))
    }
}

/// What the hospital is told: for each of the patient's statements the receipts of what it endorses, in
/// as many messages as they take.
fn confirmations(committed: &[Final], room: usize) -> Vec<ConfirmationBody> {
    let mut said: Vec<(&str, Vec<String>)> = Vec::new();
    for one in committed {
        let [_, mine] = one.endorsed().jwts();
        let receipt = one.receipt().text().to_owned();
        match said.iter_mut().find(|(known, _)| *known == &**mine) {
            Some((_, receipts)) => receipts.push(receipt),
            None => said.push((&**mine, vec![receipt])),
        }
    }
    let mut bodies = Vec::new();
    for (mine, receipts) in said {
        // A line feed takes two bytes in a JSON text, and a quotation mark.
        let bytes = |receipt: &String| receipt.len() + receipt.len() / 8;
        for receipts in divide(receipts, bytes, room.saturating_sub(mine.len())) {
            bodies.push(ConfirmationBody { endorsement: mine.to_owned(), receipts });
        }
    }
    bodies
}
