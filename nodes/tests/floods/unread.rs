//! Answers that nobody reads: they lie in a node's memory until they are.

use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::routing::get;
use axum::{Extension, Router};
use hdms::proof::RequestProof;
use hdms_nodes::base::http::connections::{self, Limits, raise_open_files};
use hdms_nodes::base::http::unsent::LiesReady;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::common::{Net, delivery, message_id};

/// What answers may hold of a node's memory, and a large one, bytes.
const BYTES: usize = 256 * 1024 * 1024;
const LARGE: usize = 4 * 1024 * 1024;

/// Connections that hold more than that.
const MANY: usize = 100;

/// Pages of a mailbox that one node may have under way.
const PAGES: usize = 2;

/// A connection of someone who takes in little at a time, and who has asked for something.
async fn ask(host: &str, path: &str, head: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(32 * 1024).unwrap();
    let mut stream = socket.connect(host.parse().unwrap()).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n{head}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// Its status, which comes before anything else.
async fn status(stream: &mut TcpStream) -> u16 {
    let mut line = [0; 12];
    stream.read_exact(&mut line).await.unwrap();
    str::from_utf8(&line[9..]).unwrap().parse().unwrap()
}

/// How many bytes come until the answer, whose head is long enough, or the connection ends.
async fn rest(stream: &mut TcpStream) -> usize {
    let (mut sum, mut read) = (0, vec![0; LARGE]);
    while sum < LARGE
        && let Ok(count @ 1..) = stream.read(&mut read).await
    {
        sum += count;
    }
    sum
}

/// Many answers of which nobody reads more than the status.
async fn unread(host: &str, path: &str) -> Vec<TcpStream> {
    raise_open_files();
    let mut held = Vec::new();
    for _ in 0..MANY {
        let mut stream = ask(host, path, "").await;
        assert_eq!(status(&mut stream).await, 200);
        held.push(stream);
    }
    held
}

/// How many of these are there to the end.
async fn whole(held: &mut [TcpStream]) -> usize {
    let mut whole = 0;
    for stream in held {
        whole += usize::from(rest(stream).await >= LARGE);
    }
    whole
}

/// A node that answers at length.
async fn lengthy(limits: Limits, stop: &CancellationToken) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let ready = Bytes::from(vec![b'x'; LARGE]);
    let router = Router::new()
        .route("/", get(async || vec![b'x'; LARGE]))
        .route("/ready", get(async move || (Extension(LiesReady), ready)));
    tokio::spawn(connections::serve(listener, router, limits, stop.clone()));
    host
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_nobody_reads_fill_no_more_of_a_nodes_memory_than_they_may() {
    let stop = CancellationToken::new();
    let host = lengthy(Limits::default(), &stop).await;
    let mut held = unread(&host, "/").await;
    let honest = &mut ask(&host, "/", "").await;
    assert!(rest(honest).await >= LARGE, "who reads gets it all");
    let whole = whole(&mut held).await;
    assert!((1..=BYTES / LARGE + 1).contains(&whole), "{whole} of them were held");
    let mut ready = unread(&host, "/ready").await;
    assert_eq!(self::whole(&mut ready).await, ready.len(), "what lies ready takes nothing");
    stop.cancel();
}

#[tokio::test]
async fn an_answer_that_is_read_drop_by_drop_ends_after_its_time() {
    const SHORT: Duration = Duration::from_millis(400);
    let stop = CancellationToken::new();
    let host = lengthy(Limits { answer: SHORT, ..Limits::default() }, &stop).await;
    let mut stream = ask(&host, "/", "").await;
    assert_eq!(status(&mut stream).await, 200);
    let begun = Instant::now();
    while begun.elapsed() < SHORT * 2 {
        stream.read_exact(&mut [0; 1]).await.unwrap();
        tokio::time::sleep(SHORT / 20).await;
    }
    assert!(rest(&mut stream).await < LARGE, "it was held for ever");
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_reads_none_of_its_pages_has_a_few_under_way() {
    let net = Net::start().await;
    let (greedy, hospital) = (net.person(0).await, net.hospital(1).await);
    for _ in 0..5 {
        let large = delivery(&greedy.id, &"x".repeat(700_000));
        net.client.deliver(&net.url, hospital.signer(), vec![large]).await.unwrap();
    }
    let mailbox = format!("{}/mailbox", net.url);
    let host = net.url.trim_start_matches("http://");
    let mut held = Vec::new();
    let mut answers = Vec::new();
    for _ in 0..3 * PAGES {
        let id = message_id();
        let proof = RequestProof::new(&greedy.id, id, "GET", &mailbox, b"", net.now());
        let proof = proof.sign(greedy.keys).await.unwrap();
        let mut stream = ask(host, "/mailbox", &format!("hdms-proof: {proof}\r\n")).await;
        answers.push(status(&mut stream).await);
        held.push(stream);
    }
    assert_eq!(answers, [[200; PAGES], [429; PAGES], [429; PAGES]].concat());
    net.client.mailbox(&net.url, hospital.signer(), 0, 10).await.unwrap();
    drop(held);
    // It sees at its next try that they are gone.
    let begun = Instant::now();
    while net.client.mailbox(&net.url, greedy.signer(), 0, 10).await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(10), "its pages are still under way");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
