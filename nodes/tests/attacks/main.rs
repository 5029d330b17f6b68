//! What attackers want, one file for each: every test is an attack over HTTP, and fails to succeed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;
mod crowd_out;
mod false_manifests;
mod keep_the_owner_out;
mod lead_inside;
mod learn_from_what_is_kept;
mod lock_out;
mod lose_mail;
mod lying_server;
mod read_mail;
mod read_old_mail;
mod say_it_twice;
#[path = "../stage/mod.rs"]
mod stage;
mod stolen_key;
mod trap;
mod use_the_console;
mod use_up_limits;
mod watched;
