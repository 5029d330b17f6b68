//! The HTTP between nodes, from the asking side. A refusal comes back as the [`Error`] of its code.

use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use hdms::Error;
use hdms::answers::{ANSWER, DELIVERED, DOCUMENTS, NOTE, PAGE, RECEIPTS, SMALL};
use hdms::doorman::{Admitted, Challenge, ChallengeAnswer};
use hdms::ids::{MessageId, NodeId};
use hdms::jwk::RsaJwk;
use hdms::mailbox::{
    Acknowledgement, Bell, Deliveries, Delivery, DeliveryAnswer, DeliveryAnswers, MAX_PAGE,
    MailboxPage, Refused, ReportPage, ReportsRead,
};
use hdms::network::NetworkDocuments;
use hdms::notary::{DepositAnswer, DepositAnswers};
use hdms::proof::{self, RequestProof};
use hdms::provider::{Clock, NodeKeys};
use reqwest::header::{CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH, RETRY_AFTER};
use reqwest::{Method, Request, Response, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::base::http::guarded::{self, Guarded, Reply};
use crate::base::http::problem::{self, Problem, ProblemDocument};
use crate::base::http::reach::Reach;
use crate::base::system::{NodeClock, SystemRandomness};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Longest line of server-sent events, bytes.
const MAX_LINE: usize = 64 * 1024;

/// Media type of an envelope.
pub const JOSE: &str = "application/jose";

/// Asks other nodes. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Client {
    http: Guarded,
    clock: NodeClock,
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

/// What the server answers to deliveries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// One for each, in their order.
    pub answers: Vec<DeliveryAnswer>,
    /// How long it asks to be left alone with what it refused for now, seconds.
    pub retry_after: Option<u64>,
}

/// What a notary answers to deposits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deposited {
    /// One for each, in their order.
    pub answers: Vec<DepositAnswer>,
    /// How long it asks to be left alone with what it refused for now, seconds.
    pub retry_after: Option<u64>,
}

impl Client {
    /// With connections of its own, as far as `reach`.
    pub fn new(clock: NodeClock, reach: Reach) -> Result<Self, Error> {
        Ok(Self { http: Guarded::new(reach, PATIENCE)?, clock })
    }

    /// The network's root key, as `server` says. Pin it at the first start, and only then.
    pub async fn root(&self, server: &str) -> Result<RsaJwk, Error> {
        Ok(self.json(Request::new(Method::GET, url(server, "/network/root")?), SMALL).await?)
    }

    /// The network's documents, with proof that they continue the log of the first `size` manifests;
    /// `None` when they are still those of `etag`.
    pub async fn network(
        &self,
        server: &str,
        etag: Option<&str>,
        size: u64,
    ) -> Result<Option<Fetched>, Error> {
        let mut request = Request::new(Method::GET, url(server, &format!("/network?size={size}"))?);
        if let Some(etag) = etag.and_then(|etag| HeaderValue::from_str(etag).ok()) {
            request.headers_mut().insert(IF_NONE_MATCH, etag);
        }
        let reply = self.send(request, DOCUMENTS).await?;
        if reply.status == StatusCode::NOT_MODIFIED {
            return Ok(None);
        }
        let etag = reply.headers.get(ETAG).and_then(|etag| etag.to_str().ok());
        let etag = etag.map(str::to_owned);
        Ok(Some(Fetched { documents: read(&reply)?, etag }))
    }

    /// First call of an admission: sends the signed request.
    pub async fn ask_admission(&self, server: &str, jwt: String) -> Result<Challenge, Problem> {
        let url = url(server, "/doorman/admissions")?;
        self.post(url, "application/jwt", jwt.into_bytes(), SMALL).await
    }

    /// Second call: answers the challenge. [`Error::AdmissionPending`] until the operator admits;
    /// where the operator has decided otherwise, with the reason.
    pub async fn answer_challenge(
        &self,
        server: &str,
        answer: &ChallengeAnswer,
    ) -> Result<Admitted, Problem> {
        self.post(url(server, "/doorman/answers")?, "application/json", body(answer)?, SMALL).await
    }

    /// Hands an envelope to an institution.
    pub async fn send_envelope(&self, endpoint: &str, envelope: String) -> Result<Taken, Problem> {
        self.post(url(endpoint, "/inbox")?, JOSE, envelope.into_bytes(), SMALL).await
    }

    /// Hands deposits to a notary.
    pub async fn deposit(&self, endpoint: &str, envelope: String) -> Result<Deposited, Problem> {
        let mut request = Request::new(Method::POST, url(endpoint, "/deposits")?);
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(JOSE));
        *request.body_mut() = Some(envelope.into());
        let reply = self.send(request, RECEIPTS).await?;
        let DepositAnswers { answers } = read(&reply)?;
        Ok(Deposited { answers, retry_after: asked_pause(&reply) })
    }

    /// Asks a notary for verification keys. Answers the sealed answer.
    pub async fn query(&self, endpoint: &str, envelope: String) -> Result<Vec<u8>, Problem> {
        let mut request = Request::new(Method::POST, url(endpoint, "/queries")?);
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(JOSE));
        *request.body_mut() = Some(envelope.into());
        Ok(self.send(request, ANSWER).await?.body)
    }

    /// Submits a checkpoint to a witness (C2SP tlog-witness, `add-checkpoint`). Answers the status and
    /// the text under it, whatever they are.
    pub async fn add_checkpoint(
        &self,
        endpoint: &str,
        submission: String,
    ) -> Result<(StatusCode, String), Error> {
        let mut request = Request::new(Method::POST, url(endpoint, "/witness/add-checkpoint")?);
        *request.body_mut() = Some(submission.into());
        let reply = self.http.ask(request, NOTE).await?;
        let text = String::from_utf8(reply.body).map_err(|_| Error::NetworkUnreachable)?;
        Ok((reply.status, text))
    }

    /// The bytes at `path` below `base`, whoever serves it. [`Error::NotFound`] where there is nothing,
    /// [`Error::AnswerTooLarge`] for more than `limit` bytes.
    pub async fn resource(&self, base: &str, path: &str, limit: usize) -> Result<Vec<u8>, Problem> {
        let request = Request::new(Method::GET, url(base, path)?);
        let reply = self.http.ask(request, limit).await.map_err(Error::from)?;
        match reply.status {
            StatusCode::OK => Ok(reply.body),
            StatusCode::NOT_FOUND => Err(Error::NotFound.into()),
            _ => {
                let retry_after = asked_pause(&reply);
                Err(Problem { retry_after, ..Error::NetworkUnreachable.into() })
            }
        }
    }

    /// Puts envelopes into mailboxes. One answer for each, in their order.
    pub async fn deliver<K: NodeKeys>(
        &self,
        server: &str,
        from: Signer<'_, K>,
        deliveries: Vec<Delivery>,
    ) -> Result<Delivered, Problem> {
        let url = url(server, "/mailbox/deliveries")?;
        let body = body(&Deliveries { deliveries })?;
        // A refused delivery may come with a card.
        let reply = self.send(self.signed(Method::POST, url, body, from).await?, DELIVERED).await?;
        let DeliveryAnswers { answers } = read(&reply)?;
        Ok(Delivered { answers, retry_after: asked_pause(&reply) })
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
        Ok(self.json(self.signed(Method::GET, url, Vec::new(), of).await?, PAGE).await?)
    }

    /// Lets everything up to place `upto` go, of which these were refused.
    pub async fn acknowledge<K: NodeKeys>(
        &self,
        server: &str,
        of: Signer<'_, K>,
        upto: u64,
        refused: Vec<Refused>,
    ) -> Result<(), Error> {
        let url = url(server, "/mailbox/acknowledgement")?;
        let body = body(&Acknowledgement { upto, refused })?;
        self.send(self.signed(Method::POST, url, body, of).await?, SMALL).await?;
        Ok(())
    }

    /// What became of what the node has delivered, after the report `after`.
    pub async fn reports<K: NodeKeys>(
        &self,
        server: &str,
        of: Signer<'_, K>,
        after: u64,
    ) -> Result<ReportPage, Error> {
        let url = url(server, &format!("/mailbox/reports?after={after}&limit={MAX_PAGE}"))?;
        Ok(self.json(self.signed(Method::GET, url, Vec::new(), of).await?, SMALL).await?)
    }

    /// Lets the reports up to number `upto` go.
    pub async fn reports_read<K: NodeKeys>(
        &self,
        server: &str,
        of: Signer<'_, K>,
        upto: u64,
    ) -> Result<(), Error> {
        let url = url(server, "/mailbox/reports/acknowledgement")?;
        let body = body(&ReportsRead { upto })?;
        self.send(self.signed(Method::POST, url, body, of).await?, SMALL).await?;
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
        request.headers_mut().insert("last-event-id", HeaderValue::from(last));
        let chunks = self.http.open(request).await?;
        if chunks.status().is_success() {
            return Ok(events(chunks));
        }
        let refusal = refused(guarded::read(chunks, SMALL).await?);
        Err(refusal.err().map_or(Error::NetworkUnreachable, Into::into))
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
        limit: usize,
    ) -> Result<T, Problem> {
        let mut request = Request::new(Method::POST, url);
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        *request.body_mut() = Some(body.into());
        self.json(request, limit).await
    }

    async fn json<T: DeserializeOwned>(
        &self,
        request: Request,
        limit: usize,
    ) -> Result<T, Problem> {
        Ok(read(&self.send(request, limit).await?)?)
    }

    async fn send(&self, request: Request, limit: usize) -> Result<Reply, Problem> {
        refused(self.http.ask(request, limit).await.map_err(Error::from)?)
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
fn refused(reply: Reply) -> Result<Reply, Problem> {
    let media_type = reply.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if media_type.is_some_and(|value| value.starts_with(problem::MEDIA_TYPE)) {
        let document: ProblemDocument = read(&reply)?;
        let error = Error::answered(reply.status.as_u16(), &document.code);
        let (retry_after, ProblemDocument { reason, card, .. }) = (asked_pause(&reply), document);
        return Err(Problem { reason, retry_after, card, ..error.into() });
    }
    // What stands between the nodes may answer in its own words.
    if reply.status.is_success() || reply.status == StatusCode::NOT_MODIFIED {
        Ok(reply)
    } else {
        let retry_after = asked_pause(&reply);
        Err(Problem { retry_after, ..Error::NetworkUnreachable.into() })
    }
}

/// How long the other node asks to be left alone, seconds (RFC 9110 section 10.2.3).
fn asked_pause(reply: &Reply) -> Option<u64> {
    reply.headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()
}

fn read<T: DeserializeOwned>(reply: &Reply) -> Result<T, Error> {
    serde_json::from_slice(&reply.body).map_err(|_| Error::NetworkUnreachable)
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
                Ok(Some(chunk)) if buffer.len() + chunk.len() <= MAX_LINE => {
                    buffer.extend_from_slice(&chunk);
                }
                Ok(Some(_)) => return Some((Err(Error::AnswerTooLarge), None)),
                Ok(None) | Err(_) => return Some((Err(Error::NetworkUnreachable), None)),
            }
        }
    })
    .boxed()
}
