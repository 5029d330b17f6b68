//! Refreshes, one after another: of those that wait for one to end the first makes the next, and the
//! others have what came of that.

use std::sync::atomic::{AtomicU64, Ordering};

use hdms::Error;
use tokio::sync::{Mutex, MutexGuard};

/// What refreshes work on, and how many there were.
#[derive(Debug)]
pub(super) struct Refreshes<T> {
    works_on: Mutex<T>,
    begun: AtomicU64,
    /// The last one that was done: one that failed was none.
    done: AtomicU64,
}

impl<T> Refreshes<T> {
    pub fn new(works_on: T) -> Self {
        Self { works_on: Mutex::new(works_on), begun: AtomicU64::new(0), done: AtomicU64::new(0) }
    }

    /// What they work on, while none does.
    pub async fn lock(&self) -> MutexGuard<'_, T> {
        self.works_on.lock().await
    }

    /// Refreshes, unless another refresh was begun and done since this was called: it has seen all that
    /// was written before. A later one never loses to an earlier one. Errors: those of `refresh`.
    pub async fn take(
        &self,
        refresh: impl AsyncFnOnce(&mut T) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let before = self.begun.load(Ordering::SeqCst);
        let mut works_on = self.works_on.lock().await;
        if self.done.load(Ordering::SeqCst) > before {
            return Ok(());
        }
        let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        refresh(&mut works_on).await?;
        self.done.store(number, Ordering::SeqCst);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;
    use hdms::Error;
    use tokio::task::yield_now;

    use super::Refreshes;

    /// Counts one more; the first `failing` fail.
    async fn refresh(refreshes: &Refreshes<i32>, failing: i32) -> Result<(), Error> {
        refreshes
            .take(async |count: &mut i32| {
                yield_now().await;
                *count += 1;
                if *count <= failing { Err(Error::StoreFailed) } else { Ok(()) }
            })
            .await
    }

    #[tokio::test]
    async fn however_many_wait_for_one_to_end_need_one_more() {
        let refreshes = Refreshes::new(0);
        let all = join_all((0..100).map(|_| refresh(&refreshes, 0))).await;
        all.into_iter().for_each(|done| done.unwrap());
        assert_eq!(*refreshes.lock().await, 2, "the first may have missed what the others wrote");
        refresh(&refreshes, 0).await.unwrap();
        assert_eq!(*refreshes.lock().await, 3);
    }

    #[tokio::test]
    async fn one_that_fails_spares_nobody_his() {
        let refreshes = Refreshes::new(0);
        let answers = join_all((0..5).map(|_| refresh(&refreshes, 2))).await;
        assert_eq!(answers.iter().filter(|answer| answer.is_err()).count(), 2);
        assert_eq!(*refreshes.lock().await, 3);
    }
}
