//! Whoever runs the server or a notary, or has its disk, wants to know who is treated for what:
//! nothing of it is in any of their files. And whoever has the server's disk wants to keep what was
//! fetched long ago: it is gone.

use std::slice;

use hdms::mailbox::Delivery;
use hdms::treatment::message::DataRequestBody;
use rusqlite::Connection;

use crate::common::disk::holding;
use crate::common::{Net, delivery, message_id};
use crate::stage::{PATIENT, RESULT, Stage, ask, until};

#[tokio::test(flavor = "multi_thread")]
async fn neither_the_server_nor_a_notary_keeps_who_is_treated_or_for_what() {
    let stage = Stage::set().await;
    let case = stage.approved().await;
    let [entry] = stage.his.hand_in(&case, RESULT).await.try_into().unwrap();
    until(stage.node(), &case, |case| !case.results.is_empty()).await;
    stage.node().confirm(&case, slice::from_ref(&entry)).await.unwrap();
    let committed = |view: &serde_json::Value| view["summary"]["openResults"] == 0;
    stage.his.until(&case, committed).await;
    let hospital = stage.network.institutions()[0].node().clone();
    let resources = vec!["Observation".into()];
    let purpose = "Before the operation".to_owned();
    let asked = DataRequestBody { id: message_id(), resources, purpose };
    hospital.ask_for_data(&case, asked).await.unwrap();
    until(stage.node(), &case, |case| !case.data_requests.is_empty()).await;
    let declined = ask(stage.node(), stage.hospital()).await;
    let requested = |view: &serde_json::Value| view["summary"]["phase"]["kind"] == "requested";
    stage.his.until(&declined, requested).await;
    hospital.decline(&declined, "No room on the ward").await.unwrap();

    let texts = [PATIENT, "Cough", "2026-12-01", "Observation", "Pulse", "valueQuantity"];
    let texts = [&texts[..], &["Before the operation", "No room on the ward"]].concat();
    assert!(!holding(&stage.dir.path().join("hospital"), &texts[..4]).is_empty(), "it is found");
    for folder in ["server", "notary-1", "notary-2", "notary-3"] {
        assert_eq!(holding(&stage.dir.path().join(folder), &texts), [], "{folder}");
    }
    assert!(!holding(&stage.dir.path().join("server"), &[stage.hospital().as_ref()]).is_empty());
}

#[tokio::test]
async fn what_was_acknowledged_is_in_none_of_the_servers_files_a_minute_later() {
    let net = Net::start().await;
    let (hospital, patient) = (net.hospital(0).await, net.person(1).await);
    let secrets = ["sealed for the patient ".repeat(5), "a large one ".repeat(20_000)];
    let sent = secrets.each_ref().map(|secret| delivery(&patient.id, secret));
    for delivery in &sent {
        let delivery = vec![delivery.clone()];
        net.client.deliver(&net.url, hospital.signer(), delivery).await.unwrap();
    }
    let kept = sent.each_ref().map(|Delivery { envelope, .. }| {
        let end = envelope.len() - 10;
        &envelope[end - 60..end]
    });
    assert!(!holding(&net.data(), &kept).is_empty(), "they wait");
    net.client.acknowledge(&net.url, patient.signer(), 2, Vec::new()).await.unwrap();
    // What the server does by itself within a minute.
    let database = Connection::open(net.data().join("server.sqlite")).unwrap();
    let tidied = "PRAGMA wal_checkpoint(TRUNCATE)";
    assert_eq!(database.query_row(tidied, [], |row| row.get::<_, bool>(0)), Ok(false));
    assert_eq!(holding(&net.data(), &kept), []);
}
