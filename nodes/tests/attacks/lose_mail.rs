//! Somebody wants a message of somebody else's to be lost: by filling what all share.

use hdms::envelope::{self, Message, MessageType};
use hdms::ids::CaseId;
use hdms::node::{MOST_REFUSALS, Platform};
use hdms_nodes::base::system::{SystemClock, SystemRandomness};
use serde_json::json;

use crate::stage::{His, Stage};

/// Ids of what the hospital shows as refused.
async fn shown(his: &His) -> Vec<String> {
    let quarantined = his.get("/api/quarantine?limit=1000").await.body;
    let all = quarantined["quarantined"].as_array().unwrap().iter();
    all.map(|one| one["id"].as_str().unwrap().to_owned()).collect()
}

/// What the patient's node seals to the hospital, and the hospital will refuse.
async fn refused_message(stage: &Stage) -> String {
    let (node, hospital) = (stage.node(), stage.hospital());
    let (from, to) = (node.card(), node.card_of(hospital).await.unwrap());
    let case = CaseId::new(&SystemClock, &SystemRandomness).unwrap();
    let (kind, body) = (MessageType::TreatmentRequest, json!({"record": "x"}));
    let outbound = Message { from: &from, to: &to, case: &case, kind, body };
    let p = node.platform();
    let sealed = envelope::seal(outbound, p.keys(), p.primitives(), p.clock(), p.randomness());
    sealed.await.unwrap().1
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_anonymous_posts_keeps_no_refusal_of_an_honest_patient_from_being_shown() {
    let stage = Stage::set().await;
    for number in 0..1_100 {
        let answer = stage.his.post("/inbox", format!("junk {number}")).await;
        assert_eq!(answer.code(), "envelope/malformed");
    }
    assert_eq!(shown(&stage.his).await.len(), MOST_REFUSALS, "of one address so much is kept");

    let message = refused_message(&stage).await;
    let id = hdms::base64url::digest(message.as_bytes());
    let answer = stage.his.post("/inbox", message).await;
    assert_eq!(answer.code(), "envelope/body");
    assert!(shown(&stage.his).await.contains(&id), "a patient has room of his own");
}
