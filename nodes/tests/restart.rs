//! The real `hdms` command killed in the middle of a treatment, and the demo started again.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod stage;

use std::path::Path;
use std::process::Command;
use std::slice;

use hdms_nodes::base::system::NodeClock;
use hdms_nodes::local::personal::Personal;
use hdms_nodes::server::operator::Operator;
use hdms_nodes::server::trail::Act;
use serde_json::Value;
use stage::{
    His, Process, RESULT, admit_the_hospital, ask, free_ports, listed_hospital, network, personal,
    received, until,
};
use tokio_util::sync::CancellationToken;

/// The hospital as a process of its own.
fn hospital(dir: &Path, server: &str, port: u16) -> Process {
    let listen = format!("127.0.0.1:{port}");
    let (data, key) = (dir.join("hospital"), dir.join("key"));
    std::fs::write(&key, "the key of the information system").unwrap();
    Process::start(&[
        "institution",
        "--data",
        data.to_str().unwrap(),
        "--listen",
        &listen,
        "--server",
        server,
        "--name",
        "St. Nowhere",
        "--registry-number",
        "HRB 12345, Amtsgericht Example",
        "--address",
        "1 Main Street, 12345 Example",
        "--contact",
        "Dr. Doe, +1 555 0100",
        "--api-key-file",
        key.to_str().unwrap(),
        "--refresh",
        "1",
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hospital_killed_at_any_time_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let (network, stop) = network(dir.path(), &[]).await;
    let port = free_ports();
    let start = || hospital(dir.path(), network.url(), port);
    let process = start();
    admit_the_hospital(dir.path()).await;
    let config = personal(dir.path(), network.url());
    let patient = Personal::start(config, NodeClock::default(), stop).await.unwrap();
    let node = patient.node();
    let id = listed_hospital(node).await;
    let his = His::new(&format!("http://127.0.0.1:{port}"), "the key of the information system");

    let case = ask(node, &id).await;
    his.until(&case, |view| view["summary"].is_object()).await;
    process.kill();
    let process = start();
    his.approve(&case).await;
    process.kill();
    let process = start();
    until(node, &case, |case| case.notary.is_some()).await;
    let mut results = his.hand_in(&case, RESULT).await;
    results.extend(his.hand_in(&case, &RESULT.replace("final", "amended")).await);
    process.kill();
    let waiting = ask(node, &id).await;
    let process = start();
    his.until(&waiting, |view| view["summary"]["phase"]["kind"] == "requested").await;
    for (place, entry) in results.iter().enumerate() {
        received(node, &case, entry).await;
        node.confirm(&case, slice::from_ref(entry)).await.unwrap();
        his.until(&case, |view| view["summary"]["openResults"] == 1 - place).await;
    }
    process.kill();
    let process = start();
    let view = his.until(&case, |view| view["summary"].is_object()).await;
    assert_eq!(view["summary"]["openResults"], 0);
    let ledger = view["ledger"].as_array().unwrap();
    assert_eq!(ledger.len(), 3);
    assert!(ledger.iter().all(|entry| entry["receipt"].is_object()));
    process.signal("TERM");
    assert!(process.ended());
}

#[test]
fn the_scenario_prints_each_step_once_and_ends_with_how_many_passed() {
    let dir = tempfile::tempdir().unwrap();
    let (good, bad) = (dir.path().join("pulse.json"), dir.path().join("notes.txt"));
    std::fs::write(&good, RESULT).unwrap();
    std::fs::write(&bad, "no FHIR").unwrap();
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_hdms"))
            .args(["scenario", "treatment", "--records"])
            .args(arguments)
            .output()
            .unwrap();
        (String::from_utf8(output.stdout).unwrap(), output.status.success())
    };

    let (json, passed) = run(&[good.to_str().unwrap(), "--json"]);
    let mut lines: Vec<Value> =
        json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let summary = lines.pop().unwrap();
    let mut steps: Vec<u64> = lines.iter().map(|line| line["step"].as_u64().unwrap()).collect();
    steps.sort_unstable();
    assert_eq!(steps, (1..=21).collect::<Vec<_>>());
    assert!(lines.iter().all(|line| line["actor"].is_string() && line["file"] == "pulse.json"));
    assert_eq!((&summary["passed"], &summary["failed"]), (&1.into(), &0.into()));
    assert!(passed);

    let (text, passed) = run(&[good.to_str().unwrap(), "--summary", "--cases", "3"]);
    assert!(text.ends_with("\n3 passed, 0 failed\n") && passed, "{text}");
    let (text, passed) = run(&[dir.path().to_str().unwrap()]);
    assert!(text.is_empty() && !passed);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_starts_again_with_its_addresses_keys_and_cases() {
    let dir = tempfile::tempdir().unwrap();
    let (data, port) = (dir.path().join("demo"), free_ports().to_string());
    let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/sample");
    let arguments =
        ["demo", "--data", data.to_str().unwrap(), "--port", &port, "--samples", samples];
    let mut demo = Process::start(&arguments);
    let first = demo.prints_up_to("Ctrl-C");
    let after = |label: &str| {
        let line = first.lines().find(|line| line.trim_start().starts_with(label)).unwrap();
        line.split_whitespace().last().unwrap().trim_end_matches('/').to_owned()
    };
    let (server, console, key) = (after("Patients"), after("console"), after("API key"));
    let his = His::new(&console, &key);
    let stop = CancellationToken::new();
    let config = personal(dir.path(), &server);
    let patient = Personal::start(config, NodeClock::default(), stop.clone()).await.unwrap();
    let id = his.get("/api/node").await.body["id"].as_str().unwrap().parse().unwrap();
    let (case, person) = (ask(patient.node(), &id).await, patient.node().id().clone());
    let before = his.until(&case, |view| view["summary"].is_object()).await;
    stop.cancel();
    patient.ended().await;
    let samples = his.get("/samples/index.json").await.body;
    assert_eq!(samples[1]["title"], "Observation: Hemoglobin A1c");

    let database = data.join("server/server.sqlite");
    let older = dir.path().join("older.sqlite");
    for (signal, put_back) in [("INT", false), ("TERM", false), ("TERM", true)] {
        demo.signal(signal);
        assert!(demo.ended(), "{signal}");
        if put_back {
            // The server takes back from the notaries what it has said since.
            std::fs::copy(&older, &database).unwrap();
        } else if !older.exists() {
            std::fs::copy(&database, &older).unwrap();
            let operator = Operator::of(&data.join("server")).unwrap();
            operator.revoke(person.clone(), "gone").await.unwrap();
        }
        demo = Process::start(&arguments);
        assert_eq!(demo.prints_up_to("Ctrl-C"), first);
        assert_eq!(his.get(&format!("/api/cases/{case}")).await.body, before);
        let newest = manifests(&server).await;
        let notary = format!("{}/manifests/{newest}", after("Notary North"));
        while !reqwest::get(&notary).await.unwrap().status().is_success() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
    let trail = Operator::of(&data.join("server")).unwrap().trail().await.unwrap();
    assert_eq!(trail.entries.last().map(|row| row.act), Some(Act::TakenBack));
}

/// How many manifests the server has published.
async fn manifests(server: &str) -> u64 {
    let checkpoint = reqwest::get(format!("{server}/manifests/log/checkpoint")).await.unwrap();
    checkpoint.text().await.unwrap().lines().nth(1).unwrap().parse().unwrap()
}
