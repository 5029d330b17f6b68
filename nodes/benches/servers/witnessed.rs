//! What it costs that another notary co-signs: how long one deposit takes, and how many are logged
//! per second, by a notary without witnesses and by one of three that need one.

use std::time::Duration;

use hdms_nodes::base::keys::open_or_make;
use hdms_nodes::base::system::NodeClock;
use hdms_nodes::notary::Notary;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::common::{Net, Person, Signed, deposit, passphrase, sealed};
use crate::deposits::send_all;
use crate::network::without_rates;

/// Deposits one after the other.
const ALONE: usize = 300;

/// Deposits in a request, requests under way at a time, and requests.
const TOGETHER: [(usize, usize, usize); 2] = [(1, 256, 3000), (100, 16, 150)];

/// Prints the figures.
pub async fn measure() {
    for (notaries, needed) in [(1, 0), (3, 1)] {
        let with = format!("{notaries} notaries, {needed} witnesses");
        let net = Net::start_with(|config| {
            without_rates(config);
            config.rules.witnesses = needed;
        })
        .await;
        let people = [net.person(0).await, net.hospital(1).await];
        let mut started = Vec::new();
        for number in 0..notaries {
            started.push(notary(&net, &format!("notary-{number}")).await);
        }
        for notary in &started {
            let mut changes = notary.member().changes();
            let all = changes.wait_for(|standing| standing.trust.logs().len() == notaries);
            drop(all.await.unwrap());
        }
        let url = format!("http://{}/deposits", started[0].address());
        let mut took = Vec::new();
        for envelope in prepared(&people, &started[0], 1, ALONE).await {
            took.push(send_all(&url, vec![envelope], 1).await.wall);
        }
        took.sort();
        let [median, late] = [took[ALONE / 2], took[ALONE * 99 / 100]].map(milliseconds);
        println!("one deposit, {with}: {median:.2} ms, 99 of 100 within {late:.2} ms");
        for (each, producers, requests) in TOGETHER {
            let prepared = prepared(&people, &started[0], each, requests).await;
            let sent = send_all(&url, prepared, producers).await;
            let rate = (each * requests) as f64 / sent.wall.as_secs_f64();
            println!("deposits, {each} in a request, {with}: {rate:.0} entries per second");
        }
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// With keys of its own.
async fn notary(net: &Net, name: &str) -> Notary {
    open_or_make(&net.dir.path().join(name), &passphrase()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = net.member_config(name, format!("http://{}", listener.local_addr().unwrap()));
    let clock = NodeClock::new(net.clock.clone());
    let notary = Notary::start(config, listener, clock, CancellationToken::new());
    let (notary, ()) = tokio::join!(notary, net.admit_next());
    notary.unwrap()
}

/// Requests with so many deposits each.
async fn prepared(
    people: &[Person; 2],
    notary: &Notary,
    each: usize,
    requests: usize,
) -> Vec<String> {
    let card = notary.member().standing().card.clone();
    let mut prepared = Vec::new();
    for _ in 0..requests {
        let mut deposits: Vec<Signed> = Vec::new();
        for _ in 0..each {
            deposits.push(deposit(&people[0], &people[1], notary).await);
        }
        prepared.push(sealed([&people[0], &people[1]], &card, deposits).await);
    }
    prepared
}
