//! What others may cost a node that serves: how often a verified one is heard, and how much of it is
//! kept for ever.

use std::net::IpAddr;
use std::sync::Arc;

use hdms::Error;
use hdms::card::Role;
use hdms::envelope::{MessageType, Opened};
use hdms::ids::{MessageId, NodeId};
use hdms::ledger::Entry;
use hdms::node::Outcome;
use hdms::provider::Timestamp;

use crate::connections::{Limits, subscriber};
use crate::institution::Undecided;
use crate::server::{DAY, NodeRates, RateLimit, Seen};

/// An institution may have logged so many entries, for each of a personal node's: it has many patients.
const MEMBERS: u32 = 100;

/// See the module.
#[derive(Clone, Debug)]
pub struct Costs {
    /// How long it waits for others, for how many, and whom it believes who they are.
    pub limits: Limits,
    /// Messages of one personal node that are taken in a minute; ten times as many of others.
    pub messages: u32,
    /// Treatments that one personal node may ask an institution for a day: each is a case for good.
    pub treatments: u32,
    /// Messages of one node a day that only say again what it has said: their ids are remembered.
    pub repeats: u32,
    /// Requests for treatment that wait to be decided at an institution, of patients that it does not
    /// know: of all, and of one address.
    pub undecided: usize,
    /// See [`Costs::undecided`].
    pub undecided_of_address: usize,
    /// Requests of one patient, whoever it is, that wait to be decided.
    pub undecided_of_patient: usize,
    /// Entries that one personal node may have logged a day; a hundred times as many of others.
    pub entries: u32,
    /// Entries between two nodes that may be logged a day.
    pub entries_of_pair: u32,
}

impl Costs {
    /// Where one patient does what many do elsewhere: in scenarios and measurements.
    pub fn unlimited() -> Self {
        let most = u32::MAX;
        Self {
            messages: most,
            treatments: most,
            repeats: most,
            undecided: usize::MAX,
            undecided_of_address: usize::MAX,
            undecided_of_patient: usize::MAX,
            entries: most,
            entries_of_pair: most,
            ..Self::default()
        }
    }
}

impl Default for Costs {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            messages: 600,
            treatments: 100,
            repeats: 100,
            undecided: 5_000,
            undecided_of_address: 500,
            undecided_of_patient: 20,
            entries: 2_000,
            entries_of_pair: 1_000,
        }
    }
}

/// What an institution takes in of whom.
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

/// Envelopes that came before which one address may send again in a minute.
const REPEATS: u32 = 600;

/// How long a notary remembers which envelopes it has heard, seconds.
const REMEMBERED: u64 = 3600;

/// Whose envelopes a notary opens. An envelope can be caught and sent again by others: then it counts
/// for the address that it comes from.
#[derive(Debug)]
pub struct Hearing {
    heard: NodeRates,
    seen: Seen,
    repeats: RateLimit<IpAddr>,
}

impl Hearing {
    /// As `costs` says.
    pub fn new(costs: &Costs) -> Self {
        Self {
            heard: NodeRates::per_minute(costs.messages),
            seen: Seen::new(REMEMBERED),
            repeats: RateLimit::per_minute(REPEATS),
        }
    }

    /// Whether the envelope with this id of this verified sender is taken now from this address.
    /// [`Error::TooManyRequests`].
    pub fn hear(
        &self,
        (sender, role): (&NodeId, Role),
        id: &MessageId,
        from: IpAddr,
        now: Timestamp,
    ) -> Result<(), Error> {
        if self.seen.first_time(&format!("{sender}/{id}"), now) {
            self.heard.take(sender, role, now)
        } else {
            self.repeats.take(&subscriber(from), now)
        }
    }
}

/// How many entries a notary logs for whom.
#[derive(Debug)]
pub struct EntryQuotas {
    personal: RateLimit<NodeId>,
    members: RateLimit<NodeId>,
    pairs: RateLimit<(NodeId, NodeId)>,
}

impl EntryQuotas {
    /// As `costs` says.
    pub fn new(costs: &Costs) -> Self {
        Self {
            personal: RateLimit::new(costs.entries, DAY),
            members: RateLimit::new(costs.entries.saturating_mul(MEMBERS), DAY),
            pairs: RateLimit::new(costs.entries_of_pair, DAY),
        }
    }

    fn of(&self, role: Role) -> &RateLimit<NodeId> {
        if role == Role::Personal { &self.personal } else { &self.members }
    }
}

/// What a batch of new entries takes of the quotas. It is given back when this is dropped, unless they
/// were logged: who tries again on a full disk uses up nothing.
#[derive(Debug)]
pub struct Charges {
    quotas: Arc<EntryQuotas>,
    taken: Vec<Charge>,
}

/// One entry, for its depositor and for the two that it is about.
#[derive(Debug)]
struct Charge {
    depositor: (NodeId, Role),
    pair: (NodeId, NodeId),
}

impl Charges {
    /// Nothing yet.
    pub fn new(quotas: Arc<EntryQuotas>) -> Self {
        Self { quotas, taken: Vec::new() }
    }

    /// Whether an entry that both participants have endorsed, and that is new, may be logged for its
    /// depositor: counted only now, so that nobody uses up what is another's. [`Error::EntryQuota`].
    pub fn take(
        &mut self,
        depositor: (NodeId, Role),
        entry: &Entry,
        now: Timestamp,
    ) -> Result<(), Error> {
        let (one, other) = (entry.author.clone(), entry.counterparty.clone());
        let pair = if one <= other { (one, other) } else { (other, one) };
        let (node, of_node) = (&depositor.0, self.quotas.of(depositor.1));
        of_node.take(node, now).map_err(|_| Error::EntryQuota)?;
        if self.quotas.pairs.take(&pair, now).is_err() {
            of_node.give_back(node);
            return Err(Error::EntryQuota);
        }
        self.taken.push(Charge { depositor, pair });
        Ok(())
    }

    /// They are logged.
    pub fn keep(mut self) {
        self.taken.clear();
    }
}

impl Drop for Charges {
    fn drop(&mut self) {
        for Charge { depositor: (node, role), pair } in &self.taken {
            self.quotas.of(*role).give_back(node);
            self.quotas.pairs.give_back(pair);
        }
    }
}
