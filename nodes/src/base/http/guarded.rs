//! The one way in which a node asks others over HTTP: only where its [`Reach`] goes, without
//! redirects and proxies, within a time and up to a size.

use std::error::Error as _;
use std::time::Duration;

use hdms::Error;
use reqwest::header::HeaderMap;
use reqwest::redirect::Policy;
use reqwest::{Request, RequestBuilder, Response, StatusCode, Url};

use crate::base::http::reach::{OutOfReach, Reach};

/// How long the other side may take to pick up.
const CONNECT: Duration = Duration::from_secs(5);

/// Asks others. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Guarded {
    http: reqwest::Client,
    reach: Reach,
    patience: Duration,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// What came.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// Nothing was sent: this node does not go there.
    OutOfReach,
    /// It did not come in time.
    TimedOut,
    /// It is larger than it may be.
    TooLarge,
    /// The other side could not be reached, or broke off.
    Broken,
}

impl From<Unanswered> for Error {
    fn from(why: Unanswered) -> Self {
        match why {
            Unanswered::TimedOut => Self::TimedOut,
            Unanswered::TooLarge => Self::AnswerTooLarge,
            Unanswered::OutOfReach | Unanswered::Broken => Self::NetworkUnreachable,
        }
    }
}

impl Guarded {
    /// Goes as far as `reach`, and waits this long for each answer.
    pub fn new(reach: Reach, patience: Duration) -> Result<Self, Error> {
        // No proxy of the environment: it would look names up by itself.
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .dns_resolver(reach)
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            .build()
            .map_err(|_| Error::CryptoFailed)?;
        Ok(Self { http, reach, patience })
    }

    /// A request to be sent from here.
    pub fn post(&self, url: Url) -> RequestBuilder {
        self.http.post(url).timeout(self.patience)
    }

    /// Sends a request, and reads the answer: of no more than `limit` bytes.
    pub async fn ask(&self, mut request: Request, limit: usize) -> Result<Reply, Unanswered> {
        *request.timeout_mut() = Some(self.patience);
        read(self.open(request).await?, limit).await
    }

    /// Sends a request, and answers once the other side begins to: for what comes without an end, or
    /// is not read to its end.
    pub async fn open(&self, request: Request) -> Result<Response, Unanswered> {
        if !self.reach.admits(request.url()) {
            let host = request.url().host_str();
            tracing::warn!(host, "nothing is sent to where this node does not go");
            return Err(Unanswered::OutOfReach);
        }
        self.http.execute(request).await.map_err(unanswered)
    }
}

/// All of an answer, unless it has more than `limit` bytes.
pub async fn read(mut response: Response, limit: usize) -> Result<Reply, Unanswered> {
    let announced = response.content_length().unwrap_or_default();
    if announced > limit as u64 {
        return Err(Unanswered::TooLarge);
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unanswered)? {
        if body.len() + chunk.len() > limit {
            return Err(Unanswered::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    let status = response.status();
    Ok(Reply { status, headers: std::mem::take(response.headers_mut()), body })
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn unanswered(error: reqwest::Error) -> Unanswered {
    let mut source = error.source();
    while let Some(cause) = source {
        if cause.is::<OutOfReach>() {
            return Unanswered::OutOfReach;
        }
        source = cause.source();
    }
    if error.is_timeout() { Unanswered::TimedOut } else { Unanswered::Broken }
}

#[cfg(test)]
mod tests {
    use super::{Guarded, Unanswered};
    use crate::base::http::reach::Reach;
    use reqwest::{Method, Request};
    use std::time::Duration;

    async fn ask(reach: Reach, url: &str) -> Unanswered {
        let guarded = Guarded::new(reach, Duration::from_secs(5)).unwrap();
        guarded.ask(Request::new(Method::GET, url.parse().unwrap()), 100).await.unwrap_err()
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_is_out_of_reach_and_one_that_leads_nowhere_broken() {
        assert_eq!(ask(Reach::Public, "https://localhost:1/").await, Unanswered::OutOfReach);
        assert_eq!(ask(Reach::Public, "http://127.0.0.1:1/").await, Unanswered::OutOfReach);
        assert_eq!(ask(Reach::Local, "http://localhost:1/").await, Unanswered::Broken);
        assert_eq!(ask(Reach::Public, "https://nowhere.invalid/").await, Unanswered::Broken);
    }
}
