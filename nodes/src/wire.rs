//! HTTP as one node speaks it to another: envelopes as text, requests to the server with a proof,
//! refusals as problem+json (RFC 9457).

use std::time::Duration;

use bytes::Bytes;
use hdms::ids::{MessageId, NodeId};
use hdms::node::Platform;
use hdms::proof::{self, RequestProof};
use hdms::provider::Clock;
use reqwest::{Client, Method, RequestBuilder};
use serde::{Deserialize, Serialize};

use crate::platform::NativeNode;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Body of `POST /mailbox/deliveries`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Deliveries {
    /// 1 to 100.
    pub deliveries: Vec<Delivery>,
}

/// An envelope for a personal node's mailbox.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Delivery {
    /// The personal node.
    pub to: NodeId,
    /// The message's id.
    pub id: String,
    /// The compact JWE.
    pub envelope: String,
}

/// What the server says about one delivery.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryAnswer {
    /// It lies in the mailbox, under this number.
    Accepted(u64),
    /// It was refused, with this code.
    Refused(String),
}

/// An answer to several things at once, one for each, in their order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answers<T> {
    /// See `T`.
    pub answers: Vec<T>,
}

/// Body of the answer to `GET /mailbox`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Mail {
    /// In the order of their numbers.
    pub messages: Vec<Letter>,
    /// Whether there is more after them.
    pub more: bool,
}

/// One message in a mailbox.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Letter {
    /// Its number.
    pub seq: u64,
    /// The compact JWE.
    pub envelope: String,
}

/// Why a request brought nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The other side refused it, with this code.
    Refused(String),
    /// There was no answer, or none of this protocol.
    Unanswered,
}

/// An HTTP client that keeps its connections, and the server's address. Clones share it.
#[derive(Clone, Debug)]
pub struct Wire {
    http: Client,
    server: String,
}

impl Wire {
    /// For a network whose server has this base URL, without a slash at its end.
    pub fn new(server: &str) -> Self {
        // Without a proxy or TLS of its own there is nothing in the builder that can fail.
        let http = Client::builder().timeout(PATIENCE).build().unwrap_or_default();
        Self { http, server: server.trim_end_matches('/').to_owned() }
    }

    /// The server's base URL.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The client, for requests that need no proof.
    pub fn http(&self) -> &Client {
        &self.http
    }

    /// Posts a sealed envelope to an institution's inbox or a notary.
    pub async fn post_envelope(&self, url: &str, envelope: String) -> Result<Bytes, Failure> {
        answered(self.http.post(url).header("content-type", "application/jose").body(envelope))
            .await
    }

    /// Posts `body` as JSON to the server, as `node`.
    pub async fn post_proven<B: Serialize>(
        &self,
        node: &NativeNode,
        path: &str,
        body: &B,
    ) -> Result<Bytes, Failure> {
        let body = serde_json::to_vec(body).map_err(|_| Failure::Unanswered)?;
        let request = self.proven(node, Method::POST, path, &body).await?;
        answered(request.header("content-type", "application/json").body(body)).await
    }

    /// Gets `path`, a query included, from the server, as `node`.
    pub async fn get_proven(&self, node: &NativeNode, path: &str) -> Result<Bytes, Failure> {
        answered(self.proven(node, Method::GET, path, b"").await?).await
    }

    /// A request to the server with a proof that it is `node`'s.
    pub async fn proven(
        &self,
        node: &NativeNode,
        method: Method,
        path: &str,
        body: &[u8],
    ) -> Result<RequestBuilder, Failure> {
        let url = format!("{}{path}", self.server);
        let p = node.platform();
        let id = MessageId::new(p.clock(), p.randomness()).map_err(|_| Failure::Unanswered)?;
        let proof = RequestProof::new(node.id(), id, method.as_str(), &url, body, p.clock().now());
        let proof = proof.sign(p.keys()).await.map_err(|_| Failure::Unanswered)?;
        Ok(self.http.request(method, url).header(proof::HEADER, proof))
    }
}

/// The body of a good answer, or the code of a refusal.
pub async fn answered(request: RequestBuilder) -> Result<Bytes, Failure> {
    let answer = request.send().await.map_err(|_| Failure::Unanswered)?;
    let good = answer.status().is_success();
    let body = answer.bytes().await.map_err(|_| Failure::Unanswered)?;
    if good { Ok(body) } else { Err(refusal(&body)) }
}

fn refusal(body: &[u8]) -> Failure {
    #[derive(Deserialize)]
    struct Problem {
        code: String,
    }
    match serde_json::from_slice(body) {
        Ok(Problem { code }) => Failure::Refused(code),
        Err(_) => Failure::Unanswered,
    }
}
