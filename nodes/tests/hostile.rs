//! Senders that mean harm: slow ones, oversized ones, floods, guesses, replays. The server refuses
//! them by their codes and goes on serving everybody else.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use common::{Net, Person, delivery, message_id, problem};
use hdms::Error;
use hdms::mailbox::{Deliveries, DeliveryAnswer, MAX_DELIVERY_BYTES};
use hdms::proof::RequestProof;
use hdms_nodes::base::http::connections::Limits;
use hdms_nodes::server::Rates;
use reqwest::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// As long as a test waits for what must come.
const SOON: Duration = Duration::from_secs(10);

/// Far shorter than real ones.
const SHORT: Duration = Duration::from_millis(400);

async fn proof(net: &Net, person: &Person, method: &str, path: &str, body: &[u8]) -> String {
    let url = format!("{}{path}", net.url);
    let proof = RequestProof::new(&person.id, message_id(), method, &url, body, net.now());
    proof.sign(person.keys).await.unwrap()
}

/// The head of a delivery with this proof.
fn head(proof: &str, length: &str) -> String {
    format!(
        "POST /mailbox/deliveries HTTP/1.1\r\nhost: x\r\nhdms-proof: {proof}\r\n{length}\r\n\r\n"
    )
}

async fn connect(net: &Net) -> TcpStream {
    TcpStream::connect(net.url.trim_start_matches("http://")).await.unwrap()
}

/// All that comes until the other side closes the connection.
async fn answer(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset is an end too.
    timeout(SOON, stream.read_to_end(&mut bytes)).await.unwrap().ok();
    String::from_utf8(bytes).unwrap()
}

async fn slow_network() -> Net {
    let limits = Limits { head: SHORT, body: SHORT, ..Limits::default() };
    Net::start_with(|config| config.limits = limits).await
}

#[tokio::test]
async fn a_body_that_comes_drop_by_drop_is_refused_after_its_time() {
    let net = slow_network().await;
    let sender = net.hospital(0).await;
    let proof = proof(&net, &sender, "POST", "/mailbox/deliveries", b"").await;
    let stream = connect(&net).await;
    let (mut reading, mut writing) = stream.into_split();
    let begun = Instant::now();
    let drip = async {
        writing.write_all(head(&proof, "content-length: 100000").as_bytes()).await.unwrap();
        while writing.write_all(b"x").await.is_ok() {
            tokio::time::sleep(SHORT / 20).await;
        }
    };
    let mut answered = [0; 1024];
    let answered = tokio::select! {
        count = reading.read(&mut answered) => &answered[..count.unwrap()],
        () = drip => panic!("not answered"),
    };
    let answered = str::from_utf8(answered).unwrap();
    assert!(answered.starts_with("HTTP/1.1 408 ") && answered.contains("api/too-slow"));
    assert!(begun.elapsed() >= SHORT);
}

#[tokio::test]
async fn slow_heads_and_idle_connections_end() {
    let net = slow_network().await;
    let silent = connect(&net).await;
    let mut partial = connect(&net).await;
    partial.write_all(b"GET /network HTTP/1.1\r\nhost: ").await.unwrap();
    let mut idle = connect(&net).await;
    idle.write_all(b"GET /network/root HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert_eq!(answer(silent).await, "");
    assert!(!answer(partial).await.starts_with("HTTP/1.1 200"));
    let answered = answer(idle).await;
    assert!(answered.starts_with("HTTP/1.1 200 OK"));
    assert_eq!(answered.matches("HTTP/1.1").count(), 1);
}

#[tokio::test]
async fn no_more_of_an_oversized_body_is_read_than_a_good_one_may_have() {
    let net = Net::start().await;
    let sender = net.hospital(0).await;
    let data = "x".repeat(0x10000);
    let chunk = format!("10000\r\n{data}\r\n");
    for (length, piece) in
        [("content-length: 1000000000", &data), ("transfer-encoding: chunked", &chunk)]
    {
        let proof = proof(&net, &sender, "POST", "/mailbox/deliveries", b"").await;
        let (mut reading, mut writing) = connect(&net).await.into_split();
        writing.write_all(head(&proof, length).as_bytes()).await.unwrap();
        let mut sent = 0;
        while sent < 8 * MAX_DELIVERY_BYTES && writing.write_all(piece.as_bytes()).await.is_ok() {
            sent += piece.len();
        }
        // What the system holds between the two, on a busy machine more than one such body, is not
        // read.
        assert!(sent < 4 * MAX_DELIVERY_BYTES, "{sent} bytes were read");
        let mut answered = Vec::new();
        // The connection is reset, which may overtake the answer.
        timeout(SOON, reading.read_to_end(&mut answered)).await.unwrap().ok();
        let answered = String::from_utf8(answered).unwrap();
        assert!(answered.is_empty() || answered.contains("api/too-large"), "{answered}");
    }
}

#[tokio::test]
async fn nobody_but_a_member_makes_the_server_wait_for_a_body() {
    let net = Net::start().await;
    let (hospital, person) = (net.hospital(0).await, net.person(1).await);
    let good = proof(&net, &hospital, "POST", "/mailbox/deliveries", b"").await;
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let forged = format!("{signed}.{}", signature.chars().rev().collect::<String>());
    let personal = proof(&net, &person, "POST", "/mailbox/deliveries", b"").await;
    for (proof, status, code) in
        [(&*forged, 401, Error::RequestProofInvalid), (&*personal, 403, Error::TypeNotForRole)]
    {
        let mut stream = connect(&net).await;
        stream.write_all(head(proof, "content-length: 1000000").as_bytes()).await.unwrap();
        let answered = answer(stream).await;
        assert!(answered.starts_with(&format!("HTTP/1.1 {status} ")), "{answered}");
        assert!(answered.contains(code.code()), "{answered}");
    }
}

#[tokio::test]
async fn who_takes_all_connections_gets_half_of_them_and_loses_them_when_idle() {
    let limits = Limits { head: SHORT * 3, connections: 8, ..Limits::default() };
    let net = Net::start_with(|config| config.limits = limits).await;
    let mut taken = Vec::new();
    for _ in 0..20 {
        taken.push(connect(&net).await);
    }
    let from = |last| {
        let address = Ipv4Addr::new(127, 0, 0, last);
        reqwest::Client::builder().local_address(Some(address.into())).build().unwrap()
    };
    let url = format!("{}/network/root", net.url);
    let elsewhere = from(2).get(&url).send().await.unwrap();
    assert_eq!(elsewhere.status(), StatusCode::OK);
    assert!(from(1).get(&url).send().await.is_err(), "its half is used up");
    tokio::time::sleep(SHORT * 4).await;
    let again = from(1).get(&url).send().await.unwrap();
    assert_eq!(again.status(), StatusCode::OK);
    drop(taken);
}

#[tokio::test]
async fn a_node_that_floods_waits_and_no_other_does() {
    let rates = Rates { requests: 5, ..Rates::default() };
    let net = Net::start_with(|config| config.rates = rates).await;
    let (flooding, other, hospital) =
        (net.person(0).await, net.person(1).await, net.hospital(2).await);
    let ask =
        async |person: &Person| net.client.mailbox(&net.url, person.signer(), 0, 1).await.map(drop);
    for _ in 0..5 {
        assert_eq!(ask(&flooding).await, Ok(()));
    }
    let url = format!("{}/mailbox", net.url);
    let proof = proof(&net, &flooding, "GET", "/mailbox", b"").await;
    let refused = reqwest::Client::new().get(&url).header("hdms-proof", proof).send().await;
    let refused = refused.unwrap();
    assert_eq!(refused.headers()["retry-after"], "60");
    assert_eq!(problem(refused).await, (429, "api/too-many".into()));
    assert_eq!(ask(&other).await, Ok(()));
    for _ in 0..50 {
        assert_eq!(ask(&hospital).await, Ok(()), "members may ask ten times as often");
    }
    assert_eq!(ask(&hospital).await, Err(Error::TooManyRequests));
    net.clock.advance(60_000);
    assert_eq!(ask(&flooding).await, Ok(()));
}

#[tokio::test]
async fn a_flood_of_bad_proofs_is_told_to_wait_and_locks_out_nobody_beside_it() {
    let rates = Rates { failures: 10, ..Rates::default() };
    let net = Net::start_with(|config| config.rates = rates).await;
    let person = net.person(0).await;
    let http = reqwest::Client::new();
    let url = format!("{}/mailbox", net.url);
    for failed in 0..30 {
        let request = http.get(&url).header("hdms-proof", format!("a.b.{failed}"));
        let expected = if failed < 10 { "proof/invalid" } else { "api/too-many" };
        assert_eq!(problem(request.send().await.unwrap()).await.1, expected, "{failed}");
    }
    assert!(net.client.mailbox(&net.url, person.signer(), 0, 1).await.is_ok());
}

#[tokio::test]
async fn a_replayed_request_is_refused_before_and_after_a_restart() {
    let mut net = Net::start().await;
    let (sender, recipient) = (net.hospital(0).await, net.person(1).await);
    let deliveries = vec![delivery(&recipient.id, "once")];
    let body = serde_json::to_vec(&Deliveries { deliveries }).unwrap();
    let url = format!("{}/mailbox/deliveries", net.url);
    let proof = proof(&net, &sender, "POST", "/mailbox/deliveries", &body).await;
    let replay = async || {
        let request = reqwest::Client::new().post(&url).header("hdms-proof", &proof);
        request.body(body.clone()).send().await.unwrap().status().as_u16()
    };
    assert_eq!(replay().await, 200);
    assert_eq!(replay().await, 401);
    for _ in 0..2 {
        net.restart().await;
        assert_eq!(replay().await, 401);
    }
    let page = net.client.mailbox(&net.url, recipient.signer(), 0, 10).await.unwrap();
    assert_eq!(page.messages.len(), 1);
}

#[tokio::test]
async fn whoever_names_another_s_mailbox_gets_nothing_of_it() {
    let net = Net::start().await;
    let (sender, recipient, curious) =
        (net.hospital(0).await, net.person(1).await, net.person(2).await);
    let secret = vec![delivery(&recipient.id, "secret")];
    net.deliver(sender.signer(), secret).await.unwrap();
    let http = reqwest::Client::new();
    for other in ["node", "of", "recipient", "iss"] {
        let proof = proof(&net, &curious, "GET", "/mailbox", b"").await;
        let url = format!("{}/mailbox?{other}={}", net.url, recipient.id);
        let answered = http.get(url).header("hdms-proof", proof).send().await.unwrap();
        assert_eq!(problem(answered).await, (400, "api/malformed".into()));
    }
    let body = format!(r#"{{"upto":9,"node":"{}"}}"#, recipient.id);
    let proof = proof(&net, &curious, "POST", "/mailbox/acknowledgement", body.as_bytes()).await;
    let url = format!("{}/mailbox/acknowledgement", net.url);
    let answered = http.post(url).header("hdms-proof", proof).body(body).send().await.unwrap();
    assert_eq!(problem(answered).await, (400, "api/malformed".into()));
    net.client.acknowledge(&net.url, curious.signer(), u64::MAX, Vec::new()).await.unwrap();
    let own = net.client.mailbox(&net.url, curious.signer(), 0, 10).await.unwrap();
    assert!(own.messages.is_empty());
    let kept = net.client.mailbox(&net.url, recipient.signer(), 0, 10).await.unwrap();
    assert_eq!(kept.messages.len(), 1);
}

#[tokio::test]
async fn a_node_listens_eight_times_at_most_and_again_once_it_has_hung_up() {
    let net = Net::start().await;
    let person = net.person(0).await;
    let listen = async || net.client.listen(&net.url, person.signer(), 0).await.map(Box::pin);
    let mut streams = Vec::new();
    for _ in 0..8 {
        streams.push(listen().await.unwrap());
    }
    assert_eq!(listen().await.err(), Some(Error::TooManyRequests));
    streams.clear();
    let again = async {
        while listen().await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(SOON, again).await.unwrap();
}

#[tokio::test]
async fn a_flood_of_deliveries_to_one_mailbox_leaves_room_for_others() {
    let net = Net::start().await;
    let (flooding, honest, recipient) =
        (net.hospital(0).await, net.hospital(1).await, net.person(2).await);
    let mut refused = 0;
    for _ in 0..30 {
        let many = (0..100).map(|_| delivery(&recipient.id, "flood")).collect();
        let answers = net.deliver(flooding.signer(), many).await.unwrap();
        let code = Error::SenderQuota.code();
        refused += answers.iter().filter(|answer| **answer == refusal(code)).count();
    }
    assert_eq!(refused, 500);
    let wanted = vec![delivery(&recipient.id, "wanted")];
    let answers = net.deliver(honest.signer(), wanted).await.unwrap();
    assert_eq!(answers, [DeliveryAnswer::Accepted(1)]);
}

fn refusal(code: &str) -> DeliveryAnswer {
    DeliveryAnswer::Refused(code.into())
}
