//! What attackers want, one file for each kind, and that they don't get it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails so")]

mod fill_pages;
mod learn_from_what_travels;
mod lose_mail;
mod read_mail;
