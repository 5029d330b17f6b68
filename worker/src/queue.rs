//! One thing at a time, each with a deadline.

use futures_channel::{mpsc, oneshot};
use futures_util::future::{LocalBoxFuture, select};
use futures_util::{FutureExt, StreamExt};
use gloo_timers::future::TimeoutFuture;
use hdms::Error;
use wasm_bindgen_futures::spawn_local;

/// Runs what it is given in the order in which it came. What exceeds the deadline is given up, so
/// that it never blocks the rest: whatever it had not committed by then did not happen, and the
/// next reads what is stored. Clones are the same queue.
#[derive(Clone, Debug)]
pub struct Queue {
    jobs: mpsc::UnboundedSender<LocalBoxFuture<'static, ()>>,
}

impl Queue {
    /// A queue whose entries may each take this long from their turn on, milliseconds.
    pub fn new(deadline: u32) -> Self {
        let (jobs, mut turns) = mpsc::unbounded::<LocalBoxFuture<'static, ()>>();
        spawn_local(async move {
            while let Some(job) = turns.next().await {
                select(job, TimeoutFuture::new(deadline)).await;
            }
        });
        Self { jobs }
    }

    /// Runs `work` when its turn comes. [`Error::TimedOut`] when it was given up.
    pub async fn run<T: 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + 'static,
    ) -> Result<T, Error> {
        let (answer, answered) = oneshot::channel();
        let job = work.map(|result| {
            // Whoever asked may have gone; the work is done all the same.
            let _ = answer.send(result);
        });
        self.jobs.unbounded_send(job.boxed_local()).map_err(|_| Error::NodeStopped)?;
        answered.await.unwrap_or(Err(Error::TimedOut))
    }
}
