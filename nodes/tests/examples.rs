//! What `examples` shows to integrators, run as its pages say.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod stage;

use std::process::Command;

use serde_json::Value;
use stage::{Stage, received};

/// The folder above this package.
const TOP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// What `hand-in.sh` prints at the hospital's node, a line each, or what it says went wrong.
fn hand_in(stage: &Stage, arguments: &[&str]) -> Result<Vec<Value>, String> {
    let output = Command::new("sh")
        .arg("examples/hand-in/hand-in.sh")
        .args(arguments)
        .current_dir(TOP)
        .env("HDMS_NODE", &stage.his.url)
        .env("HDMS_API_KEY_FILE", stage.dir.path().join("hospital/api-key"))
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if !output.status.success() {
        return Err(text(output.stderr));
    }
    Ok(text(output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

/// Where the only result of a case stands, as the script says it.
fn status(stage: &Stage, case: &str) -> String {
    let results = hand_in(stage, &[case]).unwrap();
    assert_eq!(results.len(), 1);
    results[0]["status"]["kind"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_is_handed_in_by_curl_and_becomes_final() {
    const SAMPLE: &str = "nodes/sample/hemoglobin-a1c.json";
    let stage = Stage::set().await;
    let case = stage.approved().await;
    let id: &str = case.as_ref();
    assert_eq!(hand_in(&stage, &[]).unwrap()[0]["id"], id);

    let handed_in = hand_in(&stage, &[id, SAMPLE]).unwrap();
    assert_eq!(hand_in(&stage, &[id, SAMPLE]).unwrap().len(), 1);
    let entry = handed_in[0]["entry"].as_str().unwrap().parse().unwrap();
    received(stage.node(), &case, &entry).await;
    assert_eq!(status(&stage, id), "sent");
    stage.node().confirm(&case, &[entry]).await.unwrap();
    stage.his.until(&case, |view| view["summary"]["openResults"] == 0).await;
    assert_eq!(status(&stage, id), "committed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_is_refused_says_why() {
    let stage = Stage::set().await;
    let case = stage.approved().await;
    let case: &str = case.as_ref();
    let unknown = "0192f0c1-2345-7abc-89ab-0123456789ab";
    let no_fhir = stage.dir.path().join("notes.json");
    std::fs::write(&no_fhir, "{}").unwrap();
    for (arguments, said) in [
        (vec![unknown], "treatment/unknown-case"),
        (vec![unknown, "nodes/sample/visit.json"], "treatment/unknown-case"),
        (vec![case, no_fhir.to_str().unwrap()], "fhir/not-fhir"),
        (vec![case, "no/such/file.json"], "no/such/file.json"),
    ] {
        let refused = hand_in(&stage, &arguments).unwrap_err();
        assert!(refused.contains(said), "{arguments:?}: {refused}");
    }
    assert!(hand_in(&stage, &[case]).unwrap().is_empty());
}
