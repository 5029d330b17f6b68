//! The other notaries of the network, who co-sign this one's log.

use hdms::endpoint::Endpoint;
use hdms::network::NotaryLog;
use hdms::provider::Clock;

use crate::base::log::Roll;
use crate::base::system::NodeClock;
use crate::member::Member;

/// Those that the Network Map lists, whenever they are asked.
#[derive(Debug)]
pub struct OtherNotaries {
    /// Does not ask itself.
    pub member: Member,
    /// Those of before count no longer.
    pub clock: NodeClock,
}

impl Roll for OtherNotaries {
    fn witnesses(&self) -> Vec<(NotaryLog, Endpoint)> {
        let (standing, now) = (self.member.standing(), self.clock.now().seconds());
        let logs = standing.trust.logs().iter();
        let others = logs.filter(|log| log.notary != *self.member.id() && log.counts_at(now));
        others
            .filter_map(|log| {
                let endpoint = standing.trust.notary(&log.notary).ok()?.card().endpoint.clone()?;
                Some((log.clone(), endpoint))
            })
            .collect()
    }
}
