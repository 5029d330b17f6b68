//! `kill -9` of server, notary and institution under load, over and over (`HDMS_KILL_RUNS` times),
//! while every message is delivered none, one, two or five times and in no order. After each run
//! nothing that was accepted is lost, nothing has happened twice, both sides' ledgers agree, and
//! every receipt that was ever given holds against the notary's log.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../common/answering.rs"]
mod answering;
mod chance;
mod log;
mod network;
mod patient;
#[path = "../stage/mod.rs"]
mod stage;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::time::{Duration, Instant};

use answering::until_it_answers;
use chance::Chance;
use futures_util::future::join_all;
use hdms::ids::{CaseId, NodeId};
use hdms_nodes::base::store::SqliteStore;
use hdms_nodes::base::system::NodeClock;
use hdms_nodes::institution::platform::{NativePlatform, follow};
use hdms_nodes::member::Member;
use hdms_nodes::server::operator::Operator;
use patient::Patient;
use serde_json::Value;
use stage::{His, Process, ask, free_ports, listed_hospital, whole_patient};
use tokio_util::sync::CancellationToken;

/// Treatments at a time, how often the hospital hands in results for each, and how many together.
const CASES: usize = 3;
const HAND_INS: usize = 2;
const RESULTS: usize = 13;

/// Times that server, notary and institution are killed in a run.
const KILLS: usize = 3;

/// Longest time that a run may take to come to its end after the last kill.
const PATIENCE: Duration = Duration::from_secs(300);

const KEY: &str = "the key of the information system";

/// How to start each process of the network.
struct Commands {
    server: Vec<String>,
    notary: Vec<String>,
    hospital: Vec<String>,
}

impl Commands {
    fn new(dir: &Path, port: u16, url: &str) -> Self {
        let of = |kind: &str, folder: &str, offset: u16, more: &[&str]| {
            let (listen, data) = (format!("127.0.0.1:{}", port + offset), dir.join(folder));
            let own = [kind, "--listen", &listen, "--data", data.to_str().unwrap()];
            own.iter().chain(more).map(|text| (*text).to_owned()).collect()
        };
        let key = dir.join("key");
        std::fs::write(&key, KEY).unwrap();
        let about = ["--registry-number", "1", "--address", "1 Main Street", "--contact", "Doe"];
        let member = ["--server", url, "--refresh", "1"];
        let notary = [&member[..], &about, &["--name", "Notary"]].concat();
        let with_key = [
            &member[..],
            &about,
            &["--name", "Hospital"],
            &["--api-key-file", key.to_str().unwrap()],
        ]
        .concat();
        Self {
            server: of("server", "server", 0, &["--public-url", url, "--witnesses", "0"]),
            notary: of("notary", "notary-1", 1, &notary),
            hospital: of("institution", "hospital", 2, &with_key),
        }
    }
}

fn start(command: &[String]) -> Process {
    Process::start(&command.iter().map(String::as_str).collect::<Vec<_>>())
}

/// A network of processes with one patient, and whoever acts in it.
struct Play {
    commands: Commands,
    server: Option<Process>,
    notary: Option<Process>,
    hospital: Option<Process>,
    notary_url: String,
    /// All that were ever given.
    given: Vec<String>,
    his: His,
    hospital_id: NodeId,
    patient: Patient,
    chance: Chance,
}

impl Play {
    async fn begin(dir: &Path, chance: Chance) -> Self {
        stage::prepare_keys(dir);
        let port = free_ports();
        let url = network::start(format!("http://127.0.0.1:{port}"), chance.clone()).await;
        let commands = Commands::new(dir, port, &url);
        let server = start(&commands.server);
        until_it_answers(&format!("http://127.0.0.1:{port}/network")).await;
        let (notary, hospital) = (start(&commands.notary), start(&commands.hospital));
        admit(dir, 2).await;
        let config = stage::personal(dir, &url);
        let store = SqliteStore::open(&config.data.join("patient.sqlite")).unwrap();
        let (clock, stop) = (NodeClock::default(), CancellationToken::new());
        let member =
            Member::join(config, store.clone(), clock.clone(), stop.clone()).await.unwrap();
        let (platform, queue) = NativePlatform::new(member, store, clock);
        let node = follow(platform);
        let hospital_id = listed_hospital(&node).await;
        Self {
            his: His::new(&format!("http://127.0.0.1:{}", port + 2), KEY),
            commands,
            server: Some(server),
            notary: Some(notary),
            hospital: Some(hospital),
            notary_url: format!("http://127.0.0.1:{}", port + 1),
            given: Vec::new(),
            hospital_id,
            patient: Patient::new(node, queue, chance.clone()),
            chance,
        }
    }

    async fn run(&mut self) {
        let mut cases = Vec::new();
        for _ in 0..CASES {
            cases.push(ask(&self.patient.node, &self.hospital_id).await);
        }
        let mut kills = 0;
        let mut next_kill = self.until_next_kill();
        let his = tokio::spawn(treat_all(self.his.clone(), cases.clone()));
        let mut deadline = Instant::now() + PATIENCE;
        while kills < KILLS || !his.is_finished() || !self.is_settled(&cases).await {
            self.patient.act(&cases).await;
            if kills < KILLS && Instant::now() >= next_kill {
                kills += 1;
                self.kill();
                next_kill = self.until_next_kill();
                deadline = Instant::now() + PATIENCE;
            }
            assert!(Instant::now() < deadline, "it never came to an end");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let accepted = his.await.unwrap();
        self.check(&cases, &accepted).await;
    }

    fn until_next_kill(&self) -> Instant {
        Instant::now() + Duration::from_millis(100 + self.chance.below(900) as u64)
    }

    /// One of them, or more. The notary falls with the hospital, which otherwise pauses ever longer
    /// before it deposits again, and the test with it.
    fn kill(&mut self) {
        let which = [0b001, 0b100, 0b101, 0b110, 0b111][self.chance.below(5)];
        let all = [
            (&mut self.server, &self.commands.server),
            (&mut self.notary, &self.commands.notary),
            (&mut self.hospital, &self.commands.hospital),
        ];
        for (bit, (process, command)) in all.into_iter().enumerate() {
            if which & (1 << bit) != 0 {
                process.take().unwrap().kill();
                *process = Some(start(command));
            }
        }
    }

    /// Whether nothing is on its way any more.
    async fn is_settled(&self, cases: &[CaseId]) -> bool {
        let node = ask_hospital(&self.his, reqwest::Method::GET, "/api/node", "");
        self.patient.is_done(cases).await && node.await.is_some_and(|node| node["waiting"] == 0)
    }

    async fn check(&mut self, cases: &[CaseId], accepted: &[Vec<String>]) {
        assert_eq!(self.his.get("/api/node").await.body["quarantined"], 0);
        assert!(self.patient.node.quarantined("", 10).await.unwrap().is_empty());
        for (case, accepted) in cases.iter().zip(accepted) {
            let ours = self.patient.receipts(case).await;
            let view = self.his.get(&format!("/api/cases/{case}")).await.body;
            assert_eq!(ours, receipts(&view), "the ledgers differ");
            let results: Vec<&String> = ours.values().skip(1).map(|(entry, _)| entry).collect();
            assert!(accepted.iter().all(|entry| results.contains(&entry)), "an entry was lost");
            let once: HashSet<_> = results.iter().collect();
            assert_eq!((once.len(), results.len()), (HAND_INS * RESULTS, HAND_INS * RESULTS));
            self.given.extend(self.patient.receipt_texts(case).await);
        }
        until_it_answers(&format!("{}/log/checkpoint", self.notary_url)).await;
        log::expect_all(&self.notary_url, &self.given, &self.patient.node.trust()).await;
    }
}

/// As the hospital sees them; in the form of [`Patient::receipts`].
fn receipts(view: &Value) -> BTreeMap<usize, (String, u64)> {
    let entries = view["ledger"].as_array().unwrap().iter();
    let receipt = |entry: &Value| {
        let index = entry["receipt"]["index"].as_u64().unwrap();
        (entry["id"].as_str().unwrap().to_owned(), index)
    };
    entries.map(receipt).enumerate().collect()
}

/// The hospital's information system at work, whether its node is there or not. Answers the entries
/// of the results that were accepted in each case.
async fn treat_all(his: His, cases: Vec<CaseId>) -> Vec<Vec<String>> {
    join_all(cases.iter().map(|case| treat(&his, case))).await
}

async fn treat(his: &His, case: &CaseId) -> Vec<String> {
    let path = format!("/api/cases/{case}");
    let mut accepted = Vec::new();
    loop {
        tokio::time::sleep(Duration::from_millis(30)).await;
        let Some(view) = ask_hospital(his, reqwest::Method::GET, &path, "").await else { continue };
        let (phase, summary) = (&view["summary"]["phase"]["kind"], &view["summary"]);
        let taken = summary["results"].as_u64().unwrap_or_default() as usize;
        if phase == "requested" {
            ask_hospital(his, reqwest::Method::POST, &format!("{path}/approval"), "").await;
        } else if phase == "approved" && taken < HAND_INS * RESULTS {
            assert_eq!(taken % RESULTS, 0, "all or nothing is handed in");
            let results = format!("{path}/results");
            // The same once more is none.
            let body = whole_patient(RESULTS, &format!("final {taken}"));
            let handed_in = ask_hospital(his, reqwest::Method::POST, &results, &body).await;
            let entries = handed_in.iter().flat_map(|view| view["results"].as_array().unwrap());
            accepted.extend(entries.map(|entry| entry.as_str().unwrap().to_owned()));
        } else if phase == "approved" && summary["openResults"] == 0 {
            return accepted;
        }
    }
}

/// What it answered, if it was there and did not refuse.
async fn ask_hospital(his: &His, method: reqwest::Method, path: &str, body: &str) -> Option<Value> {
    let response = his.request(method, path).body(body.to_owned()).send().await.ok()?;
    let accepted = response.status().is_success();
    let body = response.bytes().await.ok()?;
    if accepted { serde_json::from_slice(&body).ok() } else { None }
}

/// Admits the first nodes that ask.
async fn admit(dir: &Path, count: usize) {
    let operator = Operator::of(&dir.join("server")).unwrap();
    let mut admitted = 0;
    while admitted < count {
        for applicant in operator.pending(None).await.unwrap() {
            operator.admit(applicant.id).await.unwrap();
            admitted += 1;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_killed_under_load_lose_nothing_and_do_nothing_twice() {
    let runs = std::env::var("HDMS_KILL_RUNS").map_or(3, |runs| runs.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let chance = Chance::new(3);
    let mut play = Play::begin(dir.path(), chance).await;
    for run in 1..=runs {
        let begun = Instant::now();
        play.run().await;
        println!("run {run} of {runs}: {:.1?}", begun.elapsed());
    }
}
