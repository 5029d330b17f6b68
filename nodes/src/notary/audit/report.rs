//! What an audit has come to.

use hdms::ids::NodeId;
use hdms::log::SignedCheckpoint;

use crate::base::audit::{Counts, Faults, Unchecked, Witness};

/// What an audit has come to.
#[derive(Clone, Debug)]
pub struct Report {
    /// The log's base URL.
    pub url: String,
    /// The notary's name in the Network Map, if it is listed.
    pub name: Option<String>,
    /// The log's checkpoint, if it could be read.
    pub checkpoint: Option<SignedCheckpoint>,
    /// Whether there is none, for the notary says that it has logged nothing yet.
    pub is_empty: bool,
    /// Who has co-signed it, and when, seconds; only those that count.
    pub cosigned: Vec<(NodeId, u64)>,
    /// How many must have.
    pub needed: usize,
    /// When it was co-signed, by the upper median of the cosignatures' times, seconds.
    pub time: Option<u64>,
    /// Leaves of the checkpoint that was kept from the last audit.
    pub kept: Option<u64>,
    /// The witnesses that were asked.
    pub witnesses: Vec<Witness>,
    /// Leaves that were read.
    pub leaves: u64,
    /// How much was checked.
    pub counts: Counts,
    /// What is wrong.
    pub faults: Faults,
    /// Why the audit has not come to its end.
    pub unfinished: Option<Unchecked>,
}

impl Report {
    /// Whether everything was checked and nothing is wrong.
    pub fn is_good(&self) -> bool {
        self.unfinished.is_none() && self.faults.count() == 0
    }
}
