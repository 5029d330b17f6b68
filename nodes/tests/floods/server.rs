//! Floods of the server; the honest node looks into its mailbox.

use std::sync::Arc;

use hdms::card::Role;
use hdms::proof::RequestProof;
use reqwest::Client;

use crate::common::{Net, Person, delivery, keys, message_id};
use crate::{behind_a_proxy, elsewhere, row};

async fn look(net: &Net, person: &Person) {
    net.client.mailbox(&net.url, person.signer(), 0, 10).await.unwrap();
}

/// A proof that some node has made for another request.
async fn stale_proof(net: &Net, person: &Person) -> String {
    let url = format!("{}/mailbox/deliveries", net.url);
    let proof = RequestProof::new(&person.id, message_id(), "POST", &url, b"x", net.now());
    proof.sign(person.keys).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_the_server_keep_nobody_from_its_mailbox() {
    let net = Net::start_with(|config| {
        (config.rates.admissions, config.limits) = (100, behind_a_proxy());
    })
    .await;
    let (honest, hospital) = (net.person(0).await, net.hospital(1).await);
    let (http, url) = (Client::new(), net.url.clone());
    let honest = async || look(&net, &honest).await;

    let (client, to) = (http.clone(), format!("{url}/network"));
    row("`GET /network`", Arc::new(move |_: usize| client.get(&to)), &[200], &honest).await;

    let (client, to) = (http.clone(), format!("{url}/doorman/admissions"));
    let garbage = Arc::new(move |_: usize| client.post(&to).body("a.b.c"));
    let name = "`POST /doorman/admissions`, garbage";
    let answers = row(name, garbage, &[400, 429], &honest).await;
    assert!(answers.contains_key(&429), "the address waits: {answers:?}");

    let (client, to) = (http.clone(), format!("{url}/doorman/admissions"));
    let garbage = Arc::new(move |number: usize| {
        let (name, address) = elsewhere(number);
        client.post(&to).header(name, address).body("a.b.c")
    });
    let name = "`POST /doorman/admissions`, garbage from 200 addresses";
    row(name, garbage, &[400, 429], &honest).await;

    let (client, to) = (http.clone(), format!("{url}/network"));
    let sizes = Arc::new(move |number: usize| client.get(format!("{to}?size={number}")));
    row("`GET /network`, every size", sizes, &[200], &honest).await;

    let (client, to) = (http.clone(), format!("{url}/mailbox/deliveries"));
    let proof = stale_proof(&net, &hospital).await;
    let replayed =
        Arc::new(move |_: usize| client.post(&to).header("hdms-proof", &proof).body("y"));
    row("`POST /mailbox/deliveries`, a proof again", replayed, &[401, 429], &honest).await;

    // The sender that floods is limited; what it has sent before is kept.
    let sent = net.client.deliver(&net.url, hospital.signer(), vec![delivery(&hospital.id, "x")]);
    sent.await.unwrap();
}

#[tokio::test]
async fn the_replay_cache_of_one_node_is_not_flushed_by_others() {
    let net = Net::start_with(|config| config.rates.requests = u32::MAX).await;
    let (victim, other) = (net.person(0).await, net.person(1).await);
    let url = format!("{}/mailbox", net.url);
    let proof = RequestProof::new(&victim.id, message_id(), "GET", &url, b"", net.now());
    let proof = proof.sign(victim.keys).await.unwrap();
    let ask = async || {
        let request = Client::new().get(&url).header("hdms-proof", &proof);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(ask().await, 200);
    for _ in 0..500 {
        look(&net, &other).await;
    }
    assert_eq!(ask().await, 401);
}

#[tokio::test]
async fn applications_that_nobody_approved_are_on_no_trail() {
    let net = Net::start().await;
    let before = net.operator().trail().await.unwrap().entries.len();
    let request = net.request(keys(0), Role::Institution, "Nobody").await;
    net.ask(keys(0), &request).await.unwrap_err();
    assert_eq!(net.operator().pending(None).await.unwrap().len(), 1);
    assert_eq!(net.operator().trail().await.unwrap().entries.len(), before);
    net.operator().admit(request.iss).await.unwrap();
    assert_eq!(net.operator().trail().await.unwrap().entries.len(), before + 1);
}
