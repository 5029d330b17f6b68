//! Web push from the server: what is sent to push services, when, and what is not.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod browser;
#[path = "../common/mod.rs"]
mod common;
mod firebase;
mod restart;
mod stage;
mod subscriptions;

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use hdms::push::{MAX_PAYLOAD, PushMessage};
use hdms_push_services::{Firefox, StatusCode};
use stage::{QUIET, Stage, envelope, until};
use tokio::net::TcpListener;

fn enclosed(seq: u64, content: &str) -> PushMessage {
    PushMessage { seq: Some(seq), envelope: Some(envelope(content)) }
}

fn word(seq: u64) -> PushMessage {
    PushMessage { seq: Some(seq), envelope: None }
}

#[tokio::test]
async fn a_message_that_fits_travels_in_the_push_and_one_that_does_not_is_announced() {
    let stage = Stage::new().await;
    let (browser, google) = (stage.browser().await, stage.google.service());
    stage.deliver(&["small"]).await;
    until("the first push", async || browser.read(google).len() == 1).await;
    stage.acknowledge(1).await;
    stage.deliver(&[&"x".repeat(MAX_PAYLOAD)]).await;
    until("the second push", async || browser.read(google).len() == 2).await;
    assert_eq!(browser.read(google), [enclosed(1, "small"), word(2)]);
    for push in browser.received(google) {
        // What stands for Google has checked the sender's identity and the form of the content.
        assert_eq!(push.headers["urgency"], "high");
        assert_eq!(push.headers["ttl"], (28 * 24 * 3600).to_string());
        assert!(push.body.len() <= 4096);
    }
}

#[tokio::test]
async fn what_comes_together_or_soon_after_is_announced_once() {
    let stage = Stage::new().await;
    let (browser, google) = (stage.browser().await, stage.google.service());
    stage.deliver(&["1", "2", "3"]).await;
    until("the first push", async || browser.read(google).len() == 1).await;
    let first = Instant::now();
    stage.deliver(&["4"]).await;
    stage.deliver(&["5"]).await;
    until("the second push", async || browser.read(google).len() == 2).await;
    assert!(first.elapsed() > Duration::from_millis(1500), "a flood is not shown as one");
    stage.deliver(&["6"]).await;
    until("the third push", async || browser.read(google).len() == 3).await;
    assert_eq!(browser.read(google), [word(3), word(5), enclosed(6, "6")]);
    let topics: Vec<_> = browser.received(google).iter().map(topic).collect();
    assert_eq!(topics[0], topics[1], "a word takes the place of the one before");
    assert_eq!(topics[2], None, "a message takes nothing's place");
}

fn topic(push: &hdms_push_services::PushRequest) -> Option<String> {
    Some(push.headers.get("topic")?.to_str().unwrap().to_owned())
}

#[tokio::test]
async fn many_that_wait_for_a_browser_that_is_away_take_each_others_place() {
    let stage = Stage::new().await;
    let (browser, google) = (stage.stranger().await, stage.google.service());
    stage.deliver(&["x"; 20]).await;
    stage.subscribe(&browser.subscription).await;
    until("the first push", async || browser.read(google).len() == 1).await;
    stage.deliver(&["21st"]).await;
    until("the second push", async || browser.read(google).len() == 2).await;
    assert_eq!(browser.read(google), [word(20), word(21)]);
}

#[tokio::test]
async fn each_of_several_browsers_is_told_and_a_silent_service_keeps_no_other_waiting() {
    let stage = Stage::with(|push| push.private = true).await;
    let firefox = Firefox::start().await.unwrap();
    // Takes connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut nobody = stage.stranger().await.expiring(u64::MAX);
    if let hdms::push::Subscription::WebPush { endpoint, .. } = &mut nobody {
        *endpoint = format!("http://{}/", silent.local_addr().unwrap());
    }
    stage.subscribe(&nobody).await;
    let chromium = stage.browser().await;
    let firefoxes = [stage.firefox(&firefox).await, stage.firefox(&firefox).await];
    let start = Instant::now();
    stage.deliver(&["to all"]).await;
    until("a push to Chromium", async || {
        chromium.read(stage.google.service()) == [enclosed(1, "to all")]
    })
    .await;
    for browser in &firefoxes {
        until("a push to Firefox", async || {
            browser.read(firefox.service()) == [enclosed(1, "to all")]
        })
        .await;
    }
    assert!(start.elapsed() < Duration::from_secs(8), "sooner than the silent one is given up");
    assert_eq!(stage.standing().await.len(), 4);
}

#[tokio::test]
async fn a_push_that_fails_for_now_is_tried_again_and_not_sooner_than_the_service_asks() {
    let stage = Stage::new().await;
    let (browser, google) = (stage.browser().await, stage.google.service());
    google.fail_next(1, StatusCode::TOO_MANY_REQUESTS, Some(3));
    let start = Instant::now();
    stage.deliver(&["first"]).await;
    until("the push", async || browser.read(google).len() == 1).await;
    assert!(start.elapsed() >= Duration::from_secs(3));
    stage.acknowledge(1).await;
    google.fail_next(2, StatusCode::INTERNAL_SERVER_ERROR, None);
    stage.deliver(&["second"]).await;
    until("the next push", async || browser.read(google).len() == 2).await;
    assert_eq!(browser.read(google), [enclosed(1, "first"), enclosed(2, "second")]);
    assert_eq!(google.requests().len(), 5);
}

#[tokio::test]
async fn a_push_that_is_refused_for_good_is_not_sent_again_and_the_next_one_is() {
    let stage = Stage::new().await;
    let (browser, google) = (stage.browser().await, stage.google.service());
    for (count, status) in [(1, StatusCode::BAD_REQUEST), (2, StatusCode::PAYLOAD_TOO_LARGE)] {
        google.fail_next(1, status, None);
        stage.deliver(&["refused"]).await;
        until("the request", async || google.requests().len() == count).await;
    }
    tokio::time::sleep(QUIET).await;
    assert_eq!(google.requests().len(), 2);
    stage.deliver(&["taken"]).await;
    until("the next push", async || browser.read(google) == [enclosed(3, "taken")]).await;
    assert_eq!(stage.standing().await, [browser.id()]);
}

#[tokio::test]
async fn what_is_acknowledged_before_it_leaves_is_not_pushed() {
    let stage = Stage::new().await;
    let (_browser, google) = (stage.browser().await, stage.google.service());
    google.fail_next(1, StatusCode::SERVICE_UNAVAILABLE, None);
    stage.deliver(&["read meanwhile"]).await;
    until("the request", async || google.requests().len() == 1).await;
    stage.acknowledge(1).await;
    tokio::time::sleep(QUIET).await;
    assert_eq!(google.requests().len(), 1);
}

#[tokio::test]
async fn a_node_that_listens_is_pushed_to_only_what_it_does_not_acknowledge() {
    let stage = Stage::new().await;
    let (browser, google) = (stage.browser().await, stage.google.service());
    let bells = stage.net.client.listen(&stage.net.url, stage.patient.signer(), 0).await.unwrap();
    let mut bells = Box::pin(bells);
    let seq = stage.deliver(&["seen at once"]).await;
    bells.next().await.unwrap().unwrap();
    stage.acknowledge(seq).await;
    tokio::time::sleep(QUIET).await;
    assert_eq!(google.requests().len(), 0);
    stage.deliver(&["not seen"]).await;
    until("the push", async || browser.read(google) == [enclosed(2, "not seen")]).await;
}
