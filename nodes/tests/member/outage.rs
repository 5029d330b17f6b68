//! Without the server: what was known before is enough for a while, also after a restart.

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::routing::{get, post};
use axum::{Json, Router};
use hdms::Error;
use hdms::treatment::patient::Phase;
use hdms_nodes::base::http::client::Client;
use hdms_nodes::base::http::problem::{MEDIA_TYPE, Problem, ProblemDocument};
use hdms_nodes::base::http::reach::Reach;
use hdms_nodes::base::system::NodeClock;

use crate::scene::{Scene, listen};
use crate::stage::until;

#[tokio::test(flavor = "multi_thread")]
async fn a_hospital_starts_and_works_while_the_server_is_away() {
    let mut scene = Scene::set().await;
    scene.net.stop_server().await;
    scene.stop_hospital().await;
    scene.start_hospital().await.unwrap();
    let case = scene.ask().await;
    scene.his.approve(&case).await;
    let receipt = |view: &serde_json::Value| view["ledger"][0]["receipt"].is_object();
    scene.his.until(&case, receipt).await;
    scene.hospital_until(|view| view["waiting"] == 1).await;
    scene.net.start_again(|_| ()).await;
    // Longer than any pause so far.
    scene.net.clock.advance(60_000);
    until(scene.node(), &case, |case| case.phase == Phase::Approved).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn older_documents_are_refused_also_after_a_restart() {
    let mut scene = Scene::set().await;
    let (url, id) = (scene.net.url.clone(), scene.hospital().node().id().clone());
    let older = scene.net.client.network(&url, None, 0).await.unwrap().unwrap().documents;
    let other = scene.net.hospital(1).await;
    scene.hospital().refresh().await.unwrap();
    let known = scene.hospital().node().trust().map_number();
    scene.net.stop_server().await;
    scene.stop_hospital().await;

    let (listener, _) = listen(url.trim_start_matches("http://")).await;
    let offered = Router::new().route("/network", get(async move || Json(older)));
    let server = tokio::spawn(axum::serve(listener, offered).into_future());
    scene.start_hospital().await.unwrap();
    assert_eq!(scene.hospital().refresh().await, Err(Error::NetworkRollback));
    let trust = scene.hospital().node().trust();
    assert_eq!((trust.map_number(), trust.node(&other.id).is_ok()), (known, true));
    assert_eq!(*scene.hospital().node().id(), id);
    server.abort();
}

#[tokio::test]
async fn no_code_ends_what_was_sent_when_it_comes_with_a_server_error() {
    let client = Client::new(NodeClock::default(), Reach::Local).unwrap();
    for (status, heard) in [(400, Error::Expired), (503, Error::NetworkUnreachable)] {
        let (listener, url) = listen("127.0.0.1:0").await;
        let document = Json(ProblemDocument::from(Problem::from(Error::Expired)));
        let status = StatusCode::from_u16(status).unwrap();
        let answer = async move || (status, [(CONTENT_TYPE, MEDIA_TYPE)], document);
        let node = Router::new().route("/inbox", post(answer));
        let node = tokio::spawn(axum::serve(listener, node).into_future());
        let refused = client.send_envelope(&url, "a.b.c.d.e".into()).await.unwrap_err();
        assert_eq!(refused.error, heard);
        node.abort();
    }
}
