//! What all native nodes stand on. Nothing here knows a node of any kind.

pub mod audit;
pub(crate) mod durable;
pub mod http;
pub mod keys;
pub(crate) mod log;
pub(crate) mod names;
pub mod pause;
pub mod private;
pub(crate) mod rate;
pub(crate) mod replay_cache;
pub mod sqlite;
pub mod store;
pub mod system;
