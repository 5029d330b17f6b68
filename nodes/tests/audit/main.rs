//! `hdms notary audit` and `hdms server audit` as their user meets them: the commands against logs over
//! HTTP, of which each is wrong in another way.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;

mod altered;
mod answers;
mod history;
mod manifests;
mod notary;
mod shelf;
mod signatures;
mod stage;
mod witnesses;
