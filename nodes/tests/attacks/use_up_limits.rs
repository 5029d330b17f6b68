//! A stranger wants others to be refused: it uses up the limits that they share with it.

use hdms::Error;
use hdms::card::Role;
use hdms::notary::DepositAnswer;
use hdms_nodes::base::http::proxies::{Block, Proxies};
use hdms_nodes::member::MemberConfig;
use hdms_nodes::member::costs::Costs;
use reqwest::{Client, StatusCode};
use rusqlite::Connection;

use crate::common::{Net, deposit, keys, sealed};
use crate::say_it_twice::renew;

/// A server that takes two admission requests a minute of an address, behind this proxy.
async fn behind(proxy: &str) -> Net {
    let block: Block = proxy.parse().unwrap();
    Net::start_with(|config| {
        config.rates.admissions = 2;
        config.limits.proxies = Proxies::from(vec![block]);
    })
    .await
}

/// The status of garbage that came by way of the proxy.
async fn garbage(net: &Net, forwarded: &str) -> StatusCode {
    let url = format!("{}/doorman/admissions", net.url);
    let request = Client::new().post(url).header("x-forwarded-for", forwarded).body("a.b.c");
    request.send().await.unwrap().status()
}

#[tokio::test]
async fn behind_a_trusted_proxy_everybody_has_limits_of_their_own() {
    let net = behind("127.0.0.1").await;
    let refused = StatusCode::TOO_MANY_REQUESTS;
    for _ in 0..2 {
        assert_eq!(garbage(&net, "192.0.2.1").await, StatusCode::BAD_REQUEST);
    }
    assert_eq!(garbage(&net, "192.0.2.1").await, refused);
    assert_eq!(garbage(&net, "198.51.100.7, 192.0.2.1").await, refused, "what it says itself");
    assert_eq!(garbage(&net, "192.0.2.2").await, StatusCode::BAD_REQUEST);

    assert_eq!(garbage(&net, "2001:db8::1").await, StatusCode::BAD_REQUEST);
    assert_eq!(garbage(&net, "2001:db8::2").await, StatusCode::BAD_REQUEST);
    assert_eq!(garbage(&net, "2001:db8::3").await, refused, "one subscriber");
    assert_eq!(garbage(&net, "2001:db8:0:1::1").await, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn nobody_is_believed_who_is_no_trusted_proxy() {
    let net = behind("10.0.0.0/8").await;
    for (number, expected) in [400, 400, 429, 429].into_iter().enumerate() {
        let status = garbage(&net, &format!("192.0.2.{number}")).await;
        assert_eq!(status.as_u16(), expected, "{number}");
    }
}

/// What every node keeps for ever: a member can't make it grow as it likes.
#[tokio::test]
async fn a_member_that_renews_on_and_on_has_to_wait_and_manifests_gather_what_changes() {
    let net = Net::start_with(|config| config.rates.manifests = 4).await;
    let hospital = net.hospital(0).await;
    let mut refusals = Vec::new();
    for round in 0..11 {
        refusals.extend(renew(&net, &hospital, keys(1 + round % 2)).await.err());
    }
    assert_eq!(refusals, [Error::TooManyRequests]);
    assert!(net.trust().await.manifest().number <= 4);
    net.clock.advance(1000 * 24 * 360);
    net.have_it_look();
    let is_newest = |trust: &hdms::network::Trust| {
        let card = trust.node(&hospital.id).unwrap();
        card.is_present_encryption_key(&keys(2).public().1.thumbprint())
    };
    assert!(net.until(is_newest).await.manifest().number <= 6);
    // One more a tenth of a day later, and others when they like.
    renew(&net, &hospital, keys(1)).await.unwrap();
    assert_eq!(renew(&net, &hospital, keys(2)).await, Err(Error::TooManyRequests));
    let other = net.hospital(3).await;
    renew(&net, &other, keys(1)).await.unwrap();
    // Nor does it fill the trail with what it wants to be called.
    let rows = async || net.operator().trail().await.unwrap().entries.len();
    let (before, mut named) = (rows().await, Vec::new());
    for round in [0, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1] {
        let request = net.request(keys(3), Role::Institution, &format!("Hospital {round}")).await;
        named.push(net.ask(keys(3), &request).await.err());
    }
    assert_eq!(named.pop(), Some(Some(Error::TooManyRequests)));
    assert_eq!(named, [Some(Error::AdmissionPending); 10]);
    assert_eq!(rows().await, before + 9);
}

#[tokio::test]
async fn a_deposit_that_somebody_repeats_uses_up_nothing_of_its_depositor_s() {
    let net = Net::start().await;
    let costs = Costs { messages: 3, entries: 2, entries_of_pair: 2, ..Costs::default() };
    let notary = net.notary_with("notary", |config| MemberConfig { costs, ..config }).await;
    let (patient, hospital) = (net.person(0).await, net.hospital(1).await);
    notary.member().refresh().await.unwrap();
    let card = notary.member().standing().card.clone();
    let url = format!("http://{}", notary.address());
    let envelope = async || {
        let deposits = vec![deposit(&patient, &hospital, &notary).await];
        sealed([&patient, &hospital], &card, deposits).await
    };
    let caught = envelope().await;
    let receipt = net.client.deposit(&url, caught.clone()).await.unwrap().answers;
    assert!(matches!(receipt[0], DepositAnswer::Receipt(_)));
    for _ in 0..10 {
        assert_eq!(net.client.deposit(&url, caught.clone()).await.unwrap().answers, receipt);
    }
    let next = net.client.deposit(&url, envelope().await).await.unwrap();
    assert!(matches!(next.answers[0], DepositAnswer::Receipt(_)), "{next:?}");
    assert_eq!(next.retry_after, None);
    // Now two are logged.
    let refused = net.client.deposit(&url, envelope().await).await.unwrap();
    assert_eq!(refused.answers, [DepositAnswer::Refused(Error::EntryQuota.code().into())]);
    assert_eq!(refused.retry_after, Some(300));
}

#[tokio::test]
async fn what_a_full_disk_keeps_out_of_the_log_uses_up_nothing_of_its_depositor_s() {
    let net = Net::start().await;
    let costs = Costs { entries: 2, entries_of_pair: 2, ..Costs::unlimited() };
    let notary = net.notary_with("notary", |config| MemberConfig { costs, ..config }).await;
    let (patient, hospital) = (net.person(0).await, net.hospital(1).await);
    notary.member().refresh().await.unwrap();
    let card = notary.member().standing().card.clone();
    let url = format!("http://{}", notary.address());
    let send = async || {
        let deposits = vec![deposit(&patient, &hospital, &notary).await];
        let envelope = sealed([&patient, &hospital], &card, deposits).await;
        Some(net.client.deposit(&url, envelope).await.ok()?.answers.remove(0))
    };
    let disk = Connection::open(net.dir.path().join("notary/notary.sqlite")).unwrap();
    let full =
        "CREATE TRIGGER full BEFORE INSERT ON checkpoints BEGIN SELECT raise(ABORT, ''); END";
    disk.execute_batch(full).unwrap();
    for _ in 0..5 {
        assert_eq!(send().await, None);
    }
    disk.execute_batch("DROP TRIGGER full").unwrap();
    for _ in 0..2 {
        let logged = send().await;
        assert!(matches!(logged, Some(DepositAnswer::Receipt(_))), "{logged:?}");
    }
    assert_eq!(send().await, Some(DepositAnswer::Refused(Error::EntryQuota.code().into())));
}
