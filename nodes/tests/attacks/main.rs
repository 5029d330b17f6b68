//! What somebody tries who means harm: a file for each thing that they want.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;
mod fill_memory;
mod lead_inside;
mod lock_out;
mod lying_server;
mod read_mail;
mod trap;
