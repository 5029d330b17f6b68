//! `hdms notary audit` as its user meets it: the command against logs over HTTP, of which each is
//! wrong in another way.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;

mod altered;
mod answers;
mod history;
mod notary;
mod shelf;
mod signatures;
mod stage;
mod witnesses;
