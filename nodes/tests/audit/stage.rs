//! A network with a notary that the tests play themselves: what it serves and signs is up to them.

use std::path::PathBuf;
use std::process::Command;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::Ed25519KeyPair;
use hdms::Error;
use hdms::card::Role;
use hdms::ids::NodeId;
use hdms::jwk::RsaJwk;
use hdms::log::checkpoint::{cosignature, cosigned_text, log_signature};
use hdms::log::{Checkpoint, SignedCheckpoint};
use hdms::network::{NotaryLog, Trust};
use hdms_nodes::base::keys::NotaryKeys;
use hdms_nodes::server::ServerConfig;
use tokio::task::spawn_blocking;

use crate::common::{Net, keys};
use crate::shelf::{Shelf, StaticLog};

/// A notary of files.
pub struct Played {
    pub log: NotaryLog,
    pub shelf: Shelf,
    pub url: String,
    keys: NotaryKeys,
}

impl Played {
    /// The notary with the keys of this number, admitted.
    async fn admitted(net: &Net, number: usize) -> Self {
        let shelf = Shelf::default();
        let url = shelf.serve().await;
        let log_keys = log_keys();
        let keys = keys(number);
        let mut request = net.request(keys, Role::Notary, &format!("Notary {number}")).await;
        request.endpoint = Some(url.parse().unwrap());
        request.log = Some(log_keys.public());
        assert_eq!(net.ask(keys, &request).await, Err(Error::AdmissionPending));
        net.operator().admit(request.iss.clone()).await.unwrap();
        let listed = |trust: &Trust| trust.notary(&request.iss).is_ok();
        let log = net.until(listed).await.log(&request.iss).unwrap().clone();
        Self { log, shelf, url, keys: log_keys }
    }

    pub fn id(&self) -> &NodeId {
        &self.log.notary
    }

    /// What it signs as a log.
    pub fn sign(&self, size: u64, root: [u8; 32]) -> SignedCheckpoint {
        let key = self.log.log_key();
        let checkpoint = Checkpoint { origin: key.name.clone(), size, root };
        let signature = self.keys.sign_as_log(checkpoint.to_text().as_bytes()).unwrap();
        SignedCheckpoint::new(checkpoint, log_signature(&key, signature))
    }

    pub fn checkpoint(&self, log: &StaticLog) -> SignedCheckpoint {
        self.sign(log.size(), log.root())
    }

    /// Adds its cosignature to a checkpoint.
    pub fn cosign(&self, checkpoint: &mut SignedCheckpoint) {
        let time = 1_750_000_000;
        let text = cosigned_text(&checkpoint.note().text, time);
        let signature = self.keys.sign_as_witness(text.as_bytes()).unwrap();
        checkpoint.add(cosignature(&self.log.witness_key(), time, signature));
    }

    /// Serves a log under a checkpoint that it has signed.
    pub fn publish(&self, log: &StaticLog) {
        self.shelf.put_log(log, self.checkpoint(log).to_text());
    }

    /// Serves what a witness serves.
    pub fn witness(&self, state: &serde_json::Value, alarms: &serde_json::Value) {
        let state = serde_json::json!({ "logs": state });
        let alarms = serde_json::json!({ "alarms": alarms });
        self.shelf.put_bytes("/witness/state", state.to_string());
        self.shelf.put_bytes("/witness/alarms", alarms.to_string());
    }
}

/// New ones, that are kept nowhere.
fn log_keys() -> NotaryKeys {
    let make = || Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).unwrap();
    NotaryKeys::from_pkcs8(make().as_ref(), make().as_ref()).unwrap()
}

/// The network and its notaries.
pub struct Stage {
    pub net: Net,
    /// The one that is audited, and two witnesses.
    pub notaries: Vec<Played>,
}

impl Stage {
    /// With so many notaries.
    pub async fn with(notaries: usize) -> Self {
        Self::asking(notaries, 0).await
    }

    /// The same where so many witnesses are needed.
    pub async fn asking(notaries: usize, needed: u64) -> Self {
        let net = Net::start_with(|config: &mut ServerConfig| {
            config.rules.witnesses = needed;
            config.rates.admissions = u32::MAX;
        });
        let net = net.await;
        let mut played = Vec::new();
        for number in 0..notaries {
            let notary = Played::admitted(&net, number).await;
            notary.witness(&serde_json::json!([]), &serde_json::json!([]));
            played.push(notary);
        }
        Self { net, notaries: played }
    }

    /// The notary that is audited.
    pub fn notary(&self) -> &Played {
        &self.notaries[0]
    }

    pub fn state(&self) -> PathBuf {
        self.net.dir.path().join("state")
    }

    /// Audits it, with more arguments.
    pub async fn audit(&self, more: &[&str]) -> Audited {
        audit(&self.net, &self.notary().url, more).await
    }

    /// Audits it with a state file.
    pub async fn audit_again(&self) -> Audited {
        let state = self.state();
        self.audit(&["--state", state.to_str().unwrap()]).await
    }

    /// Serves `log` as it should be, changes it, and audits it.
    pub async fn audit_altered(&self, log: &StaticLog, change: impl FnOnce(&Shelf)) -> Audited {
        self.notary().publish(log);
        change(&self.notary().shelf);
        self.audit(&["--patience", "1"]).await
    }
}

/// How an audit ended.
#[derive(Debug)]
pub struct Audited {
    pub code: i32,
    pub report: String,
    pub messages: String,
}

impl Audited {
    /// Asserts that it was good.
    pub fn is_good(&self) -> &Self {
        assert_eq!(self.code, 0, "{self:?}");
        assert!(self.report.contains("good        everything was checked"), "{}", self.report);
        self
    }

    /// Asserts that exactly these are the faults.
    pub fn has_faults(&self, faults: &[&str]) -> &Self {
        assert_eq!(self.code, 1, "{self:?}");
        let found: Vec<_> =
            self.report.lines().filter_map(|line| line.strip_prefix("FAULT       ")).collect();
        assert_eq!(found, faults, "{}", self.report);
        self
    }

    /// Asserts that it could not be checked, and why.
    pub fn is_unchecked(&self, what: &str, code: &str) -> &Self {
        assert_eq!(self.code, 2, "{self:?}");
        assert!(self.messages.contains(what) && self.messages.contains(code), "{self:?}");
        assert!(!self.report.contains("FAULT"), "{}", self.report);
        self
    }

    /// Asserts that the report has this line.
    pub fn says(&self, line: &str) -> &Self {
        assert!(self.report.lines().any(|found| found == line), "{line}\n{}", self.report);
        self
    }

    /// Asserts that the report has this note as evidence.
    pub fn shows(&self, note: &str) {
        let lines = note.lines().map(|line| format!("            | {line}\n"));
        assert!(self.report.contains(&lines.collect::<String>()), "{note}\n{}", self.report);
    }
}

/// Runs `hdms notary audit`, trusting the network's root key.
pub async fn audit(net: &Net, url: &str, more: &[&str]) -> Audited {
    trusting(&net.root, net, url, more).await
}

/// The same, trusting another root key.
pub async fn trusting(root: &RsaJwk, net: &Net, url: &str, more: &[&str]) -> Audited {
    run(root, net, &[&["notary", "audit", url, "--server", &net.url], more].concat()).await
}

/// Runs `hdms server audit`, trusting this root key.
pub async fn audit_manifests(root: &RsaJwk, net: &Net, url: &str, more: &[&str]) -> Audited {
    run(root, net, &[&["server", "audit", url], more].concat()).await
}

async fn run(root: &RsaJwk, net: &Net, arguments: &[&str]) -> Audited {
    let file = net.dir.path().join("root.jwk");
    std::fs::write(&file, serde_json::to_string(root).unwrap()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_hdms"));
    command.args(arguments).arg("--root").arg(file);
    let output = spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let code = output.status.code().unwrap();
    Audited { code, report: text(output.stdout), messages: text(output.stderr) }
}
