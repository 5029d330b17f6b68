//! A network with many members, and connections to it that cost a client next to nothing.

use std::time::{Duration, Instant};

use hdms::card::Role;
use hdms::ids::NodeId;
use hdms::mailbox::{Deliveries, Delivery};
use hdms::proof::RequestProof;
use hdms_nodes::base::keys::AwsKeys;
use hdms_nodes::server::{Rates, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::common::{Net, id, message_id};

/// Senders at a time: as many bodies may be under way of one address.
pub const SENDERS: usize = 32;

/// A server and its senders.
pub struct Members {
    pub net: Net,
    pub senders: Vec<Sender>,
}

/// An institution.
pub struct Sender {
    pub id: NodeId,
    pub keys: &'static AwsKeys,
}

impl Members {
    pub async fn start() -> Self {
        let net = Net::start_with(without_rates).await;
        let made = (0..SENDERS).map(|_| tokio::task::spawn_blocking(AwsKeys::generate));
        let mut senders = Vec::new();
        for (number, keys) in made.collect::<Vec<_>>().into_iter().enumerate() {
            let keys: &'static AwsKeys = Box::leak(Box::new(keys.await.unwrap().unwrap()));
            let request = net.request(keys, Role::Institution, &format!("Bench {number}")).await;
            net.ask(keys, &request).await.unwrap_err();
            net.operator().admit(request.iss).await.unwrap();
            senders.push(Sender { id: id(keys), keys });
        }
        net.until(|trust| trust.with_role(Role::Institution).count() == SENDERS).await;
        Self { net, senders }
    }

    /// The head and body of a request by this sender.
    pub async fn request(&self, by: &Sender, method: &str, path: &str, body: &[u8]) -> Vec<u8> {
        let url = format!("{}{path}", self.net.url);
        let proof = RequestProof::new(&by.id, message_id(), method, &url, body, self.net.now());
        let proof = proof.sign(by.keys).await.unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: bench\r\nhdms-proof: {proof}\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), body].concat()
    }

    /// A request that delivers one message.
    pub async fn delivery(&self, by: &Sender, delivery: Delivery) -> Vec<u8> {
        let body = serde_json::to_vec(&Deliveries { deliveries: vec![delivery] }).unwrap();
        self.request(by, "POST", "/mailbox/deliveries", &body).await
    }

    pub async fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.net.url.trim_start_matches("http://")).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }
}

/// What is measured is not what is allowed.
pub fn without_rates(config: &mut ServerConfig) {
    config.rates = Rates { admissions: u32::MAX, requests: u32::MAX, ..Rates::default() };
}

/// Sends requests one after the other. Answers how long each took.
pub async fn converse(mut stream: TcpStream, requests: Vec<Vec<u8>>) -> Vec<Duration> {
    let mut took = Vec::with_capacity(requests.len());
    let mut buffer = vec![0; 16 * 1024];
    for request in requests {
        let begun = Instant::now();
        stream.write_all(&request).await.unwrap();
        let answer = read_answer(&mut stream, &mut buffer).await;
        assert!(answer.starts_with("HTTP/1.1 200") && !answer.contains("refused"), "{answer}");
        took.push(begun.elapsed());
    }
    took
}

/// One answer with its body, whose length it names.
async fn read_answer<'a>(stream: &mut TcpStream, buffer: &'a mut [u8]) -> &'a str {
    let mut filled = 0;
    loop {
        let count = stream.read(&mut buffer[filled..]).await.unwrap();
        assert!(count > 0, "the connection ended");
        filled += count;
        let text = str::from_utf8(&buffer[..filled]).unwrap();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.split_once("content-length: ").unwrap().1;
        let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
        if body.len() >= length {
            return str::from_utf8(&buffer[..filled]).unwrap();
        }
    }
}

/// User and system time of this process: Linux counts hundredths of a second.
pub fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = stat.rsplit(") ").next().unwrap();
    let fields: Vec<_> = after_name.split(' ').collect();
    let ticks: u64 = fields[11..13].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}
