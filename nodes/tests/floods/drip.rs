//! Bodies that come drop by drop, from several addresses behind a trusted proxy: as many as there are
//! places, and an honest node beside them.

use std::time::Duration;

use hdms::card::Role;
use hdms::notary::DepositAnswer;
use hdms_nodes::base::http::connections::raise_open_files;
use hdms_nodes::institution::Institution;
use hdms_nodes::member::MemberConfig;
use hdms_nodes::member::costs::Costs;
use hdms_nodes::server::Rates;
use reqwest::Client;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::common::{Net, deposit, keys, sealed};
use crate::institution::{running_hospital, senseless};
use crate::{behind_a_proxy, measured, within};

/// Places of a kind of work, and of one address.
const PLACES: usize = 1024;
const EACH: usize = PLACES / 4;

/// What bodies of a kind may hold of a node's memory, and a large one, bytes.
const BYTES: usize = 128 * 1024 * 1024;
const LARGE: usize = 1_000_000;

/// Takes every place at this address of the node, each with a body that never ends: from four
/// subscribers, each with a whole /64.
async fn hold_all(url: &str, path: &str) -> Vec<TcpStream> {
    raise_open_files();
    let host = url.trim_start_matches("http://");
    let mut held = Vec::with_capacity(PLACES);
    for number in 0..PLACES {
        let mut stream = TcpStream::connect(host).await.unwrap();
        let from = format!("2001:db8:0:{}::{:x}", number / EACH, number % EACH);
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {host}\r\nx-forwarded-for: {from}\r\n\
             content-length: 60000\r\nexpect: 100-continue\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answered = [0; 64];
        let count = stream.read(&mut answered).await.unwrap();
        let answered = String::from_utf8_lossy(&answered[..count]);
        assert!(answered.starts_with("HTTP/1.1 100 "), "its body is waited for: {answered}");
        stream.write_all(b"x").await.unwrap();
        held.push(stream);
    }
    held
}

/// A body that is large and never ends, from one of eight subscribers.
async fn hold_much(url: &str, path: &str, number: usize) -> TcpStream {
    let host = url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(host).await.unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {host}\r\nx-forwarded-for: 2001:db8:0:{}::1\r\n\
         content-length: {LARGE}\r\n\r\n",
        number % 8
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // It may have to make room before all has come.
    drop(stream.write_all(&[b'x'; LARGE - 1]).await);
    stream
}

/// Whether nobody has answered yet.
async fn is_waited_for(stream: &mut TcpStream) -> bool {
    let said = tokio::time::timeout(Duration::from_millis(1), stream.read(&mut [0; 64])).await;
    said.is_err()
}

/// What honest work takes while all places are held, and the next drops come.
async fn beside(held: &mut [TcpStream], name: &str, honest: impl AsyncFn()) {
    let (times, ()) = tokio::join!(measured(1, &honest), async {
        for stream in held {
            // Some had to make room.
            drop(stream.write_all(b"x").await);
        }
    });
    within(name, &times);
}

/// A hospital, and an envelope that costs it its opening.
async fn hospital_behind_a_proxy(net: &Net, stop: &CancellationToken) -> (Institution, String) {
    let costs = Costs { limits: behind_a_proxy(), ..Costs::unlimited() };
    let (patient, hospital) = (net.person(0).await, running_hospital(net, costs, stop).await);
    let envelope = senseless(&patient, &hospital).await;
    (hospital, envelope)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_bodies_at_a_hospital_keep_no_envelope_out() {
    let (net, stop) = (Net::start().await, CancellationToken::new());
    let (hospital, envelope) = hospital_behind_a_proxy(&net, &stop).await;
    let (http, inbox) = (Client::new(), format!("{}/inbox", hospital.url()));
    let mut held = hold_all(&hospital.url(), "/inbox").await;
    beside(&mut held, "`POST /inbox`, drop by drop", async || {
        let answer = http.post(&inbox).body(envelope.clone()).send().await.unwrap();
        assert_eq!(answer.status(), 400, "it was opened");
    })
    .await;
    drop(held);
    stop.cancel();
    hospital.ended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_bodies_fill_no_more_of_a_hospitals_memory_than_they_may() {
    raise_open_files();
    let (net, stop) = (Net::start().await, CancellationToken::new());
    let (hospital, envelope) = hospital_behind_a_proxy(&net, &stop).await;
    let (http, inbox) = (Client::new(), format!("{}/inbox", hospital.url()));
    let mut held = Vec::new();
    for number in 0..300 {
        held.push(hold_much(&hospital.url(), "/inbox", number).await);
    }
    let answer = http.post(&inbox).body(envelope).send().await.unwrap();
    assert_eq!(answer.status(), 400, "it was opened");
    let mut waited_for = 0;
    for stream in &mut held {
        waited_for += usize::from(is_waited_for(stream).await);
    }
    assert!((1..=BYTES / LARGE + 1).contains(&waited_for), "{waited_for} of them are held");
    drop(held);
    stop.cancel();
    hospital.ended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_bodies_at_a_notary_keep_no_entry_from_its_log() {
    let net = Net::start().await;
    let (patient, hospital) = (net.person(0).await, net.hospital(1).await);
    let costs = Costs { limits: behind_a_proxy(), ..Costs::unlimited() };
    let notary = net.notary_with("notary", |config| MemberConfig { costs, ..config }).await;
    notary.member().refresh().await.unwrap();
    let (card, url) =
        (notary.member().standing().card.clone(), format!("http://{}", notary.address()));
    let mut held = hold_all(&url, "/deposits").await;
    beside(&mut held, "`POST /deposits`, drop by drop", async || {
        let deposits = vec![deposit(&patient, &hospital, &notary).await];
        let envelope = sealed([&patient, &hospital], &card, deposits).await;
        let answers = net.client.deposit(&url, envelope).await.unwrap().answers;
        assert!(matches!(answers[0], DepositAnswer::Receipt(_)), "{answers:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_bodies_at_the_doorman_keep_nobody_out() {
    let rates = Rates { admissions: u32::MAX, admissions_of_key: u32::MAX, ..Rates::default() };
    let net = Net::start_with(|config| {
        (config.limits, config.rates) = (behind_a_proxy(), rates);
    })
    .await;
    let mut held = hold_all(&net.url, "/doorman/admissions").await;
    beside(&mut held, "`POST /doorman/admissions`, drop by drop", async || {
        net.ask(keys(0), &net.request(keys(0), Role::Personal, "").await).await.unwrap();
    })
    .await;
}
