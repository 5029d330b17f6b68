//! Back-pressure: who is told to wait is told how long, and native nodes keep to it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use common::{Net, Person, case_id, delivery, message_id};
use hdms::card::Role;
use hdms::doorman::AdmissionRequest;
use hdms::ids::NodeId;
use hdms::mailbox::{Deliveries, Delivery};
use hdms::proof::RequestProof;
use hdms::treatment::request::TreatmentRequest;
use hdms_nodes::base::system::NodeClock;
use hdms_nodes::local::personal::Personal;
use hdms_nodes::member::MemberConfig;
use hdms_nodes::notary::Notary;
use hdms_nodes::server::{Quota, Quotas};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

async fn deliver(net: &Net, from: &Person, deliveries: Vec<Delivery>) -> Option<String> {
    let url = format!("{}/mailbox/deliveries", net.url);
    let body = serde_json::to_vec(&Deliveries { deliveries }).unwrap();
    let proof = RequestProof::new(&from.id, message_id(), "POST", &url, &body, net.now());
    let proof = proof.sign(from.keys).await.unwrap();
    let request = reqwest::Client::new().post(url).header("hdms-proof", proof).body(body);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_delivery_refused_for_now_comes_with_the_time_to_try_again() {
    let mailbox = Quota { messages: 1, bytes: 1_000_000 };
    let quotas = Quotas { mailbox, ..Quotas::default() };
    let net = Net::start_with(|config| config.quotas = quotas).await;
    let (hospital, person) = (net.hospital(0).await, net.person(1).await);
    let one = || delivery(&person.id, "");
    assert_eq!(deliver(&net, &hospital, vec![one()]).await, None);
    assert_eq!(deliver(&net, &hospital, vec![one(), one()]).await.as_deref(), Some("30"));
    let malformed = Delivery { envelope: "x".into(), ..one() };
    assert_eq!(deliver(&net, &hospital, vec![malformed]).await, None, "no time helps");
    net.client.acknowledge(&net.url, person.signer(), 1, Vec::new()).await.unwrap();
    assert_eq!(deliver(&net, &hospital, vec![one()]).await, None);
}

/// An institution that answers the first envelope with "too many requests" and the wish to be left
/// alone for 3 s, and when it was asked.
async fn busy_institution() -> (String, Arc<Mutex<Vec<Instant>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let times = asked.clone();
    let inbox = post(async move || {
        let mut times = times.lock().unwrap();
        times.push(Instant::now());
        if times.len() == 1 {
            let wait = [("retry-after", "3"), ("content-type", "application/problem+json")];
            let problem =
                r#"{"type":"","title":"","status":429,"detail":"","code":"api/too-many"}"#;
            (StatusCode::TOO_MANY_REQUESTS, wait, problem)
        } else {
            let json = [("x", ""), ("content-type", "application/json")];
            (StatusCode::ACCEPTED, json, r#"{"outcome":"applied"}"#)
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().route("/inbox", inbox);
    tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
    (url, asked)
}

/// A network with a notary, a busy institution and a patient.
struct Stage {
    net: Net,
    _notary: Notary,
    busy: NodeId,
    asked: Arc<Mutex<Vec<Instant>>>,
}

impl Stage {
    async fn new() -> Self {
        let net = Net::start().await;
        let notary = net.notary("notary").await;
        let (endpoint, asked) = busy_institution().await;
        let keys = common::keys(0);
        let request = net.request(keys, Role::Institution, "The Busy").await;
        let request = AdmissionRequest { endpoint: Some(endpoint.parse().unwrap()), ..request };
        net.ask(keys, &request).await.unwrap_err();
        net.operator().admit(request.iss.clone()).await.unwrap();
        net.until(|trust| trust.node(&request.iss).is_ok()).await;
        Self { net, _notary: notary, busy: request.iss, asked }
    }

    async fn patient(&self, stop: &CancellationToken) -> Personal {
        let config = self.net.member_config("patient", String::new());
        let config = MemberConfig { role: Role::Personal, endpoint: None, ..config };
        Personal::start(config, NodeClock::default(), stop.clone()).await.unwrap()
    }

    async fn ask(&self, patient: &Personal) {
        let asks = TreatmentRequest { reason: "Cough".into(), date: None, may_read: Vec::new() };
        patient.node().ask(&case_id(), &self.busy, asks).await.unwrap();
    }

    /// When the institution was asked, once it was this often and nothing waits.
    async fn asked(&self, patient: &Personal, times: usize) -> Vec<Instant> {
        for _ in 0..400 {
            let waits = !patient.node().waiting("", 1).await.unwrap().is_empty();
            if !waits && self.asked.lock().unwrap().len() >= times {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.asked.lock().unwrap().clone()
    }

    async fn is_asked(&self) {
        while self.asked.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_native_node_leaves_alone_who_asks_for_it_also_with_what_is_new() {
    let stage = Stage::new().await;
    let stop = CancellationToken::new();
    let patient = stage.patient(&stop).await;
    stage.ask(&patient).await;
    stage.is_asked().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    stage.ask(&patient).await;
    let asked = stage.asked(&patient, 3).await;
    assert_eq!(asked.len(), 3, "refused, then both are taken");
    let waited = asked[1] - asked[0];
    assert!(waited >= Duration::from_millis(2_900), "{waited:?}");
    stop.cancel();
    patient.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_native_node_leaves_alone_who_asked_for_it_before_it_was_started_anew() {
    let stage = Stage::new().await;
    let stop = CancellationToken::new();
    let patient = stage.patient(&stop).await;
    stage.ask(&patient).await;
    stage.is_asked().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    stop.cancel();
    patient.ended().await;

    let stop = CancellationToken::new();
    let patient = stage.patient(&stop).await;
    let asked = stage.asked(&patient, 2).await;
    assert_eq!(asked.len(), 2, "refused, then taken");
    let waited = asked[1] - asked[0];
    assert!(waited >= Duration::from_millis(2_900), "{waited:?}");
    stop.cancel();
    patient.ended().await;
}
