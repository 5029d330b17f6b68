//! A server wants a notary to keep, and to give others, manifests that are not in the log.

use hdms_nodes::member::MemberConfig;
use serde_json::{Value, json};

use crate::common::{JsonBody, Net};
use crate::lying_server::LyingServer;
use crate::watched;

/// What somebody answers who is asked for the manifest with this number.
async fn manifest(url: &str, number: u64) -> Option<Value> {
    let answer = reqwest::get(format!("{url}/manifests/{number}")).await.unwrap();
    if answer.status().is_success() { Some(answer.json_body().await) } else { None }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notary_keeps_no_manifest_that_is_not_in_the_log() {
    let net = Net::start().await;
    net.hospital(1).await;
    let (first, second) = (manifest(&net.url, 1).await.unwrap(), manifest(&net.url, 2).await);
    let lying = LyingServer::before(&net.url).await;
    let lie = json!({"manifest": second.unwrap()["manifest"], "checkpoint": first["checkpoint"]});
    lying.answer_with("/manifests/1", lie.to_string());
    let server = lying.url.clone();
    let notary = net.notary_with("notary", |config| MemberConfig { server, ..config }).await;
    let url = format!("http://{}", notary.address());
    lying.has_lied("/manifests/1", 1).await;
    // When it asks again, it has dealt with the first.
    net.hospital(2).await;
    lying.has_lied("/manifests/1", 2).await;
    assert_eq!(manifest(&url, 1).await, None);

    lying.repent();
    net.hospital(3).await;
    watched::all_keep(std::slice::from_ref(&notary), net.trust().await.manifest().number).await;
    assert_eq!(manifest(&url, 1).await, Some(first));
}
