//! What nodes of earlier versions have stored opens with today's code, for ever: the stores of each
//! version stand in `tests/vectors/fixtures`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../common/disk.rs"]
mod disk;
#[path = "../stage/mod.rs"]
mod stage;

mod kept;
mod reading;
mod version_1;
mod write;
