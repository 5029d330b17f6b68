//! One thing at a time, each with a deadline.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;

use futures_channel::oneshot;
use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, select};
use gloo_timers::future::TimeoutFuture;
use hdms::Error;
use wasm_bindgen_futures::spawn_local;

/// Runs what it is given in the order in which it came. What exceeds the deadline is given up, so
/// that it never blocks the rest: whatever it had not committed by then did not happen, and the
/// next reads what is stored. Clones are the same queue.
#[derive(Clone)]
pub struct Queue {
    deadline: u32,
    /// What waits, and first what runs.
    jobs: Rc<RefCell<VecDeque<Job>>>,
}

/// The place of what is running is empty.
type Job = Option<LocalBoxFuture<'static, ()>>;

impl Queue {
    /// A queue whose entries may each take this long from their turn on, milliseconds.
    pub fn new(deadline: u32) -> Self {
        Self { deadline, jobs: Rc::default() }
    }

    /// Runs `work` when its turn comes. [`Error::TimedOut`] when it was given up.
    pub async fn run<T: 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + 'static,
    ) -> Result<T, Error> {
        let answer = Rc::new(Cell::new(None));
        let slot = answer.clone();
        self.give_turn(work.map(move |result| slot.set(Some(result))).boxed_local()).await;
        answer.take().unwrap_or(Err(Error::TimedOut))
    }

    /// Returns when the job was done or given up.
    async fn give_turn(&self, job: LocalBoxFuture<'static, ()>) {
        let (done, waiting) = oneshot::channel();
        let job = async {
            job.await;
            // Whoever asked may have gone; the work is done all the same.
            let _ = done.send(());
        };
        let idle = self.jobs.borrow().is_empty();
        self.jobs.borrow_mut().push_back(Some(job.boxed_local()));
        if idle {
            spawn_local(self.clone().run_all());
        }
        let _ = waiting.await;
    }

    async fn run_all(self) {
        loop {
            let next = self.jobs.borrow_mut().front_mut().and_then(Option::take);
            let Some(job) = next else { return };
            select(job, TimeoutFuture::new(self.deadline)).await;
            self.jobs.borrow_mut().pop_front();
        }
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("jobs", &self.jobs.borrow().len()).finish_non_exhaustive()
    }
}
