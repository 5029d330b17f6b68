//! Reading a log from outside, for its audit: everything that it serves, held against what it has signed.

mod fault;
pub(crate) mod fetch;
pub(crate) mod kept;
mod places;
mod plan;
pub(crate) mod replay;
mod report;
pub(crate) mod witnesses;

pub use fault::{Claim, Fault, Source, Unchecked};
pub use report::{Alarm, Counts, Faults, Witness};
