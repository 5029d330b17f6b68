//! What somebody tries who means harm: a file for each thing that they want.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;
mod fill_memory;
mod lead_inside;
mod lock_out;
mod lose_mail;
mod lying_server;
mod read_mail;
#[path = "../stage/mod.rs"]
mod stage;
mod trap;
