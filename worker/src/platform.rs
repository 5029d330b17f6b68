//! What the browser gives a node: time, randomness, keys and storage.

use std::cell::Cell;

use hdms::Error;
use hdms::ids::{CaseId, NodeId};
use hdms::node::{OutboxItem, Platform};
use hdms::provider::{Clock, Randomness, Timestamp};

use crate::store::IndexedDb;
use crate::webcrypto::{WebCryptoKeys, WebHolders, WebPrimitives};

/// The device's clock.
#[derive(Clone, Copy, Debug)]
pub struct BrowserClock;

impl Clock for BrowserClock {
    fn now(&self) -> Timestamp {
        Timestamp(js_sys::Date::now() as u64)
    }
}

/// `crypto.getRandomValues`.
#[derive(Clone, Copy, Debug)]
pub struct BrowserRandomness;

impl Randomness for BrowserRandomness {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), Error> {
        getrandom::fill(bytes).map_err(|_| Error::RandomnessFailed)
    }
}

/// The providers of a personal node.
#[derive(Debug)]
pub struct Browser {
    primitives: WebPrimitives,
    keys: WebCryptoKeys,
    holders: WebHolders,
    store: IndexedDb,
    queued: Cell<bool>,
}

impl Browser {
    /// Over an open database and the node's keys.
    pub fn new(store: IndexedDb, keys: WebCryptoKeys) -> Self {
        let holders = WebHolders::new(store.clone());
        // What a worker before this one has queued and not sent.
        let (primitives, queued) = (WebPrimitives::default(), Cell::new(true));
        Self { primitives, keys, holders, store, queued }
    }

    /// Whether something may have been queued for sending since this was asked last.
    pub fn take_queued(&self) -> bool {
        self.queued.take()
    }
}

impl Platform for Browser {
    type Primitives = WebPrimitives;
    type Keys = WebCryptoKeys;
    type Holders = WebHolders;
    type Store = IndexedDb;
    type Clock = BrowserClock;
    type Randomness = BrowserRandomness;
    type Guard = ();

    fn primitives(&self) -> &WebPrimitives {
        &self.primitives
    }

    fn keys(&self) -> &WebCryptoKeys {
        &self.keys
    }

    fn holders(&self) -> &WebHolders {
        &self.holders
    }

    fn store(&self) -> &IndexedDb {
        &self.store
    }

    fn clock(&self) -> &BrowserClock {
        &BrowserClock
    }

    fn randomness(&self) -> &BrowserRandomness {
        &BrowserRandomness
    }

    /// The queue handles one thing at a time.
    async fn lock_case(&self, _case: &CaseId) {}

    async fn lock_sender(&self, _sender: &NodeId) {}

    /// The items themselves are in the outbox.
    fn queued(&self, _items: Vec<OutboxItem>) {
        self.queued.set(true);
    }
}
