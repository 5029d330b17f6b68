//! How much a server and a notary take in over loopback, with everything that their clients sign
//! prepared beforehand: `cargo bench --package hdms-nodes --bench servers`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a figure that can't be had is none")]

#[path = "../tests/common/mod.rs"]
mod common;

use std::time::{Duration, Instant};

use common::{Net, Person, case_id, delivery, entry_id, message_id};
use futures_util::stream::{self, StreamExt};
use hdms::envelope::{self, Letter, MessageType};
use hdms::ledger::{Entry, EntryKind, VerificationKey, VerifiedEndorsement};
use hdms::mailbox::Deliveries;
use hdms::notary::{Deposit, DepositBody};
use hdms::proof::RequestProof;
use hdms_nodes::keys::AwsPrimitives;
use hdms_nodes::system::{SystemClock, SystemRandomness};

/// Requests under way at a time.
const PRODUCERS: usize = 64;

/// A request that is ready to be sent.
struct Prepared {
    url: String,
    proof: Option<String>,
    body: Vec<u8>,
}

#[tokio::main]
async fn main() {
    let net = Net::start().await;
    let (patient, hospital) = (net.person(0).await, net.person(1).await);
    for (batch, requests) in [(1, 4000), (10, 1000)] {
        let prepared = deliveries(&net, &hospital, &patient, batch, requests).await;
        report("mailbox deliveries of 4 KB", batch, requests, send_all(prepared).await);
        // The quota is not what is measured.
        net.client.acknowledge(&net.url, patient.signer(), u64::MAX).await.unwrap();
    }
    let notary = net.notary("notary").await;
    let url = format!("http://{}/deposits", notary.address());
    let notary = notary.member().standing().card.clone();
    for (batch, requests) in [(1, 1500), (10, 300)] {
        let prepared = deposits(&url, &notary, (&patient, &hospital), batch, requests).await;
        report("deposits", batch, requests, send_all(prepared).await);
    }
}

/// Wall clock, and processor time of this whole process, clients included.
struct Took {
    wall: Duration,
    processor: Duration,
}

fn report(what: &str, batch: usize, requests: usize, took: Took) {
    let count = (batch * requests) as f64;
    let rate = count / took.wall.as_secs_f64();
    let each = took.processor.as_secs_f64() * 1000.0 / count;
    println!("{what}, {batch} in a request: {rate:.0} per second, {each:.2} ms of processor each");
}

/// User and system time of this process: Linux counts hundredths of a second.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = stat.rsplit(") ").next().unwrap();
    let fields: Vec<_> = after_name.split(' ').collect();
    let ticks: u64 = fields[11..13].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

async fn send_all(prepared: Vec<Prepared>) -> Took {
    let http = reqwest::Client::new();
    let (start, before) = (Instant::now(), processor_time());
    stream::iter(prepared)
        .for_each_concurrent(PRODUCERS, |request| async {
            let mut post = http.post(request.url).body(request.body);
            if let Some(proof) = request.proof {
                post = post.header("HDMS-Proof", proof);
            }
            let answer = post.send().await.unwrap();
            assert_eq!(answer.status(), 200);
            let answer = answer.text().await.unwrap();
            assert!(!answer.contains("refused"), "{answer}");
        })
        .await;
    Took { wall: start.elapsed(), processor: processor_time() - before }
}

async fn deliveries(
    net: &Net,
    from: &Person,
    to: &Person,
    batch: usize,
    requests: usize,
) -> Vec<Prepared> {
    let url = format!("{}/mailbox/deliveries", net.url);
    let mut prepared = Vec::new();
    for _ in 0..requests {
        let deliveries = (0..batch).map(|_| delivery(&to.id, &"x".repeat(3000))).collect();
        let body = serde_json::to_vec(&Deliveries { deliveries }).unwrap();
        let proof = RequestProof::new(&from.id, message_id(), "POST", &url, &body, net.now());
        let proof = Some(proof.sign(from.keys).await.unwrap());
        prepared.push(Prepared { url: url.clone(), proof, body });
    }
    prepared
}

async fn deposits(
    url: &str,
    notary: &hdms::card::VerifiedCard,
    (author, other): (&Person, &Person),
    batch: usize,
    requests: usize,
) -> Vec<Prepared> {
    let mut prepared = Vec::new();
    for _ in 0..requests {
        let mut deposits = Vec::new();
        for _ in 0..batch {
            deposits.push(deposit(author, other).await);
        }
        let body = serde_json::to_value(DepositBody { deposits }).unwrap();
        let case = case_id();
        let kind = MessageType::Deposit;
        let letter = Letter { from: &author.card, to: notary, case: &case, kind, body };
        let keys = author.keys;
        let sealed =
            envelope::seal(letter, keys, &AwsPrimitives, &SystemClock, &SystemRandomness).await;
        let body = sealed.unwrap().1.into_bytes();
        prepared.push(Prepared { url: url.into(), proof: None, body });
    }
    prepared
}

async fn deposit(author: &Person, other: &Person) -> Deposit {
    let entry = Entry {
        id: entry_id(),
        kind: EntryKind::Request,
        case: case_id(),
        author: author.id.clone(),
        counterparty: other.id.clone(),
        verification_key: VerificationKey::of("request"),
        previous: None,
    };
    let now = hdms::provider::Clock::now(&SystemClock);
    let sign = async |by: &Person| {
        let signed = VerifiedEndorsement::sign(&entry, &by.id, now, by.keys).await.unwrap();
        signed.jwt().to_owned()
    };
    Deposit {
        endorsements: [sign(author).await, sign(other).await],
        cards: [author.card.jwt().into(), other.card.jwt().into()],
    }
}
