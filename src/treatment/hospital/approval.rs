//! Deciding a request, and finding the notary that logs it (steps 4 and 7-10).

use super::{HospitalCase, HospitalPhase};
use crate::envelope::MessageType;
use crate::error::Error;
use crate::ledger::{Endorsed, Final, Passed, VerifiedEndorsement};
use crate::provider::Timestamp;
use crate::treatment::message::{ApprovalBody, Ranking, RefusalBody};
use crate::treatment::{Effect, Step};

impl HospitalCase {
    /// Steps 4 and 7-9: approves the request. `theirs` is the patient's endorsement as it was
    /// verified when the request came, `mine` the hospital's over the same entry. Repeating it does
    /// nothing. [`Error::AlreadyDecided`], [`Error::FormerCase`], [`Error::NoNotary`].
    pub fn approve(
        &self,
        mine: VerifiedEndorsement,
        theirs: &VerifiedEndorsement,
        now: Timestamp,
    ) -> Result<Step<Self>, Error> {
        match self.phase {
            HospitalPhase::Requested | HospitalPhase::Approving { refused: Some(_), .. } => {}
            HospitalPhase::Approving { .. } | HospitalPhase::Approved => return Ok(Step::Repeated),
            HospitalPhase::Declined { .. } => return Err(Error::AlreadyDecided),
        }
        let secret = self.secret.ok_or(Error::FormerCase)?;
        let Ranking { notaries, drawn } = self.ranking.clone().ok_or(Error::FormerCase)?;
        let notary = notaries.get(drawn.passed.len()).ok_or(Error::NoNotary)?.clone();
        let mut case = self.clone();
        case.phase = HospitalPhase::Approving { refused: None };
        case.notary = Some(notary.clone());
        let endorsed = vec![Endorsed::join(&self.entry.id, &mine, theirs)?];
        let deposit = Effect::Deposit { notary, endorsed, first: Some((secret, drawn)) };
        Ok(case.applied(now, vec![Effect::KeepEndorsement(mine), deposit]))
    }

    /// Steps 4 and 10: declines the request. Repeating it does nothing.
    /// [`Error::AlreadyDecided`], also for another reason.
    pub fn decline(&self, reason: &str, now: Timestamp) -> Result<Step<Self>, Error> {
        match &self.phase {
            HospitalPhase::Requested => {}
            HospitalPhase::Declined { reason: given } if given == reason => {
                return Ok(Step::Repeated);
            }
            _ => return Err(Error::AlreadyDecided),
        }
        let mut case = self.clone();
        case.phase = HospitalPhase::Declined { reason: reason.to_owned() };
        let body = RefusalBody { entry: case.entry.id.clone(), reason: reason.to_owned() };
        let send = Effect::send(&case.patient, MessageType::TreatmentRefusal, &body)?;
        Ok(case.applied(now, vec![send]))
    }

    /// The case's notary was passed over before it answered: the request goes to the next in rank.
    /// [`Error::NotAllowedNow`] unless it is awaited, [`Error::NoNotary`] when none is left.
    pub fn pass_over(
        &self,
        passed: Passed,
        endorsed: Vec<Endorsed>,
        now: Timestamp,
    ) -> Result<Step<Self>, Error> {
        let HospitalPhase::Approving { refused: None, .. } = self.phase else {
            return Err(Error::NotAllowedNow);
        };
        let (secret, ranking) = (self.secret.ok_or(Error::FormerCase)?, &self.ranking);
        let Ranking { notaries, mut drawn } = ranking.clone().ok_or(Error::FormerCase)?;
        drawn.passed.push(passed);
        let notary = notaries.get(drawn.passed.len()).ok_or(Error::NoNotary)?.clone();
        let mut case = self.clone();
        case.ranking = Some(Ranking { notaries, drawn: drawn.clone() });
        case.notary = Some(notary.clone());
        let first = Some((secret, drawn));
        Ok(case.applied(now, vec![Effect::Deposit { notary, endorsed, first }]))
    }

    /// Steps 9-10: the request is final; the patient is told.
    pub(super) fn request_final(&mut self, committed: &Final) -> Result<Effect, Error> {
        self.phase = HospitalPhase::Approved;
        let [_, mine] = committed.endorsed().jwts();
        let draw = self.ranking.clone().ok_or(Error::FormerCase)?.drawn;
        let receipt = committed.receipt().text().to_owned();
        let body = ApprovalBody { endorsement: mine.to_string(), receipt, draw };
        Effect::send(&self.patient, MessageType::TreatmentApproval, &body)
    }
}
