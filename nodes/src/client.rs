//! The HTTP between nodes, from the asking side. A refusal comes back as the [`Error`] of its code.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::{Stream, StreamExt, stream};
use hdms::Error;
use hdms::doorman::{Admitted, Challenge, ChallengeAnswer};
use hdms::ids::{MessageId, NodeId};
use hdms::jose::jwk::RsaJwk;
use hdms::mailbox::{
    Acknowledgement, Bell, Deliveries, Delivery, DeliveryAnswer, DeliveryAnswers, MailboxPage,
};
use hdms::network::NetworkDocuments;
use hdms::notary::DepositAnswers;
use hdms::proof::{self, RequestProof};
use hdms::provider::{Clock, NodeKeys};
use reqwest::header::{CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH, RETRY_AFTER};
use reqwest::{Method, Request, Response, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::problem::{self, Problem, ProblemDocument};
use crate::system::{NodeClock, SystemRandomness};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long the other node may take to pick up.
const CONNECT: Duration = Duration::from_secs(5);

/// Longest pause that another node can ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(3600);

/// Media type of an envelope.
pub const JOSE: &str = "application/jose";

/// Asks other nodes. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    clock: NodeClock,
    busy: Arc<Mutex<HashMap<String, Instant>>>,
}

/// Who asks a server for what is its own: signs the request's proof.
#[derive(Clone, Copy, Debug)]
pub struct Signer<'a, K> {
    /// The node.
    pub node: &'a NodeId,
    /// Its keys.
    pub keys: &'a K,
}

/// The network's documents with the ETag under which the server offers them.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// Not yet verified.
    pub documents: NetworkDocuments,
    /// To ask for newer ones.
    pub etag: Option<String>,
}

/// What an institution answers to an envelope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// `applied`, `repeated` or `held`.
    pub outcome: String,
}

impl Client {
    /// With connections of its own.
    pub fn new(clock: NodeClock) -> Result<Self, Error> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .redirect(reqwest::redirect::Policy::none())
            .tcp_nodelay(true)
            .build()
            .map_err(|_| Error::CryptoFailed)?;
        Ok(Self { http, clock, busy: Arc::default() })
    }

    /// How long the node with this base URL still wants to be left alone, by what it last said
    /// with `Retry-After` (RFC 9110 section 10.2.3).
    pub fn asked_pause(&self, base: &str) -> Duration {
        let Ok(url) = Url::parse(base) else { return Duration::ZERO };
        let busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let until = busy.get(&url.origin().ascii_serialization()).copied();
        until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()))
    }

    fn note_pause(&self, response: &Response) {
        let asked = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let Some(seconds) = asked.and_then(|value| value.parse().ok()) else { return };
        let (now, asked) = (Instant::now(), Duration::from_secs(seconds).min(LONGEST_ASKED));
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        busy.retain(|_, until| *until > now);
        busy.insert(response.url().origin().ascii_serialization(), now + asked);
    }

    /// The network's root key, as `server` says. Pin it at the first start, and only then.
    pub async fn root(&self, server: &str) -> Result<RsaJwk, Error> {
        Ok(self.json(Request::new(Method::GET, url(server, "/network/root")?)).await?)
    }

    /// The network's documents; `None` when they are still those of `etag`.
    pub async fn network(
        &self,
        server: &str,
        etag: Option<&str>,
    ) -> Result<Option<Fetched>, Error> {
        let mut request = Request::new(Method::GET, url(server, "/network")?);
        if let Some(etag) = etag.and_then(|etag| HeaderValue::from_str(etag).ok()) {
            request.headers_mut().insert(IF_NONE_MATCH, etag);
        }
        let response = self.send(request).await?;
        if response.status() == StatusCode::NOT_MODIFIED {
            return Ok(None);
        }
        let etag = response.headers().get(ETAG).and_then(|etag| etag.to_str().ok());
        let etag = etag.map(str::to_owned);
        Ok(Some(Fetched { documents: read(response).await?, etag }))
    }

    /// First call of an admission: sends the signed request.
    pub async fn ask_admission(&self, server: &str, jwt: String) -> Result<Challenge, Error> {
        Ok(self
            .post(url(server, "/doorman/admissions")?, "application/jwt", jwt.into_bytes())
            .await?)
    }

    /// Second call: answers the challenge. [`Error::AdmissionPending`] until the operator admits;
    /// where the operator has decided otherwise, with the reason.
    pub async fn answer_challenge(
        &self,
        server: &str,
        answer: &ChallengeAnswer,
    ) -> Result<Admitted, Problem> {
        self.post(url(server, "/doorman/answers")?, "application/json", body(answer)?).await
    }

    /// Hands an envelope to an institution.
    pub async fn send_envelope(&self, endpoint: &str, envelope: String) -> Result<Taken, Error> {
        Ok(self.post(url(endpoint, "/inbox")?, JOSE, envelope.into_bytes()).await?)
    }

    /// Hands deposits to a notary.
    pub async fn deposit(&self, endpoint: &str, envelope: String) -> Result<DepositAnswers, Error> {
        Ok(self.post(url(endpoint, "/deposits")?, JOSE, envelope.into_bytes()).await?)
    }

    /// Asks a notary for verification keys. Answers the sealed answer.
    pub async fn query(&self, endpoint: &str, envelope: String) -> Result<Vec<u8>, Error> {
        let mut request = Request::new(Method::POST, url(endpoint, "/queries")?);
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(JOSE));
        *request.body_mut() = Some(envelope.into());
        let answer = self.send(request).await?.bytes().await.map_err(unreachable)?;
        Ok(answer.into())
    }

    /// Submits a checkpoint to a witness (C2SP tlog-witness, `add-checkpoint`). Answers the status and
    /// the text under it, whatever they are.
    pub async fn add_checkpoint(
        &self,
        endpoint: &str,
        submission: String,
    ) -> Result<(StatusCode, String), Error> {
        let mut request = Request::new(Method::POST, url(endpoint, "/witness/add-checkpoint")?);
        *request.timeout_mut() = Some(PATIENCE);
        *request.body_mut() = Some(submission.into());
        let response = self.http.execute(request).await.map_err(unreachable)?;
        let status = response.status();
        Ok((status, response.text().await.map_err(unreachable)?))
    }

    /// The bytes at `path` below `base`, whoever serves it. [`Error::NotFound`] where there is nothing,
    /// [`Error::BodyTooLarge`] for more than `limit` bytes.
    pub async fn resource(&self, base: &str, path: &str, limit: usize) -> Result<Vec<u8>, Error> {
        let mut request = Request::new(Method::GET, url(base, path)?);
        *request.timeout_mut() = Some(PATIENCE);
        let mut response = self.http.execute(request).await.map_err(unreachable)?;
        self.note_pause(&response);
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Err(Error::NotFound),
            _ => return Err(Error::NetworkUnreachable),
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if bytes.len() + chunk.len() > limit {
                return Err(Error::BodyTooLarge);
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// Puts envelopes into mailboxes. One answer for each, in their order.
    pub async fn deliver<K: NodeKeys>(
        &self,
        server: &str,
        from: Signer<'_, K>,
        deliveries: Vec<Delivery>,
    ) -> Result<Vec<DeliveryAnswer>, Error> {
        let url = url(server, "/mailbox/deliveries")?;
        let body = body(&Deliveries { deliveries })?;
        let request = self.signed(Method::POST, url, body, from).await?;
        let answers: DeliveryAnswers = self.json(request).await?;
        Ok(answers.answers)
    }

    /// Up to `limit` messages of the node's own mailbox after place `after`.
    pub async fn mailbox<K: NodeKeys>(
        &self,
        server: &str,
        of: Signer<'_, K>,
        after: u64,
        limit: usize,
    ) -> Result<MailboxPage, Error> {
        let url = url(server, &format!("/mailbox?after={after}&limit={limit}"))?;
        Ok(self.json(self.signed(Method::GET, url, Vec::new(), of).await?).await?)
    }

    /// Lets everything up to place `upto` go.
    pub async fn acknowledge<K: NodeKeys>(
        &self,
        server: &str,
        of: Signer<'_, K>,
        upto: u64,
    ) -> Result<(), Error> {
        let url = url(server, "/mailbox/acknowledgement")?;
        let body = body(&Acknowledgement { upto })?;
        self.send(self.signed(Method::POST, url, body, of).await?).await?;
        Ok(())
    }

    /// Rings whenever something has come after place `last`. Ends, with an error, when the
    /// connection does; listen again from the last place then.
    pub async fn listen<K: NodeKeys>(
        &self,
        server: &str,
        of: Signer<'_, K>,
        last: u64,
    ) -> Result<impl Stream<Item = Result<Bell, Error>> + use<K>, Error> {
        let url = url(server, "/mailbox/stream")?;
        let mut request = self.signed(Method::GET, url, Vec::new(), of).await?;
        *request.timeout_mut() = None;
        request.headers_mut().insert("last-event-id", HeaderValue::from(last));
        let chunks = refused(self.http.execute(request).await.map_err(unreachable)?).await?;
        Ok(events(chunks))
    }

    async fn signed<K: NodeKeys>(
        &self,
        method: Method,
        url: Url,
        body: Vec<u8>,
        signer: Signer<'_, K>,
    ) -> Result<Request, Error> {
        let id = MessageId::new(&self.clock, &SystemRandomness)?;
        let now = self.clock.now();
        let proof = RequestProof::new(signer.node, id, method.as_str(), url.as_str(), &body, now);
        let proof = proof.sign(signer.keys).await?;
        let mut request = Request::new(method, url);
        let headers = request.headers_mut();
        headers.insert(
            proof::HEADER,
            HeaderValue::from_str(&proof).map_err(|_| Error::RequestProofInvalid)?,
        );
        if !body.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            *request.body_mut() = Some(body.into());
        }
        Ok(request)
    }

    async fn post<T: DeserializeOwned>(
        &self,
        url: Url,
        media_type: &'static str,
        body: Vec<u8>,
    ) -> Result<T, Problem> {
        let mut request = Request::new(Method::POST, url);
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        *request.body_mut() = Some(body.into());
        self.json(request).await
    }

    async fn json<T: DeserializeOwned>(&self, request: Request) -> Result<T, Problem> {
        Ok(read(self.send(request).await?).await?)
    }

    async fn send(&self, mut request: Request) -> Result<Response, Problem> {
        *request.timeout_mut() = Some(PATIENCE);
        let response = self.http.execute(request).await.map_err(unreachable)?;
        self.note_pause(&response);
        refused(response).await
    }
}

/// The address of `path` at the node with this base URL.
fn url(base: &str, path: &str) -> Result<Url, Error> {
    let text = format!("{}{path}", base.trim_end_matches('/'));
    Url::parse(&text).map_err(|_| Error::NetworkUnreachable)
}

fn body<T: Serialize>(value: &T) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(|_| Error::BodyMalformed)
}

/// The answer, unless it is a refusal.
async fn refused(response: Response) -> Result<Response, Problem> {
    let media_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let problem = media_type.is_some_and(|value| value.starts_with(problem::MEDIA_TYPE));
    let status = response.status();
    if problem {
        let document: ProblemDocument = read(response).await?;
        let error = Error::from_code(&document.code).unwrap_or(Error::NetworkUnreachable);
        return Err(Problem { error, reason: document.reason });
    }
    // What stands between the nodes may answer in its own words.
    if status.is_success() || status == StatusCode::NOT_MODIFIED {
        Ok(response)
    } else {
        Err(Error::NetworkUnreachable.into())
    }
}

async fn read<T: DeserializeOwned>(response: Response) -> Result<T, Error> {
    let bytes = response.bytes().await.map_err(unreachable)?;
    serde_json::from_slice(&bytes).map_err(|_| Error::NetworkUnreachable)
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn unreachable(error: reqwest::Error) -> Error {
    if error.is_timeout() { Error::TimedOut } else { Error::NetworkUnreachable }
}

/// The `data` lines of server-sent events.
pub(crate) fn events<T: DeserializeOwned + Send + 'static>(
    response: Response,
) -> impl Stream<Item = Result<T, Error>> + Unpin {
    let start = (response, Vec::new());
    stream::unfold(Some(start), |state| async {
        let (mut response, mut buffer) = state?;
        loop {
            if let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = buffer.drain(..=end).collect();
                let Some(data) = line.strip_prefix(b"data:") else { continue };
                let event = serde_json::from_slice(data).map_err(|_| Error::NetworkUnreachable);
                return Some((event, Some((response, buffer))));
            }
            match response.chunk().await {
                Ok(Some(chunk)) => buffer.extend_from_slice(&chunk),
                Ok(None) => return Some((Err(Error::NetworkUnreachable), None)),
                Err(error) => return Some((Err(unreachable(error)), None)),
            }
        }
    })
    .boxed()
}
