//! HTTP over `fetch`. Whatever goes wrong on the way is [`Error::NetworkUnreachable`], and is tried
//! again later.

use hdms::Error;
use hdms::answers::RECEIPTS;
use hdms::json;
use hdms::proof::HEADER;
use js_sys::Array;
use serde::de::DeserializeOwned;
use serde_json::Value;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

#[wasm_bindgen(module = "/js/exchange.js")]
extern "C" {
    #[wasm_bindgen(catch)]
    async fn exchange(
        method: &str,
        url: &str,
        headers: &Array,
        body: Option<String>,
        limit: usize,
    ) -> Result<JsValue, JsValue>;
}

/// The other side's answer.
#[derive(Debug)]
pub struct Answer {
    status: u16,
    retry_after: Option<u64>,
    etag: Option<String>,
    body: String,
}

/// `GET url` with these headers, such as a proof where the server asks for one.
/// [`Error::AnswerTooLarge`] when the answer has more than `limit` bytes; no more is read.
pub async fn get(url: &str, headers: &[(&str, &str)], limit: usize) -> Result<Answer, Error> {
    send("GET", url, headers, None, limit).await
}

/// `POST url`, with a proof where the server asks for one. [`Error::AnswerTooLarge`] when the answer
/// has more than [`RECEIPTS`] bytes.
pub async fn post(
    url: &str,
    content_type: &str,
    body: String,
    proof: Option<&str>,
) -> Result<Answer, Error> {
    let mut headers = vec![("content-type", content_type)];
    headers.extend(proof.map(|proof| (HEADER, proof)));
    send("POST", url, &headers, Some(body), RECEIPTS).await
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

    /// The refusal, unless it is a success: [`Error::answered`]. One that comes from something between
    /// here and there counts as [`Error::NetworkUnreachable`].
    pub fn success(&self) -> Result<(), Error> {
        let code = self.code();
        let pending = self.status == Error::AdmissionPending.status() && code.is_some();
        if (200..300).contains(&self.status) && !pending {
            return Ok(());
        }
        Err(Error::answered(self.status, &code.unwrap_or_default()))
    }

    /// How long the other side asks to be left alone, seconds.
    pub fn retry_after(&self) -> Option<u64> {
        self.retry_after
    }

    /// The card that comes with [`Error::FormerKey`].
    pub fn card(&self) -> Option<String> {
        self.value().ok()?.get("card")?.as_str().map(str::to_owned)
    }

    /// The code of a problem (RFC 9457).
    fn code(&self) -> Option<String> {
        self.value().ok()?.get("code")?.as_str().map(str::to_owned)
    }

    fn value(&self) -> Result<Value, Error> {
        json::parse(self.body.as_bytes()).map_err(|_| Error::NetworkUnreachable)
    }
}

async fn send(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: Option<String>,
    limit: usize,
) -> Result<Answer, Error> {
    let header = |(name, value): &(&str, &str)| Array::of2(&(*name).into(), &(*value).into());
    let headers = headers.iter().map(header).collect();
    let answer = exchange(method, url, &headers, body, limit).await;
    let answer = Array::from(&answer.map_err(|_| Error::NetworkUnreachable)?);
    let status = answer.get(0).as_f64().map(|status| status as u16);
    let text = |index| answer.get(index).as_string();
    Ok(Answer {
        status: status.ok_or(Error::NetworkUnreachable)?,
        retry_after: text(1).and_then(|seconds| seconds.parse().ok()),
        etag: text(2),
        body: text(3).ok_or(Error::AnswerTooLarge)?,
    })
}
