//! A network with some notaries, each with keys of its own.

use std::path::Path;
use std::sync::OnceLock;

use hdms::Error;
use hdms::log::{NoteSignature, SignedCheckpoint};
use hdms::network::NotaryLog;
use hdms_nodes::base::keys::{AwsPrimitives, KEY_FILE, open_or_make};
use hdms_nodes::base::system::NodeClock;
use hdms_nodes::notary::Notary;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::common::{JsonBody, Net, passphrase};
use crate::played::{Answer, PlayedLog, submit};

const NAMES: [&str; 3] = ["notary-a", "notary-b", "notary-c"];

/// A network that asks for so many witnesses, with so many notaries.
pub async fn network(witnesses: u64, notaries: usize) -> (Net, Vec<Notary>) {
    let net = Net::start_with(|config| config.rules.witnesses = witnesses).await;
    prepare(net.dir.path());
    let mut started = Vec::new();
    for name in &NAMES[..notaries] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (notary, ()) = tokio::join!(start(&net, name, listener), net.admit_next());
        started.push(notary.unwrap());
    }
    for notary in &started {
        meets(notary, notaries).await;
    }
    (net, started)
}

/// Waits until the notary's Network Map lists so many.
pub async fn meets(notary: &Notary, notaries: usize) {
    let mut changes = notary.member().changes();
    let listed = |logs: &[NotaryLog]| logs.iter().filter(|log| log.until.is_none()).count();
    let wanted = changes.wait_for(|standing| listed(standing.trust.logs()) == notaries);
    wanted.await.unwrap();
}

pub async fn start(net: &Net, name: &str, listener: TcpListener) -> Result<Notary, Error> {
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let config = net.member_config(name, endpoint);
    let clock = NodeClock::new(net.clock.clone());
    Notary::start(config, listener, clock, CancellationToken::new()).await
}

/// Stops the notary, lets `meanwhile` have its folder, and starts it again.
pub async fn restart(net: &Net, notary: Notary, meanwhile: impl FnOnce(&Path)) -> Notary {
    let (address, name) = (notary.address(), name(&notary));
    notary.serving().stop().await;
    meanwhile(&net.dir.path().join(&name));
    start(net, &name, TcpListener::bind(address).await.unwrap()).await.unwrap()
}

/// The name of the notary, and of its folder.
pub fn name(notary: &Notary) -> String {
    notary.member().standing().card.card().name.clone()
}

pub fn url(notary: &Notary) -> String {
    format!("http://{}", notary.address())
}

/// A witness, and a log that the tests play.
pub struct Scene {
    pub net: Net,
    pub witness: Notary,
    pub log: PlayedLog,
    http: reqwest::Client,
}

impl Scene {
    pub async fn set() -> Self {
        let (net, mut notaries) = network(0, 1).await;
        let (witness, log) = (notaries.remove(0), PlayedLog::admitted(&net, 0).await);
        meets(&witness, 2).await;
        Self { net, witness, log, http: reqwest::Client::new() }
    }

    pub async fn submit(&self, body: impl Into<reqwest::Body>) -> Answer {
        submit(&self.http, &url(&self.witness), body).await
    }

    /// When the witness has co-signed `checkpoint`, as its answer proves.
    pub async fn cosigned(&self, answer: &Answer, checkpoint: &SignedCheckpoint) -> u64 {
        assert_eq!((answer.status, &*answer.media_type), (200, "text/plain; charset=utf-8"));
        let lines: Vec<_> = answer.text.lines().collect();
        let [line] = lines[..] else { panic!("{answer:?}") };
        assert_eq!(answer.text, format!("{line}\n"));
        let mut checkpoint = checkpoint.clone();
        checkpoint.add(NoteSignature::parse(line).unwrap());
        self.cosignature_time(&checkpoint).await.unwrap()
    }

    pub async fn cosignature_time(&self, checkpoint: &SignedCheckpoint) -> Option<u64> {
        let trust = self.net.trust().await;
        let key = trust.log(self.witness.member().id()).unwrap().witness_key();
        checkpoint.cosignature_time(&key, &AwsPrimitives).await.unwrap()
    }

    /// The alarms that anybody can fetch.
    pub async fn alarms(&self) -> Vec<Value> {
        alarms(&self.witness).await
    }

    pub async fn restart(self) -> Self {
        let Self { net, witness, log, http } = self;
        let witness = restart(&net, witness, |_| ()).await;
        Self { net, witness, log, http }
    }
}

pub async fn alarms(witness: &Notary) -> Vec<Value> {
    let answer = reqwest::get(format!("{}/witness/alarms", url(witness))).await.unwrap();
    answer.json_body::<Value>().await["alarms"].as_array().unwrap().clone()
}

/// The newest checkpoint that a witness has co-signed of a log.
pub async fn state(witness: &Notary, origin: &str) -> Option<SignedCheckpoint> {
    state_at(&url(witness), origin).await
}

/// The same of the one with this base URL.
pub async fn state_at(witness: &str, origin: &str) -> Option<SignedCheckpoint> {
    let answer = reqwest::get(format!("{witness}/witness/state")).await.unwrap();
    let state: Value = answer.json_body().await;
    let mut logs = state["logs"].as_array().unwrap().iter();
    let log = logs.find(|log| log["log"] == origin)?;
    Some(SignedCheckpoint::parse(log["checkpoint"].as_str().unwrap()).unwrap())
}

/// Puts key files of the notaries, made once for all tests, into their folders.
pub fn prepare(home: &Path) {
    static MADE: OnceLock<TempDir> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let made = tempfile::tempdir().unwrap();
        for name in NAMES {
            open_or_make(&made.path().join(name), &passphrase()).unwrap();
        }
        made
    });
    for name in NAMES {
        std::fs::create_dir_all(home.join(name)).unwrap();
        std::fs::copy(made.path().join(name).join(KEY_FILE), home.join(name).join(KEY_FILE))
            .unwrap();
    }
}
