//! `kill -9` of a witness while a log grows: whatever it has answered it still knows afterwards, and
//! a fork of it gets nothing.

use std::net::TcpListener;
use std::process::{Child, Command};
use std::time::Duration;

use hdms::provider::Randomness;
use hdms_nodes::base::system::SystemRandomness;
use tokio::sync::Notify;

use crate::common::{Net, PASSPHRASE, answering};
use crate::played::{Leaves, PlayedLog, body, submit};
use crate::scene::{prepare, state_at};

const KILLS: usize = 3;

/// More than grow in a run.
const MOST: u64 = 5_000;

/// Killed at the latest with the test.
struct Witness(Child);

impl Witness {
    fn start(net: &Net, address: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hdms"));
        command
            .args(["notary", "--listen", address, "--data"])
            .arg(net.dir.path().join("notary-a"));
        command.args(["--server", &net.url, "--name", "Killed", "--refresh", "1"]);
        command.args(["--registry-number", "1", "--address", "1 Main Street", "--contact", "Doe"]);
        command.env("HDMS_PASSPHRASE", PASSPHRASE).env("HDMS_LOG", "error");
        Self(command.spawn().unwrap())
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn chance(below: u64) -> u64 {
    let mut bytes = [0; 8];
    SystemRandomness.fill(&mut bytes).unwrap();
    u64::from_le_bytes(bytes) % below
}

/// Lets the log grow until the witness is gone, and says so each time. Answers the size that it has
/// co-signed last.
async fn grow(
    (http, url): (&reqwest::Client, &str),
    log: &PlayedLog,
    leaves: &Leaves,
    from: u64,
    grown: &Notify,
) -> u64 {
    let mut size = from;
    loop {
        let new = size + 1 + chance(3);
        let submission = log.submission(leaves, size, new);
        let sent = http.post(format!("{url}/witness/add-checkpoint")).body(submission).send().await;
        match sent {
            Ok(answer) => assert_eq!(answer.status(), 200),
            Err(_) => return size,
        }
        size = new;
        grown.notify_one();
    }
}

#[tokio::test]
async fn a_killed_witness_forgets_nothing_that_it_has_co_signed() {
    let net = Net::start().await;
    prepare(net.dir.path());
    let log = PlayedLog::admitted(&net, 0).await;
    let (leaves, fork) = (Leaves::of("killed", MOST), Leaves::of("fork", MOST));
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (address, url) = (port.to_string(), format!("http://{port}"));
    let http = reqwest::Client::new();
    let mut witness = Witness::start(&net, &address);
    net.admit_next().await;
    let mut size = 0;
    for _ in 0..KILLS {
        answering::until_it_answers(&url).await;
        let grown_once = Notify::new();
        let killing = async {
            grown_once.notified().await;
            tokio::time::sleep(Duration::from_millis(chance(200))).await;
            drop(witness);
        };
        let (grown, ()) =
            tokio::join!(grow((&http, &url), &log, &leaves, size, &grown_once), killing);
        assert!(grown > size, "it grew");

        witness = Witness::start(&net, &address);
        answering::until_it_answers(&url).await;
        let kept = state_at(&url, &log.key.name).await.unwrap();
        let kept = kept.checkpoint();
        // What it was asked last it may have kept and not answered any more.
        assert!((grown..=grown + 3).contains(&kept.size), "{grown} {kept:?}");
        assert_eq!(kept.root, leaves.root(kept.size));
        size = kept.size;
        for (new, status) in [(size, 409), (size + 5, 422)] {
            let forked = body(size, &fork.proof(size, new), &log.checkpoint(&fork, new));
            assert_eq!(submit(&http, &url, forked).await.status, status);
        }
    }
}
