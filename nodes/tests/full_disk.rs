//! A disk that is full under a node: it says so, loses nothing that it accepted, and goes on by
//! itself when there is space again.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
mod stage;

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::slice;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::answering::until_it_answers;
use common::{Net, PASSPHRASE, Person, delivery};
use hdms::Error;
use hdms::ids::CaseId;
use hdms::mailbox::{Delivery, DeliveryAnswer};
use hdms::provider::Clock;
use hdms::treatment::patient::{PatientCase, ResultStatus};
use hdms_nodes::base::system::{NodeClock, SystemClock};
use hdms_nodes::local::personal::Personal;
use serde_json::Value;
use stage::{His, RESULT};

/// A `hdms` process whose folder is a small disk of its own; gone with the process.
struct OnSmallDisk {
    process: Child,
    disk: PathBuf,
}

impl OnSmallDisk {
    /// `seed` is what the disk holds at first; `arguments` are followed by `--data` and the folder.
    fn start(at: &Path, seed: &Path, passphrase: &str, arguments: &[&str]) -> Self {
        const MOUNT: &str = r#"mount -t tmpfs -o size=3m,mode=0700 none "$0" && cp -r "$1"/. "$0" && shift \
            && exec "$@" --data "$0""#;
        fs::create_dir_all(at).unwrap();
        let process = Command::new("unshare")
            .args(Self::namespaces())
            .args(["sh", "-c", MOUNT])
            .args([at, seed])
            .arg(env!("CARGO_BIN_EXE_hdms"))
            .args(arguments)
            .env("HDMS_PASSPHRASE", passphrase)
            .env("HDMS_LOG", "off")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // Nobody else sees what is mounted there.
        let seen = PathBuf::from(format!("/proc/{}/root", process.id()));
        Self { disk: seen.join(at.strip_prefix("/").unwrap()), process }
    }

    /// What is needed to mount something here, be it as root or not.
    fn namespaces() -> &'static [&'static str] {
        let ways: [&[&str]; 2] = [&["--mount"], &["--mount", "--user", "--map-root-user"]];
        let mounts = |way: &&&[&str]| {
            let tried = Command::new("unshare")
                .args(**way)
                .args(["mount", "-t", "tmpfs", "none", "/mnt"])
                .stderr(Stdio::null())
                .status();
            tried.is_ok_and(|status| status.success())
        };
        ways.iter().find(mounts).copied().unwrap_or_else(|| {
            panic!("these tests mount a small disk: run them as root, or allow user namespaces")
        })
    }

    /// Leaves no byte free.
    fn fill(&self) {
        let mut filler = File::options().create(true).append(true).open(self.filler()).unwrap();
        while filler.write_all(&[0; 4096]).is_ok() {}
    }

    fn free(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.disk.join("filler")
    }
}

impl Drop for OnSmallDisk {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// A network whose server has a small disk, a sender and a recipient.
async fn network() -> (Net, OnSmallDisk, [Person; 2]) {
    let mut net = Net::start().await;
    let people = [net.hospital(0).await, net.person(1).await];
    net.stop_server().await;
    let address = net.url.trim_start_matches("http://").to_owned();
    let (at, arguments) = (net.dir.path().join("disk"), ["server", "--listen", &address]);
    let server = OnSmallDisk::start(&at, &net.data(), PASSPHRASE, &arguments);
    until_it_answers(&net.url).await;
    net.clock.advance(SystemClock.now().0 - net.now().0);
    (net, server, people)
}

/// Whether it was accepted; refused it may be only because the disk is full.
async fn is_kept(net: &Net, from: &Person, delivery: &Delivery) -> bool {
    let answer = net.deliver(from.signer(), vec![delivery.clone()]).await;
    match answer.as_deref() {
        Ok([DeliveryAnswer::Accepted(_)]) => true,
        Err(Error::StoreFull) => false,
        other => panic!("{other:?}"),
    }
}

async fn envelopes(net: &Net, of: &Person) -> Vec<String> {
    let mut envelopes = Vec::new();
    let mut after = 0;
    loop {
        let page = net.client.mailbox(&net.url, of.signer(), after, 100).await.unwrap();
        after = page.messages.last().map_or(after, |message| message.seq);
        envelopes.extend(page.messages.into_iter().map(|message| message.envelope));
        if !page.more {
            return envelopes;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_a_full_disk_refuses_the_new_keeps_the_old_and_goes_on_with_space() {
    let (net, server, [sender, recipient]) = network().await;
    let next = || delivery(&recipient.id, &common::message_id().to_string().repeat(300));
    let (mut kept, mut refused) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let before = next();
        assert!(is_kept(&net, &sender, &before).await);
        kept.push(before);
        server.fill();
        let full = refused.len();
        while refused.len() < full + 5 {
            let next = next();
            let place = if is_kept(&net, &sender, &next).await { &mut kept } else { &mut refused };
            place.push(next);
            server.fill();
        }
        let there = envelopes(&net, &recipient).await;
        assert_eq!(there, Vec::from_iter(kept.iter().map(|kept| kept.envelope.clone())));
        assert!(net.client.network(&net.url, None, 0).await.is_ok());
        server.free();
        let again = refused.pop().unwrap();
        assert!(is_kept(&net, &sender, &again).await, "it goes on by itself");
        kept.push(again);
    }
    for again in kept.iter().chain(&refused) {
        assert!(is_kept(&net, &sender, again).await);
    }
    let there = envelopes(&net, &recipient).await;
    let once: HashSet<_> = there.iter().collect();
    assert_eq!((there.len(), once.len()), (kept.len() + refused.len(), there.len()), "each once");
    net.client.acknowledge(&net.url, recipient.signer(), u64::MAX, Vec::new()).await.unwrap();
    assert!(envelopes(&net, &recipient).await.is_empty());
}

/// What the hospital says of itself, once it is as `wanted`.
async fn until_node(his: &His, wanted: impl Fn(&Value) -> bool) {
    for _ in 0..600 {
        if wanted(&his.get("/api/node").await.body) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("never as wanted: {:?}", his.get("/api/node").await);
}

/// A hospital with a small disk, in the network of the folder `dir`.
async fn hospital(dir: &Path, server: &str) -> (OnSmallDisk, His) {
    const KEY: &str = "the key of the information system";
    let (listen, seed) = (format!("127.0.0.1:{}", stage::free_ports()), dir.join("hospital"));
    fs::write(seed.join("api-key"), KEY).unwrap();
    let arguments = ["institution", "--listen", &listen, "--server", server, "--refresh", "1"];
    let about = ["--registry-number", "1", "--address", "1 Main Street", "--contact", "Doe"];
    let arguments = [&arguments[..], &["--name", "St. Nowhere"], &about].concat();
    let passphrase = hdms_nodes::local::network::PASSPHRASE;
    let hospital = OnSmallDisk::start(&dir.join("disk"), &seed, passphrase, &arguments);
    stage::admit_the_hospital(dir).await;
    let his = His::new(&format!("http://{listen}"), KEY);
    until_it_answers(&his.url).await;
    (hospital, his)
}

/// A result like no other.
fn another_result() -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(100);
    RESULT.replace("61.0", &NUMBER.fetch_add(1, Ordering::Relaxed).to_string())
}

/// Hands in results until four were refused because the disk is full. Answers how many were
/// accepted.
async fn hand_in_on_a_full_disk(hospital: &OnSmallDisk, his: &His, case: &CaseId) -> usize {
    let path = format!("/api/cases/{case}/results");
    let (mut accepted, mut refused) = (0, 0);
    while refused < 4 {
        hospital.fill();
        let answer = his.post(&path, another_result()).await;
        match (answer.status, answer.code()) {
            (201, _) => accepted += 1,
            (507, "store/full") => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    hospital.free();
    accepted
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hospital_with_a_full_disk_loses_nothing_that_it_accepted_or_had_to_send() {
    let dir = tempfile::tempdir().unwrap();
    let (network, stop) = stage::network(dir.path(), &[]).await;
    let (hospital, his) = hospital(dir.path(), network.url()).await;
    let config = stage::personal(dir.path(), network.url());
    let patient = Personal::start(config, NodeClock::default(), stop.clone()).await.unwrap();
    let node = patient.node();
    let id = stage::listed_hospital(node).await;
    let case = stage::ask(node, &id).await;
    his.approve(&case).await;
    stage::until(node, &case, |case| case.notary.is_some()).await;

    let mut accepted = 0;
    for _ in 0..2 {
        accepted += hand_in_on_a_full_disk(&hospital, &his, &case).await;
        accepted += his.hand_in(&case, &another_result()).await.len();
    }
    let view = his.until(&case, |view| view["summary"].is_object()).await;
    let kept = view["results"].as_array().unwrap().len();
    assert_eq!(kept, accepted, "what was refused left nothing");
    for place in 0..kept {
        let came = |case: &PatientCase| {
            case.results.get(place).is_some_and(|one| one.status == ResultStatus::Received)
        };
        let state = stage::until(node, &case, came).await;
        node.confirm(&case, slice::from_ref(&state.results[place].entry.id)).await.unwrap();
    }
    his.until(&case, |view| view["summary"]["openResults"] == 0).await;
    until_node(&his, |view| view["waiting"] == 0).await;
    let committed = |case: &PatientCase| {
        let committed = |status: &ResultStatus| matches!(status, ResultStatus::Committed { .. });
        case.results.len() == kept && case.results.iter().all(|one| committed(&one.status))
    };
    stage::until(node, &case, committed).await;
    stop.cancel();
}
