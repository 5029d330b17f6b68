//! IndexedDB as the node's store: one object store for each [`Table`], values as bytes, and one more
//! for the keys that no script can read. A write counts once its transaction has fired `complete`,
//! with strict durability.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use hdms::Error;
use hdms::provider::{Store, Table, Write};
use js_sys::Uint8Array;
use rexie::{KeyRange, ObjectStore, Rexie, Transaction, TransactionMode, TransactionResult};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};

use crate::eviction::Marks;

/// Version of the schema. IndexedDB stamps it in the transaction that creates or migrates the
/// object stores, and refuses to open a database of a higher one.
pub const SCHEMA: u32 = 1;

/// The object store of [`IndexedDb::key`].
const KEYS: &str = "keys";

/// Follows every character of the keys, which are ASCII.
const LAST: &str = "\u{ffff}";

/// In [`KEYS`], which a node without keys has lost: the [`Marks`].
const MARKS: &str = "marks";

#[wasm_bindgen(module = "/js/realm.js")]
extern "C" {
    fn watch_databases();
    fn is_full() -> bool;
}

/// An open database. Clones share it.
///
/// A commit for which there is no room changes nothing and is [`Error::StoreFull`]; the next one may
/// succeed. After any other that failed every call is refused with [`Error::NodeStopped`]: nothing
/// goes on until the database is opened anew.
#[derive(Clone, Debug)]
pub struct IndexedDb {
    rexie: Rc<Rexie>,
    stopped: Rc<Cell<bool>>,
    marks: Rc<RefCell<Marks>>,
    #[cfg(feature = "test-hooks")]
    failing: Rc<Cell<bool>>,
}

impl IndexedDb {
    /// Opens the database of this name, and creates it if there is none.
    ///
    /// Errors: [`Error::StoreNewer`] when a newer version wrote it, [`Error::StoreFailed`].
    pub async fn open(name: &str) -> Result<Self, Error> {
        watch_databases();
        let mut builder = Rexie::builder(name).version(SCHEMA);
        for store in stores() {
            builder = builder.add_object_store(ObjectStore::new(store));
        }
        let rexie = builder.build().await.map_err(|error| open_failure(&error))?;
        let store = Self {
            rexie: Rc::new(rexie),
            stopped: Rc::default(),
            marks: Rc::default(),
            #[cfg(feature = "test-hooks")]
            failing: Rc::default(),
        };
        let marks = Marks::kept(store.key(MARKS).await?);
        store.marks.replace(marks);
        Ok(store)
    }

    /// The database's name.
    pub fn name(&self) -> String {
        self.rexie.name()
    }

    /// Whether a commit has failed, so that this database has to be opened anew.
    pub fn is_stopped(&self) -> bool {
        self.stopped.get()
    }

    /// Whether the last write found no room.
    pub fn is_full(&self) -> bool {
        is_full()
    }

    /// Keeps a mark, a word, unless it is kept. Errors as [`IndexedDb::commit`].
    pub async fn mark(&self, mark: &str) -> Result<(), Error> {
        if self.is_marked(mark) {
            return Ok(());
        }
        let marks = self.marks.borrow().with(mark);
        self.keep_key(MARKS, &marks.text().into()).await?;
        self.marks.replace(marks);
        Ok(())
    }

    /// Whether a mark is kept.
    pub fn is_marked(&self, mark: &str) -> bool {
        self.marks.borrow().has(mark)
    }

    /// Whether a table that was filled once is empty.
    pub async fn has_lost_rows(&self) -> Result<bool, Error> {
        let marks = self.marks.borrow().clone();
        for table in marks.filled().map(Table::name) {
            let transaction = self.begin(&[table], TransactionMode::ReadOnly)?;
            let store = transaction.store(table).map_err(failed)?;
            if store.get_all_keys(None, Some(1)).await.map_err(failed)?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes everything, marks too.
    pub async fn clear(&self) -> Result<(), Error> {
        let names = stores();
        let transaction = self.begin(&names, TransactionMode::ReadWrite)?;
        let mut cleared = Ok(());
        for name in &names {
            cleared = cleared.and(match transaction.store(name) {
                Ok(store) => store.clear().await,
                Err(error) => Err(error),
            });
        }
        self.finish(transaction, cleared).await?;
        self.marks.take();
        Ok(())
    }

    /// How many rows a table has.
    pub async fn count(&self, table: Table) -> Result<u32, Error> {
        let transaction = self.begin(&[table.name()], TransactionMode::ReadOnly)?;
        transaction.store(table.name()).map_err(failed)?.count(None).await.map_err(failed)
    }

    /// A CryptoKey or a pair of them, kept by [`IndexedDb::keep_key`].
    pub async fn key(&self, name: &str) -> Result<Option<JsValue>, Error> {
        self.get(KEYS, name).await
    }

    /// Keeps a CryptoKey or a pair of them. It can't be read out, only used.
    pub async fn keep_key(&self, name: &str, key: &JsValue) -> Result<(), Error> {
        let transaction = self.begin(&[KEYS], TransactionMode::ReadWrite)?;
        let puts = [(key.clone(), Some(name.into()))];
        let stored = transaction.store(KEYS).map_err(failed)?.put_all(puts.into_iter()).await;
        self.finish(transaction, stored).await
    }

    /// Makes the next commit fail as a full disk does.
    #[cfg(feature = "test-hooks")]
    pub fn fail_next_commit(&self) {
        self.failing.set(true);
    }

    async fn get(&self, store: &str, key: &str) -> Result<Option<JsValue>, Error> {
        let transaction = self.begin(&[store], TransactionMode::ReadOnly)?;
        transaction.store(store).map_err(failed)?.get(key.into()).await.map_err(failed)
    }

    fn begin(&self, stores: &[&str], mode: TransactionMode) -> Result<Transaction, Error> {
        if self.stopped.get() {
            return Err(Error::NodeStopped);
        }
        self.rexie.transaction(stores, mode).map_err(|error| self.stop(error))
    }

    /// Waits for `complete`. A commit that fails fires nothing but `abort`.
    async fn finish(
        &self,
        transaction: Transaction,
        requested: Result<(), rexie::Error>,
    ) -> Result<(), Error> {
        if requested.is_err() {
            // What was requested before must not be committed alone; the browser may have aborted
            // by itself.
            let _ = transaction.abort().await;
            return Err(self.refused());
        }
        match transaction.done().await {
            Ok(TransactionResult::Committed) => Ok(()),
            _ => Err(self.refused()),
        }
    }

    fn refused(&self) -> Error {
        if is_full() { Error::StoreFull } else { self.stop(()) }
    }

    fn stop<T>(&self, _cause: T) -> Error {
        self.stopped.set(true);
        Error::StoreFailed
    }
}

impl Store for IndexedDb {
    async fn read(&self, table: Table, key: &str) -> Result<Option<Vec<u8>>, Error> {
        self.get(table.name(), key).await?.map(bytes).transpose()
    }

    async fn scan(
        &self,
        table: Table,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let Some(range) = range(prefix, after)? else { return Ok(Vec::new()) };
        let limit = Some(u32::try_from(limit).unwrap_or(u32::MAX));
        if limit == Some(0) {
            return Ok(Vec::new());
        }
        let transaction = self.begin(&[table.name()], TransactionMode::ReadOnly)?;
        let store = transaction.store(table.name()).map_err(failed)?;
        let keys = store.get_all_keys(Some(range.clone()), limit).await.map_err(failed)?;
        let values = store.get_all(Some(range), limit).await.map_err(failed)?;
        let pair = |(key, value): (JsValue, JsValue)| {
            Ok((key.as_string().ok_or(Error::StoreCorrupt)?, bytes(value)?))
        };
        keys.into_iter().zip(values).map(pair).collect()
    }

    async fn commit(&self, writes: Vec<Write>) -> Result<(), Error> {
        if writes.is_empty() {
            return Ok(());
        }
        let marks = self.marks.borrow().after(&writes);
        let mut names: Vec<&str> = writes.iter().map(|write| table(write).name()).collect();
        names.extend(marks.as_ref().map(|_| KEYS));
        let transaction = self.begin(&names, TransactionMode::ReadWrite)?;
        // Nothing else may be waited for in here: the transaction would commit.
        let mut written = match &marks {
            Some(marks) => put_marks(&transaction, marks).await,
            None => Ok(()),
        };
        for run in writes.chunk_by(|a, b| is_put(a) && is_put(b) && table(a) == table(b)) {
            written = written.and(write_run(&transaction, run).await);
        }
        #[cfg(feature = "test-hooks")]
        if self.failing.take() {
            let _ = transaction.abort().await;
            return Err(self.stop(()));
        }
        self.finish(transaction, written).await?;
        if let Some(marks) = marks {
            self.marks.replace(marks);
        }
        Ok(())
    }
}

fn stores() -> Vec<&'static str> {
    Table::ALL.iter().map(|table| table.name()).chain([KEYS]).collect()
}

async fn put_marks(transaction: &Transaction, marks: &Marks) -> Result<(), rexie::Error> {
    let put = (JsValue::from(marks.text()), Some(MARKS.into()));
    transaction.store(KEYS)?.put_all([put].into_iter()).await
}

fn table(write: &Write) -> Table {
    match write {
        Write::Put { table, .. } | Write::Delete { table, .. } => *table,
    }
}

fn is_put(write: &Write) -> bool {
    matches!(write, Write::Put { .. })
}

/// Makes the requests of several puts into one table, or of one delete.
async fn write_run(transaction: &Transaction, run: &[Write]) -> Result<(), rexie::Error> {
    let Some(first) = run.first() else { return Ok(()) };
    let store = transaction.store(table(first).name())?;
    if let Write::Delete { key, .. } = first {
        return store.delete(key.into()).await;
    }
    let put = |write: &Write| match write {
        Write::Put { key, value, .. } => {
            Some((Uint8Array::from(value.as_slice()).into(), Some(JsValue::from(key))))
        }
        Write::Delete { .. } => None,
    };
    store.put_all(run.iter().filter_map(put)).await
}

/// The keys that start with `prefix` and lie after `after`; `None` when there can be none.
fn range(prefix: &str, after: &str) -> Result<Option<KeyRange>, Error> {
    let end = format!("{prefix}{LAST}");
    let begins = after.is_empty() || after < prefix;
    let (start, exclusive) = if begins { (prefix, false) } else { (after, true) };
    if start > end.as_str() {
        return Ok(None);
    }
    KeyRange::bound(&start.into(), &end.into(), Some(exclusive), Some(false))
        .map(Some)
        .map_err(failed)
}

fn bytes(value: JsValue) -> Result<Vec<u8>, Error> {
    let array: Uint8Array = value.dyn_into().map_err(|_| Error::StoreCorrupt)?;
    Ok(array.to_vec())
}

fn failed<T>(_cause: T) -> Error {
    Error::StoreFailed
}

fn open_failure(error: &rexie::Error) -> Error {
    match error {
        rexie::Error::IdbError(idb::Error::DomException(exception))
            if exception.name() == "VersionError" =>
        {
            Error::StoreNewer
        }
        _ => Error::StoreFailed,
    }
}
