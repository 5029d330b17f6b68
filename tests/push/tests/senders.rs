//! What senders are answered, by HTTP.

mod common;

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use common::{Result, chromium};
use futures_util::{SinkExt, StreamExt};
use hdms_push_services::{Firefox, Google, PushService, StatusCode, google};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// An application server.
struct Sender(EcdsaKeyPair);

impl Sender {
    fn new() -> Result<Self> {
        Ok(Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?))
    }

    fn key(&self) -> String {
        BASE64.encode(self.0.public_key())
    }

    fn sign(&self, header: &Value, claims: &Value) -> Result<String> {
        let encode = |value: &Value| BASE64.encode(value.to_string());
        let signed = format!("{}.{}", encode(header), encode(claims));
        let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes())?;
        Ok(format!("{signed}.{}", BASE64.encode(signature)))
    }

    /// What every message carries that is as it should be.
    fn message(&self, audience: &str) -> Result<Post> {
        let claims = claims(audience);
        let token = self.sign(&json!({"typ": "JWT", "alg": "ES256"}), &claims)?;
        let authorization = format!("vapid t={token}, k={}", self.key());
        let headers = [("authorization", authorization.as_str()), ("ttl", "60")];
        let mut post = Post { headers: HashMap::new(), body: encrypted(100) };
        for (name, value) in headers.into_iter().chain([("content-encoding", "aes128gcm")]) {
            post = post.with(name, value);
        }
        Ok(post)
    }
}

fn claims(audience: &str) -> Value {
    json!({"aud": audience, "exp": now() + 3600, "sub": "mailto:sender@example.org"})
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |past| past.as_secs())
}

/// What looks like the content of an RFC 8291 message, this long.
fn encrypted(length: usize) -> Vec<u8> {
    let mut body = vec![0; length.max(103)];
    (body[20], body[21]) = (65, 4);
    body
}

/// A request to be.
#[derive(Clone)]
struct Post {
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

impl Post {
    fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.insert(name.into(), value.into());
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.headers.remove(name);
        self
    }

    fn saying(self, body: Vec<u8>) -> Self {
        Self { body, ..self }
    }

    fn request(self, url: &str) -> RequestBuilder {
        let request = Client::new().post(url).body(self.body);
        self.headers.iter().fold(request, |request, (name, value)| request.header(name, value))
    }

    async fn send(self, url: &str) -> Result<Response> {
        Ok(self.request(url).send().await?)
    }
}

/// Firefox, as far as its push service sees it.
struct Agent(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Agent {
    async fn connect(firefox: &Firefox, uaid: Option<&str>) -> Result<(Self, String)> {
        let preferences = firefox.preferences();
        let url = preferences["dom.push.serverURL"].as_str().ok_or("no address")?;
        let mut agent = Self(connect_async(url).await?.0);
        let hello = json!({"messageType": "hello", "uaid": uaid, "use_webpush": true});
        let hello = agent.ask(hello).await?;
        let uaid = hello["uaid"].as_str().ok_or("no name")?.to_owned();
        Ok((agent, uaid))
    }

    async fn register(&mut self, key: &str) -> Result<String> {
        let ask = json!({"messageType": "register", "channelID": "one", "key": key});
        let answer = self.ask(ask).await?;
        Ok(answer["pushEndpoint"].as_str().ok_or("no endpoint")?.to_owned())
    }

    async fn ask(&mut self, what: Value) -> Result<Value> {
        self.say(what).await?;
        self.hear().await
    }

    async fn say(&mut self, what: Value) -> Result<()> {
        Ok(self.0.send(Message::text(what.to_string())).await?)
    }

    async fn hear(&mut self) -> Result<Value> {
        let said = self.0.next().await.ok_or("the connection has ended")??;
        Ok(serde_json::from_str(said.to_text()?)?)
    }
}

/// A message is taken as it should be, and refused for each single mistake.
async fn takes_only_what_is_right(
    service: &PushService,
    url: &str,
    audience: &str,
    sender: &Sender,
) -> Result<()> {
    let right = sender.message(audience)?;
    assert_eq!(right.clone().send(url).await?.status(), StatusCode::CREATED);
    let another = Sender::new()?.message(audience)?;
    let vapid = |header: Value, change: Value| -> Result<Post> {
        let mut claims = claims(audience);
        for (name, value) in change.as_object().into_iter().flatten() {
            claims[name] = value.clone();
        }
        let token = sender.sign(&header, &claims)?;
        Ok(right.clone().with("authorization", &format!("vapid t={token}, k={}", sender.key())))
    };
    let es256 = json!({"typ": "JWT", "alg": "ES256"});
    let claimed = |change: Value| vapid(es256.clone(), change);
    let token = right.headers["authorization"].clone();
    let mistakes = [
        ("no authorization", 401, right.clone().without("authorization")),
        (
            "another scheme",
            401,
            right.clone().with("authorization", &token.replace("vapid", "bearer")),
        ),
        (
            "a changed token",
            401,
            right.clone().with("authorization", &token.replacen("t=e", "t=f", 1)),
        ),
        ("another algorithm", 401, vapid(json!({"typ": "JWT", "alg": "none"}), json!({}))?),
        ("another audience", 401, claimed(json!({"aud": "https://push.example.org"}))?),
        ("expired", 401, claimed(json!({"exp": now() - 1}))?),
        ("valid for more than a day", 401, claimed(json!({"exp": now() + 86_400 + 60}))?),
        ("no contact", 401, claimed(json!({"sub": "sender"}))?),
        ("another sender", 403, another),
        ("no TTL", 400, right.clone().without("ttl")),
        ("no encoding", 400, right.clone().without("content-encoding")),
        ("the encoding of a draft", 400, right.clone().with("content-encoding", "aesgcm")),
        ("not encrypted", 400, right.clone().saying(vec![b'x'; 200])),
        ("too large", 413, right.clone().saying(encrypted(4097))),
        ("an unknown urgency", 400, right.clone().with("urgency", "soon")),
        ("a topic of more than 32 characters", 400, right.clone().with("topic", &"t".repeat(33))),
    ];
    for (what, status, post) in mistakes {
        assert_eq!(post.send(url).await?.status(), status, "{what}");
    }
    let nobody = url.rsplit_once('/').ok_or("no path")?.0;
    assert_eq!(right.clone().send(&format!("{nobody}/nobody")).await?.status(), 404);
    assert_eq!(right.clone().saying(encrypted(4096)).send(url).await?.status(), 201);
    assert_eq!(right.clone().saying(Vec::new()).send(url).await?.status(), 201);

    service.fail_next(2, StatusCode::TOO_MANY_REQUESTS, Some(7));
    for _ in 0..2 {
        let answer = right.clone().send(url).await?;
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["retry-after"]),
            (429, &"7".parse()?)
        );
    }
    service.expire();
    assert_eq!(right.send(url).await?.status(), 410);
    let requests = service.requests();
    let requests = &requests[requests.len() - 23..];
    assert_eq!(
        (requests.len(), requests[0].status.as_u16(), requests[0].body.len()),
        (23, 201, 103)
    );
    assert_eq!(requests[22].status, 410);
    Ok(())
}

#[tokio::test]
async fn firefox_messages_are_taken_only_when_they_are_right() {
    let (firefox, sender) = (Firefox::start().await.unwrap(), Sender::new().unwrap());
    let (mut agent, _) = Agent::connect(&firefox, None).await.unwrap();
    let url = agent.register(&sender.key()).await.unwrap();
    let origin = url.split_once("/wpush").unwrap().0;
    takes_only_what_is_right(firefox.service(), &url, origin, &sender).await.unwrap();
}

#[tokio::test]
async fn a_firefox_gets_what_it_has_not_acknowledged_again_and_nothing_that_is_too_old() {
    let (firefox, sender) = (Firefox::start().await.unwrap(), Sender::new().unwrap());
    let (mut agent, uaid) = Agent::connect(&firefox, None).await.unwrap();
    let url = agent.register(&sender.key()).await.unwrap();
    let message = sender.message(url.split_once("/wpush").unwrap().0).unwrap();
    message.clone().send(&url).await.unwrap();
    let first = agent.hear().await.unwrap();
    drop(agent);
    while firefox.service().connected() > 0 {
        tokio::task::yield_now().await;
    }
    // Nobody is there, and it may not wait.
    message.clone().with("ttl", "0").send(&url).await.unwrap();
    for body in [200, 300] {
        let same_topic = message.clone().with("topic", "same").saying(encrypted(body));
        same_topic.send(&url).await.unwrap();
    }
    let (mut agent, again) = Agent::connect(&firefox, Some(&uaid)).await.unwrap();
    assert_eq!(again, uaid);
    assert_eq!(agent.hear().await.unwrap(), first);
    let latest = agent.hear().await.unwrap();
    assert_eq!(latest["data"], BASE64.encode(encrypted(300)));
    let updates: Vec<Value> =
        [&first, &latest].map(|m| json!({"version": m["version"], "code": 100})).into();
    agent.say(json!({"messageType": "ack", "updates": updates})).await.unwrap();
    assert_eq!(agent.ask(json!({})).await.unwrap(), json!({}));
    assert_eq!(firefox.service().waiting(), 0);
}

#[tokio::test]
async fn a_firefox_that_unregisters_is_gone() {
    let (firefox, sender) = (Firefox::start().await.unwrap(), Sender::new().unwrap());
    let (mut agent, _) = Agent::connect(&firefox, None).await.unwrap();
    let url = agent.register(&sender.key()).await.unwrap();
    let leave = json!({"messageType": "unregister", "channelID": "one"});
    assert_eq!(agent.ask(leave).await.unwrap()["status"], 200);
    let message = sender.message(url.split_once("/wpush").unwrap().0).unwrap();
    assert_eq!(message.send(&url).await.unwrap().status(), 410);
}

#[tokio::test]
async fn chromium_messages_are_taken_only_when_they_are_right() {
    let (google, sender) = (Google::start().await.unwrap(), Sender::new().unwrap());
    let subscription = chromium(&google, &sender.key()).await.unwrap();
    let url = format!("{}/fcm/send/{subscription}", google.url());
    let [audience, other] = google::ORIGINS;
    let post = sender.message(other).unwrap();
    assert_eq!(post.send(&url).await.unwrap().status(), StatusCode::CREATED);
    takes_only_what_is_right(google.service(), &url, audience, &sender).await.unwrap();
}
