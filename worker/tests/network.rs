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

#[wasm_bindgen_test]
async fn a_case_whose_notary_was_revoked_says_so_and_waits_for_no_decision() {
    let mut device = Device::new().await;
    let envelopes = device.with_result().await;
    let envelopes: Vec<_> = envelopes.iter().map(String::as_str).collect();
    device.has_mail(&envelopes, &[]);
    for revoked in [false, true] {
        if revoked {
            device.notary_is_revoked().await;
            device.has_mail(&[], &[]);
            device.restart().await;
        }
        device.worker.execute("", Command::Sync).await.unwrap();
        let mut cases = device.answered(Command::Cases).await;
        let case = cases[0].take();
        assert_eq!(case["notaryListed"], !revoked, "{case}");
        assert_eq!(case["openDecisions"], if revoked { 0 } else { 1 }, "{case}");
        let case = device.answered(Command::Case(device::case().to_string())).await;
        assert_eq!(case["ledger"][0]["receipt"]["notaryName"], "Notary", "{case}");
    }
}

#[wasm_bindgen_test]
async fn a_case_whose_hospital_was_revoked_waits_for_no_decision() {
    let mut device = Device::new().await;
    let envelopes = device.with_result().await;
    let envelopes: Vec<_> = envelopes.iter().map(String::as_str).collect();
    device.has_mail(&envelopes, &[]);
    for revoked in [false, true] {
        if revoked {
            device.hospital_is_revoked().await;
            device.has_mail(&[], &[]);
            device.restart().await;
        }
        device.worker.execute("", Command::Sync).await.unwrap();
        let cases = device.answered(Command::Cases).await;
        assert_eq!(cases[0]["hospitalListed"], !revoked, "{cases}");
        assert_eq!(cases[0]["openDecisions"], if revoked { 0 } else { 1 }, "{cases}");
        assert_eq!(cases[0]["hospitalName"], "Hospital", "{cases}");
    }
}
