//! The attack that is seen by how much memory a process has had: in one of its own.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "attacks/fill_memory.rs"]
mod fill_memory;
#[allow(dead_code, reason = "a part of it is used here")]
#[path = "attacks/trap.rs"]
mod trap;
