//! Bodies of requests: read up to a size, and within a time.

use std::error::Error as StdError;
use std::fmt;
use std::iter;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody, to_bytes};
use hdms::Error;
use hyper::body::{Frame, Incoming, SizeHint};
use tokio::time::{Sleep, sleep};

/// The whole body of a request, or `too_large` when it has more than `limit` bytes.
/// [`Error::BodyTooSlow`] when it does not come in time, [`Error::CommandMalformed`] when it breaks
/// off.
pub async fn read_body(body: Body, limit: usize, too_large: Error) -> Result<Bytes, Error> {
    to_bytes(body, limit).await.map_err(|error| {
        let causes = iter::successors(Some(&error as &dyn StdError), |cause| (*cause).source());
        let refusals = causes.filter_map(|cause| match cause {
            cause if cause.is::<http_body_util::LengthLimitError>() => Some(too_large),
            cause if cause.is::<TooSlow>() => Some(Error::BodyTooSlow),
            _ => None,
        });
        refusals.last().unwrap_or(Error::CommandMalformed)
    })
}

/// The body of a request did not come in time: what reading it answers.
#[derive(Clone, Copy, Debug)]
pub struct TooSlow;

impl fmt::Display for TooSlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body did not come in time")
    }
}

impl StdError for TooSlow {}

/// A body that ends in [`TooSlow`] when it takes longer than it may.
pub struct TimedBody {
    body: Incoming,
    limit: Duration,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl TimedBody {
    /// Of a body that may take this long from when it is read first.
    pub fn new(body: Incoming, limit: Duration) -> Self {
        Self { body, limit, deadline: None }
    }
}

impl HttpBody for TimedBody {
    type Data = Bytes;
    type Error = Box<dyn StdError + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let limit = self.limit;
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(deadline.as_mut().poll(context));
        Poll::Ready(Some(Err(TooSlow.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
