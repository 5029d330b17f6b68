//! What an institution takes in of whom.

use std::net::IpAddr;

use hdms::Error;
use hdms::envelope::{MessageType, Opened};
use hdms::ids::NodeId;
use hdms::node::Outcome;
use hdms::provider::Timestamp;

use super::undecided::Undecided;
use crate::base::rate::{DAY, NodeRates, RateLimit};
use crate::member::costs::Costs;

/// See the module.
#[derive(Debug)]
pub struct InboxQuotas {
    heard: NodeRates,
    treatments: RateLimit<NodeId>,
    repeated: RateLimit<NodeId>,
    undecided: Undecided,
}

impl InboxQuotas {
    /// As `costs` says.
    pub fn new(costs: &Costs) -> Self {
        Self {
            heard: NodeRates::per_minute(costs.messages),
            treatments: RateLimit::new(costs.treatments, DAY),
            repeated: RateLimit::new(costs.repeats, DAY),
            undecided: Undecided::new(costs),
        }
    }

    /// The requests that wait to be decided.
    pub fn undecided(&self) -> &Undecided {
        &self.undecided
    }

    /// Whether a message that comes from this address is taken now. Answers from which network a request
    /// came, where that is to be kept with the case. [`Error::TooManyRequests`], [`Error::CaseQuota`].
    pub fn hear(
        &self,
        message: &Opened,
        from: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<Option<IpAddr>, Error> {
        let sender = message.sender();
        self.heard.take(sender.id(), sender.card().role, now)?;
        self.repeated.take(sender.id(), now)?;
        let origin = self.take_treatment(message, from, now);
        origin.inspect_err(|_| self.repeated.give_back(sender.id()))
    }

    fn take_treatment(
        &self,
        message: &Opened,
        from: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<Option<IpAddr>, Error> {
        if message.kind() != MessageType::TreatmentRequest {
            return Ok(None);
        }
        let sender = message.sender().id();
        self.treatments.take(sender, now).map_err(|_| Error::CaseQuota)?;
        let taken = self.undecided.take((message.case(), sender), from, now);
        taken.inspect_err(|_| self.treatments.give_back(sender))
    }

    /// What became of a message that was heard; nothing when it was refused. Only one that has begun a
    /// case uses up what cases do, and only one that says again what was said before under another id,
    /// which is remembered too, what such do.
    pub fn heard(&self, message: &Opened, outcome: Option<Outcome>) {
        let sender = message.sender().id();
        if outcome != Some(Outcome::Repeated) {
            self.repeated.give_back(sender);
        }
        if message.kind() == MessageType::TreatmentRequest {
            let begun = outcome == Some(Outcome::Applied);
            self.undecided.begun(message.case(), begun);
            if !begun {
                self.treatments.give_back(sender);
            }
        }
    }
}
