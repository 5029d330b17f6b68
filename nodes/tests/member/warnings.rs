//! A key that changed without a word of the old one.

use hdms::Error;
use hdms::card::Role;
use serde_json::json;

use crate::common::{id, keys};
use crate::scene::Scene;

#[tokio::test(flavor = "multi_thread")]
async fn another_node_under_a_known_name_is_warned_of_until_somebody_has_seen_it() {
    let mut scene = Scene::set().await;
    let before = scene.net.hospital(1).await;
    scene.hospital().refresh().await.unwrap();
    scene.net.operator().revoke(before.id.clone(), "It lost its keys").await.unwrap();
    scene.net.until(|trust| trust.node(&before.id).is_err()).await;
    scene.hospital().refresh().await.unwrap();
    assert_eq!(scene.his.get("/api/warnings").await.body, json!({ "warnings": [] }));
    scene.stop_hospital().await;
    let mut request = scene.net.request(keys(2), Role::Institution, "St. Elsewhere 1").await;
    request.endpoint.clone_from(&before.card.card().endpoint);
    assert_eq!(scene.net.ask(keys(2), &request).await, Err(Error::AdmissionPending));
    scene.net.operator().admit(request.iss.clone()).await.unwrap();
    scene.net.until(|trust| trust.node(&request.iss).is_ok()).await;

    scene.start_hospital().await.unwrap();
    let warnings = scene.his.get("/api/warnings").await.body["warnings"].clone();
    assert_eq!(warnings.as_array().unwrap().len(), 1);
    assert_eq!(warnings[0]["node"], id(keys(2)).to_string());
    assert_eq!(warnings[0]["former"], before.id.to_string());
    assert_eq!(warnings[0]["name"], "St. Elsewhere 1");
    scene.stop_hospital().await;
    scene.start_hospital().await.unwrap();
    assert_eq!(scene.his.get("/api/warnings").await.body["warnings"], warnings);

    let path = format!("/api/warnings/{}/dismissal", request.iss);
    for _ in 0..2 {
        assert_eq!(scene.his.post(&path, "").await.status, 204);
    }
    scene.stop_hospital().await;
    scene.start_hospital().await.unwrap();
    assert_eq!(scene.his.get("/api/warnings").await.body, json!({ "warnings": [] }));
    let unknown = scene.his.post("/api/warnings/nobody/dismissal", "").await;
    assert_eq!((unknown.status, unknown.code()), (404, "network/unknown-node"));
}
