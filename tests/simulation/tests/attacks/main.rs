//! What an attacker wants and does not get; each file is named after the wish.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails so")]

#[allow(dead_code, reason = "a part of it is used here")]
#[path = "../trust/logbook.rs"]
mod logbook;

mod be_forgotten;
mod blame_a_notary;
mod choose_the_notary;
mod double_a_result;
mod drop_witnesses;
mod fill_a_log;
mod fill_pages;
mod follow_a_patient;
mod fork_manifests;
mod freeze_documents;
mod keep_back_mail;
mod learn_from_what_travels;
mod lie_about_numbers;
mod lose_mail;
mod mix_documents;
mod pass_off;
mod read_mail;
mod read_old_mail;
mod replace_a_receipt;
mod show_two_contents;
mod split_network;
mod stolen_key;
mod stop_a_hospital;
mod waste_space;
mod write_the_past;

use std::str::FromStr;

use hdms::Error;
use hdms::card::{Card, Role};
use hdms::doorman::{About, AdmissionRequest};
use hdms::ids::CaseId;

fn id<T: FromStr<Err = Error>>(number: u32) -> T {
    format!("019b7985-7400-7000-8000-{number:012}").parse().unwrap()
}

fn case() -> CaseId {
    id(1)
}

/// What the node of this card would ask the Doorman for.
fn request_of(card: &Card) -> AdmissionRequest {
    let said = || "said".to_owned();
    let about = About { registry_number: said(), address: said(), contact: said() };
    AdmissionRequest {
        iss: card.sub.clone(),
        iat: card.iat,
        jti: id(7),
        role: card.role,
        name: card.name.clone(),
        endpoint: card.endpoint.clone(),
        about: (card.role != Role::Personal).then_some(about),
        signing_key: card.signing_key.clone(),
        subkeys: card.subkeys.clone(),
        changes: card.changes.clone(),
        log: None,
        card: None,
    }
}
