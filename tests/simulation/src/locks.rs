//! Whoever works on something has it for himself.

use std::cell::RefCell;
use std::collections::HashSet;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

type Held = Rc<RefCell<HashSet<String>>>;

/// What is worked on, by name.
#[derive(Default)]
pub struct Locks(Held);

/// While it lives, nobody else works on it.
pub struct Guard {
    held: Held,
    name: String,
}

impl Locks {
    /// Waits until nobody else works on it.
    pub async fn lock(&self, name: &str) -> Guard {
        let held = &self.0;
        poll_fn(|context| {
            if held.borrow_mut().insert(name.to_owned()) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
        Guard { held: held.clone(), name: name.to_owned() }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.held.borrow_mut().remove(&self.name);
    }
}
