//! The way by Firebase, and what is told to whom.

use std::io::Write;
use std::sync::{Arc, Mutex};

use hdms::push::Subscription;
use hdms_nodes::server::{FirebaseConfig, PushConfig};
use hdms_push_services::{Google, StatusCode};
use reqwest::Client;
use serde_json::{Value, json};

use crate::common::{JsonBody, Net};
use crate::stage::{Stage, config, envelope, until};

fn with_firebase(google: &Google) -> PushConfig {
    let firebase = google.firebase();
    let app = serde_json::from_value(firebase.web_config()).unwrap();
    let credentials = firebase.key_file().unwrap().to_string();
    PushConfig { firebase: Some(FirebaseConfig { app, credentials }), ..config(google) }
}

async fn stage() -> Stage {
    let google = Google::start().await.unwrap();
    let push = with_firebase(&google);
    let net = Net::start_with(|config| config.push = push).await;
    let (hospital, patient) = (net.hospital(0).await, net.person(1).await);
    Stage { net, google, hospital, patient }
}

/// Registers a browser as Firebase's SDK does; answers the token.
async fn register(google: &Google) -> Subscription {
    let config = google.firebase().web_config();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let key = text(&config["vapidKey"]);
    let project = format!("{}/v1/projects/{}", google.url(), text(&config["projectId"]));
    let post = |path: &str, body: Value| {
        let request = Client::new().post(format!("{project}/{path}"));
        let request = request.header("x-goog-api-key", text(&config["apiKey"]));
        request.header("content-type", "application/json").body(body.to_string())
    };
    let installed = post("installations", json!({"fid": "browser"})).send().await.unwrap();
    let installed: Value = installed.json_body().await;
    let proof = format!("FIS {}", text(&installed["authToken"]["token"]));
    let endpoint = google.service().subscribed(&key).unwrap();
    let web = json!({"endpoint": format!("https://fcm.googleapis.com/fcm/send/{endpoint}"),
        "p256dh": key, "auth": hdms::base64url::encode([1; 16]), "applicationPubKey": key});
    let registered = post("registrations", json!({"web": web}));
    let registered = registered.header("x-goog-firebase-installations-auth", proof);
    let registered: Value = registered.send().await.unwrap().json_body().await;
    Subscription::Firebase { token: text(&registered["token"]) }
}

#[tokio::test]
async fn by_firebase_nothing_travels_but_the_word_that_something_waits() {
    let stage = stage().await;
    let firebase = stage.google.firebase();
    let subscription = register(&stage.google).await;
    stage.subscribe(&subscription).await;
    firebase.fail_next(1, StatusCode::SERVICE_UNAVAILABLE, None);
    stage.deliver(&["small"]).await;
    until("taken", async || stage.google.service().waiting() == 1).await;
    let messages = firebase.messages();
    assert_eq!(messages.len(), 2, "once in vain");
    for message in &messages {
        let sent = message["message"].as_object().unwrap();
        let keys: Vec<_> = sent.keys().map(String::as_str).collect();
        assert_eq!(keys, ["token", "data", "webpush"]);
        let wake = sent["data"]["wake"].as_str().unwrap();
        assert_eq!((wake.len(), wake.matches('-').count()), (36, 4));
        assert_eq!(sent["data"].as_object().unwrap().len(), 1);
        assert_eq!(sent["webpush"]["headers"]["Urgency"], "high");
        assert_eq!(sent["webpush"]["headers"]["TTL"], "2419200");
    }
    assert_ne!(messages[0]["message"]["data"], messages[1]["message"]["data"]);
}

#[tokio::test]
async fn a_token_that_firebase_no_longer_knows_is_dropped() {
    let stage = stage().await;
    let subscription = register(&stage.google).await;
    stage.subscribe(&subscription).await;
    assert_eq!(stage.standing().await, [subscription.id()]);
    stage.google.firebase().expire();
    stage.deliver(&["nobody is there"]).await;
    until("dropped", async || stage.standing().await.is_empty()).await;
}

#[tokio::test]
async fn pages_learn_of_firebase_where_it_is_offered() {
    let google = Google::start().await.unwrap();
    let pages = tempfile::tempdir().unwrap();
    for push in [with_firebase(&google), config(&google)] {
        let offered = push.firebase.is_some();
        let folder = pages.path().to_owned();
        let net = Net::start_with(|config| {
            config.push = push;
            config.pages = Some(folder);
        })
        .await;
        let answer = reqwest::get(format!("{}/network.json", net.url)).await.unwrap();
        let configuration: Value = answer.json_body().await;
        let expected = offered.then(|| google.firebase().web_config());
        assert_eq!(configuration.get("firebase").cloned(), expected);
        assert!(configuration["server"].is_string());
    }
}

/// All that is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_log_names_the_service_and_neither_browser_nor_node_nor_content() {
    let log = Log::default();
    let into = log.clone();
    let logging = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || into.clone())
        .finish();
    let _logging = tracing::subscriber::set_default(logging);
    let stage = stage().await;
    let browser = stage.browser().await;
    let Subscription::Firebase { token } = register(&stage.google).await else { panic!() };
    stage.subscribe(&Subscription::Firebase { token: token.clone() }).await;
    let google = stage.google.service();
    google.fail_next(1, StatusCode::FORBIDDEN, None);
    stage.deliver(&["content"]).await;
    until("refused", async || google.requests().len() == 1).await;
    stage.deliver(&["content"]).await;
    until("taken", async || browser.read(google).len() == 1).await;
    until("woken", async || stage.google.firebase().messages().len() == 2).await;
    let log = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    let refusal = log.lines().find(|line| line.contains("refused a push")).unwrap();
    assert!(refusal.contains("403") && refusal.contains("https://fcm.googleapis.com"), "{refusal}");
    let secret = [browser.name.clone(), token, envelope("content"), browser.id()];
    for secret in &secret {
        assert!(!log.contains(secret.as_str()), "{secret}");
    }
    assert!(!refusal.contains(stage.patient.id.as_ref()));
}
