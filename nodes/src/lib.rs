//! The native nodes: what the core leaves to the machine it runs on.

pub mod keys;
pub mod sqlite;
pub mod store;
pub mod system;
