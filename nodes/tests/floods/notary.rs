//! Floods of a notary; two honest nodes have an entry logged.

use std::sync::Arc;

use hdms::Error;
use hdms::notary::DepositAnswer;
use hdms_nodes::base::http::client::JOSE;
use hdms_nodes::member::MemberConfig;
use hdms_nodes::member::costs::Costs;
use reqwest::Client;

use crate::common::{Net, Person, deposit, sealed};
use crate::row;

/// The same envelope with another content key, which no private key opens.
fn spoilt(envelope: &str) -> String {
    let mut parts: Vec<_> = envelope.split('.').map(str::to_owned).collect();
    let first = if parts[1].starts_with('A') { "B" } else { "A" };
    parts[1].replace_range(..1, first);
    parts.join(".")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_a_notary_keep_no_entry_from_its_log() {
    let net = Net::start().await;
    let (patient, hospital) = (net.person(0).await, net.hospital(1).await);
    let notary = net.notary("notary").await;
    let (card, url) =
        (notary.member().standing().card.clone(), format!("http://{}", notary.address()));
    notary.member().refresh().await.unwrap();
    let honest = async || {
        let deposits = vec![deposit(&patient, &hospital, &notary).await];
        let envelope = sealed([&patient, &hospital], &card, deposits).await;
        let answers = net.client.deposit(&url, envelope).await.unwrap().answers;
        assert!(matches!(answers[0], DepositAnswer::Receipt(_)), "{answers:?}");
    };
    let http = Client::new();
    let bad = spoilt(&sealed([&patient, &hospital], &card, Vec::new()).await);
    for path in ["deposits", "queries"] {
        let (client, to, bad) = (http.clone(), format!("{url}/{path}"), bad.clone());
        let request = Arc::new(move |_: usize| {
            client.post(&to).header("content-type", JOSE).body(bad.clone())
        });
        row(&format!("`POST /{path}`, opened by no key"), request, &[400], &honest).await;
    }
    let (client, to) = (http.clone(), format!("{url}/witness/add-checkpoint"));
    let garbage = Arc::new(move |_: usize| client.post(&to).body("old 0"));
    row("`POST /witness/add-checkpoint`, garbage", garbage, &[400, 429], &honest).await;
    let (client, to) = (http, format!("{url}/log/checkpoint"));
    row("`GET /log/checkpoint`", Arc::new(move |_: usize| client.get(&to)), &[200], &honest).await;
}

#[tokio::test]
async fn two_nodes_have_no_more_entries_logged_than_they_may() {
    let net = Net::start().await;
    let costs = Costs { entries: 5, entries_of_pair: 3, ..Costs::default() };
    let adjusted = |config| MemberConfig { costs, ..config };
    let notary = net.notary_with("notary", adjusted).await;
    let (patient, hospital) = (net.person(0).await, net.hospital(1).await);
    let (other, another) = (net.hospital(2).await, net.person(3).await);
    notary.member().refresh().await.unwrap();
    let card = notary.member().standing().card.clone();
    let url = format!("http://{}", notary.address());
    let log = async |from, counterpart, [patient, hospital]: [&Person; 2], count: usize| {
        let mut deposits = Vec::new();
        for _ in 0..count {
            deposits.push(deposit(patient, hospital, &notary).await);
        }
        let envelope = sealed([from, counterpart], &card, deposits).await;
        let answers = net.client.deposit(&url, envelope).await.unwrap().answers;
        let refused = DepositAnswer::Refused(Error::EntryQuota.code().into());
        let logged = answers.iter().filter(|answer| **answer != refused).count();
        assert!(answers[..logged].iter().all(|it| matches!(it, DepositAnswer::Receipt(_))));
        logged
    };
    let both = [&patient, &hospital];
    assert_eq!(log(&patient, &hospital, both, 5).await, 3, "of the pair");
    assert_eq!(log(&hospital, &patient, both, 1).await, 0, "whoever deposits it");
    let with_other = [&patient, &other];
    let of_patient = log(&patient, &other, with_other, 5).await;
    assert_eq!(
        of_patient, 2,
        "of the patient, who has three of five: what was refused costs nothing"
    );
    assert_eq!(
        log(&another, &hospital, [&another, &hospital], 2).await,
        2,
        "others are not concerned"
    );
}
