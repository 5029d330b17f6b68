//! A whole network with one hospital, its HIS and a patient, over real HTTP and SQLite.

#![allow(dead_code, reason = "each test file uses a part")]

pub mod described;

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use hdms::card::Role;
use hdms::ids::{CaseId, EntryId, NodeId};
use hdms::network::Trust;
use hdms::node::Platform;
use hdms::treatment::patient::{PatientCase, ResultStatus};
use hdms::treatment::request::TreatmentRequest;
use hdms_nodes::base::http::reach::Reach;
use hdms_nodes::base::keys::{KEY_FILE, open_or_make};
use hdms_nodes::base::system::NodeClock;
use hdms_nodes::institution::platform::NativeNode;
use hdms_nodes::local::network::{LocalConfig, LocalNetwork, PASSPHRASE, passphrase};
use hdms_nodes::local::personal::Personal;
use hdms_nodes::member::MemberConfig;
use hdms_nodes::member::costs::Costs;
use hdms_nodes::server::PushConfig;
use hdms_nodes::server::certificate::Keyring;
use hdms_nodes::server::operator::Operator;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

pub const RESULT: &str = r#"{"resourceType":"Observation","status":"final","code":{"text":"Pulse"},"valueQuantity":{"value":61.0}}"#;

/// The hospital's information system.
#[derive(Clone)]
pub struct His {
    pub url: String,
    pub key: String,
    http: Client,
}

/// What a request to the hospital came to.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub media_type: String,
    pub body: Value,
}

impl Answer {
    /// The code of a refusal, be it a problem or an OperationOutcome.
    pub fn code(&self) -> &str {
        let coding = &self.body["issue"][0]["details"]["coding"][0]["code"];
        self.body["code"].as_str().or(coding.as_str()).unwrap_or_default()
    }
}

impl His {
    pub fn new(url: &str, key: &str) -> Self {
        Self { url: url.to_owned(), key: key.to_owned(), http: Client::new() }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        self.send(self.request(Method::POST, path).body(body)).await
    }

    pub async fn send(&self, request: RequestBuilder) -> Answer {
        let response = request.send().await.unwrap();
        let media_type =
            response.headers().get("content-type").map(|value| value.to_str().unwrap());
        let media_type = media_type.unwrap_or_default().to_owned();
        let status = response.status().as_u16();
        let body = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or(Value::Null);
        Answer { status, media_type, body }
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url)).bearer_auth(&self.key)
    }

    /// The case, once it is as `wanted`.
    pub async fn until(&self, case: &CaseId, wanted: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..2400 {
            let asked = self.request(Method::GET, &format!("/api/cases/{case}")).send().await;
            // The hospital may be starting again.
            if let Ok(response) = asked {
                let body: Value =
                    serde_json::from_slice(&response.bytes().await.unwrap_or_default())
                        .unwrap_or(Value::Null);
                if wanted(&body) {
                    return body;
                }
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!(
            "the hospital's case never became as wanted: {}",
            self.get(&format!("/api/cases/{case}")).await.body
        );
    }

    pub async fn approve(&self, case: &CaseId) {
        self.until(case, |view| view["summary"]["phase"]["kind"] == "requested").await;
        let answer = self.post(&format!("/api/cases/{case}/approval"), "").await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    pub async fn hand_in(&self, case: &CaseId, fhir: &str) -> Vec<EntryId> {
        let answer = self.post(&format!("/api/cases/{case}/results"), fhir.to_owned()).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        let entries = answer.body["results"].as_array().unwrap().iter();
        entries.map(|entry| entry.as_str().unwrap().parse().unwrap()).collect()
    }
}

/// A network, and somebody on each side of a treatment.
pub struct Stage {
    pub network: LocalNetwork,
    pub patient: Personal,
    pub his: His,
    pub dir: TempDir,
}

impl Stage {
    pub async fn set() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (network, stop) = network(dir.path(), &["hospital"]).await;
        let config = network.personal("patient", PATIENT);
        let patient = Personal::start(config, NodeClock::default(), stop).await.unwrap();
        let hospital = &network.institutions()[0];
        let his = His::new(&hospital.url(), hospital.api_key());
        Self { network, patient, his, dir }
    }

    pub fn hospital(&self) -> &NodeId {
        self.network.institutions()[0].node().id()
    }

    pub fn node(&self) -> &NativeNode {
        self.patient.node()
    }

    /// A new case in which the patient has asked for treatment.
    pub async fn ask(&self) -> CaseId {
        ask(self.node(), self.hospital()).await
    }

    /// A new case that the hospital has approved, with the receipt on both sides.
    pub async fn approved(&self) -> CaseId {
        let case = self.ask().await;
        self.his.approve(&case).await;
        until(self.node(), &case, |case| case.notary.is_some()).await;
        case
    }
}

/// A network with these institutions in the folder `dir`.
pub async fn network(dir: &Path, institutions: &[&str]) -> (LocalNetwork, CancellationToken) {
    prepare_keys(dir);
    let stop = CancellationToken::new();
    let named = institutions.iter().map(|name| ((*name).to_owned(), format!("The {name}")));
    let config = LocalConfig {
        data: dir.to_owned(),
        port: None,
        name: "Test".into(),
        institutions: named.collect(),
        pages: None,
        samples: None,
        push: PushConfig::default(),
    };
    (LocalNetwork::start(config, stop.clone()).await.unwrap(), stop)
}

/// Puts key files made once for all tests where the network's nodes look for them, the server's
/// certified.
pub fn prepare_keys(dir: &Path) {
    const FILES: [&str; 10] = [
        "root/keys.pem",
        "root/doormen-1.jwt",
        "server/doorman/keys.pem",
        "server/manifests/log.pem",
        "server/server.sqlite",
        "notary-1/keys.pem",
        "notary-2/keys.pem",
        "notary-3/keys.pem",
        "hospital/keys.pem",
        "patient/keys.pem",
    ];
    static MADE: OnceLock<TempDir> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let made = tempfile::tempdir().unwrap();
        for node in FILES.iter().filter_map(|file| file.strip_suffix(KEY_FILE)) {
            open_or_make(&made.path().join(node), &passphrase()).unwrap();
        }
        let (server, passphrase) = (made.path().join("server"), passphrase());
        let keyring = Keyring::open(&server, passphrase, NodeClock::default()).unwrap();
        let root = made.path().join("root");
        futures_lite::future::block_on(keyring.certify_here(&root)).unwrap();
        made
    });
    for file in FILES {
        let copy = dir.join(file);
        std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
        std::fs::copy(made.path().join(file), copy).unwrap();
    }
}

/// How a personal node of its own joins the network of `server`.
pub fn personal(dir: &Path, server: &str) -> MemberConfig {
    MemberConfig {
        data: dir.join("patient"),
        passphrase: passphrase(),
        server: server.to_owned(),
        root: None,
        role: Role::Personal,
        name: String::new(),
        endpoint: None,
        reach: Reach::Local,
        costs: Costs::default(),
        about: None,
        log: None,
        refresh: Duration::from_secs(60),
    }
}

/// Once a process has asked for it.
pub async fn admit_the_hospital(dir: &Path) {
    let operator = Operator::of(&dir.join("server")).unwrap();
    loop {
        if let Some(applicant) = operator.pending(None).await.unwrap().pop() {
            assert_eq!(applicant.claims.role, Role::Institution);
            return operator.admit(applicant.id).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The hospital's id, once the Network Map lists it and a notary, whose receipts the node is to know.
pub async fn listed_hospital(node: &NativeNode) -> NodeId {
    let member = node.platform().member();
    loop {
        member.refresh().await.unwrap();
        let trust = member.standing().trust.clone();
        let notary = trust.with_role(Role::Notary).next();
        if let (Some(card), Some(_)) = (trust.with_role(Role::Institution).next(), notary) {
            node.set_trust(Trust::clone(&trust));
            return card.id().clone();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// How the patient is called.
pub const PATIENT: &str = "Maria Fabregas";

pub async fn ask(patient: &NativeNode, hospital: &NodeId) -> CaseId {
    let p = patient.platform();
    let case = CaseId::new(p.clock(), p.randomness()).unwrap();
    let request = TreatmentRequest {
        reason: "Cough".into(),
        date: Some("2026-12-01".into()),
        may_read: vec!["Observation".into(), "Condition".into()],
    };
    patient.ask_by_name(&case, hospital, request, PATIENT).await.unwrap();
    case
}

/// The patient's side of a case, once it is as `wanted`.
pub async fn until(
    patient: &NativeNode,
    case: &CaseId,
    wanted: impl Fn(&PatientCase) -> bool,
) -> PatientCase {
    for _ in 0..2400 {
        let state: PatientCase = patient.case(case).await.unwrap();
        if wanted(&state) {
            return state;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let (state, waiting) = (patient.case::<PatientCase>(case).await, patient.waiting("", 10).await);
    panic!("the patient's case never became as wanted: {state:?}, and there waits {waiting:?}");
}

pub async fn received(patient: &NativeNode, case: &CaseId, entry: &EntryId) {
    let is = |case: &PatientCase| {
        case.result(entry).is_ok_and(|result| result.status == ResultStatus::Received)
    };
    until(patient, case, is).await;
}

/// A `hdms` process; killed at the latest with the test.
pub struct Process {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Process {
    pub fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hdms"));
        command.args(arguments).env("HDMS_PASSPHRASE", PASSPHRASE).env("HDMS_LOG", "warn");
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdout }
    }

    /// What it prints up to a line that begins with `last`.
    pub fn prints_up_to(&mut self, last: &str) -> String {
        let mut text = String::new();
        for line in self.stdout.by_ref().lines() {
            let line = line.unwrap();
            let found = line.starts_with(last);
            text.push_str(&line);
            text.push('\n');
            if found {
                return text;
            }
        }
        panic!("it ended before it said {last:?}: {text}");
    }

    /// Whether it ended well.
    pub fn ended(mut self) -> bool {
        self.child.wait().unwrap().success()
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// A signal by its name.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Has ended already when the test itself ended it.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A port that was free a moment ago, with as many free ones after it as a demo needs.
pub fn free_ports() -> u16 {
    let all_free =
        |port: u16| (port..port + 6).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok());
    let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    (0..100).map(|_| free()).find(|port| *port < 65_000 && all_free(*port)).unwrap()
}

pub fn refusal(reason: &str) -> String {
    json!({ "reason": reason }).to_string()
}

/// What becomes so many records: a Bundle with as many Encounters, each with a pulse that refers to it.
pub fn whole_patient(records: usize, status: &str) -> String {
    let entry = |resource: Value| json!({ "resource": resource });
    let of_one = |number: usize| {
        let encounter =
            json!({"resourceType": "Encounter", "id": number.to_string(), "status": "finished"});
        let mut pulse: Value = serde_json::from_str(RESULT).unwrap();
        pulse["status"] = status.into();
        pulse["encounter"] = json!({"reference": format!("Encounter/{number}")});
        [entry(encounter), entry(pulse)]
    };
    let entries: Vec<Value> = (0..records).flat_map(of_one).collect();
    json!({"resourceType": "Bundle", "type": "collection", "entry": entries}).to_string()
}
