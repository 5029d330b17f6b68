//! A server wants a notary to keep, and to give others, manifests that are not in the log.

use std::time::Duration;

use hdms_nodes::member::MemberConfig;
use rusqlite::Connection;
use serde_json::{Value, json};
use tokio::net::TcpListener;

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
    assert_eq!(manifest(&url, 1).await, Some(first.clone()));

    // Nor does it go on with one that it has kept so: whoever has written it there is not the log.
    let address = notary.address();
    notary.serving().stop().await;
    let database = Connection::open(net.dir.path().join("notary/notary.sqlite")).unwrap();
    let forged = "UPDATE manifests SET checkpoint = \
                  replace(checkpoint, char(10, 8212, 32), char(10, 8212, 32) || 'x') WHERE number = 1";
    assert_eq!(database.execute(forged, []), Ok(1));
    drop(database);
    let _notary = watched::start(&net, "notary", TcpListener::bind(address).await.unwrap()).await;
    for _ in 0..200 {
        if manifest(&url, 1).await.as_ref() == Some(&first) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it keeps what the log has not signed");
}
