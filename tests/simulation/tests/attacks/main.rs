//! What an attacker wants and does not get; each file is named after the wish.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails so")]

#[allow(dead_code, reason = "a part of it is used here")]
#[path = "../trust/logbook.rs"]
mod logbook;

mod be_forgotten;
mod choose_the_notary;
mod drop_witnesses;
mod fill_a_log;
mod fill_pages;
mod follow_a_patient;
mod fork_manifests;
mod freeze_documents;
mod learn_from_what_travels;
mod lose_mail;
mod mix_documents;
mod pass_off;
mod read_mail;
mod read_old_mail;
mod split_network;
mod stolen_key;
mod waste_space;
mod write_the_past;

use std::str::FromStr;

use hdms::Error;
use hdms::ids::CaseId;

fn id<T: FromStr<Err = Error>>(number: u32) -> T {
    format!("019b7985-7400-7000-8000-{number:012}").parse().unwrap()
}

fn case() -> CaseId {
    id(1)
}
