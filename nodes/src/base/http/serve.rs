//! What every native node does around its routes: answers strangers' pages (CORS) where they may
//! ask, refuses unknown addresses and methods by their codes, and stops cleanly.

mod starting;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use axum::http::header::{
    AUTHORIZATION, CONTENT_TYPE, ETAG, HeaderName, IF_NONE_MATCH, RETRY_AFTER,
};
use axum::http::{HeaderValue, Method};
use axum::middleware::{self, Next};
use axum::response::Response;
use hdms::proof;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower_http::cors::{AllowOrigin, Any, CorsLayer};

pub use starting::{Starting, Wait};

use crate::base::http::connections::{self, Limits};
use crate::base::http::{headers, problem};

/// How long requests under way may take to end when the node stops.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// A node that serves.
#[derive(Debug)]
pub struct Serving {
    address: SocketAddr,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Serving {
    /// Serves `router` on `listener` until `stop` is cancelled. Handlers that answer without an end
    /// have to watch `stop` themselves.
    pub fn start(
        listener: TcpListener,
        router: Router,
        limits: Limits,
        stop: CancellationToken,
    ) -> Self {
        let address = listener.local_addr().unwrap_or_else(|_| ([0, 0, 0, 0], 0).into());
        let serving = connections::serve(listener, router, limits, stop.clone());
        let stopping = stop.clone();
        let task = tokio::spawn(async move {
            let deadline = async {
                stopping.cancelled().await;
                tokio::time::sleep(LAST_WORDS).await;
            };
            tokio::select! {
                () = serving => {}
                () = deadline => tracing::warn!("requests under way were cut off"),
            }
        });
        Self { address, stop, tasks: vec![task] }
    }

    /// Counts `task`, which ends by itself once serving has, as a part of it.
    #[must_use]
    pub fn alongside(mut self, task: JoinHandle<()>) -> Self {
        self.tasks.push(task);
        self
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops: takes no new requests, ends those under way, and returns when all have ended.
    pub async fn stop(self) {
        self.stop.cancel();
        self.ended().await;
    }

    /// Returns when it has stopped for whatever the reason.
    pub async fn ended(self) {
        for task in self.tasks {
            if task.await.is_err() {
                tracing::error!("serving broke off");
            }
        }
    }
}

/// Gives `router`, that of a node with the base URL `url`, what all nodes answer alike:
/// `api/not-found` and `api/method`, and the headers of every answer; and a line in the log for each
/// request.
pub fn with_common_answers(router: Router, url: &str) -> Router {
    let router = router
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed);
    headers::on_all(router, url).layer(middleware::from_fn(logged))
}

/// Lets pages of every origin ask: requests prove who they are from by themselves.
pub fn open_to_all(router: Router) -> Router {
    router.method_not_allowed_fallback(problem::method_not_allowed).layer(cors().allow_origin(Any))
}

/// Lets pages of these origins ask, and of no other: who asks has a key that a page could keep.
pub fn open_to(router: Router, origins: Vec<HeaderValue>) -> Router {
    router
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(cors().allow_origin(AllowOrigin::list(origins)))
}

/// Paths hold ids at most; queries, headers and bodies are not logged.
async fn logged(request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let start = Instant::now();
    let response = next.run(request).await;
    let (status, took) = (response.status().as_u16(), start.elapsed());
    if response.status().is_server_error() {
        tracing::warn!(%method, path, status, ?took, "request");
    } else {
        tracing::debug!(%method, path, status, ?took, "request");
    }
    response
}

fn cors() -> CorsLayer {
    CorsLayer::new()
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([
            HeaderName::from_static(proof::HEADER),
            HeaderName::from_static("last-event-id"),
            HeaderName::from_static("idempotency-key"),
            AUTHORIZATION,
            CONTENT_TYPE,
            IF_NONE_MATCH,
        ])
        .expose_headers([ETAG, RETRY_AFTER])
        .max_age(Duration::from_secs(24 * 3600))
}

/// Cancelled at SIGTERM or SIGINT.
pub fn stop_signal() -> std::io::Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        token.cancel();
    });
    Ok(stop)
}
