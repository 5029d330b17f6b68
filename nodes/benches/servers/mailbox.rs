//! Messages accepted per second, beside what SQLite alone does with the same rows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use hdms::mailbox::Delivery;
use hdms_nodes::base::sqlite::{Database, Schema};

use crate::common::delivery;
use crate::network::{Members, SENDERS, converse, processor_time};

/// Messages of each sender in a round.
const EACH: usize = 150;

/// Rounds of both, in turns: the machine is not always equally busy.
const ROUNDS: usize = 5;

/// Bytes of content that make an envelope of 1 KB.
const CONTENT: usize = 760;

/// The server's messages, as its database holds them.
const BARE: Schema = Schema {
    application: 1,
    migrations: &["
    CREATE TABLE messages (
        recipient TEXT NOT NULL,
        seq INTEGER NOT NULL,
        sender TEXT NOT NULL,
        id TEXT NOT NULL,
        expires INTEGER NOT NULL,
        envelope TEXT,
        UNIQUE (recipient, seq),
        UNIQUE (recipient, sender, id)
    ) STRICT;
    CREATE INDEX messages_expiry ON messages (expires);
    "],
};

/// What a round came to.
struct Round {
    rate: f64,
    /// Microseconds of processor for each message, clients included.
    processor: f64,
    latencies: Vec<Duration>,
}

impl Round {
    /// Runs the senders' tasks to their end.
    async fn run(
        tasks: impl Iterator<Item = impl Future<Output = Vec<Duration>> + Send + 'static>,
    ) -> Self {
        let (begun, before) = (Instant::now(), processor_time());
        let tasks: Vec<_> = tasks.map(tokio::spawn).collect();
        let latencies = join_all(tasks).await.into_iter().map(Result::unwrap);
        let mut latencies: Vec<Duration> = latencies.flatten().collect();
        let (took, processor) = (begun.elapsed(), processor_time() - before);
        latencies.sort_unstable();
        let count = latencies.len() as f64;
        let processor = processor.as_secs_f64() * 1e6 / count;
        Self { rate: count / took.as_secs_f64(), processor, latencies }
    }

    fn p99(&self) -> f64 {
        self.latencies[self.latencies.len() * 99 / 100].as_secs_f64() * 1000.0
    }
}

/// Prints the figure beside its target.
pub async fn measure(members: &Members) {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::open(&dir.path().join("bare.sqlite"), &BARE).unwrap();
    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        let messages = messages(members);
        let http = over_http(members, &messages).await;
        let bare = bare(&database, members, messages, round as u64 * EACH as u64).await;
        rounds.push((http.rate / bare.rate, http, bare));
    }
    rounds.sort_by(|(one, ..), (other, ..)| one.total_cmp(other));
    let (share, http, bare) = &rounds[ROUNDS / 2];
    println!(
        "mailbox: {:.0} messages of 1 KB accepted per second (p99 {:.1} ms, {:.0} µs of processor \
         each), SQLite alone {:.0} (p99 {:.1} ms, {:.0} µs): {:.0} % of it, target 50 %",
        http.rate,
        http.p99(),
        http.processor,
        bare.rate,
        bare.p99(),
        bare.processor,
        share * 100.0
    );
}

/// For each sender those that it sends to the next one.
fn messages(members: &Members) -> Vec<Vec<Delivery>> {
    let content = "x".repeat(CONTENT);
    let to = |place: usize| &members.senders[(place + 1) % SENDERS].id;
    let of = |place| (0..EACH).map(|_| delivery(to(place), &content)).collect();
    (0..SENDERS).map(of).collect()
}

async fn over_http(members: &Members, messages: &[Vec<Delivery>]) -> Round {
    let mut prepared = Vec::new();
    for (sender, messages) in members.senders.iter().zip(messages) {
        let requests = messages.iter().map(|one| members.delivery(sender, one.clone()));
        prepared.push(join_all(requests).await);
    }
    // Only now: the server does not wait long for what is idle.
    let streams = join_all((0..SENDERS).map(|_| members.connect())).await;
    let each = streams.into_iter().zip(prepared);
    let round = Round::run(each.map(|(stream, requests)| converse(stream, requests))).await;
    for sender in &members.senders {
        let signer = hdms_nodes::base::http::client::Signer { node: &sender.id, keys: sender.keys };
        members
            .net
            .client
            .acknowledge(&members.net.url, signer, u64::MAX, Vec::new())
            .await
            .unwrap();
    }
    round
}

async fn bare(
    database: &Database,
    members: &Members,
    messages: Vec<Vec<Delivery>>,
    first: u64,
) -> Round {
    Round::run(messages.into_iter().zip(&members.senders).map(|(messages, sender)| {
        let sender: Arc<str> = sender.id.as_ref().into();
        insert(database.clone(), sender, messages, first)
    }))
    .await
}

async fn insert(
    database: Database,
    sender: Arc<str>,
    messages: Vec<Delivery>,
    first: u64,
) -> Vec<Duration> {
    let mut took = Vec::new();
    for (message, seq) in messages.into_iter().zip(first..) {
        let begun = Instant::now();
        let sender = sender.clone();
        let insert = database.write(move |tx| {
            let sql = "INSERT INTO messages VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
            let row =
                (message.to.as_ref(), seq, &*sender, message.id.as_ref(), 1, message.envelope);
            Ok(tx.prepare_cached(sql)?.execute(row)?)
        });
        insert.await.unwrap();
        took.push(begun.elapsed());
    }
    took
}
