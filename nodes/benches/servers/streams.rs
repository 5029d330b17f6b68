//! What an idle live stream costs the server, which runs in a process of its own for it.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use hdms::provider::Clock;
use hdms_nodes::base::http::connections::raise_open_files;
use hdms_nodes::base::system::SystemClock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::common::PASSPHRASE;
use crate::network::{Members, SENDERS};

/// Streams at a time.
const STREAMS: usize = 10_000;

/// Prints the figure.
pub async fn measure(members: &mut Members) {
    raise_open_files();
    members.net.stop_server().await;
    let operator = members.net.operator();
    let allowed = operator.set(|settings| {
        settings.allowances.connections = 5 * STREAMS;
        settings.allowances.rates.streams = 2 * STREAMS / SENDERS;
    });
    allowed.await.unwrap();
    let mut server = start(&members.net.data(), members.net.url.trim_start_matches("http://"));
    until_it_answers(&members.net.url, &mut server).await;
    members.net.clock.advance(SystemClock.now().0 - members.net.now().0);
    let few = listen(members, SENDERS).await;
    let before = resident_kilobytes(server.0.id());
    let many = listen(members, STREAMS).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let after = resident_kilobytes(server.0.id());
    println!(
        "live streams: {:.1} KB of memory for each idle one at {STREAMS}; the server without them \
         {} MB",
        (after - before) as f64 / STREAMS as f64,
        before / 1024
    );
    drop((few, many));
}

/// A server; killed when it is dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn start(data: &Path, address: &str) -> Process {
    let started = Command::new(env!("CARGO_BIN_EXE_hdms"))
        .args(["server", "--listen", address, "--data"])
        .arg(data)
        .env("HDMS_PASSPHRASE", PASSPHRASE)
        .env("HDMS_LOG", "warn")
        .stdout(Stdio::null())
        .spawn();
    Process(started.unwrap())
}

async fn until_it_answers(url: &str, server: &mut Process) {
    while reqwest::get(url).await.is_err() {
        assert_eq!(server.0.try_wait().unwrap(), None, "it has ended");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn listen(members: &Members, count: usize) -> Vec<TcpStream> {
    let open = |place: usize| async move {
        let sender = &members.senders[place % SENDERS];
        let request = members.request(sender, "GET", "/mailbox/stream", b"").await;
        let mut stream = members.connect().await;
        stream.write_all(&request).await.unwrap();
        let mut answer = [0; 4096];
        let count = stream.read(&mut answer).await.unwrap();
        assert!(answer[..count].starts_with(b"HTTP/1.1 200"));
        stream
    };
    stream::iter(0..count).map(open).buffer_unordered(64).collect().await
}

/// What Linux says that the process holds in memory.
fn resident_kilobytes(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}
