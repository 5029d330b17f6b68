//! The personal node inside a service worker.

pub mod platform;
pub mod store;
pub mod webcrypto;
