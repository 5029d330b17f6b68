//! Mozilla's push service: Firefox keeps a WebSocket to it (the protocol of autopush).

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::ws::{Message as Frame, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{AppendHeaders, IntoResponse, Response};
use axum::routing::{any, post};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use crate::check::Refusal;
use crate::serve;
use crate::service::{Message, PushService, unique};

/// A running service. It ends when dropped.
#[derive(Debug)]
pub struct Firefox {
    port: u16,
    service: Arc<PushService>,
    _serving: AbortOnDropHandle<()>,
}

impl Firefox {
    /// Starts it on a free port of the loopback interface.
    ///
    /// Errors: that of the socket.
    pub async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let service = Arc::new(PushService::new(vec![format!("http://127.0.0.1:{port}")]));
        let router = Router::new()
            .route("/", any(connect))
            .route("/wpush/v2/{subscription}", post(push))
            .with_state(Autopush { port, service: service.clone() });
        Ok(Self { port, service, _serving: serve::start(listener, router) })
    }

    /// What the service has seen, and what it shall do.
    pub fn service(&self) -> &PushService {
        &self.service
    }

    /// Preferences that lead Firefox here.
    pub fn preferences(&self) -> Value {
        json!({
            "dom.push.serverURL": format!("ws://127.0.0.1:{}/", self.port),
            "dom.push.testing.allowInsecureServerURL": true,
            "dom.push.connection.enabled": true,
        })
    }
}

#[derive(Clone)]
struct Autopush {
    port: u16,
    service: Arc<PushService>,
}

/// What Firefox says; besides, it sends `{}` to see whether somebody is there.
#[derive(Deserialize)]
#[serde(tag = "messageType", rename_all = "snake_case")]
enum Said {
    Hello {
        uaid: Option<String>,
    },
    Register {
        #[serde(rename = "channelID")]
        channel: String,
        #[serde(default)]
        key: String,
    },
    Unregister {
        #[serde(rename = "channelID")]
        channel: String,
    },
    Ack {
        updates: Vec<Update>,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Update {
    version: String,
}

async fn push(
    State(autopush): State<Autopush>,
    Path(subscription): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let ttl = headers.get("ttl").cloned();
    let id = autopush.service.post(&subscription, headers, body.into())?;
    let location = format!("http://127.0.0.1:{}/m/{id}", autopush.port);
    let ttl = AppendHeaders(ttl.map(|ttl| ("ttl", ttl)));
    Ok((StatusCode::CREATED, [(LOCATION, location)], ttl).into_response())
}

async fn connect(State(autopush): State<Autopush>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.protocols(["push-notification"]).on_upgrade(async move |socket| {
        // It ends when either side goes away.
        let _ended = autopush.talk(socket).await;
    })
}

impl Autopush {
    async fn talk(&self, mut socket: WebSocket) -> Option<()> {
        let Said::Hello { uaid } = hear(&mut socket).await? else { return None };
        let uaid = uaid.filter(|uaid| self.service.knows(uaid));
        let agent = uaid.or_else(|| unique().ok())?;
        let hello = json!({"messageType": "hello", "status": 200, "uaid": agent,
            "use_webpush": true, "broadcasts": {}});
        say(&mut socket, &hello).await?;
        let mut messages = self.service.connect(&agent);
        loop {
            tokio::select! {
                said = hear(&mut socket) => if let Some(answer) = self.answer(&agent, said?) {
                    say(&mut socket, &answer).await?;
                },
                message = messages.recv() => say(&mut socket, &notification(&message?)).await?,
            }
        }
    }

    fn answer(&self, agent: &str, said: Said) -> Option<Value> {
        match said {
            Said::Register { channel, key } => {
                let (status, endpoint) = match self.service.subscribe(agent, channel.clone(), &key)
                {
                    Ok(id) => (200, format!("http://127.0.0.1:{}/wpush/v2/{id}", self.port)),
                    Err(refusal) => (refusal.status.as_u16(), String::new()),
                };
                Some(json!({"messageType": "register", "status": status, "channelID": channel,
                    "pushEndpoint": endpoint}))
            }
            Said::Unregister { channel } => {
                self.service.unsubscribe(agent, &channel);
                Some(json!({"messageType": "unregister", "status": 200, "channelID": channel}))
            }
            Said::Ack { updates } => {
                for update in updates {
                    self.service.acknowledge(agent, &update.version);
                }
                None
            }
            Said::Hello { .. } | Said::Other => None,
        }
    }
}

fn notification(message: &Message) -> Value {
    let mut notification = json!({"messageType": "notification", "channelID": message.channel,
        "version": message.id, "ttl": message.ttl});
    if !message.body.is_empty() {
        notification["data"] = BASE64_URL_SAFE_NO_PAD.encode(&message.body).into();
        notification["headers"] = json!({"encoding": "aes128gcm"});
    }
    notification
}

/// The next thing that Firefox says; what only tests the connection is answered here.
async fn hear(socket: &mut WebSocket) -> Option<Said> {
    loop {
        match socket.recv().await?.ok()? {
            Frame::Text(text) if text.as_str() == "{}" => say(socket, &json!({})).await?,
            Frame::Text(text) => return serde_json::from_str(&text).ok(),
            Frame::Close(_) => return None,
            Frame::Binary(_) | Frame::Ping(_) | Frame::Pong(_) => {}
        }
    }
}

async fn say(socket: &mut WebSocket, what: &Value) -> Option<()> {
    socket.send(Frame::Text(what.to_string().into())).await.ok()
}
