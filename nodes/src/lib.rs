//! The native nodes: what the core leaves to the machine it runs on.

pub mod client;
pub mod institution;
pub mod keys;
pub mod member;
pub mod platform;
pub mod problem;
pub mod sender;
pub mod serve;
pub mod server;
pub mod sqlite;
pub mod store;
pub mod system;
