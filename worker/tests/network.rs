//! What a browser is told of the network: that a case's notary was revoked; or, by a server that shows it
//! two networks under one number, what it keeps as evidence.
#![cfg(target_arch = "wasm32")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/device.rs"]
mod device;
mod support;

use device::Device;
use hdms::json;
use hdms::network::Split;
use hdms_worker::commands::Command;
use serde_json::{Value, json};
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_service_worker);

#[wasm_bindgen_test]
async fn two_networks_under_one_number_are_told_of_and_kept() {
    let mut device = Device::new().await;
    device.worker.execute("", Command::Sync).await.unwrap();
    assert_eq!(device.evidence().await, None);
    let first = device.world.documents.clone();

    device.restart().await;
    device.shows_another_network().await;
    // Pages read of it in the node's state.
    device.worker.execute("", Command::Sync).await.unwrap();
    let evidence = device.evidence().await.unwrap();
    assert_eq!(evidence.held.manifest, first.manifest);
    assert_eq!(evidence.offered.manifest, device.world.documents.manifest);
    let shown = device.answered(Command::Split).await;
    let text = shown["evidence"].as_str().unwrap();
    assert_eq!(json::stored::<Split>(text.as_bytes()).unwrap(), evidence);
    let status = device.worker.status().await.unwrap();
    assert_eq!(status.problem.unwrap().code, "network/split");
}

/// A device with a result that waits for the patient.
async fn with_result() -> Device {
    let mut device = Device::new().await;
    let [approval, result] = device.with_result().await;
    device.has_mail(&[&approval, &result], &[]);
    device.worker.execute("", Command::Sync).await.unwrap();
    let cases = device.answered(Command::Cases).await;
    let case = [&cases[0]["notaryListed"], &cases[0]["hospitalListed"], &cases[0]["openDecisions"]];
    assert_eq!(case, [&json!(true), &json!(true), &json!(1)], "{cases}");
    device
}

/// What the device says of its case once it has heard of what changed.
async fn heard(device: &mut Device) -> Value {
    device.has_mail(&[], &[]);
    device.restart().await;
    device.worker.execute("", Command::Sync).await.unwrap();
    let case = device.answered(Command::Cases).await[0].take();
    assert_eq!(case["openDecisions"], 0, "{case}");
    case
}

#[wasm_bindgen_test]
async fn a_case_whose_notary_was_revoked_says_so_and_waits_for_no_decision() {
    let mut device = with_result().await;
    device.notary_is_revoked().await;
    let case = heard(&mut device).await;
    assert_eq!(case["notaryListed"], false, "{case}");
    let case = device.answered(Command::Case(device::case().to_string())).await;
    assert_eq!(case["ledger"][0]["receipt"]["notaryName"], "Notary", "{case}");
}

#[wasm_bindgen_test]
async fn a_case_whose_hospital_was_revoked_waits_for_no_decision() {
    let mut device = with_result().await;
    device.hospital_is_revoked().await;
    let case = heard(&mut device).await;
    assert_eq!(case["hospitalListed"], false, "{case}");
    assert_eq!(case["hospitalName"], "Hospital", "{case}");
}
