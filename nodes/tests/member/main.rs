//! Being a member for long: cards renew themselves, keys change, the network asks for a newer
//! version, the operator revokes, the server is away. Cases go on through all of it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;
mod costs;
mod joining;
mod keys;
mod outage;
mod queries;
mod scene;
#[path = "../stage/mod.rs"]
mod stage;
mod standing;
mod warnings;
