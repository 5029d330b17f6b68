//! Google's Mobile Connection Server: the one connection that Chromium keeps for all its push
//! messages (google_apis/gcm/protocol/mcs.proto).

use std::io;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::serve::Listener as _;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use futures_util::{SinkExt, StreamExt};
use prost::Message as _;
use prost::bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio_util::codec::{Decoder, Encoder, Framed};

use super::devices::Devices;
use crate::serve::TlsListener;
use crate::service::Message;

/// The protocol's version, the first byte of either side.
const VERSION: u8 = 41;

const HEARTBEAT_PING: u8 = 0;
const HEARTBEAT_ACK: u8 = 1;
const LOGIN_REQUEST: u8 = 2;
const LOGIN_RESPONSE: u8 = 3;
const DATA_MESSAGE: u8 = 8;

/// Serves every connection that comes.
pub async fn accept(mut listener: TlsListener, devices: Arc<Devices>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await;
        connections.spawn(serve(stream, devices.clone()));
    }
}

/// Serves one connection until either side ends it. A message counts as received once the browser
/// says so, which it does when it connects the next time.
async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    devices: Arc<Devices>,
) -> io::Result<()> {
    let mut frames = Framed::new(stream, Frames::default());
    let Some((LOGIN_REQUEST, login)) = frames.next().await.transpose()? else {
        return Ok(());
    };
    let login = LoginRequest::decode(login)?;
    if !devices.are_known(&login.user, &login.auth_token) {
        return Ok(());
    }
    let device = login.user;
    for message in &login.received_persistent_id {
        devices.service.acknowledge(&device, message);
    }
    let response = LoginResponse { id: login.id, server_timestamp: milliseconds() };
    frames.send((LOGIN_RESPONSE, response.encode_to_vec())).await?;
    let mut messages = devices.service.connect(&device);
    loop {
        tokio::select! {
            frame = frames.next() => match frame.transpose()? {
                Some((HEARTBEAT_PING, _)) => frames.send((HEARTBEAT_ACK, Vec::new())).await?,
                Some(_) => {}
                None => return Ok(()),
            },
            message = messages.recv() => match message {
                Some(message) => {
                    frames.send((DATA_MESSAGE, data_message(message).encode_to_vec())).await?;
                }
                // The same browser has come by another connection.
                None => return Ok(()),
            },
        }
    }
}

/// What counts of a `LoginRequest`.
#[derive(prost::Message)]
pub struct LoginRequest {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(string, tag = "3")]
    pub user: String,
    #[prost(string, tag = "5")]
    pub auth_token: String,
    #[prost(string, repeated, tag = "10")]
    pub received_persistent_id: Vec<String>,
}

#[derive(prost::Message)]
struct LoginResponse {
    #[prost(string, required, tag = "1")]
    id: String,
    #[prost(int64, tag = "8")]
    server_timestamp: i64,
}

/// A `DataMessageStanza`.
#[derive(prost::Message)]
pub struct DataMessage {
    #[prost(string, tag = "2")]
    id: String,
    #[prost(string, required, tag = "3")]
    from: String,
    #[prost(string, required, tag = "4")]
    to: String,
    #[prost(string, required, tag = "5")]
    category: String,
    #[prost(message, repeated, tag = "7")]
    app_data: Vec<AppData>,
    #[prost(string, tag = "9")]
    persistent_id: String,
    #[prost(int32, tag = "17")]
    ttl: i32,
    #[prost(int64, tag = "18")]
    sent: i64,
    #[prost(bytes = "vec", tag = "21")]
    raw_data: Vec<u8>,
}

#[derive(prost::Message)]
struct AppData {
    #[prost(string, required, tag = "1")]
    key: String,
    #[prost(string, required, tag = "2")]
    value: String,
}

fn data_message(message: Message) -> DataMessage {
    let (category, subtype) = message.channel.split_once(' ').unwrap_or_default();
    let data = |key: &str, value: &str| AppData { key: key.into(), value: value.into() };
    DataMessage {
        id: message.id.clone(),
        from: BASE64_URL_SAFE_NO_PAD.encode(message.key),
        to: String::new(),
        category: category.into(),
        app_data: vec![data("subtype", subtype), data("content-encoding", "aes128gcm")],
        persistent_id: message.id,
        ttl: i32::try_from(message.ttl).unwrap_or(i32::MAX),
        sent: milliseconds(),
        raw_data: message.body,
    }
}

/// Frames of a tag, a length as varint, and a protobuf message; before the first one stands the
/// version.
#[derive(Default)]
struct Frames {
    heard_version: bool,
    said_version: bool,
}

impl Decoder for Frames {
    type Item = (u8, Bytes);
    type Error = io::Error;

    fn decode(&mut self, buffer: &mut BytesMut) -> io::Result<Option<Self::Item>> {
        if !self.heard_version && buffer.has_remaining() {
            self.heard_version = true;
            buffer.advance(1);
        }
        let mut rest = &buffer[..];
        let Some((&tag, after)) = rest.split_first() else { return Ok(None) };
        rest = after;
        // Fails as long as the number is incomplete.
        let Ok(length) = prost::decode_length_delimiter(&mut rest) else { return Ok(None) };
        if rest.len() < length {
            return Ok(None);
        }
        buffer.advance(buffer.len() - rest.len());
        Ok(Some((tag, buffer.split_to(length).freeze())))
    }
}

impl Encoder<(u8, Vec<u8>)> for Frames {
    type Error = io::Error;

    fn encode(&mut self, (tag, message): (u8, Vec<u8>), buffer: &mut BytesMut) -> io::Result<()> {
        if !self.said_version {
            self.said_version = true;
            buffer.put_u8(VERSION);
        }
        buffer.put_u8(tag);
        prost::encode_length_delimiter(message.len(), buffer).map_err(io::Error::other)?;
        buffer.extend_from_slice(&message);
        Ok(())
    }
}

fn milliseconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use tokio::io::DuplexStream;

    use super::*;
    use crate::service::PushService;

    type Connection = Framed<DuplexStream, Frames>;

    /// A browser that logs in and has received some messages before.
    async fn login(devices: &Arc<Devices>, secret: &str, received: &[String]) -> Connection {
        let (here, there) = tokio::io::duplex(10_000);
        tokio::spawn(serve(there, devices.clone()));
        let mut frames = Framed::new(here, Frames::default());
        let login = LoginRequest {
            id: "login".into(),
            user: "1".into(),
            auth_token: secret.into(),
            received_persistent_id: received.to_vec(),
        };
        frames.send((LOGIN_REQUEST, login.encode_to_vec())).await.unwrap();
        frames
    }

    async fn next(frames: &mut Connection) -> DataMessage {
        let (tag, message) = frames.next().await.unwrap().unwrap();
        assert_eq!(tag, DATA_MESSAGE);
        DataMessage::decode(message).unwrap()
    }

    #[tokio::test]
    async fn messages_come_again_until_the_browser_says_that_it_has_them() {
        let devices = Arc::new(Devices::new(Arc::new(PushService::new(Vec::new()))));
        devices.admit(1, 2);
        let key = BASE64_URL_SAFE_NO_PAD.encode([4; 65]);
        let subscription = devices.service.subscribe("1", "app wp".into(), &key).unwrap();
        devices.service.deliver(&subscription, 60, b"first".to_vec()).unwrap();

        let mut frames = login(&devices, "2", &[]).await;
        assert_eq!(frames.next().await.unwrap().unwrap().0, LOGIN_RESPONSE);
        let first = next(&mut frames).await;
        assert_eq!((first.from.as_str(), first.category.as_str()), (key.as_str(), "app"));
        assert_eq!(first.raw_data, b"first");
        frames.send((HEARTBEAT_PING, Vec::new())).await.unwrap();
        assert_eq!(frames.next().await.unwrap().unwrap().0, HEARTBEAT_ACK);
        drop(frames);

        devices.service.deliver(&subscription, 60, b"second".to_vec()).unwrap();
        let mut frames = login(&devices, "2", &[]).await;
        assert_eq!(frames.next().await.unwrap().unwrap().0, LOGIN_RESPONSE);
        assert_eq!(next(&mut frames).await.persistent_id, first.persistent_id);
        let second = next(&mut frames).await;

        let mut frames = login(&devices, "2", &[first.persistent_id, second.persistent_id]).await;
        assert_eq!(frames.next().await.unwrap().unwrap().0, LOGIN_RESPONSE);
        assert_eq!(devices.service.waiting(), 0);
    }

    #[tokio::test]
    async fn nobody_logs_in_with_a_wrong_secret() {
        let devices = Arc::new(Devices::new(Arc::new(PushService::new(Vec::new()))));
        devices.admit(1, 2);
        assert!(login(&devices, "3", &[]).await.next().await.is_none());
    }
}
