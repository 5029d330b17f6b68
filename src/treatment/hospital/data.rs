//! Asking for health data, and what came of it (steps 11 and 12).

use super::{HospitalCase, HospitalDataAnswer, HospitalDataRequest};
use crate::envelope::MessageType;
use crate::error::Error;
use crate::ids::MessageId;
use crate::ledger::VerificationKey;
use crate::provider::Timestamp;
use crate::treatment::message::{DataRequestBody, VerifiedShare};
use crate::treatment::{Effect, Step};

impl HospitalCase {
    /// Step 11: asks the patient for health data. Repeating it with the same id does nothing.
    ///
    /// Errors: [`Error::NotAllowedNow`] before the request is final, [`Error::AlreadyDecided`] when the id
    /// names another request, [`Error::CommandMalformed`] for no type, [`Error::TypeNotAllowed`] for one of
    /// which the patient has not allowed to be asked.
    pub fn ask_for_data(
        &self,
        asked: DataRequestBody,
        now: Timestamp,
    ) -> Result<Step<Self>, Error> {
        self.expect_approved()?;
        if let Some(known) = self.data_requests.iter().find(|known| known.asked.id == asked.id) {
            let same = known.asked == asked;
            return if same { Ok(Step::Repeated) } else { Err(Error::AlreadyDecided) };
        }
        if asked.resources.is_empty() {
            return Err(Error::CommandMalformed);
        }
        if !asked.resources.iter().all(|kind| self.request.may_read.contains(kind)) {
            return Err(Error::TypeNotAllowed);
        }
        let mut case = self.clone();
        let send = Effect::send(&case.patient, MessageType::DataRequest, &asked)?;
        case.data_requests.push(HospitalDataRequest {
            asked,
            sent: now,
            answer: HospitalDataAnswer::Asked,
        });
        Ok(case.applied(now, vec![send]))
    }

    /// Step 12: the patient's records came.
    pub(super) fn data_came(
        &self,
        request: &MessageId,
        records: &[VerifiedShare],
        at: Timestamp,
    ) -> Result<Step<Self>, Error> {
        let keys: Vec<_> =
            records.iter().map(|share| VerificationKey::of(share.record.record().jwt())).collect();
        if !self.awaits_data(request, &keys)? {
            return Ok(Step::Repeated);
        }
        let mut case = self.clone();
        case.data_request(request)?.answer = HospitalDataAnswer::Answered { records: keys, at };
        let authors = records.iter().map(|share| &share.author);
        let others = authors.filter(|author| *author.id() != self.patient);
        let mut keep: Vec<_> = others.cloned().map(Effect::KeepCard).collect();
        let records = records.iter().map(|share| share.shared.clone()).collect();
        keep.push(Effect::KeepShared { request: request.clone(), records });
        Ok(case.applied(at, keep))
    }

    /// Step 12: the patient shares nothing.
    pub(super) fn data_refused(
        &self,
        request: &MessageId,
        reason: &str,
        at: Timestamp,
    ) -> Result<Step<Self>, Error> {
        let mut case = self.clone();
        let asked = case.data_request(request)?;
        match &asked.answer {
            HospitalDataAnswer::Asked => {}
            HospitalDataAnswer::Refused { .. } => return Ok(Step::Repeated),
            HospitalDataAnswer::Answered { .. } => return Err(Error::AlreadyDecided),
        }
        asked.answer = HospitalDataAnswer::Refused { reason: reason.to_owned(), at };
        Ok(case.applied(at, Vec::new()))
    }

    fn data_request(&mut self, id: &MessageId) -> Result<&mut HospitalDataRequest, Error> {
        let found = self.data_requests.iter_mut().find(|request| request.asked.id == *id);
        found.ok_or(Error::UnknownEntry)
    }
}
