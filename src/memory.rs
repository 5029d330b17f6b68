//! A store that forgets everything with the process: for tests and simulations.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::Error;
use crate::provider::{Store, Table, Write};

type Rows = BTreeMap<(Table, String), Vec<u8>>;

/// Ordered tables in memory. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    rows: Arc<Mutex<Rows>>,
    failure: Arc<Mutex<Option<Error>>>,
    commits: Arc<AtomicUsize>,
}

impl MemoryStore {
    /// Makes the next commit fail, as a full disk would.
    pub fn fail_next_commit(&self, error: Error) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    /// How often something was committed.
    pub fn commits(&self) -> usize {
        self.commits.load(Ordering::Relaxed)
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    async fn read(&self, table: Table, key: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.rows().get(&(table, key.to_owned())).cloned())
    }

    async fn scan(
        &self,
        table: Table,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let rows = self.rows();
        let from = (table, prefix.max(after).to_owned());
        let within = rows
            .range(from..)
            .take_while(|((of, _), _)| *of == table)
            .map(|((_, key), value)| (key, value))
            .skip_while(|(key, _)| key.as_str() <= after && !after.is_empty())
            .take_while(|(key, _)| key.starts_with(prefix));
        Ok(within.take(limit).map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    async fn commit(&self, writes: Vec<Write>) -> Result<(), Error> {
        if let Some(error) = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(error);
        }
        self.commits.fetch_add(1, Ordering::Relaxed);
        let mut rows = self.rows();
        for write in writes {
            match write {
                Write::Put { table, key, value } => rows.insert((table, key), value),
                Write::Delete { table, key } => rows.remove(&(table, key)),
            };
        }
        Ok(())
    }
}
