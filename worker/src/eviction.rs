//! Eviction: browsers may remove IndexedDB, the whole or single tables, and leave the rest. Marks tell
//! storage that was lost from storage that was never filled: one in CacheStorage, that this device has a
//! node, and some in the database, beside the keys.

use hdms::Error;
use hdms::provider::{Table, Write};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Cache, Response, WorkerGlobalScope};

/// The cache; the service worker leaves it alone when it clears out older ones.
const CACHE: &str = "hdms-node";

/// The address of the mark in it, which nothing answers.
const MARK: &str = "/.hdms-node";

/// The mark in the database of a node that was made: what is missing in it has been lost.
pub const MADE: &str = "made";

/// Tables that no node empties once it has filled them.
const FILLED: [Table; 6] =
    [Table::Cards, Table::Cases, Table::Entries, Table::Records, Table::Receipts, Table::Inbox];

/// Marks this device: from here on, without keys, it is one that has lost them.
pub async fn mark_device() -> Result<(), Error> {
    let mark = Response::new_with_opt_str(Some("1")).map_err(failed)?;
    cache().await?.put_with_str(MARK, &mark).await.map_err(failed).map(|_| ())
}

async fn is_device_marked() -> Result<bool, Error> {
    let found = cache().await?.match_with_str(MARK).await.map_err(failed)?;
    Ok(!found.is_undefined())
}

async fn cache() -> Result<Cache, Error> {
    let global: WorkerGlobalScope = js_sys::global().unchecked_into();
    let caches = global.caches().map_err(failed)?;
    Ok(caches.open(CACHE).await.map_err(failed)?.unchecked_into())
}

fn failed<T>(_cause: T) -> Error {
    Error::StoreFailed
}

/// The marks in the database, words: the names of the tables that have ever been filled, and [`MADE`].
#[derive(Clone, Debug, Default)]
pub struct Marks(String);

impl Marks {
    /// As they are kept; none where nothing is.
    pub fn kept(marks: Option<JsValue>) -> Self {
        Self(marks.and_then(|marks| marks.as_string()).unwrap_or_default())
    }

    /// As they are to be kept.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Whether this one is set.
    pub fn has(&self, mark: &str) -> bool {
        self.0.split(' ').any(|kept| kept == mark)
    }

    /// With one more.
    pub fn with(&self, mark: &str) -> Self {
        Self(format!("{} {mark}", self.0))
    }

    /// As they are after `writes`, if these fill a table for the first time.
    pub fn after(&self, writes: &[Write]) -> Option<Self> {
        let mut marks = self.clone();
        for write in writes {
            let Write::Put { table, .. } = write else { continue };
            if FILLED.contains(table) && !marks.has(table.name()) {
                marks = marks.with(table.name());
            }
        }
        (marks.0.len() > self.0.len()).then_some(marks)
    }

    /// The tables that were filled once: no node empties one by itself.
    pub fn filled(&self) -> impl Iterator<Item = Table> {
        FILLED.into_iter().filter(|table| self.has(table.name()))
    }
}

/// What is there of a node when the worker starts.
#[derive(Clone, Copy, Debug)]
pub struct Remains {
    /// Whether its keys are.
    pub keys: bool,
    /// Whether its card is.
    pub card: bool,
    /// Whether all else is that it had once it was made.
    pub rest: bool,
    /// Whether it is [`MADE`].
    pub made: bool,
    /// Whether a table that was filled once is empty.
    pub rows_lost: bool,
}

impl Remains {
    /// [`Error::StoreLost`] when this device had a node of which something is gone; else it has a whole
    /// node, one whose making was interrupted, or none.
    pub async fn check(self) -> Result<(), Error> {
        let lost = match self {
            Self { keys: false, .. } => self.card || is_device_marked().await?,
            Self { card: true, rest: true, .. } => self.rows_lost,
            _ => self.made,
        };
        if lost { Err(Error::StoreLost) } else { Ok(()) }
    }
}
