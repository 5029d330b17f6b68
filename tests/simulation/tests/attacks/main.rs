//! What attackers want, one file for each kind, and that they don't get it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails so")]

mod drop_witnesses;
mod fill_pages;
mod fork_manifests;
mod freeze_documents;
mod learn_from_what_travels;
mod lose_mail;
mod mix_documents;
mod read_mail;
mod split_network;
