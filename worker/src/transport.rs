//! HTTP over `fetch`. Whatever goes wrong on the way is [`Error::NetworkUnreachable`], and is tried
//! again later.

use gloo_net::http::{Request, RequestBuilder};
use hdms::Error;
use hdms::json;
use hdms::proof::HEADER;
use serde::de::DeserializeOwned;
use serde_json::Value;
use web_sys::{AbortSignal, RequestCache};

/// How long a request may take, milliseconds.
const TIMEOUT: u32 = 20_000;

/// The other side's answer.
#[derive(Debug)]
pub struct Answer {
    status: u16,
    retry_after: Option<u64>,
    etag: Option<String>,
    body: String,
}

/// `GET url` with these headers, such as a proof where the server asks for one.
pub async fn get(url: &str, headers: &[(&str, &str)]) -> Result<Answer, Error> {
    let request = prepare(Request::get(url), headers).build();
    send(request.map_err(|_| Error::NetworkUnreachable)?).await
}

/// `POST url`, with a proof where the server asks for one.
pub async fn post(
    url: &str,
    content_type: &str,
    body: String,
    proof: Option<&str>,
) -> Result<Answer, Error> {
    let proof = proof.map(|proof| (HEADER, proof));
    let request = prepare(Request::post(url), proof.as_slice());
    let request = request.header("content-type", content_type);
    send(request.body(body).map_err(|_| Error::NetworkUnreachable)?).await
}

impl Answer {
    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The server's name for this state of what it answers (RFC 9110 section 8.8.3).
    pub fn etag(&self) -> Option<String> {
        self.etag.clone()
    }

    /// The body of a success, read as JSON. Otherwise the refusal.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        self.success()?;
        json::read(self.value()?, Error::NetworkUnreachable)
    }

    /// The refusal, unless it is a success. One whose code this version does not know, or that
    /// comes from something between here and there, counts as [`Error::NetworkUnreachable`].
    pub fn success(&self) -> Result<(), Error> {
        let pending = self.status == Error::AdmissionPending.status() && self.code().is_some();
        if (200..300).contains(&self.status) && !pending {
            return Ok(());
        }
        let known = self.code().and_then(|code| Error::from_code(&code));
        Err(known.unwrap_or(Error::NetworkUnreachable))
    }

    /// How long the other side asks to be left alone, seconds.
    pub fn retry_after(&self) -> Option<u64> {
        self.retry_after
    }

    /// The code of a problem (RFC 9457).
    fn code(&self) -> Option<String> {
        self.value().ok()?.get("code")?.as_str().map(str::to_owned)
    }

    fn value(&self) -> Result<Value, Error> {
        json::parse(self.body.as_bytes()).map_err(|_| Error::NetworkUnreachable)
    }
}

fn prepare(request: RequestBuilder, headers: &[(&str, &str)]) -> RequestBuilder {
    let limit = AbortSignal::timeout_with_u32(TIMEOUT);
    let request = request.cache(RequestCache::NoStore).abort_signal(Some(&limit));
    headers.iter().fold(request, |request, (name, value)| request.header(name, value))
}

async fn send(request: Request) -> Result<Answer, Error> {
    let response = request.send().await.map_err(|_| Error::NetworkUnreachable)?;
    let (status, headers) = (response.status(), response.headers());
    let retry_after = headers.get("retry-after").and_then(|value| value.parse().ok());
    let etag = headers.get("etag");
    let body = response.text().await.map_err(|_| Error::NetworkUnreachable)?;
    Ok(Answer { status, retry_after, etag, body })
}
