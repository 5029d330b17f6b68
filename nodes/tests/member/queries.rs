//! A hospital asks the notary about what a patient shared with it.

use hdms::ids::{CaseId, EntryId, MessageId};
use hdms::node::Platform;
use hdms::node::patient::RecordName;
use hdms::provider::{Store, Table, Write};
use hdms::record::sdjwt::Parts;
use hdms::record::{Record, Selection};
use hdms::treatment::message::SharedRecord;
use serde_json::Value;

use crate::scene::Scene;
use crate::stage::until;

/// Shares these results with a new case. Answers the case and the request for data.
async fn shared(scene: &Scene, names: &[RecordName]) -> (CaseId, MessageId) {
    let case = scene.approved().await;
    let body = r#"{"resources":["Observation"],"purpose":"To compare"}"#;
    let asked = scene.his.post(&format!("/api/cases/{case}/data-requests"), body).await;
    let asked: MessageId = asked.body["id"].as_str().unwrap().parse().unwrap();
    until(scene.node(), &case, |case| !case.data_requests.is_empty()).await;
    scene.node().share(&case, &asked, names).await.unwrap();
    scene.his.until(&case, |view| view["dataRequests"][0]["answer"]["kind"] == "answered").await;
    (case, asked)
}

async fn outcomes(scene: &Scene, case: &CaseId) -> Vec<Value> {
    let answer = scene.his.post(&format!("/api/cases/{case}/verification"), "").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let records = answer.body["records"].as_array().unwrap().iter();
    records.map(|record| record["outcome"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_notary_confirms_what_was_logged_and_a_record_with_another_receipt_differs() {
    let scene = Scene::set().await;
    let case = scene.approved().await;
    let first: EntryId = scene.treat(&case).await;
    let second: EntryId = scene.treat(&case).await;
    let names = [first, second].map(|entry| RecordName { case: case.clone(), entry });
    let own = hdms::json::parse(crate::stage::RESULT.as_bytes()).unwrap();
    let own = scene.node().add_record(own).await.unwrap();
    let [one, other] = names;
    let (case, request) = shared(&scene, &[one, other, own]).await;
    assert_eq!(outcomes(&scene, &case).await, ["agrees", "agrees"]);

    // As if the notary kept another key than it had proven: only what the hospital holds is altered.
    let store = scene.hospital().node().platform().store();
    let mut records: Vec<SharedRecord> =
        scene.hospital().node().shared(&case, &request).await.unwrap();
    records[0].receipt = records[1].receipt.clone();
    let key = format!("shared/{case}/{request}");
    let value = serde_json::to_vec(&records).unwrap();
    store.commit(vec![Write::Put { table: Table::Records, key, value }]).await.unwrap();
    assert_eq!(outcomes(&scene, &case).await, ["differs", "agrees"]);

    let notary = scene.notary.member().id().clone();
    scene.net.operator().revoke(notary.clone(), "closed").await.unwrap();
    let trust = || scene.hospital().node().trust();
    scene.hospital_until(|_| trust().node(&notary).is_err()).await;
    let answer = scene.his.post(&format!("/api/cases/{case}/verification"), "").await;
    for record in answer.body["records"].as_array().unwrap() {
        assert_eq!(record["outcome"], "unanswered", "{record}");
        assert_eq!(record["problem"]["code"], "card/revoked", "{record}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_record_that_cant_be_opened_fails_alone_and_its_author_keeps_its_name() {
    let scene = Scene::set().await;
    let case = scene.approved().await;
    let names = [scene.treat(&case).await, scene.treat(&case).await];
    let names = names.map(|entry| RecordName { case: case.clone(), entry });
    let (case, request) = shared(&scene, &names).await;
    let node = scene.hospital().node();
    let name = node.card().card().name.clone();
    scene.net.operator().revoke(node.id().clone(), "closed").await.unwrap();
    scene.hospital_until(|_| node.trust().node(node.id()).is_err()).await;

    let mut records: Vec<SharedRecord> = node.shared(&case, &request).await.unwrap();
    // As if the patient had shown the content without saying that this is all.
    let whole = Record::parse(Parts::parse(&records[0].record).unwrap().presented).unwrap();
    let part = whole.select(Selection::Whole(&["/fhir".into()])).unwrap();
    records[0].record = part.into();
    let (jwt, disclosures) = records[1].record.split_once('~').unwrap();
    let unsigned = jwt.rsplit_once('.').unwrap().0;
    records[1].record = format!("{unsigned}.AAAA~{disclosures}");
    let key = format!("shared/{case}/{request}");
    let value = serde_json::to_vec(&records).unwrap();
    let write = Write::Put { table: Table::Records, key, value };
    node.platform().store().commit(vec![write]).await.unwrap();
    let answer = scene.his.get(&format!("/api/cases/{case}/shared")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let [good, bad] = [0, 1].map(|place| answer.body["shared"][0]["records"][place].clone());
    assert!(good["fhir"].is_string() && good["problem"].is_null(), "{good}");
    assert_eq!((&good["part"], &bad["part"]), (&true.into(), &false.into()));
    assert!(bad["fhir"].is_null(), "{bad}");
    assert_eq!(bad["problem"]["code"], "record/signature");
    for record in [good, bad] {
        assert_eq!(record["authorName"], name);
        assert_eq!(record["authorListed"], false);
    }
    assert_eq!(outcomes(&scene, &case).await.len(), 2);
}
