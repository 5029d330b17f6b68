//! How many pushes a server sends: `cargo bench --package hdms-nodes --bench push`. It takes up what
//! was due before its start, as it does after any other, with all that belongs to it: database,
//! encryption, identification, HTTP. The push service is a process of its own and not counted.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a figure that can't be had is none")]

#[path = "../tests/common/mod.rs"]
mod common;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use aws_lc_rs::agreement::{ECDH_P256, PrivateKey};
use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};
use common::Net;
use hdms::base64url::{digest, encode};
use hdms::provider::Clock;
use hdms::push::Subscription;
use hdms_nodes::server::PushConfig;
use rusqlite::Connection;
use rustix::time::{ClockId, clock_gettime};
use web_push_native::p256::PublicKey;
use web_push_native::{Auth, encrypt};

/// Nodes with a browser each, and with one message that is due.
const NODES: usize = 20_000;

/// Bytes of an envelope: an approval; what fits a push at all is less than twice as large.
const ENVELOPE: usize = 2_500;

/// Argument of the process that plays the push service.
const SINK: &str = "push-service";

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if std::env::args().nth(1).as_deref() == Some(SINK) {
        return runtime.block_on(sink());
    }
    runtime.block_on(send());
}

async fn send() {
    let bare = bare();
    let sink = Sink::start();
    let mut net = Net::start().await;
    prepare(&net, &sink.url);
    let push = PushConfig { private: true, ..PushConfig::default() };
    net.restart_with(|config| config.push = push).await;
    let (start, before) = (Instant::now(), processor_time());
    while sink.taken().await < NODES {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (wall, took) = (start.elapsed(), processor_time() - before);
    let each = took / NODES as u32;
    println!(
        "pushes with a message of {ENVELOPE} bytes: {:.0} per second and core ({:.3} ms of processor \
         each, of which bare encryption {:.3} ms); {:.0} per second here",
        1.0 / each.as_secs_f64(),
        milliseconds(each),
        milliseconds(bare),
        NODES as f64 / wall.as_secs_f64(),
    );
}

/// What the library's encryption alone takes.
fn bare() -> Duration {
    const TIMES: u32 = 2000;
    let point = PrivateKey::generate(&ECDH_P256).unwrap().compute_public_key().unwrap();
    let key = PublicKey::from_sec1_bytes(point.as_ref()).unwrap();
    let before = processor_time();
    for _ in 0..TIMES {
        encrypt(vec![b'x'; ENVELOPE], &key, &Auth::from([1; 16])).unwrap();
    }
    (processor_time() - before) / TIMES
}

/// Puts subscriptions and messages where the server finds them at its next start.
fn prepare(net: &Net, url: &str) {
    let mut database = Connection::open(net.data().join("server.sqlite")).unwrap();
    let tx = database.transaction().unwrap();
    let expires = net.clock.now().seconds() + 3600;
    let envelope = "x".repeat(ENVELOPE);
    for number in 0..NODES {
        let node = digest(number.to_string());
        let point = PrivateKey::generate(&ECDH_P256).unwrap().compute_public_key().unwrap();
        let subscription = Subscription::WebPush {
            endpoint: format!("{url}/push/{node}"),
            p256dh: encode(point),
            auth: encode([1; 16]),
            expires: None,
        };
        let json = serde_json::to_string(&subscription).unwrap();
        let sql =
            "INSERT INTO subscriptions (id, node, subscription, pushed) VALUES (?1, ?2, ?3, 0)";
        tx.execute(sql, (subscription.id(), &node, json)).unwrap();
        let sql = "INSERT INTO mailboxes (node, last, messages, bytes) VALUES (?1, 1, 1, ?2)";
        tx.execute(sql, (&node, ENVELOPE as u64)).unwrap();
        let sql = "INSERT INTO messages (recipient, seq, sender, id, expires, envelope) \
                   VALUES (?1, 1, '', '', ?2, ?3)";
        tx.execute(sql, (&node, expires, &envelope)).unwrap();
    }
    tx.commit().unwrap();
}

/// Processor time of this whole process.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// A push service that takes everything.
async fn sink() {
    let taken = Arc::new(AtomicUsize::new(0));
    let count = taken.clone();
    let take = async move |_: axum::body::Bytes| {
        taken.fetch_add(1, Ordering::Relaxed);
        StatusCode::CREATED
    };
    let router = Router::new()
        .route("/push/{name}", post(take))
        .route("/taken", get(async move || count.load(Ordering::Relaxed).to_string()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("http://{}", listener.local_addr().unwrap());
    axum::serve(listener, router).await.unwrap();
}

struct Sink {
    process: Child,
    url: String,
}

impl Sink {
    fn start() -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .arg(SINK)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut url = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut url).unwrap();
        Self { process, url: url.trim().to_owned() }
    }

    async fn taken(&self) -> usize {
        let answer = reqwest::get(format!("{}/taken", self.url)).await.unwrap();
        answer.text().await.unwrap().parse().unwrap()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}
