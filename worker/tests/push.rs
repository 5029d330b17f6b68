//! A node woken by push, in a service worker: what it does, shows and tells the server, and what it
//! gives up of what came and of what it has sent.
#![cfg(target_arch = "wasm32")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/device.rs"]
mod device;
mod support;

use device::{Device, VAPID, case};
use hdms::Error;
use hdms::provider::Table;
use hdms_worker::commands::{Command, PushOptions};
use hdms_worker::requests::wake;
use hdms_worker::views::PushState;
use serde_json::{Value, json};
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_service_worker);

const ANSWERED: &str = "A hospital has answered your request";
const BODY: &str = "Open your health node to look at it.";
const SUBSCRIPTIONS: &str = "/mailbox/subscriptions";
const REMOVAL: &str = "/mailbox/subscriptions/removal";

fn payload(seq: u64, envelope: &str) -> Vec<u8> {
    json!({"seq": seq, "envelope": envelope}).to_string().into_bytes()
}

fn notification(title: &str, seq: u64) -> Value {
    json!([title, BODY, format!("hdms-{seq}"), format!("./#/cases/{}", case())])
}

async fn phase(device: &Device) -> Value {
    let view = device.worker.execute("", Command::Case(case().to_string())).await.unwrap();
    let text = js_sys::JSON::stringify(&view).unwrap().as_string().unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["phase"]["kind"].clone()
}

async fn contact(device: &Device) {
    device.worker.execute("", Command::Sync).await.unwrap();
    device.worker.follow_up().await;
}

async fn subscribe(device: &Device, firebase_token: Option<&str>) -> Result<(), hdms::Error> {
    let firebase_token = firebase_token.map(str::to_owned);
    let command = Command::SubscribePush(PushOptions { firebase_token });
    device.worker.execute("", command).await.map(drop)
}

async fn push_state(device: &Device) -> PushState {
    device.worker.status().await.unwrap().push
}

/// The ids of what the server was told.
fn known(device: &Device) -> Vec<String> {
    let read = |told| serde_json::from_value::<hdms::push::Subscription>(told).unwrap().id();
    device.told(SUBSCRIPTIONS).into_iter().map(read).collect()
}

#[wasm_bindgen_test]
async fn a_pushed_message_takes_effect_once_and_each_push_shows_the_same() {
    let mut device = Device::new().await;
    let [approval, _] = device.envelopes().await;
    device.is_offline();
    assert!(device.worker.woken(&payload(1, &approval)).await);
    assert_eq!(phase(&device).await, "approved");
    let rows = device.count(Table::Inbox).await;
    device.restart().await;
    assert!(device.worker.woken(&payload(1, &approval)).await);
    assert_eq!(device.shown(), json!([notification(ANSWERED, 1), notification(ANSWERED, 1)]));
    assert_eq!(
        (device.count(Table::Inbox).await, device.count(Table::Quarantine).await),
        (rows, 0)
    );
    // The mailbox has it, too.
    device.has_mail(&[&approval], &[]);
    contact(&device).await;
    assert_eq!(device.told("/mailbox/acknowledgement"), [json!({"upto": 1})]);
    assert_eq!(
        (device.count(Table::Inbox).await, device.count(Table::Quarantine).await),
        (rows, 0)
    );
}

#[wasm_bindgen_test]
async fn a_wake_up_fetches_acknowledges_and_shows_what_came() {
    let mut device = Device::new().await;
    let [approval, data_request] = device.envelopes().await;
    device.has_mail(&[&approval, &data_request], &[]);
    assert!(device.worker.woken(br#"{"data":{"wake":"0190"},"from":"1"}"#).await);
    let asks = notification("A hospital asks for health data", 2);
    assert_eq!(device.shown(), json!([asks, notification(ANSWERED, 1)]));
    assert_eq!(device.told("/mailbox/acknowledgement"), [json!({"upto": 2})]);
}

#[wasm_bindgen_test]
async fn what_is_pushed_and_refused_is_left_to_the_mailbox_and_set_aside_there() {
    let mut device = Device::new().await;
    let [approval, _] = device.envelopes().await;
    let altered = approval.replacen('.', ".A", 1);
    device.is_offline();
    assert!(!device.worker.woken(&payload(1, &altered)).await);
    assert_eq!(device.count(Table::Quarantine).await, 0);
    device.has_mail(&[&altered], &[]);
    assert!(device.worker.woken(&payload(1, &altered)).await);
    let aside = json!(["A message was set aside", BODY, "hdms-1", "./#/node"]);
    assert_eq!(device.shown(), json!([aside]));
    assert_eq!(device.count(Table::Quarantine).await, 1);
    assert_eq!(phase(&device).await, "requested");
}

#[wasm_bindgen_test]
async fn what_is_kept_in_hope_is_given_up_when_its_time_is_over_and_the_server_is_told_once() {
    let mut device = Device::new().await;
    // The hospital's clock is a day ahead.
    device.world.providers.clock.advance(24 * 3600 * 1000);
    let [approval, _] = device.envelopes().await;
    device.has_mail(&[&approval], &[]);
    assert!(device.worker.woken(&payload(1, &approval)).await);
    contact(&device).await;
    device.has_mail(&[], &[]);
    assert_eq!(device.count(Table::Quarantine).await, 1);
    let acknowledged = || device.told("/mailbox/acknowledgement");
    assert!(acknowledged().iter().all(|told| *told == json!({"upto": 1})), "{:?}", acknowledged());
    let before = acknowledged().len();

    device.days_later(32);
    for _ in 0..3 {
        contact(&device).await;
    }
    let refused = json!([{"seq": 1, "code": Error::NotYetValid.code()}]);
    assert_eq!(acknowledged()[before..], [json!({"upto": 0, "refused": refused})]);
    assert_eq!(device.count(Table::Quarantine).await, 0);
}

#[wasm_bindgen_test]
async fn what_a_hospital_refuses_for_good_or_as_too_old_is_not_sent_again() {
    const INBOX: &str = "https://hospital.example/inbox";
    let device = Device::new().await;
    let hospital = device.world.hospital.id().to_string();
    let refusals = [Error::SignatureInvalid, Error::Expired, Error::TooManyRequests];
    for (number, refusal) in refusals.into_iter().enumerate() {
        let problem = json!({"type": "", "title": "", "detail": "", "status": refusal.status(),
            "code": refusal.code()});
        device.answers(INBOX, problem);
        let case = format!("019b7985-7400-7000-8000-00000000001{number}");
        let request = json!({"reason": "Cough", "date": null, "mayRead": []});
        let asks = json!({"case": case, "hospital": hospital, "request": request});
        device
            .worker
            .execute("", Command::Ask(serde_json::from_value(asks).unwrap()))
            .await
            .unwrap();
        contact(&device).await;
        device.answers(INBOX, json!({"outcome": "applied"}));
        // As long as it may have been asked to wait.
        device.days_later(1 + number as u64);
        contact(&device).await;
        let is_permanent = refusal != Error::TooManyRequests;
        assert_eq!(
            device.told(INBOX).len(),
            number + if is_permanent { 1 } else { 2 },
            "{refusal}"
        );
        let waiting = device.answered(Command::Outbox).await;
        let mut waiting = waiting.as_array().unwrap().iter();
        let kept = waiting.find(|item| item["case"] == *case);
        let shown = kept.map(|item| (&item["refused"], &item["problem"]["code"]));
        assert_eq!(shown, is_permanent.then_some((&json!(true), &json!(refusal.code()))));
    }
}

#[wasm_bindgen_test]
async fn rubbish_only_wakes() {
    let device = Device::new().await;
    for rubbish in [&b""[..], b"null", b"\xff", b"{\"seq\":-1,\"envelope\":7}"] {
        // Nothing has come: it is left to the shim to show something.
        assert!(!device.worker.woken(rubbish).await);
    }
    assert_eq!((device.shown(), device.count(Table::Quarantine).await), (json!([]), 0));
}

#[wasm_bindgen_test]
async fn without_a_node_or_a_permission_nothing_is_said_to_be_shown() {
    let mut device = Device::new().await;
    let [approval, _] = device.envelopes().await;
    // The database of the exported function has no node.
    assert!(!wake(payload(1, &approval)).await);
    device.change("permitted", false.into());
    assert!(!device.worker.woken(&payload(1, &approval)).await);
    assert_eq!(phase(&device).await, "approved");
}

#[wasm_bindgen_test]
async fn what_comes_otherwise_is_shown_to_who_wants_to_be_woken_and_sees_no_page() {
    let mut device = Device::new().await;
    let [approval, data_request] = device.envelopes().await;
    device.has_mail(&[&approval], &[]);
    contact(&device).await;
    assert_eq!(device.shown(), json!([]));
    subscribe(&device, None).await.unwrap();
    device.change("pages", json!(["hidden", "visible"]));
    device.has_mail(&[&approval, &data_request], &known(&device));
    contact(&device).await;
    assert_eq!(device.shown(), json!([]));

    let mut device = Device::new().await;
    let [approval, data_request] = device.envelopes().await;
    device.change("pages", json!(["hidden"]));
    subscribe(&device, None).await.unwrap();
    device.has_mail(&[&approval, &data_request], &known(&device));
    contact(&device).await;
    let asks = notification("A hospital asks for health data", 2);
    assert_eq!(device.shown(), json!([asks, notification(ANSWERED, 1)]));
}

#[wasm_bindgen_test]
async fn a_subscription_is_told_once_and_outlives_the_worker() {
    let mut device = Device::new().await;
    subscribe(&device, None).await.unwrap();
    let told = device.told(SUBSCRIPTIONS);
    assert_eq!(told[0]["endpoint"], "https://push.test/1");
    device.has_mail(&[], &known(&device));
    device.restart().await;
    contact(&device).await;
    subscribe(&device, None).await.unwrap();
    assert_eq!(device.told(SUBSCRIPTIONS), told);
    assert!(matches!(push_state(&device).await, PushState::WebPush { since: Some(_) }));
}

#[wasm_bindgen_test]
async fn what_was_chosen_offline_is_told_at_the_next_contact() {
    let device = Device::new().await;
    device.is_offline();
    subscribe(&device, None).await.unwrap();
    assert_eq!(push_state(&device).await, PushState::WebPush { since: None });
    device.has_mail(&[], &[]);
    contact(&device).await;
    assert_eq!(known(&device).len(), 1);
    device.is_offline();
    device.worker.execute("", Command::UnsubscribePush).await.unwrap();
    assert_eq!(push_state(&device).await, PushState::None);
    assert!(!device.has_subscription());
    device.has_mail(&[], &known(&device));
    contact(&device).await;
    contact(&device).await;
    assert_eq!(device.told(REMOVAL), [json!({"id": known(&device)[0]})]);
}

#[wasm_bindgen_test]
async fn the_last_word_counts_though_a_browser_is_slow() {
    let device = Device::new().await;
    device.change("slowness", 100.into());
    let (on, off) = (subscribe(&device, None), device.worker.execute("", Command::UnsubscribePush));
    let (on, off) = futures_util::future::join(on, off).await;
    assert!(on.is_ok() && off.is_ok());
    assert_eq!(push_state(&device).await, PushState::None);
    assert!(!device.has_subscription());
    assert_eq!(device.told(REMOVAL), [json!({"id": known(&device)[0]})]);
    device.is_offline();
    subscribe(&device, None).await.unwrap();
    assert!(device.has_subscription());
    device.worker.execute("", Command::UnsubscribePush).await.unwrap();
    assert!(!device.has_subscription());
}

#[wasm_bindgen_test]
async fn a_subscription_is_renewed_when_dropped_or_of_another_key_or_about_to_expire() {
    let mut device = Device::new().await;
    subscribe(&device, None).await.unwrap();
    let first = known(&device);
    gloo_timers::future::TimeoutFuture::new(5).await;
    device.has_mail(&[], &[]);
    contact(&device).await;
    assert_eq!((known(&device).len(), device.told(REMOVAL)), (2, vec![]));

    device.changes_vapid(&VAPID.replacen('A', "B", 1)).await;
    device.has_mail(&[], &known(&device));
    device.restart().await;
    contact(&device).await;
    assert_eq!((known(&device).len(), device.told(REMOVAL).len()), (3, 1));
    assert_ne!(device.told(REMOVAL)[0]["id"], *first[0]);

    let days = |days: f64| json!(js_sys::Date::now() + days * 24.0 * 3600.0 * 1000.0);
    device.change("expires", days(6.0));
    device.worker.execute("", Command::UnsubscribePush).await.unwrap();
    subscribe(&device, None).await.unwrap();
    device.change("expires", days(8.0));
    device.has_mail(&[], &known(&device));
    contact(&device).await;
    device.has_mail(&[], &known(&device));
    contact(&device).await;
    assert_eq!(known(&device).len(), 5);
}

#[wasm_bindgen_test]
async fn a_token_that_the_server_dropped_waits_for_a_page_to_renew_it() {
    let mut device = Device::new().await;
    subscribe(&device, Some("token")).await.unwrap();
    assert!(matches!(push_state(&device).await, PushState::Firebase { since: Some(_) }));
    assert!(!device.has_subscription());
    gloo_timers::future::TimeoutFuture::new(5).await;
    device.has_mail(&[], &[]);
    for _ in 0..2 {
        contact(&device).await;
        device.restart().await;
    }
    assert_eq!(push_state(&device).await, PushState::Firebase { since: None });
    subscribe(&device, Some("other")).await.unwrap();
    let tokens: Vec<_> = device.told(SUBSCRIPTIONS).iter().map(|it| it["token"].clone()).collect();
    assert_eq!(tokens, ["token", "other"]);
}

#[wasm_bindgen_test]
async fn a_browser_that_does_not_allow_it_ends_the_wish_and_a_silent_service_does_not() {
    let device = Device::new().await;
    device.change("permitted", false.into());
    assert_eq!(subscribe(&device, None).await, Err(hdms::Error::PushBlocked));
    assert_eq!(push_state(&device).await, PushState::None);
    device.change("permitted", true.into());
    device.change("service", false.into());
    subscribe(&device, None).await.unwrap();
    assert_eq!(push_state(&device).await, PushState::WebPush { since: None });
    device.change("service", true.into());
    contact(&device).await;
    assert_eq!(known(&device).len(), 1);
}
