//! The native nodes: what the core leaves to the machine it runs on.

pub mod client;
pub mod keys;
pub mod member;
pub mod problem;
pub mod serve;
pub mod sqlite;
pub mod store;
pub mod system;
