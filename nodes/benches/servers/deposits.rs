//! Deposits that a notary logs per second.

use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt};

use crate::common::{Person, deposit, sealed};
use crate::network::{Members, processor_time};

/// Requests under way at a time.
const PRODUCERS: usize = 64;

/// Prints the figures.
pub async fn measure(members: &Members) {
    let net = &members.net;
    let people = (net.person(0).await, net.person(1).await);
    let notary = net.notary("notary").await;
    let url = format!("http://{}/deposits", notary.address());
    let card = notary.member().standing().card.clone();
    for (batch, requests) in [(1, 1500), (10, 300)] {
        let mut prepared = Vec::new();
        for _ in 0..requests {
            prepared.push(envelope(&people, &card, batch).await);
        }
        let count = (batch * requests) as f64;
        let (wall, processor) = send_all(&url, prepared).await;
        println!(
            "deposits, {batch} in a request: {:.0} per second, {:.2} ms of processor each",
            count / wall.as_secs_f64(),
            processor.as_secs_f64() * 1000.0 / count
        );
    }
}

async fn envelope(
    (author, other): &(Person, Person),
    notary: &hdms::card::VerifiedCard,
    batch: usize,
) -> String {
    let mut deposits = Vec::new();
    for _ in 0..batch {
        deposits.push(deposit(author, other).await);
    }
    sealed(author, notary, deposits).await
}

/// Wall clock, and processor time of this whole process, clients included.
async fn send_all(url: &str, prepared: Vec<String>) -> (Duration, Duration) {
    let http = reqwest::Client::new();
    let (start, before) = (Instant::now(), processor_time());
    stream::iter(prepared)
        .for_each_concurrent(PRODUCERS, |envelope| async {
            let answer = http.post(url).body(envelope).send().await.unwrap();
            assert_eq!(answer.status(), 200);
            let answer = answer.text().await.unwrap();
            assert!(!answer.contains("refused"), "{answer}");
        })
        .await;
    (start.elapsed(), processor_time() - before)
}
