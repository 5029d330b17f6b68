//! A whole network in one process over real HTTP and SQLite, with a clock that tests can move.

#![allow(dead_code, reason = "each test file uses a part")]

pub mod answering;
mod depositing;
pub mod disk;
mod keyrings;

use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use hdms::Error;
use hdms::card::{Role, VerifiedCard};
use hdms::doorman::{About, AdmissionRequest, ChallengeAnswer};
use hdms::ids::{CaseId, EntryId, MessageId, NodeId};
use hdms::jwk::RsaJwk;
use hdms::mailbox::{Delivery, DeliveryAnswer};
use hdms::network::{Ed25519Key, LogKeys, Trust};
use hdms::provider::{Clock, Timestamp};
use hdms::testing::FixedClock;
use hdms_nodes::base::http::client::{Client, Signer};
use hdms_nodes::base::http::problem::ProblemDocument;
use hdms_nodes::base::http::reach::Reach;
use hdms_nodes::base::keys::{AwsKeys, AwsPrimitives, Passphrase};
use hdms_nodes::base::system::{NodeClock, SystemClock, SystemRandomness};
use hdms_nodes::member::MemberConfig;
use hdms_nodes::member::costs::Costs;
use hdms_nodes::notary::Notary;
use hdms_nodes::server::operator::Operator;
use hdms_nodes::server::{Server, ServerConfig};
use rusqlite::Connection;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

#[allow(unused_imports, reason = "each test file uses a part")]
pub use keyrings::{keyring, keys, prepare_keys, prepare_server};

#[allow(unused_imports, reason = "each test file uses a part")]
pub use depositing::{
    SECRET, Signed, body, deposit, deposit_for, drawn, first_entry, sealed, trust_of,
};

pub const PASSPHRASE: &str = "correct horse";

pub fn passphrase() -> Passphrase {
    Passphrase::of_no_secret(PASSPHRASE)
}

/// A running server and what belongs to its network.
pub struct Net {
    pub dir: TempDir,
    pub url: String,
    pub clock: FixedClock,
    pub client: Client,
    pub root: RsaJwk,
    server: Option<Server>,
    stop: CancellationToken,
}

/// A node that the tests play themselves.
pub struct Person {
    pub keys: &'static AwsKeys,
    pub id: NodeId,
    pub card: VerifiedCard,
}

impl Person {
    pub fn signer(&self) -> Signer<'_, AwsKeys> {
        Signer { node: &self.id, keys: self.keys }
    }
}

impl Net {
    pub async fn start() -> Self {
        Self::start_with(|_| ()).await
    }

    /// A server whose configuration `adjust` has changed.
    pub async fn start_with(adjust: impl FnOnce(&mut ServerConfig)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        prepare_server(dir.path());
        let clock = FixedClock::new(SystemClock.now());
        let (server, url, stop) = serve(dir.path(), &clock, "127.0.0.1:0", adjust).await.unwrap();
        let client = Client::new(NodeClock::new(clock.clone()), Reach::Local).unwrap();
        let root = server.root().clone();
        Self { dir, url, clock, client, root, server: Some(server), stop }
    }

    /// A server that runs in a process of its own, with its folder in `dir`.
    pub async fn attached(dir: TempDir, url: String) -> Self {
        let clock = FixedClock::new(SystemClock.now());
        let client = Client::new(NodeClock::new(clock.clone()), Reach::Local).unwrap();
        let root = client.root(&url).await.unwrap();
        Self { dir, url, clock, client, root, server: None, stop: CancellationToken::new() }
    }

    /// What the server answers to each of these.
    pub async fn deliver(
        &self,
        from: Signer<'_, AwsKeys>,
        deliveries: Vec<Delivery>,
    ) -> Result<Vec<DeliveryAnswer>, Error> {
        Ok(self.client.deliver(&self.url, from, deliveries).await?.answers)
    }

    /// Stops the server and starts it again at the same address.
    pub async fn restart(&mut self) {
        self.restart_with(|_| ()).await;
    }

    /// The same with a configuration that `adjust` has changed.
    pub async fn restart_with(&mut self, adjust: impl FnOnce(&mut ServerConfig)) {
        self.stop_server().await;
        self.start_again(adjust).await;
    }

    /// Starts a server that was stopped again, at the same address.
    pub async fn start_again(&mut self, adjust: impl FnOnce(&mut ServerConfig)) {
        let address = self.url.trim_start_matches("http://").to_owned();
        let started = serve(self.dir.path(), &self.clock, &address, adjust).await;
        let (server, _, stop) = started.unwrap();
        (self.server, self.stop) = (Some(server), stop);
    }

    pub async fn stop_server(&mut self) {
        self.stop.cancel();
        self.server.take().unwrap().serving().stop().await;
    }

    pub fn data(&self) -> PathBuf {
        self.dir.path().join("server")
    }

    pub fn operator(&self) -> Operator {
        Operator::with_clock(&self.data(), NodeClock::new(self.clock.clone())).unwrap()
    }

    /// Has the network ask for this version of the protocol, as only a newer server's operator can.
    pub fn demand_version(&self, version: u64) {
        let database = Connection::open(self.data().join("server.sqlite")).unwrap();
        let rules = "UPDATE settings SET value = json_set(value, '$.minimum_version', ?1) \
                     WHERE key = 'rules'";
        assert_eq!(database.execute(rules, [version]), Ok(1));
        self.have_it_look();
    }

    /// Has the server look at once at what has changed, the time among it, as after a command.
    pub fn have_it_look(&self) {
        let database = Connection::open(self.data().join("server.sqlite")).unwrap();
        let told = "INSERT INTO settings VALUES ('changes', '1') \
                    ON CONFLICT (key) DO UPDATE SET value = value + 1";
        assert_eq!(database.execute(told, []), Ok(1));
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// What the server offers, verified.
    pub async fn trust(&self) -> Trust {
        let fetched = self.client.network(&self.url, None, 0).await.unwrap().unwrap();
        let now = self.now();
        Trust::verify(&fetched.documents, &self.root, None, now, &AwsPrimitives).await.unwrap()
    }

    /// Waits until what the server offers is as `wanted`.
    pub async fn until(&self, wanted: impl Fn(&Trust) -> bool) -> Trust {
        for _ in 0..400 {
            let trust = self.trust().await;
            if wanted(&trust) {
                return trust;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the network documents never became as wanted");
    }

    /// The request that the holder of `keys` makes to become a `role`.
    pub async fn request(&self, keys: &AwsKeys, role: Role, name: &str) -> AdmissionRequest {
        AdmissionRequest {
            iss: id(keys),
            iat: self.now().seconds(),
            jti: message_id(),
            role,
            name: name.into(),
            endpoint: (role != Role::Personal)
                .then(|| format!("http://127.0.0.1:1/{}", id(keys)).parse().unwrap()),
            about: (role != Role::Personal).then(about),
            signing_key: keys.public().0.clone(),
            subkeys: keys.stated_subkeys(self.now()).await.unwrap(),
            changes: Vec::new(),
            log: (role == Role::Notary).then(|| log_keys(1)),
            card: None,
        }
    }

    /// Both calls of an admission. Answers the card.
    pub async fn ask(&self, keys: &AwsKeys, request: &AdmissionRequest) -> Result<String, Error> {
        let answer = self.challenge(keys, request).await?;
        Ok(self.client.answer_challenge(&self.url, &answer).await?.card)
    }

    /// The first call, and the answer to its challenge.
    pub async fn challenge(
        &self,
        keys: &AwsKeys,
        request: &AdmissionRequest,
    ) -> Result<ChallengeAnswer, Error> {
        let jwt = request.sign(keys).await.unwrap();
        let challenge = self.client.ask_admission(&self.url, jwt.clone()).await?;
        Ok(challenge.answer(request, jwt, keys, &AwsPrimitives).await.unwrap())
    }

    /// The personal node with the keys of this number, admitted.
    pub async fn person(&self, number: usize) -> Person {
        let keys = keys(number);
        let card = self.ask(keys, &self.request(keys, Role::Personal, "").await).await.unwrap();
        self.played(keys, &card).await
    }

    /// The institution with the keys of this number, admitted by the operator.
    pub async fn hospital(&self, number: usize) -> Person {
        let keys = keys(number);
        let request =
            self.request(keys, Role::Institution, &format!("St. Elsewhere {number}")).await;
        assert_eq!(self.ask(keys, &request).await, Err(Error::AdmissionPending));
        self.operator().admit(request.iss.clone()).await.unwrap();
        let trust = self.until(|trust| trust.node(&request.iss).is_ok()).await;
        let card = trust.node(&request.iss).unwrap().jwt().to_owned();
        self.played(keys, &card).await
    }

    async fn played(&self, keys: &'static AwsKeys, card: &str) -> Person {
        let trust = self.trust().await;
        let card = VerifiedCard::verify(card, &trust, self.now(), &AwsPrimitives).await.unwrap();
        Person { keys, id: id(keys), card }
    }

    /// A notary with the folder `name`, admitted.
    pub async fn notary(&self, name: &str) -> Notary {
        self.notary_with(name, |config| config).await
    }

    /// The same with a configuration that `adjust` has changed.
    pub async fn notary_with(
        &self,
        name: &str,
        adjust: impl FnOnce(MemberConfig) -> MemberConfig,
    ) -> Notary {
        prepare_keys(&self.dir.path().join(name), &[""]);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let config = adjust(self.member_config(name, endpoint));
        let clock = NodeClock::new(self.clock.clone());
        let notary = Notary::start(config, listener, clock, self.stop.child_token());
        // One that can't start never asks.
        let admitted = async {
            self.admit_next().await;
            Ok(())
        };
        tokio::try_join!(notary, admitted).unwrap().0
    }

    pub fn member_config(&self, name: &str, endpoint: String) -> MemberConfig {
        MemberConfig {
            data: self.dir.path().join(name),
            passphrase: passphrase(),
            server: self.url.clone(),
            root: Some(self.root.clone()),
            role: Role::Notary,
            name: name.into(),
            endpoint: endpoint.parse().ok(),
            reach: Reach::Local,
            costs: Costs::unlimited(),
            about: Some(about()),
            log: None,
            refresh: Duration::from_millis(100),
        }
    }

    /// Of a patient's node in this folder.
    pub fn personal_config(&self, folder: &str) -> MemberConfig {
        MemberConfig {
            role: Role::Personal,
            name: String::new(),
            endpoint: None,
            about: None,
            ..self.member_config(folder, String::new())
        }
    }

    /// Admits the next node that waits, whoever it is.
    pub async fn admit_next(&self) {
        let operator = self.operator();
        // Making keys takes its time where much else is going on.
        for _ in 0..2400 {
            if let Some(applicant) = operator.pending(None).await.unwrap().pop() {
                return operator.admit(applicant.id).await.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("nobody asked to be admitted");
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn serve(
    dir: &Path,
    clock: &FixedClock,
    address: &str,
    adjust: impl FnOnce(&mut ServerConfig),
) -> Result<(Server, String, CancellationToken), Error> {
    let listener = TcpListener::bind(address).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut config = ServerConfig::new(dir.join("server"), passphrase(), url.clone());
    adjust(&mut config);
    let stop = CancellationToken::new();
    let clock = NodeClock::new(clock.clone());
    Ok((Server::start(config, listener, clock, stop.clone()).await?, url, stop))
}

pub fn id(keys: &AwsKeys) -> NodeId {
    keys.public().0.thumbprint().parse().unwrap()
}

/// What institutions and notaries say of themselves.
pub fn about() -> About {
    About {
        registry_number: "HRB 12345, Amtsgericht Example".into(),
        address: "1 Main Street, 12345 Example".into(),
        contact: "Dr. Doe, +1 555 0100".into(),
    }
}

/// The log keys of a notary that logs nothing; others for each number.
pub fn log_keys(number: u8) -> LogKeys {
    let key = |seed| {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        Ed25519Key(pair.public_key().as_ref().try_into().unwrap())
    };
    LogKeys { log_key: key(2 * number), witness_key: key(2 * number + 1) }
}

pub fn message_id() -> MessageId {
    MessageId::new(&SystemClock, &SystemRandomness).unwrap()
}

pub fn case_id() -> CaseId {
    CaseId::new(&SystemClock, &SystemRandomness).unwrap()
}

pub fn entry_id() -> EntryId {
    EntryId::new(&SystemRandomness).unwrap()
}

/// Something for a mailbox: the server can't tell it from an envelope.
pub fn delivery(to: &NodeId, content: &str) -> Delivery {
    let envelope = format!("h.k.i.{}.t", hdms::base64url::encode(content));
    Delivery { to: to.clone(), id: message_id(), envelope }
}

/// The refusal in an answer, whose form is checked.
pub async fn problem(answer: reqwest::Response) -> (u16, String) {
    let status = answer.status().as_u16();
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let problem: ProblemDocument = answer.json_body().await;
    assert_eq!(problem.status, status);
    assert_eq!(problem.kind, format!("urn:hdms:{}", problem.code));
    let error = Error::from_code(&problem.code).unwrap();
    assert_eq!((problem.detail.as_str(), status), (error.sentence(), error.status()));
    (status, problem.code)
}

/// `reqwest` reads JSON only with a feature that the nodes don't need.
pub trait JsonBody {
    async fn json_body<T: serde::de::DeserializeOwned>(self) -> T;
}

impl JsonBody for reqwest::Response {
    async fn json_body<T: serde::de::DeserializeOwned>(self) -> T {
        serde_json::from_slice(&self.bytes().await.unwrap()).unwrap()
    }
}
