//! Messages accepted per second, beside what SQLite alone does with the same rows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use hdms::mailbox::Delivery;
use hdms_nodes::sqlite::{Database, Schema};

use crate::common::delivery;
use crate::network::{Members, SENDERS, converse};

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
    latencies: Vec<Duration>,
}

impl Round {
    fn of(took: Duration, latencies: Vec<Vec<Duration>>) -> Self {
        let mut latencies = latencies.concat();
        latencies.sort_unstable();
        Self { rate: latencies.len() as f64 / took.as_secs_f64(), latencies }
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
        "mailbox: {:.0} messages of 1 KB accepted per second (p99 {:.1} ms), SQLite alone {:.0} \
         (p99 {:.1} ms): {:.0} % of it, target 50 %",
        http.rate,
        http.p99(),
        bare.rate,
        bare.p99(),
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
    let begun = Instant::now();
    let each = streams.into_iter().zip(prepared);
    let tasks = each.map(|(stream, requests)| tokio::spawn(converse(stream, requests)));
    let latencies = join_all(tasks.collect::<Vec<_>>()).await;
    let took = begun.elapsed();
    for sender in &members.senders {
        let signer = hdms_nodes::client::Signer { node: &sender.id, keys: sender.keys };
        members.net.client.acknowledge(&members.net.url, signer, u64::MAX).await.unwrap();
    }
    Round::of(took, latencies.into_iter().map(Result::unwrap).collect())
}

async fn bare(
    database: &Database,
    members: &Members,
    messages: Vec<Vec<Delivery>>,
    first: u64,
) -> Round {
    let begun = Instant::now();
    let tasks = messages.into_iter().zip(&members.senders).map(|(messages, sender)| {
        let sender: Arc<str> = sender.id.as_ref().into();
        tokio::spawn(insert(database.clone(), sender, messages, first))
    });
    let latencies = join_all(tasks.collect::<Vec<_>>()).await;
    let took = begun.elapsed();
    Round::of(took, latencies.into_iter().map(Result::unwrap).collect())
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
