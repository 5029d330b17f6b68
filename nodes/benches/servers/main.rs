//! How much a server and a notary take in over loopback, and what an idle live stream costs, with
//! everything that clients sign prepared beforehand: `cargo bench --package hdms-nodes --bench
//! servers`, or behind `--` those wanted: `mailbox`, `admission`, `deposits`, `witnessed`, `audit`,
//! `streams`; with `--quick` a notary's log is not filled with millions of entries, which takes
//! minutes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a figure that can't be had is none")]

#[path = "../../tests/common/mod.rs"]
mod common;

mod admission;
mod audit;
mod deposits;
mod mailbox;
mod network;
mod streams;
mod witnessed;

use network::Members;

#[tokio::main]
async fn main() {
    let mut members = Members::start().await;
    if is_wanted("mailbox") {
        mailbox::measure(&members).await;
    }
    if is_wanted("admission") {
        admission::measure(&members).await;
    }
    if is_wanted("deposits") {
        deposits::measure(&members).await;
    }
    if is_wanted("witnessed") {
        witnessed::measure().await;
    }
    if is_wanted("audit") {
        audit::measure().await;
    }
    if is_wanted("streams") {
        streams::measure(&mut members).await;
    }
}

/// All are, unless some are named. Cargo adds options.
fn is_wanted(figure: &str) -> bool {
    let mut named =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).peekable();
    named.peek().is_none() || named.any(|name| name == figure)
}

fn is_quick() -> bool {
    std::env::args().any(|argument| argument == "--quick")
}
