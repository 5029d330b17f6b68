//! A node that answers without an end wants those who ask it to run out of memory.

use std::fs;

use hdms::Error;
use hdms_nodes::base::http::client::Client;
use hdms_nodes::base::http::reach::Reach;
use hdms_nodes::base::system::NodeClock;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::trap::{say, serve};

const MIB: usize = 1024 * 1024;

/// Most memory that this process has had, bytes.
fn peak() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    let kib: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}

async fn answer_at_length(mut stream: TcpStream, head: &str) {
    say(&mut stream, &format!("HTTP/1.1 {head}\r\ncontent-type: application/json\r\n\r\n")).await;
    let chunk = vec![b' '; MIB];
    for _ in 0..300 {
        if stream.write_all(&chunk).await.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_300_mib_is_read_up_to_its_limit() {
    let announced = format!("200 OK\r\ncontent-length: {}", 300 * MIB);
    let refusal = "400 Bad Request";
    let client = Client::new(NodeClock::default(), Reach::Local).unwrap();
    let before = peak();
    for head in ["200 OK", &announced, refusal] {
        let head = head.to_owned();
        let port = serve(move |stream| {
            let head = head.clone();
            async move { answer_at_length(stream, &head).await }
        });
        let url = format!("http://127.0.0.1:{}", port.await);
        let refused = Some(Error::AnswerTooLarge);
        assert_eq!(client.root(&url).await.err(), refused);
        assert_eq!(client.network(&url, None, 0).await.err(), refused);
        assert_eq!(client.send_envelope(&url, "e".into()).await.err().map(Error::from), refused);
        assert_eq!(client.deposit(&url, "e".into()).await.err().map(Error::from), refused);
        assert_eq!(client.query(&url, "e".into()).await.err().map(Error::from), refused);
        assert_eq!(
            client.resource(&url, "/log/checkpoint", 1000).await.err().map(Error::from),
            refused
        );
        let cosigned = client.add_checkpoint(&url, "old 0".into()).await;
        assert_eq!(cosigned.err(), refused);
    }
    let grown = peak() - before;
    assert!(grown < 120 * MIB, "{} MiB more", grown / MIB);
}
