//! Chromium's own protocol (Chrome DevTools Protocol), past its driver: so that it reaches service
//! workers, also those that start later.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::Result;

/// A connection to a running Chromium.
pub struct Cdp {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    sent: u64,
}

/// A network that is away, for pages and workers, until [`Cut::mend`].
pub struct Cut {
    mend: oneshot::Sender<()>,
    cutting: JoinHandle<Result<()>>,
}

impl Cdp {
    /// To the browser on this profile.
    pub async fn connect(profile: &Path) -> Result<Self> {
        let address = fs::read_to_string(profile.join("DevToolsActivePort"))?;
        let (port, path) = address.split_once('\n').ok_or("no address of Chromium's")?;
        let (socket, _) = connect_async(format!("ws://127.0.0.1:{port}{}", path.trim())).await?;
        Ok(Self { socket, sent: 0 })
    }

    /// Cuts off all there is and comes, and answers once all there is is cut off.
    pub async fn cut_off(mut self) -> Result<Cut> {
        let (ready, cut) = oneshot::channel();
        let (mend, mut mended) = oneshot::channel();
        let cutting = tokio::spawn(async move {
            let every =
                json!({"autoAttach": true, "waitForDebuggerOnStart": true, "flatten": true});
            let mut open = HashSet::from([self.send(None, "Target.setAutoAttach", every).await?]);
            let (mut sessions, mut ready) = (Vec::new(), Some(ready));
            loop {
                let message = tokio::select! {
                    message = self.next() => message?,
                    _ = &mut mended => break,
                };
                if let Some(session) = message["params"]["sessionId"].as_str()
                    && message["method"] == "Target.attachedToTarget"
                {
                    open.extend(self.set_offline(session, true).await?);
                    sessions.push(session.to_owned());
                }
                if let Some(id) = message["id"].as_u64() {
                    open.remove(&id);
                }
                if open.is_empty()
                    && let Some(ready) = ready.take()
                {
                    // Whoever asked may have gone.
                    let _gone = ready.send(());
                }
            }
            for session in &sessions {
                self.set_offline(session, false).await?;
            }
            Ok(self.socket.close(None).await?)
        });
        cut.await?;
        Ok(Cut { mend, cutting })
    }

    async fn set_offline(&mut self, session: &str, offline: bool) -> Result<Vec<u64>> {
        let conditions = json!({
            "offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1,
        });
        Ok(vec![
            self.send(Some(session), "Network.enable", json!({})).await?,
            self.send(Some(session), "Network.emulateNetworkConditions", conditions).await?,
            self.send(Some(session), "Runtime.runIfWaitingForDebugger", json!({})).await?,
        ])
    }

    /// Dispatches a Background Sync event to the only service worker, as the browser does when the
    /// network is back.
    pub async fn dispatch_sync(self, origin: &str, tag: &str) -> Result<()> {
        let event = json!({"origin": origin, "tag": tag, "lastChance": false});
        self.dispatch("ServiceWorker.dispatchSyncEvent", event).await
    }

    /// Delivers a push to the only service worker, as the browser's push service does.
    pub async fn deliver_push(self, origin: &str, data: &str) -> Result<()> {
        let event = json!({"origin": origin, "data": data});
        self.dispatch("ServiceWorker.deliverPushMessage", event).await
    }

    async fn dispatch(mut self, method: &str, mut event: Value) -> Result<()> {
        let targets = self.call(None, "Target.getTargets", json!({})).await?;
        let targets = targets["targetInfos"].as_array().cloned().unwrap_or_default();
        let page = targets.iter().find(|target| target["type"] == "page").ok_or("no page")?;
        let page = json!({"targetId": page["targetId"], "flatten": true});
        let attached = self.call(None, "Target.attachToTarget", page).await?;
        let session = attached["sessionId"].as_str().ok_or("no session")?;
        self.send(Some(session), "ServiceWorker.enable", json!({})).await?;
        event["registrationId"] = loop {
            let message = self.next().await?;
            let known = &message["params"]["registrations"][0]["registrationId"];
            if known.is_string() {
                break known.clone();
            }
        };
        self.call(Some(session), method, event).await.map(drop)
    }

    async fn call(&mut self, session: Option<&str>, method: &str, params: Value) -> Result<Value> {
        let id = self.send(session, method, params).await?;
        loop {
            let mut message = self.next().await?;
            if message["id"] == id {
                let error = message["error"]["message"].as_str();
                return match error {
                    Some(error) => Err(format!("{method}: {error}").into()),
                    None => Ok(message["result"].take()),
                };
            }
        }
    }

    async fn send(&mut self, session: Option<&str>, method: &str, params: Value) -> Result<u64> {
        self.sent += 1;
        let mut message = json!({"id": self.sent, "method": method, "params": params});
        if let Some(session) = session {
            message["sessionId"] = session.into();
        }
        self.socket.send(Message::text(message.to_string())).await?;
        Ok(self.sent)
    }

    async fn next(&mut self) -> Result<Value> {
        loop {
            match self.socket.next().await.ok_or("Chromium has closed the connection")?? {
                Message::Text(text) => return Ok(serde_json::from_str(&text)?),
                _ => continue,
            }
        }
    }
}

impl Cut {
    /// Gives the network back.
    pub async fn mend(self) -> Result<()> {
        // A cutting that has failed says why below.
        let _failed = self.mend.send(());
        self.cutting.await?
    }
}
