//! Personal nodes admitted per second: both calls, with what the node itself signs and decrypts.

use std::time::Instant;

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};
use hdms::card::Role;
use hdms_nodes::base::keys::AwsKeys;

use crate::is_quick;
use crate::network::{Members, SENDERS, processor_time};

/// Prints the figure.
pub async fn measure(members: &Members) {
    let (net, count) = (&members.net, if is_quick() { 64 } else { 512 });
    let made = (0..count).map(|_| tokio::task::spawn_blocking(AwsKeys::generate));
    let mut asked = Vec::new();
    for keys in join_all(made).await {
        let keys: &'static AwsKeys = Box::leak(Box::new(keys.unwrap().unwrap()));
        asked.push((keys, net.request(keys, Role::Personal, "").await));
    }
    let (begun, before) = (Instant::now(), processor_time());
    let admissions = stream::iter(&asked).map(|(keys, request)| net.ask(keys, request));
    let cards = admissions.buffer_unordered(SENDERS).map(Result::unwrap).count().await;
    let (took, processor) = (begun.elapsed(), processor_time() - before);
    println!(
        "admissions of personal nodes: {:.0} per second, {:.1} ms of processor each, clients included",
        cards as f64 / took.as_secs_f64(),
        processor.as_secs_f64() * 1000.0 / cards as f64,
    );
}
