//! How many requests are under way: to one push service, so that a slow one keeps no other waiting,
//! and in all.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Most requests to one push service.
pub const EACH: usize = 32;

/// Most requests to all of them.
const ALL: usize = 512;

/// Failures without a success between them after which a push service is away.
const AWAY: u32 = 5;

/// Push services known before those that nobody waits for are forgotten.
const MANY: usize = 1000;

/// Gives out leave to send.
#[derive(Debug)]
pub struct Slots {
    all: Arc<Semaphore>,
    services: Mutex<HashMap<String, Arc<Service>>>,
}

/// A push service.
#[derive(Debug)]
struct Service {
    origin: String,
    slots: Arc<Semaphore>,
    failures: AtomicU32,
}

/// Leave to send one request.
#[derive(Debug)]
pub struct Slot {
    service: Arc<Service>,
    _leave: (OwnedSemaphorePermit, OwnedSemaphorePermit),
}

impl Default for Slots {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(ALL)), services: Mutex::default() }
    }
}

impl Slots {
    /// Waits for leave to send to the push service with this origin. None when the server stops.
    pub async fn take(&self, origin: &str) -> Option<Slot> {
        let service = self.service(origin);
        let one = service.slots.clone().acquire_owned().await.ok()?;
        let all = self.all.clone().acquire_owned().await.ok()?;
        Some(Slot { service, _leave: (one, all) })
    }

    fn service(&self, origin: &str) -> Arc<Service> {
        let mut services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = services.get(origin) {
            return known.clone();
        }
        if services.len() >= MANY {
            services.retain(|_, service| Arc::strong_count(service) > 1);
        }
        let slots = Arc::new(Semaphore::new(EACH));
        let failures = AtomicU32::new(0);
        let service = Arc::new(Service { origin: origin.to_owned(), slots, failures });
        services.insert(origin.to_owned(), service.clone());
        service
    }
}

impl Slot {
    /// Says in the log, once, when a push service no longer does what it is asked, and when it does
    /// again.
    pub fn report(&self, works: bool) {
        let Service { origin, failures, .. } = &*self.service;
        if works && failures.swap(0, Ordering::Relaxed) >= AWAY {
            tracing::info!(origin, "the push service takes pushes again");
        }
        if !works && failures.fetch_add(1, Ordering::Relaxed) + 1 == AWAY {
            tracing::warn!(origin, "a push service takes no pushes, trying again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{EACH, Slots};
    use futures_util::FutureExt;

    #[tokio::test]
    async fn a_push_service_that_is_slow_keeps_no_other_waiting() {
        let slots = Slots::default();
        let mut held = Vec::new();
        for _ in 0..EACH {
            held.push(slots.take("https://slow.example").await.unwrap());
        }
        assert!(slots.take("https://slow.example").now_or_never().is_none());
        assert!(slots.take("https://quick.example").now_or_never().is_some());
        held.pop();
        assert!(slots.take("https://slow.example").now_or_never().is_some());
    }
}
