//! What floods of each kind do to others: an honest node does its work while somebody sends as much as
//! it can, and is served within a stated multiple of the time that it takes alone. Prints the rows of
//! the table in docs/operator.md. A second each in `make test`; `HDMS_FLOOD_SECONDS` each in `make
//! soak`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;
mod institution;
mod notary;
mod server;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

/// Senders of a flood, each with one request under way.
const SENDERS: usize = 32;

/// An honest request takes at most so many times what it takes alone, or so long: senders and nodes
/// share this machine's processors.
const MULTIPLE: u32 = 64;
const ANYWAY: Duration = Duration::from_millis(1_500);

/// One kind of flood: a request, told which one it is.
type Request = Arc<dyn Fn(usize) -> reqwest::RequestBuilder + Send + Sync>;

fn duration() -> Duration {
    let seconds = std::env::var("HDMS_FLOOD_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(1))
}

/// Sends until it is aborted, and counts the answers by their status.
fn flood(request: Request, answers: Arc<Mutex<BTreeMap<u16, usize>>>) -> JoinSet<()> {
    let mut senders = JoinSet::new();
    for sender in 0..SENDERS {
        let (request, answers) = (request.clone(), answers.clone());
        senders.spawn(async move {
            for number in 0.. {
                let status = match request(sender + number * SENDERS).send().await {
                    Ok(answer) => answer.status().as_u16(),
                    Err(_) => 0,
                };
                *answers.lock().unwrap().entry(status).or_default() += 1;
            }
        });
    }
    senders
}

/// The median time of what is done over and over for a while.
async fn median(of: Duration, work: &impl AsyncFn()) -> Duration {
    let (begun, mut times) = (Instant::now(), Vec::new());
    while begun.elapsed() < of || times.len() < 5 {
        let start = Instant::now();
        work().await;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    times[times.len() / 2]
}

/// Measures one row: honest work alone, and during the flood.
async fn row(name: &str, request: Request, honest: impl AsyncFn()) -> BTreeMap<u16, usize> {
    let alone = median(duration() / 4, &honest).await;
    let answers = Arc::new(Mutex::new(BTreeMap::new()));
    let mut senders = flood(request, answers.clone());
    let begun = Instant::now();
    let flooded = median(duration(), &honest).await;
    let seconds = begun.elapsed().as_secs_f64();
    senders.shutdown().await;
    let answers = answers.lock().unwrap().clone();
    let all: usize = answers.values().sum();
    println!(
        "| {name} | {:.0} | {answers:?} | {:.1} ms | {:.1} ms |",
        all as f64 / seconds,
        alone.as_secs_f64() * 1000.0,
        flooded.as_secs_f64() * 1000.0,
    );
    assert!(flooded <= (alone * MULTIPLE).max(ANYWAY), "{name}: {flooded:?} after {alone:?}");
    answers
}
