//! The notary over HTTP: what it logs, what it refuses, what it proves, and that it never changes
//! its mind.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod altered;
mod case;
#[path = "../common/mod.rs"]
mod common;
mod deposits;
mod former;
mod published;
mod queries;
mod races;
mod refusals;
