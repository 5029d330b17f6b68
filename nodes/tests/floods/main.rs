//! What floods of each kind do to others: an honest node does its work while somebody sends as much as
//! it can, and is served within a stated multiple of the time that it takes alone. Prints the rows of
//! the table in docs/operator.md. A second each in `make test`; `HDMS_FLOOD_SECONDS` each in `make
//! soak`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;
mod documented;
mod drip;
mod institution;
mod notary;
mod server;
mod unread;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hdms_nodes::base::http::connections::Limits;
use hdms_nodes::base::http::proxies::{Block, Proxies};
use tokio::task::JoinSet;

/// Senders of a flood, each with one request under way.
const SENDERS: usize = 32;

/// Of honest requests 95 of 100 take at most so many times what one takes alone, or so long: senders
/// and nodes share this machine's processors.
const MULTIPLE: u32 = 64;
const ANYWAY: Duration = Duration::from_secs(5);

/// One kind of flood: a request, told which one it is.
type Request = Arc<dyn Fn(usize) -> reqwest::RequestBuilder + Send + Sync>;

/// A trusted proxy on this machine, so that a flood can come from many addresses.
fn behind_a_proxy() -> Limits {
    let proxy: Block = "127.0.0.1".parse().unwrap();
    Limits { proxies: Proxies::from(vec![proxy]), ..Limits::default() }
}

/// The header by which the request with this number is from one of 200 addresses.
fn elsewhere(number: usize) -> (&'static str, String) {
    ("x-forwarded-for", format!("192.0.2.{}", number % 200))
}

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

/// Between two things that who is honest does: it keeps within limits of its own.
const PAUSE: Duration = Duration::from_millis(20);

/// The times of what is done over and over for a while, from the shortest on.
async fn measured(parts: u32, work: &impl AsyncFn()) -> Vec<Duration> {
    let (begun, mut times) = (Instant::now(), Vec::new());
    while begun.elapsed() < duration() / parts || times.len() < 5 {
        let start = Instant::now();
        work().await;
        times.push(start.elapsed());
        tokio::time::sleep(PAUSE).await;
    }
    times.sort_unstable();
    times
}

/// The time within which so many of 100 were done.
fn percentile(times: &[Duration], of_100: usize) -> Duration {
    times[(times.len() * of_100).div_ceil(100).max(1) - 1]
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

/// Prints what honest work takes beside what never ends.
fn within(name: &str, times: &[Duration]) {
    let (median, most) = (percentile(times, 50), percentile(times, 95));
    println!("| {name} | held | | {} | {} |", milliseconds(median), milliseconds(most));
    assert!(most <= ANYWAY, "{name}: {most:?}");
}

/// Measures one row: honest work alone, and during the flood, of whose answers each has one of these
/// statuses; 0 is none.
async fn row(
    name: &str,
    request: Request,
    allowed: &[u16],
    honest: impl AsyncFn(),
) -> BTreeMap<u16, usize> {
    let alone = percentile(&measured(4, &honest).await, 50);
    let answers = Arc::new(Mutex::new(BTreeMap::new()));
    let mut senders = flood(request, answers.clone());
    let begun = Instant::now();
    let flooded = measured(1, &honest).await;
    let seconds = begun.elapsed().as_secs_f64();
    senders.shutdown().await;
    let answers = answers.lock().unwrap().clone();
    let all: usize = answers.values().sum();
    let (median, most) = (percentile(&flooded, 50), percentile(&flooded, 95));
    let times = [alone, median, most].map(milliseconds).join(" | ");
    println!("| {name} | {:.0} | {answers:?} | {times} |", all as f64 / seconds);
    assert!(answers.keys().all(|status| allowed.contains(status)), "{name}: {answers:?}");
    assert!(most <= (alone * MULTIPLE).max(ANYWAY), "{name}: {most:?} after {alone:?}");
    answers
}
