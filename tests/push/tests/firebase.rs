//! Firebase, by HTTP: as its SDK registers a browser, and as servers send to it.

mod common;

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD as BASE64};
use common::{Result, chromium};
use hdms_push_services::{Google, StatusCode};
use reqwest::{Client, Response};
use serde_json::{Value, json};

/// A registered browser and its server.
struct World {
    google: Google,
    config: Value,
    token: String,
}

impl World {
    async fn new() -> Result<Self> {
        let google = Google::start().await?;
        let config = google.firebase().web_config();
        let key = text(&config["vapidKey"])?;
        let endpoint =
            format!("https://fcm.googleapis.com/fcm/send/{}", chromium(&google, key).await?);
        let mut world = Self { token: String::new(), config: config.clone(), google };
        let installed = world.post("installations", json!({"fid": "browser"})).send().await?;
        let installed: Value = installed.error_for_status()?.json().await?;
        let proof = format!("FIS {}", text(&installed["authToken"]["token"])?);
        // Any point will do for a browser's key.
        let mut web = json!({"endpoint": endpoint, "p256dh": key, "auth": BASE64.encode([1; 16]),
            "applicationPubKey": key});
        let register = |web: &Value| world.post("registrations", json!({"web": web}));
        assert_eq!(register(&web).send().await?.status(), 401);
        let registered = register(&web).header("x-goog-firebase-installations-auth", &proof);
        let registered: Value = registered.send().await?.json().await?;
        web["applicationPubKey"] = "another".into();
        let other = register(&web).header("x-goog-firebase-installations-auth", &proof);
        assert_eq!(other.send().await?.status(), 400);
        world.token = text(&registered["token"])?.to_owned();
        Ok(world)
    }

    /// What the SDK posts.
    fn post(&self, path: &str, body: Value) -> reqwest::RequestBuilder {
        let url = format!("{}/{path}", self.project());
        let key = self.config["apiKey"].as_str().unwrap_or_default();
        Client::new().post(url).header("x-goog-api-key", key).json(&body)
    }

    fn project(&self) -> String {
        let project = self.config["projectId"].as_str().unwrap_or_default();
        format!("{}/v1/projects/{project}", self.google.url())
    }

    /// Asks for an access token as the service account does, with some claims changed.
    async fn access(&self, change: Value) -> Result<Response> {
        let file = self.google.firebase().key_file()?;
        let pem = text(&file["private_key"])?;
        let key = pem.lines().filter(|line| !line.starts_with('-')).collect::<String>();
        let key = RsaKeyPair::from_pkcs8(&BASE64_STANDARD.decode(key)?)?;
        let mut claims = json!({"iss": file["client_email"], "aud": file["token_uri"],
            "scope": "https://www.googleapis.com/auth/firebase.messaging", "exp": now() + 3600});
        for (name, value) in change.as_object().into_iter().flatten() {
            claims[name] = value.clone();
        }
        let encode = |value: &Value| BASE64.encode(value.to_string());
        let signed = format!("{}.{}", encode(&json!({"alg": "RS256"})), encode(&claims));
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)?;
        let assertion = format!("{signed}.{}", BASE64.encode(signature));
        let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
        let form = [("grant_type", grant), ("assertion", &assertion)];
        Ok(Client::new().post(text(&file["token_uri"])?).form(&form).send().await?)
    }

    async fn send(&self, access: &str, message: Value) -> Result<Response> {
        let url = format!("{}/messages:send", self.project());
        let request = Client::new().post(url).bearer_auth(access);
        Ok(request.json(&json!({"message": message})).send().await?)
    }
}

fn text(value: &Value) -> Result<&str> {
    Ok(value.as_str().ok_or("not a text")?)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |past| past.as_secs())
}

#[tokio::test]
async fn only_the_service_account_gets_an_access_token() {
    let world = World::new().await.unwrap();
    let mistakes = [
        json!({"iss": "somebody@example.org"}),
        json!({"aud": "https://oauth2.googleapis.com/token"}),
        json!({"scope": "https://www.googleapis.com/auth/drive"}),
        json!({"exp": now() - 1}),
        json!({"exp": now() + 7200}),
    ];
    for mistake in mistakes {
        assert_eq!(world.access(mistake.clone()).await.unwrap().status(), 400, "{mistake}");
    }
    let given: Value = world.access(json!({})).await.unwrap().json().await.unwrap();
    assert_eq!(given["token_type"], "Bearer");
}

#[tokio::test]
async fn messages_with_an_access_token_reach_the_browsers_push_service() {
    let world = World::new().await.unwrap();
    let given: Value = world.access(json!({})).await.unwrap().json().await.unwrap();
    let access = text(&given["access_token"]).unwrap();
    let right = json!({"token": world.token, "data": {"wake": "1"},
        "webpush": {"headers": {"TTL": "60", "Urgency": "high"}}});
    let waiting = || world.google.service().waiting();

    assert_eq!(world.send("another", right.clone()).await.unwrap().status(), 401);
    let number = json!({"token": world.token, "data": {"wake": 1}});
    assert_eq!(world.send(access, number).await.unwrap().status(), 400);
    let large = json!({"token": world.token, "data": {"wake": "w".repeat(4096)}});
    assert_eq!(world.send(access, large).await.unwrap().status(), 400);
    world.google.firebase().fail_next(1, StatusCode::TOO_MANY_REQUESTS, Some(9));
    let busy = world.send(access, right.clone()).await.unwrap();
    assert_eq!(
        (busy.status().as_u16(), busy.headers()["retry-after"].as_bytes()),
        (429, &b"9"[..])
    );
    assert_eq!(waiting(), 0);

    assert_eq!(world.send(access, right.clone()).await.unwrap().status(), 200);
    assert_eq!(waiting(), 1);
    assert_eq!(world.google.firebase().messages().last(), Some(&json!({"message": right})));

    world.google.firebase().expire();
    let gone = world.send(access, right).await.unwrap();
    assert_eq!(gone.status(), 404);
    let gone: Value = gone.json().await.unwrap();
    assert_eq!(gone["error"]["details"][0]["errorCode"], "UNREGISTERED");
}

#[tokio::test]
async fn messages_to_a_browser_that_has_left_find_nobody() {
    let world = World::new().await.unwrap();
    let given: Value = world.access(json!({})).await.unwrap().json().await.unwrap();
    world.google.service().expire();
    let message = json!({"token": world.token, "data": {}});
    let answer = world.send(text(&given["access_token"]).unwrap(), message).await.unwrap();
    assert_eq!(answer.status(), 404);
}
