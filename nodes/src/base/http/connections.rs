//! How a node takes connections: so many and no more, and none that keeps it waiting. Slow heads,
//! slow bodies, answers that nobody fetches and connections left idle end by themselves.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::net::sockopt::set_tcp_user_timeout;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinError;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::base::http::addresses::subscriber;
use crate::base::http::bodies::TimedBody;
use crate::base::http::proxies::Proxies;
use crate::base::http::unsent::Unsent;

/// How long what was sent may stay unread by the other side, milliseconds; also the longest that a
/// side that has vanished goes unnoticed once something was sent to it.
const UNREAD: u32 = 60_000;

/// How long to wait after the system could not open a connection.
const AGAIN: Duration = Duration::from_millis(200);

/// How long a node waits for others, and for how many.
#[derive(Clone, Debug)]
pub struct Limits {
    /// For the whole head of a request, from the opening of the connection or the last answer on:
    /// so long may a connection be idle too.
    pub head: Duration,
    /// For the whole body of a request.
    pub body: Duration,
    /// For the whole of an answer to be read.
    pub answer: Duration,
    /// Connections at a time; from one address half of them, from a trusted proxy all.
    pub connections: usize,
    /// Who is believed when it says for whom it asks.
    pub proxies: Proxies,
}

impl Default for Limits {
    fn default() -> Self {
        let half_a_minute = Duration::from_secs(30);
        Self {
            head: half_a_minute,
            body: half_a_minute,
            answer: Duration::from_secs(120),
            connections: 20_000,
            proxies: Proxies::default(),
        }
    }
}

/// Serves `router` until `stop` is cancelled; answers when the requests under way have ended too.
pub async fn serve(listener: TcpListener, router: Router, limits: Limits, stop: CancellationToken) {
    let places = ConnectionPlaces::new(limits.connections);
    let unsent = Arc::new(Unsent::new(limits.answer));
    let connections = TaskTracker::new();
    loop {
        let (stream, from, place) = tokio::select! {
            next = next(&listener, &places, &limits.proxies) => next,
            () = stop.cancelled() => break,
        };
        let (router, stop, tasks) = (router.clone(), stop.clone(), connections.clone());
        let (limits, unsent) = (limits.clone(), unsent.clone());
        connections.spawn(async move {
            if let Err(error) = converse(stream, from, router, limits, unsent, tasks, stop).await {
                tracing::debug!(%error, "a connection broke off");
            }
            drop(place);
        });
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// The next connection, once there is a place for it.
async fn next(
    listener: &TcpListener,
    places: &Arc<ConnectionPlaces>,
    proxies: &Proxies,
) -> (TcpStream, SocketAddr, ConnectionPlace) {
    loop {
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::error!(%error, "no connection could be taken");
                sleep(AGAIN).await;
                continue;
            }
        };
        match places.take(from.ip(), proxies.trusts(from.ip())).await {
            Some(place) => return (stream, from, place),
            None => tracing::debug!(%from, "too many connections from there"),
        }
    }
}

/// Lets this process have as many files and connections open as the system allows it.
pub fn raise_open_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, "the number of open files stays as it was");
    }
}

async fn converse(
    stream: TcpStream,
    from: SocketAddr,
    router: Router,
    limits: Limits,
    unsent: Arc<Unsent>,
    tasks: TaskTracker,
    stop: CancellationToken,
) -> Result<(), hyper::Error> {
    let set = stream.set_nodelay(true);
    if let Err(error) = set.and_then(|()| Ok(set_tcp_user_timeout(&stream, UNREAD)?)) {
        tracing::debug!(%error, "an option of the connection could not be set");
    }
    let router = TowerToHyperService::new(router);
    let (head_time, body_time) = (limits.head, limits.body);
    let end = CancellationToken::new();
    let of_connection = end.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(|body| TimedBody::new(body, body_time));
        let client = limits.proxies.client(from.ip(), request.headers());
        request.extensions_mut().insert(ConnectInfo(SocketAddr::new(client, from.port())));
        // A task of its own, so that what was begun is done though the other side hangs up: between
        // what is stored and what follows from it nothing may be dropped.
        let answering = tasks.spawn(router.call(request));
        let (unsent, end) = (unsent.clone(), of_connection.clone());
        async move {
            let Ok(answer) = answering.await?;
            Ok::<_, JoinError>(unsent.count(client, answer, &end))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_time)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = end.cancelled() => return Ok(()),
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        ended = connection => ended,
        () = end.cancelled() => Ok(()),
    }
}

/// The places for connections.
#[derive(Debug)]
struct ConnectionPlaces {
    free: Arc<Semaphore>,
    /// Most from one address.
    each: usize,
    taken: Mutex<HashMap<IpAddr, usize>>,
}

/// The place of one connection.
#[derive(Debug)]
struct ConnectionPlace {
    places: Arc<ConnectionPlaces>,
    from: IpAddr,
    _permit: Option<OwnedSemaphorePermit>,
}

impl ConnectionPlaces {
    fn new(count: usize) -> Arc<Self> {
        let free = Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)));
        Arc::new(Self { free, each: count.div_ceil(2), taken: Mutex::default() })
    }

    /// Waits while all are taken; none when too many are taken from this address.
    async fn take(self: &Arc<Self>, from: IpAddr, trusted: bool) -> Option<ConnectionPlace> {
        let from = subscriber(from);
        {
            let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
            let taken = taken.entry(from).or_default();
            if *taken >= self.each && !trusted {
                return None;
            }
            *taken += 1;
        }
        let mut place = ConnectionPlace { places: self.clone(), from, _permit: None };
        place._permit = self.free.clone().acquire_owned().await.ok();
        Some(place)
    }
}

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.from) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.from);
            }
        }
    }
}
