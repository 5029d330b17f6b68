//! What an audit has found and read, and what the witnesses have told it.

use hdms::ids::NodeId;

use super::fault::{Fault, Unchecked};

/// Most faults that are kept; the others are counted.
const MOST: usize = 1000;

/// The faults that were found.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    found: Vec<Fault>,
    count: usize,
}

impl Faults {
    /// Adds one.
    pub fn push(&mut self, fault: Fault) {
        self.count += 1;
        if self.found.len() < MOST {
            self.found.push(fault);
        }
    }

    /// The first ones, in the order in which they were found.
    pub fn found(&self) -> &[Fault] {
        &self.found
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }
}

/// How much was read and checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Bundles of leaves.
    pub bundles: usize,
    /// Tiles of hashes.
    pub tiles: usize,
    /// Leaves whose place was held against all others.
    pub places: usize,
    /// Signed checkpoints whose root was computed anew.
    pub claims: usize,
    /// Time of the first and of the last leaf, seconds.
    pub times: Option<[u64; 2]>,
}

/// What a witness that was asked knows of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// Which.
    pub id: NodeId,
    /// Its base URL.
    pub url: String,
    /// Leaves of the newest checkpoint that it has co-signed; none if it has never co-signed.
    pub cosigned: Option<u64>,
    /// What it was alarmed by.
    pub alarms: Vec<Alarm>,
    /// What it shows that the log has not signed: nothing follows from it.
    pub unsigned: usize,
    /// Why it could not be asked.
    pub silent: Option<Unchecked>,
}

/// A witness's alarm about the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// `fork`, `rollback` or `unproven`.
    pub kind: String,
    /// When it was raised, seconds.
    pub time: u64,
    /// Leaves of the checkpoint that was refused, and of the one it was held against.
    pub sizes: [u64; 2],
}
