//! Requests for health data, and what the patient decides (steps 11 and 12).

use super::{DataAnswer, DataRequest, PatientCase};
use crate::envelope::MessageType;
use crate::error::Error;
use crate::ids::MessageId;
use crate::ledger::VerificationKey;
use crate::provider::Timestamp;
use crate::treatment::message::{DataBody, DataRefusalBody, DataRequestBody, SharedRecord};
use crate::treatment::{Effect, Step};

impl PatientCase {
    /// Step 12: shares the chosen presentations in answer to `request`, with their authors' `cards`.
    /// Repeating it does nothing.
    ///
    /// Errors: [`Error::UnknownEntry`], [`Error::AlreadyDecided`].
    pub fn share(
        &self,
        request: &MessageId,
        records: Vec<(SharedRecord, VerificationKey)>,
        cards: Vec<String>,
        now: Timestamp,
    ) -> Result<Step<Self>, Error> {
        let (records, keys): (Vec<_>, Vec<_>) = records.into_iter().unzip();
        let mut case = self.clone();
        let asked = case.data_request(request)?;
        match &asked.answer {
            DataAnswer::Open => {}
            DataAnswer::Shared { records, .. } if *records == keys => return Ok(Step::Repeated),
            _ => return Err(Error::AlreadyDecided),
        }
        asked.answer = DataAnswer::Shared { records: keys, at: now };
        let body = DataBody { request: request.clone(), records, cards };
        let send = Effect::send(&case.hospital, MessageType::Data, &body)?;
        Ok(case.applied(now, vec![send]))
    }

    /// Step 12: shares nothing. Repeating it does nothing.
    ///
    /// Errors: [`Error::UnknownEntry`], [`Error::AlreadyDecided`].
    pub fn refuse_data(
        &self,
        request: &MessageId,
        reason: &str,
        now: Timestamp,
    ) -> Result<Step<Self>, Error> {
        let mut case = self.clone();
        let asked = case.data_request(request)?;
        match &asked.answer {
            DataAnswer::Open => {}
            DataAnswer::Refused { .. } => return Ok(Step::Repeated),
            DataAnswer::Shared { .. } => return Err(Error::AlreadyDecided),
        }
        asked.answer = DataAnswer::Refused { reason: reason.to_owned(), at: now };
        let body = DataRefusalBody { request: request.clone(), reason: reason.to_owned() };
        let send = Effect::send(&case.hospital, MessageType::DataRefusal, &body)?;
        Ok(case.applied(now, vec![send]))
    }

    /// Step 11: the hospital asks for health data; it waits for the patient's decision.
    pub(super) fn asked_for_data(
        &self,
        asked: &DataRequestBody,
        at: Timestamp,
    ) -> Result<Step<Self>, Error> {
        if !self.awaits_more()? {
            return Ok(Step::Early);
        }
        if let Some(known) = self.data_requests.iter().find(|known| known.asked.id == asked.id) {
            let same = known.asked == *asked;
            return if same { Ok(Step::Repeated) } else { Err(Error::AlreadyDecided) };
        }
        let mut case = self.clone();
        let answer = DataAnswer::Open;
        case.data_requests.push(DataRequest { asked: asked.clone(), received: at, answer });
        Ok(case.applied(at, Vec::new()))
    }

    fn data_request(&mut self, id: &MessageId) -> Result<&mut DataRequest, Error> {
        let found = self.data_requests.iter_mut().find(|request| request.asked.id == *id);
        found.ok_or(Error::UnknownEntry)
    }
}
