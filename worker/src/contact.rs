//! When the server was last reached and what is wrong since: kept, so that a worker which has just
//! been started knows it too.

use std::cell::RefCell;

use hdms::provider::{Clock, Store, Table, Timestamp, Write};
use hdms::{Error, json};
use serde::{Deserialize, Serialize};

use crate::platform::BrowserClock;
use crate::store::IndexedDb;

/// Row of [`Table::Meta`].
const CONTACT: &str = "contact";

/// Reached again within this time is not worth a write, milliseconds.
const FRESH: u64 = 60_000;

/// The last contact with the server.
#[derive(Debug)]
pub struct Contact {
    store: IndexedDb,
    now: RefCell<Kept>,
    kept: RefCell<Kept>,
}

/// Every member may be missing, so that versions can add to it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Kept {
    reached: Option<Timestamp>,
    problem: Option<String>,
}

impl Contact {
    /// As `store` has kept it. Errors: those of the store.
    pub async fn kept(store: IndexedDb) -> Result<Self, Error> {
        let row = store.read(Table::Meta, CONTACT).await?;
        let kept: Kept = row.map(|row| json::stored(&row)).transpose()?.unwrap_or_default();
        Ok(Self { store, now: RefCell::new(kept.clone()), kept: RefCell::new(kept) })
    }

    /// The server has answered.
    pub fn reached(&self) {
        self.now.borrow_mut().reached = Some(BrowserClock.now());
    }

    /// How a synchronisation ended. Errors: those of the store.
    pub async fn ended(&self, problem: Option<Error>) -> Result<(), Error> {
        self.now.borrow_mut().problem = problem.map(|error| error.code().to_owned());
        let (now, kept) = (self.now.borrow().clone(), self.kept.borrow().clone());
        let times = now.reached.zip(kept.reached);
        let known = times.map_or(now.reached.is_none(), |(a, b)| a.0.abs_diff(b.0) < FRESH);
        if known && now.problem == kept.problem {
            return Ok(());
        }
        let (key, value) = (CONTACT.to_owned(), json::write(&now)?);
        self.store.commit(vec![Write::Put { table: Table::Meta, key, value }]).await?;
        *self.kept.borrow_mut() = now;
        Ok(())
    }

    /// When the server answered last.
    pub fn last_reached(&self) -> Option<Timestamp> {
        self.now.borrow().reached
    }

    /// Why the last synchronisation failed, if it did.
    pub fn problem(&self) -> Option<Error> {
        self.now.borrow().problem.as_deref().and_then(Error::from_code)
    }
}
