//! Notaries as witnesses of each other, over real HTTP and SQLite: what they co-sign, what they
//! refuse aloud, and what becomes of deposits meanwhile.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod alarms;
#[path = "../common/mod.rs"]
mod common;
mod cosigning;
mod depositing;
mod drawing;
mod killed;
mod lying;
mod pinned;
mod played;
mod rules;
mod scene;
mod spoken;
