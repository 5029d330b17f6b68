//! What a node answers before it serves: it listens from its start on, and says what it waits for, be
//! it the network's operator, so that nobody is kept waiting without a word.

use axum::Router;
use axum::extract::Request;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::response::{IntoResponse, Response};
use hdms::Error;
use hdms::ids::NodeId;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Serving, open_to, open_to_all, with_common_answers};
use crate::base::http::connections::Limits;
use crate::base::http::headers;
use crate::base::http::problem::{self, Problem};

/// Why a node does not serve yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The node.
    pub node: NodeId,
    /// What it was answered, and asks for again.
    pub why: Error,
}

/// A listener of a node that starts. Dropped, it is closed.
#[derive(Debug)]
pub struct Starting {
    serving: Serving,
    /// What answers; until it is known who asks has to wait.
    answering: watch::Sender<Option<Router>>,
    url: String,
    /// Whose pages may read the answers, if not everybody's.
    origins: Option<Vec<HeaderValue>>,
    stop: CancellationToken,
    unless_served: DropGuard,
}

impl Starting {
    /// Listens at the node with the base URL `url` until `stop` is cancelled.
    pub fn listen(
        listener: TcpListener,
        url: &str,
        limits: Limits,
        stop: &CancellationToken,
    ) -> Self {
        let (answering, known) = watch::channel(None);
        let router = Router::new().fallback(move |request| answer(known.clone(), request));
        let stopped = stop.child_token();
        Self {
            serving: Serving::start(listener, router, limits, stopped.clone()),
            answering,
            url: url.to_owned(),
            origins: None,
            stop: stop.clone(),
            unless_served: stopped.drop_guard(),
        }
    }

    /// Lets pages of these origins alone read what is answered before it serves.
    #[must_use]
    pub fn open_to(self, origins: Vec<HeaderValue>) -> Self {
        Self { origins: Some(origins), ..self }
    }

    /// Answers from now on what the node waits for. That is no news to the log, each time that somebody
    /// asks.
    pub fn wait(&self, wait: &Wait) {
        let wait = wait.clone();
        let router =
            Router::new().fallback(async move |method, headers| waiting(&wait, method, &headers));
        let router = match self.origins.clone() {
            Some(origins) => open_to(router, origins),
            None => open_to_all(router),
        };
        self.answering.send_replace(Some(headers::on_all(router, &self.url)));
    }

    /// Has the node's `router`, with [what all nodes answer alike](with_common_answers), answer.
    pub fn serve(self, router: Router) -> Serving {
        let Self { serving, answering, url, stop, unless_served, .. } = self;
        answering.send_replace(Some(with_common_answers(router, &url)));
        unless_served.disarm();
        Serving { stop, ..serving }
    }
}

async fn answer(mut known: watch::Receiver<Option<Router>>, request: Request) -> Response {
    let router = known.wait_for(Option::is_some).await.ok().and_then(|router| router.clone());
    let Some(router) = router else { return Problem::from(Error::NodeStopped).into_response() };
    match TowerToHyperService::new(router).call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

fn waiting(wait: &Wait, method: Method, headers: &HeaderMap) -> Response {
    let accepted = headers.get(ACCEPT).and_then(|types| types.to_str().ok()).unwrap_or_default();
    let is_read = method == Method::GET && accepted.contains("text/html");
    if is_read { page(wait) } else { problem::not_yet(wait.why) }
}

/// The same for people: what a browser shows in the console's place.
fn page(wait: &Wait) -> Response {
    let Wait { node, why } = wait;
    let what = match why {
        Error::AdmissionPending => format!(
            "<p>This node waits until the network's operator has looked into what it claims, and \
             admits it: <code>hdms server pending</code> shows it there.</p>\
             <p>Node id: <code>{node}</code></p>"
        ),
        why => format!("<p>This node waits: {} <code>{}</code></p>", why.sentence(), why.code()),
    };
    let page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <meta http-equiv=\"refresh\" content=\"{}\"><title>Not a member yet</title>\
         <h1>Not a member of the network yet</h1>{what}<p>This page looks again by itself.</p></html>",
        problem::NOT_YET
    );
    let mut response = problem::not_yet(*why).map(|_| page.into());
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
