//! The native nodes: what the core leaves to the machine it runs on.

pub mod client;
pub mod connections;
pub mod costs;
pub mod demo;
pub mod gate;
pub mod guarded;
pub mod institution;
pub mod keys;
pub mod local;
mod log;
pub mod member;
pub mod notary;
pub mod pause;
pub mod personal;
pub mod platform;
pub mod problem;
pub mod proxies;
pub mod reach;
pub mod root;
pub mod scenario;
pub mod sender;
pub mod serve;
pub mod server;
pub mod sqlite;
pub mod store;
pub mod system;
