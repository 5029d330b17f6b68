//! Logging many entries that were decided on before, without asking anybody: those of a former form
//! of the database, and those that a benchmark begins with.

use std::path::Path;
use std::sync::Arc;

use hdms::Error;
use hdms::ids::NodeId;
use hdms::ledger::{Entry, Place, Salt};
use hdms::log::NoteKey;
use hdms::network::NotaryLog;
use rusqlite::Connection;

use super::entries::{self, LoggedEntry};
use super::{FILE, SCHEMA, store};
use crate::base::keys::{NotaryKeys, Passphrase, open_or_make_log};
use crate::base::log::{sign, tiles};
use crate::base::sqlite::{Database, Failure};
use crate::base::system::SystemRandomness;

/// An entry that was decided on before.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The entry.
    pub entry: Entry,
    /// Where it stands in its case.
    pub place: Place,
    /// When it was logged, seconds.
    pub time: u64,
}

/// The log of a notary that does not run.
#[derive(Clone, Debug)]
pub struct Import {
    pub(super) database: Database,
    pub(super) keys: Arc<NotaryKeys>,
    pub(super) key: NoteKey,
}

impl Import {
    /// Opens the log in the folder of `notary`. Errors: those of [`Database::open`] and
    /// [`open_or_make_log`].
    pub fn open(folder: &Path, passphrase: &Passphrase, notary: &NodeId) -> Result<Self, Error> {
        let database = Database::open(&folder.join(FILE), &SCHEMA)?;
        let keys = Arc::new(open_or_make_log(folder, passphrase)?);
        let log = NotaryLog { notary: notary.clone(), keys: keys.public(), until: None };
        Ok(Self { database, keys, key: log.log_key() })
    }

    /// Adds entries in their order, each as logged at its time, seconds, or with the one before it if
    /// that was later. Errors: those of the store.
    pub async fn append(&self, entries: Vec<Imported>) -> Result<(), Error> {
        self.append_from(move |_| Ok(entries)).await.map(drop)
    }

    /// Adds in one transaction what `read` takes out of the database. Answers how many.
    pub(super) async fn append_from(
        &self,
        read: impl FnOnce(&Connection) -> Result<Vec<Imported>, Failure> + Send + 'static,
    ) -> Result<usize, Error> {
        let (mut tree, _) = store::open(&self.database, &self.key).await?;
        let (keys, key) = (self.keys.clone(), self.key.clone());
        let work = move |tx: &Connection| {
            let (first, mut last) = (tree.size(), entries::last_time(tx)?);
            let entries = (first..).zip(read(tx)?).map(|(index, imported)| {
                let Imported { entry, place, time } = imported;
                last = last.max(time);
                let salts = [Salt::new(&SystemRandomness)?, Salt::new(&SystemRandomness)?];
                Ok(LoggedEntry { index, time: last, entry, salts, place })
            });
            let entries = entries.collect::<Result<Vec<_>, Error>>()?;
            if !entries.is_empty() {
                store::append(tx, &mut tree, &entries)?;
                tiles::keep_checkpoint(tx, &sign(&tree, &keys, &key)?)?;
            }
            Ok(entries.len())
        };
        self.database.write(work).await
    }
}
