//! Attacks on a patient's node, in a service worker: what its server, and members of the network, want of
//! it.
#![cfg(target_arch = "wasm32")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/device.rs"]
mod device;
mod support;

use std::pin::pin;

use device::Device;
use futures_util::future::select;
use gloo_timers::future::TimeoutFuture;
use hdms::Error;
use hdms::base64url::digest;
use hdms::doorman::{AdmissionRequest, Challenge, expected_answer};
use hdms::node::MOST_TRIES;
use hdms::provider::Timestamp;
use hdms_simulation::BEGIN;
use hdms_worker::commands::Command;
use serde_json::{Value, json};
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_service_worker);

/// A card that lives 90 days is renewed by then.
const RENEWAL: u64 = 65;

const ADMISSIONS: &str = "/doorman/admissions";
const ACKNOWLEDGEMENT: &str = "/mailbox/acknowledgement";
const ANSWERS: &str = "/doorman/answers";

async fn contact(device: &Device) {
    device.worker.execute("", Command::Sync).await.unwrap();
}

async fn problem(device: &Device) -> Option<String> {
    device.worker.status().await.unwrap().problem.map(|problem| problem.code)
}

#[wasm_bindgen_test]
async fn a_server_that_gives_an_envelope_as_challenge_learns_nothing_and_is_told_of() {
    let mut device = Device::new().await;
    let [approval, _] = device.envelopes().await;
    device.days_later(RENEWAL);
    device.answers(ADMISSIONS, json!({"challenge": approval, "expires": u64::MAX >> 1}));
    device.answers(ANSWERS, json!({"card": ""}));
    contact(&device).await;
    assert_eq!(device.told(ADMISSIONS).len(), 1);
    assert_eq!(device.told(ANSWERS), Vec::<Value>::new());
    assert_eq!(problem(&device).await.as_deref(), Some("doorman/challenge"));
}

/// What the device asks of the Doorman when its card is to be renewed.
async fn asked(device: &Device) -> AdmissionRequest {
    device.answers(ADMISSIONS, json!({}));
    contact(device).await;
    let request = device.told(ADMISSIONS).remove(0);
    let at = Timestamp(BEGIN.0 + RENEWAL * 24 * 3600 * 1000);
    let software = device.world.software();
    AdmissionRequest::verify(request.as_str().unwrap(), at, &software).await.unwrap()
}

#[wasm_bindgen_test]
async fn a_challenge_is_answered_by_a_digest() {
    let device = Device::new().await;
    device.days_later(RENEWAL);
    let (world, secret, request) = (&device.world, digest("secret"), asked(&device).await);
    let key = request.stated_subkeys().unwrap().encryption;
    let former = world.patient.card();
    assert_ne!(key, *former.encryption_key().unwrap(), "it comes with the new card");
    let (software, randomness) = (world.software(), &world.providers.randomness);
    let challenge = Challenge::seal(&secret, (&request.iss, &key), 7, &software, randomness);
    device.answers(ADMISSIONS, json!(challenge.await.unwrap()));
    device.answers(ANSWERS, json!({"card": ""}));
    contact(&device).await;
    let answers = device.told(ANSWERS);
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0]["request"], device.told(ADMISSIONS)[1]);
    assert_eq!(answers[0]["answer"], expected_answer(&request.iss, &secret));
    assert!(!answers[0].to_string().contains(&secret));
}

#[wasm_bindgen_test]
async fn a_server_that_goes_by_a_former_key_is_asked_for_a_card_and_not_each_time() {
    let mut device = Device::new().await;
    let [approval, _] = device.envelopes().await;
    device.answers(ADMISSIONS, json!({"challenge": approval, "expires": u64::MAX >> 1}));
    contact(&device).await;
    assert_eq!(device.told(ADMISSIONS).len(), 0);
    let mailbox = json!({"messages": [], "more": false, "subscriptions": [], "kid": digest("key")});
    device.answers("/mailbox", mailbox);
    contact(&device).await;
    contact(&device).await;
    assert_eq!(device.told(ADMISSIONS).len(), 1);
}

#[wasm_bindgen_test]
async fn what_a_hospitals_former_key_has_signed_is_not_taken_in() {
    let mut device = Device::new().await;
    device.hospital_changes_keys().await;
    device.world.providers.clock.advance(1000);
    // The thief of the former key, who can do what the hospital could.
    let [approval, _] = device.envelopes().await;
    device.has_mail(&[&approval], &[]);
    contact(&device).await;
    let refused = device.answered(Command::Quarantine).await;
    // By the keys that the map lists now.
    assert_eq!(refused[0]["error"]["code"], "envelope/signature");
    let shown = device.answered(Command::Case(device::case().to_string())).await;
    assert_eq!(shown["phase"]["kind"], "requested");
}

/// What waits behind a message that is set aside unopened has been taken in, and the server knows.
async fn expect_one_set_aside(device: &Device) {
    let code = Error::TakesTooLong.code();
    let first = json!({"upto": 1, "refused": [{"seq": 1, "code": code}]});
    assert_eq!(device.told(ACKNOWLEDGEMENT), [first, json!({"upto": 2})]);
    let shown = device.answered(Command::Case(device::case().to_string())).await;
    assert_eq!(shown["phase"]["kind"], "approved");
    let refused = device.answered(Command::Quarantine).await;
    assert_eq!(
        (refused.as_array().unwrap().len(), &refused[0]["error"]["code"]),
        (1, &json!(code))
    );
}

#[wasm_bindgen_test]
async fn a_message_that_takes_too_long_keeps_back_nothing_behind_it() {
    let mut device = Device::new().await;
    let [approval, data_request] = device.envelopes().await;
    device.change("patience", 2_000.into());
    device.change("stuck", MOST_TRIES.into());
    device.has_mail(&[&data_request, &approval], &[]);
    contact(&device).await;
    expect_one_set_aside(&device).await;
}

#[wasm_bindgen_test]
async fn nor_does_one_at_which_the_browser_kills_the_worker() {
    let mut device = Device::new().await;
    let [approval, data_request] = device.envelopes().await;
    device.has_mail(&[&data_request, &approval], &[]);
    // What was killed does not go on in the middle of a later test.
    device.change("patience", i32::MAX.into());
    for _ in 0..MOST_TRIES {
        device.change("stuck", 1.into());
        select(pin!(contact(&device)), TimeoutFuture::new(2_000)).await;
        device.restart().await;
    }
    assert_eq!(device.told(ACKNOWLEDGEMENT), Vec::<Value>::new());
    contact(&device).await;
    expect_one_set_aside(&device).await;
}
