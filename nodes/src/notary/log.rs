//! The notary's log: one sequencer decides on entries in the order in which they come, gives each
//! its place, signs the receipts of a batch and writes them in one transaction. Whoever deposited
//! is answered when that is on stable storage.

use std::collections::HashMap;

use hdms::Error;
use hdms::ids::{CaseId, EntryId};
use hdms::json;
use hdms::ledger::{Endorsed, Entry, Receipt};
use hdms::notary::{Decision, DepositAnswer, Logged, Place, decide};
use hdms::provider::Clock;
use rusqlite::{Connection, OptionalExtension, Row};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::member::Member;
use crate::sqlite::{Database, Failure};
use crate::system::NodeClock;

/// Most envelopes whose deposits are written together.
const BATCH: usize = 256;

/// SQL of the log's table. `previous` is `''` for a case's first entry: the last line of defence
/// against two entries in one place is the database itself.
pub const TABLES: &str = "
    CREATE TABLE entries (
        place INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        case_id TEXT NOT NULL,
        previous TEXT NOT NULL,
        entry TEXT NOT NULL,
        receipt TEXT NOT NULL,
        UNIQUE (case_id, previous)
    ) STRICT;
";

/// What was found about one deposit before its place in the log matters: the entry that both
/// participants endorsed, or why it is refused.
pub type Checked = Result<Endorsed, Error>;

/// The way to the sequencer. Clones lead to the same one.
#[derive(Clone, Debug)]
pub struct Log(mpsc::Sender<Job>);

#[derive(Debug)]
struct Job {
    deposits: Vec<Checked>,
    answer: oneshot::Sender<Result<Vec<DepositAnswer>, Error>>,
}

impl Log {
    /// Starts the sequencer of `notary` over the tables of [`TABLES`]; it ends when the last clone
    /// of the way to it is dropped.
    pub fn start(notary: Member, database: Database, clock: NodeClock) -> (Self, JoinHandle<()>) {
        let (jobs, waiting) = mpsc::channel(BATCH);
        let sequencer = tokio::spawn(Sequencer { notary, database, clock }.run(waiting));
        (Self(jobs), sequencer)
    }

    /// Logs entries, those of one call in their order. One answer for each.
    ///
    /// Errors: [`Error::StoreFailed`] and [`Error::CryptoFailed`] concern the whole batch: nothing
    /// of it was logged.
    pub async fn append(&self, deposits: Vec<Checked>) -> Result<Vec<DepositAnswer>, Error> {
        let (answer, answered) = oneshot::channel();
        let job = Job { deposits, answer };
        self.0.send(job).await.map_err(|_| Error::NodeStopped)?;
        answered.await.map_err(|_| Error::NodeStopped)?
    }
}

struct Sequencer {
    notary: Member,
    database: Database,
    clock: NodeClock,
}

/// What is decided about one deposit of a batch.
enum Ruling {
    Answered(DepositAnswer),
    /// The batch's new entry with this number.
    New(usize),
}

/// The new entries of a batch, seen by those that come after them in it.
#[derive(Default)]
struct Batch {
    entries: Vec<Entry>,
    by_id: HashMap<EntryId, usize>,
    by_place: HashMap<(CaseId, Option<EntryId>), EntryId>,
}

impl Sequencer {
    async fn run(self, mut waiting: mpsc::Receiver<Job>) {
        let mut jobs = Vec::new();
        while waiting.recv_many(&mut jobs, BATCH).await > 0 {
            let (deposits, answers): (Vec<_>, Vec<_>) =
                jobs.drain(..).map(|job| (job.deposits, job.answer)).unzip();
            let outcome = self.log(deposits).await;
            let mut outcomes = outcome.map(Vec::into_iter);
            for answer in answers {
                let outcome = match &mut outcomes {
                    Ok(outcomes) => outcomes.next().ok_or(Error::StoreCorrupt),
                    Err(error) => Err(*error),
                };
                // Whoever asked may be gone; what is logged stays, and asking again finds it.
                drop(answer.send(outcome));
            }
        }
    }

    async fn log(&self, jobs: Vec<Vec<Checked>>) -> Result<Vec<Vec<DepositAnswer>>, Error> {
        let mut batch = Batch::default();
        let mut rulings = Vec::with_capacity(jobs.len());
        for deposits in jobs {
            let mut ruled = Vec::with_capacity(deposits.len());
            for deposit in deposits {
                ruled.push(self.rule(deposit, &mut batch).await?);
            }
            rulings.push(ruled);
        }
        let receipts = self.write(batch.entries).await?;
        let answer = |ruling| match ruling {
            Ruling::Answered(answer) => answer,
            Ruling::New(number) => DepositAnswer::Receipt(receipts[number].clone()),
        };
        Ok(rulings.into_iter().map(|ruled| ruled.into_iter().map(answer).collect()).collect())
    }

    async fn rule(&self, deposit: Checked, batch: &mut Batch) -> Result<Ruling, Error> {
        let refused = |error: Error| Ruling::Answered(DepositAnswer::Refused(error.code().into()));
        let endorsed = match deposit {
            Ok(endorsed) => endorsed,
            Err(error) => return Ok(refused(error)),
        };
        let entry = endorsed.entry();
        let sought = entry.clone();
        let mut place = self.database.read(move |connection| kept(connection, &sought)).await?;
        batch.complete(&mut place, entry);
        Ok(match decide(entry, &place) {
            Err(error) => refused(error),
            Ok(Decision::Repeat(receipt)) => match batch.by_id.get(&entry.id) {
                Some(number) => Ruling::New(*number),
                None => Ruling::Answered(DepositAnswer::Receipt(receipt)),
            },
            Ok(Decision::Log) => Ruling::New(batch.add(entry)),
        })
    }

    /// Gives the entries their places, signs their receipts and writes both. Answers the receipts.
    async fn write(&self, entries: Vec<Entry>) -> Result<Vec<String>, Error> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let first = self.database.read(next_place).await?;
        let iat = self.clock.now().seconds();
        let mut signing = Vec::with_capacity(entries.len());
        for (index, entry) in (first..).zip(&entries) {
            let receipt = Receipt {
                iss: self.notary.id().clone(),
                iat,
                entry: entry.id.clone(),
                verification_key: entry.verification_key.clone(),
                index,
            };
            let notary = self.notary.clone();
            signing.push(tokio::spawn(async move { receipt.sign(notary.keys()).await }));
        }
        let mut receipts = Vec::with_capacity(entries.len());
        for signed in signing {
            receipts.push(signed.await.map_err(|_| Error::CryptoFailed)??);
        }
        let rows: Vec<_> = (first..).zip(entries).zip(receipts.clone()).collect();
        self.database
            .write(move |tx| {
                rows.iter()
                    .try_for_each(|((place, entry), receipt)| insert(tx, *place, entry, receipt))
            })
            .await?;
        Ok(receipts)
    }
}

impl Batch {
    /// Adds what the batch itself holds around an entry to what the database does.
    fn complete(&self, place: &mut Place, entry: &Entry) {
        let logged = |id: &EntryId| {
            let entry = self.entries[*self.by_id.get(id)?].clone();
            // Its receipt is not signed yet; nobody reads it.
            Some(Logged { entry, receipt: String::new() })
        };
        place.same = place.same.take().or_else(|| logged(&entry.id));
        let previous = entry.previous.as_ref();
        place.predecessor = place.predecessor.take().or_else(|| logged(previous?));
        let key = (entry.case.clone(), entry.previous.clone());
        place.occupant = place.occupant.take().or_else(|| self.by_place.get(&key).cloned());
    }

    fn add(&mut self, entry: &Entry) -> usize {
        let number = self.entries.len();
        self.by_id.insert(entry.id.clone(), number);
        self.by_place.insert((entry.case.clone(), entry.previous.clone()), entry.id.clone());
        self.entries.push(entry.clone());
        number
    }
}

/// What the log holds around an entry.
fn kept(connection: &Connection, entry: &Entry) -> Result<Place, Failure> {
    let sql = "SELECT id FROM entries WHERE case_id = ?1 AND previous = ?2";
    let place = (entry.case.as_ref(), previous(entry));
    let occupant: Option<String> =
        connection.prepare_cached(sql)?.query_row(place, |row| row.get(0)).optional()?;
    let predecessor = entry.previous.as_ref().map(|id| logged(connection, id)).transpose()?;
    Ok(Place {
        same: logged(connection, &entry.id)?,
        predecessor: predecessor.flatten(),
        occupant: occupant.map(EntryId::try_from).transpose()?,
    })
}

fn logged(connection: &Connection, id: &EntryId) -> Result<Option<Logged>, Failure> {
    let sql = "SELECT entry, receipt FROM entries WHERE id = ?1";
    let read = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, row.get(1)?));
    let row = connection.prepare_cached(sql)?.query_row([id.as_ref()], read).optional()?;
    let Some((entry, receipt)) = row else { return Ok(None) };
    Ok(Some(Logged { entry: json::stored(entry.as_bytes())?, receipt }))
}

fn next_place(connection: &Connection) -> Result<u64, Failure> {
    let sql = "SELECT coalesce(max(place) + 1, 0) FROM entries";
    Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
}

fn insert(tx: &Connection, place: u64, entry: &Entry, receipt: &str) -> Result<(), Failure> {
    let json = serde_json::to_string(entry).map_err(|_| Error::EntryMalformed)?;
    let sql = "INSERT INTO entries (place, id, case_id, previous, entry, receipt) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let row = (place, entry.id.as_ref(), entry.case.as_ref(), previous(entry), json, receipt);
    tx.prepare_cached(sql)?.execute(row)?;
    Ok(())
}

fn previous(entry: &Entry) -> &str {
    entry.previous.as_ref().map_or("", |id| id.as_ref())
}
