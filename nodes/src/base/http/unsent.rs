//! Answers that are made and have not gone out yet, since the other side does not read them. So many bytes
//! of them lie in memory and no more: where they are more, addresses that hold most of them make room,
//! and none may take longer than its time. What makes room takes its connection with it.

use std::future::pending;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::response::Response;
use hyper::body::{Frame, SizeHint};
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::base::http::gate::{Gate, Place};

/// Most that answers hold, bytes.
const BYTES: usize = 256 * 1024 * 1024;

/// Answers that are smaller are not counted, bytes: as much may each connection hold.
const SMALL: u64 = 16 * 1024;

/// The extension of an answer that lies ready for all who ask, so that nobody holds it.
#[derive(Clone, Copy, Debug)]
pub struct LiesReady;

/// The answers of one listener.
#[derive(Debug)]
pub struct Unsent {
    gate: Arc<Gate>,
    time: Duration,
}

impl Unsent {
    /// None yet; each may take this long to be read.
    pub fn new(time: Duration) -> Self {
        // Each connection has one at a time: what counts here is bytes.
        Self { gate: Gate::with(usize::MAX, 0), time }
    }

    /// Counts an answer to this address until the last of it has gone out; ends its connection, by `end`,
    /// where it has to make room or takes too long. An answer of unknown length, as a live stream, holds
    /// nothing and may take any time.
    pub fn count(&self, to: IpAddr, answer: Response, end: &CancellationToken) -> Response {
        let Some(bytes) = answer.body().size_hint().exact().filter(|bytes| *bytes >= SMALL) else {
            return answer;
        };
        let is_own = answer.extensions().get::<LiesReady>().is_none();
        let place = is_own.then(|| self.gate.enter(to).ok()).flatten();
        if let Some(place) = &place {
            place.hold(usize::try_from(bytes).unwrap_or(usize::MAX), BYTES);
        }
        let gone = CancellationToken::new();
        tokio::spawn(watch(
            gone.clone(),
            place.as_ref().map(Place::needed),
            self.time,
            end.clone(),
        ));
        let held = Arc::new(Held { _gone: gone.drop_guard(), _place: place });
        answer.map(|body| Body::new(Counted { body, held }))
    }
}

/// Cancels `end` once the place is needed or the time is over, unless the answer is `gone` by then.
async fn watch(
    gone: CancellationToken,
    needed: Option<impl Future<Output = ()>>,
    time: Duration,
    end: CancellationToken,
) {
    let needed = async {
        match needed {
            Some(needed) => needed.await,
            None => pending().await,
        }
    };
    tokio::select! {
        biased;
        () = gone.cancelled() => return,
        () = needed => {}
        () = sleep(time) => {}
    }
    end.cancel();
}

/// Dropped with the last piece of an answer: first that it is gone is said, then its place is free.
#[derive(Debug)]
struct Held {
    _gone: DropGuard,
    _place: Option<Place>,
}

/// The body of an answer, whose pieces count until they have gone out.
struct Counted {
    body: Body,
    held: Arc<Held>,
}

/// A piece of an answer, which the connection may keep when it has read the body to its end.
struct Piece {
    bytes: Bytes,
    _held: Arc<Held>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let next = Pin::new(&mut self.body).poll_frame(context);
        let piece = |bytes| Bytes::from_owner(Piece { bytes, _held: self.held.clone() });
        next.map_ok(|frame| frame.map_data(piece))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
