//! Whose envelopes a notary opens, and how many entries it logs for whom.

use std::net::IpAddr;
use std::sync::Arc;

use hdms::Error;
use hdms::card::Role;
use hdms::ids::{MessageId, NodeId};
use hdms::ledger::Entry;
use hdms::provider::Timestamp;

use crate::base::http::addresses::subscriber;
use crate::base::rate::{DAY, NodeRates, RateLimit};
use crate::base::replay_cache::ReplayCache;
use crate::member::costs::Costs;

/// An institution may have logged so many entries, for each of a personal node's: it has many patients.
const MEMBERS: u32 = 100;

/// Envelopes that came before which one address may send again in a minute.
const REPEATS: u32 = 600;

/// How long a notary remembers which envelopes it has heard, seconds.
const REMEMBERED: u64 = 3600;

/// Whose envelopes a notary opens. An envelope can be caught and sent again by others: then it counts
/// for the address that it comes from.
#[derive(Debug)]
pub struct Hearing {
    heard: NodeRates,
    seen: ReplayCache,
    repeats: RateLimit<IpAddr>,
}

impl Hearing {
    /// As `costs` says.
    pub fn new(costs: &Costs) -> Self {
        Self {
            heard: NodeRates::per_minute(costs.messages),
            seen: ReplayCache::new(REMEMBERED),
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
