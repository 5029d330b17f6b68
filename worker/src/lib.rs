//! The personal node inside a service worker. The shim `js/sw.js` hands over every request of a
//! page with the port for its answer; all else happens here.
//!
//! [`worker`] takes the [`commands`] of pages and answers with [`views`]; [`member`] makes the node
//! a member of its network, [`delivery`] takes in and sends messages over [`transport`];
//! [`platform`], [`store`] and [`webcrypto`] are what the browser gives the protocol's core.

mod clients;
pub mod commands;
pub mod contact;
pub mod delivery;
pub mod eviction;
#[cfg(feature = "test-hooks")]
pub mod figures;
mod js;
pub mod lock;
pub mod member;
mod notification;
pub mod platform;
pub mod push;
pub mod queue;
pub mod requests;
pub mod storage;
pub mod store;
pub mod transport;
pub mod viewing;
pub mod views;
pub mod webcrypto;
pub mod worker;

#[cfg(all(test, not(target_arch = "wasm32")))]
mod typescript;
