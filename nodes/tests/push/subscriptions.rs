//! Which subscriptions stand, and which are refused.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::response::Redirect;
use axum::routing::{any, post};
use futures_util::stream;
use hdms::Error;
use hdms::card::Role;
use hdms::push::Subscription;
use rusqlite::Connection;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use crate::common::{keys, problem};
use crate::enclosed;
use crate::stage::{self, Stage, until, vapid};

#[tokio::test]
async fn one_that_its_push_service_no_longer_knows_is_dropped_and_the_node_told() {
    let stage = Stage::new().await;
    let (old, google) = (stage.browser().await, stage.google.service());
    assert_eq!(stage.standing().await, [old.id()]);
    google.expire();
    stage.deliver(&["nobody is there"]).await;
    until("dropped", async || stage.standing().await.is_empty()).await;
    let new = stage.browser().await;
    until("the push", async || new.read(google) == [enclosed(1, "nobody is there")]).await;
    assert_eq!(stage.standing().await, [new.id()]);
}

#[tokio::test]
async fn nothing_that_everybody_may_read_names_a_personal_node_or_where_it_is_woken() {
    let mut stage = Stage::new().await;
    let pages = tempfile::tempdir().unwrap();
    std::fs::write(pages.path().join("index.html"), "<!doctype html>").unwrap();
    let folder = pages.path().to_owned();
    stage.net.restart_with(|config| config.pages = Some(folder)).await;
    let keys = keys(1);
    let person = stage.net.request(keys, Role::Personal, "").await;
    stage.net.ask(keys, &person).await.unwrap();
    let browser = stage.stranger().await;
    stage.subscribe(&browser.subscription).await;
    let (key, seal) = keys.public();
    let Subscription::WebPush { endpoint, .. } = &browser.subscription else { panic!() };
    let secrets = [
        stage.patient.id.to_string(),
        seal.thumbprint(),
        serde_json::to_value(key).unwrap()["n"].as_str().unwrap().to_owned(),
        browser.id(),
        endpoint.rsplit('/').next().unwrap().to_owned(),
    ];
    for path in ["/network", "/network/root", "/network.json", "/", "/mailbox", "/doorman/answers"]
    {
        let answer = reqwest::get(format!("{}{path}", stage.net.url)).await.unwrap();
        let text = answer.text().await.unwrap();
        // Signed documents are read as those read them who look for somebody.
        let parts = text.split(['.', '"']).filter_map(hdms::base64url::decode);
        let parts = parts.map(|part| String::from_utf8_lossy(&part).into_owned());
        let cards: Vec<_> = parts.collect();
        let nested = cards.iter().flat_map(|part| part.split(['.', '"']));
        let nested = nested.filter_map(hdms::base64url::decode);
        let nested: Vec<_> = nested.map(|it| String::from_utf8_lossy(&it).into_owned()).collect();
        let all = [vec![text], cards, nested].concat().join("\n");
        assert_eq!(all.contains("St. Elsewhere"), path == "/network", "it looks where cards are");
        for secret in &secrets {
            assert!(!all.contains(secret), "{path}: {secret}");
        }
    }
}

#[tokio::test]
async fn one_that_has_expired_is_not_sent_to() {
    let stage = Stage::new().await;
    let browser = stage.stranger().await;
    let expiry = stage.net.now().seconds() + 60;
    stage.subscribe(&browser.expiring(expiry)).await;
    assert_eq!(stage.standing().await, [browser.id()]);
    stage.net.clock.advance(60_000);
    assert!(stage.standing().await.is_empty());
    let other = stage.browser().await;
    stage.deliver(&["mail"]).await;
    let google = stage.google.service();
    until("the other's push", async || other.read(google).len() == 1).await;
    assert!(browser.read(google).is_empty());
}

#[tokio::test]
async fn a_ninth_takes_the_place_of_the_oldest_and_a_renewed_one_is_new() {
    let stage = Stage::new().await;
    let mut browsers = Vec::new();
    for _ in 0..8 {
        browsers.push(stage.browser().await);
    }
    stage.subscribe(&browsers[0].subscription).await;
    let ninth = stage.browser().await;
    let mut left: Vec<_> = browsers[2..].iter().map(|browser| browser.id()).collect();
    left.extend([browsers[0].id(), ninth.id()]);
    assert_eq!(stage.standing().await, left);
}

#[tokio::test]
async fn only_its_owner_removes_one_and_a_browser_is_only_one_nodes() {
    let stage = Stage::new().await;
    let browser = stage.browser().await;
    stage.remove(&stage.hospital, browser.id()).await;
    stage.remove(&stage.patient, "unknown".into()).await;
    assert_eq!(stage.standing().await, [browser.id()]);
    stage.remove(&stage.patient, browser.id()).await;
    assert!(stage.standing().await.is_empty());

    stage.subscribe(&browser.subscription).await;
    let next = stage.net.person(2).await;
    let path = "/mailbox/subscriptions";
    assert_eq!(stage::post(&stage.net, &next, path, &browser.subscription).await.status(), 204);
    assert!(stage.standing().await.is_empty(), "whoever has the browser now");
}

#[tokio::test]
async fn a_revoked_node_is_not_pushed_to() {
    let stage = Stage::new().await;
    let (browser, google) = (stage.browser().await, stage.google.service());
    // Long enough for the operator on a busy machine.
    google.fail_next(1, hdms_push_services::StatusCode::SERVICE_UNAVAILABLE, Some(5));
    stage.deliver(&["sent before"]).await;
    until("the request", async || google.requests().len() == 1).await;
    stage.net.operator().revoke(stage.patient.id.clone(), "closed").await.unwrap();
    tokio::time::sleep(Duration::from_secs(5) + crate::QUIET).await;
    assert!(browser.read(google).is_empty());
}

#[tokio::test]
async fn endpoints_that_lead_anywhere_but_to_a_public_push_service_are_refused() {
    let stage = Stage::new().await;
    let key = vapid(&stage.net).await;
    let auth = hdms::base64url::encode([1; 16]);
    for endpoint in [
        "http://push.example.net/1",
        "https://127.0.0.1/1",
        "https://[::1]/1",
        "https://169.254.169.254/latest/meta-data",
        "https://localhost/1",
        "https://user:password@push.example.net/1",
        "file:///etc/passwd",
        "",
    ] {
        let subscription =
            json!({"kind": "webpush", "endpoint": endpoint, "p256dh": key, "auth": auth});
        refused(&stage, &subscription, Error::PushSubscriptionRefused).await;
    }
    let good = "https://push.example.net/1";
    let no_point = hdms::base64url::encode([4; 65]);
    for (p256dh, auth) in [(&no_point, &auth), (&auth, &auth), (&key, &key)] {
        let subscription =
            json!({"kind": "webpush", "endpoint": good, "p256dh": p256dh, "auth": auth});
        refused(&stage, &subscription, Error::PushSubscriptionRefused).await;
    }
    let firebase = Subscription::Firebase { token: "token".into() };
    let firebase = serde_json::to_value(firebase).unwrap();
    refused(&stage, &firebase, Error::PushSubscriptionRefused).await;
    refused(&stage, &json!({"kind": "pigeon"}), Error::CommandMalformed).await;
    assert!(stage.standing().await.is_empty());
}

async fn refused(stage: &Stage, subscription: &serde_json::Value, error: Error) {
    let path = "/mailbox/subscriptions";
    let answer = stage::post(&stage.net, &stage.patient, path, subscription).await;
    assert_eq!(problem(answer).await.1, error.code(), "{subscription}");
}

#[tokio::test]
async fn a_push_service_leads_the_server_nowhere_and_keeps_it_no_longer_than_its_status() {
    let followed = Arc::new(AtomicBool::new(false));
    let inside = followed.clone();
    let elsewhere = async || Redirect::temporary("/inside");
    let endless = async || Body::from_stream(stream::repeat(Ok::<_, Infallible>("x".repeat(999))));
    let router = Router::new()
        .route("/elsewhere", post(elsewhere))
        .route("/endless", post(endless))
        .route("/inside", any(async move || inside.store(true, Ordering::Relaxed)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let _serving =
        AbortOnDropHandle::new(tokio::spawn(async { axum::serve(listener, router).await }));

    let stage = Stage::with(|push| push.private = true).await;
    let key = vapid(&stage.net).await;
    for path in ["elsewhere", "endless"] {
        let endpoint = format!("{base}/{path}");
        let (p256dh, auth) = (key.clone(), hdms::base64url::encode([1; 16]));
        let subscription = Subscription::WebPush { endpoint, p256dh, auth, expires: None };
        stage.subscribe(&subscription).await;
    }
    let start = Instant::now();
    stage.deliver(&["mail"]).await;
    let database = Connection::open(stage.net.data().join("server.sqlite")).unwrap();
    let sql = "SELECT count(*) FROM subscriptions WHERE pushed = 1";
    let settled = || database.query_row(sql, [], |row| row.get::<_, u64>(0)).unwrap();
    until("both are done with", async || settled() == 2).await;
    assert!(start.elapsed() < Duration::from_secs(8), "sooner than a silent one is given up");
    assert!(!followed.load(Ordering::Relaxed));
}

#[tokio::test]
async fn whoever_is_no_member_can_not_subscribe() {
    let stage = Stage::new().await;
    let browser = stage.stranger().await;
    let url = format!("{}/mailbox/subscriptions", stage.net.url);
    let body = serde_json::to_vec(&browser.subscription).unwrap();
    let answer = reqwest::Client::new().post(url).body(body).send().await.unwrap();
    assert_eq!(problem(answer).await, (401, Error::RequestProofInvalid.code().into()));
}
