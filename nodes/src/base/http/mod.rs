//! The ways out and in over HTTP: where a node goes, whom it takes requests of, how many, and at what
//! cost.

pub(crate) mod addresses;
pub(crate) mod bodies;
pub mod client;
pub mod connections;
pub mod gate;
pub mod guarded;
pub(crate) mod headers;
pub mod problem;
pub mod proxies;
pub mod reach;
pub mod serve;
pub mod unsent;
