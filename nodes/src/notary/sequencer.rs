//! The one sequencer: it rules on entries in the order in which they come, writes what is new with
//! its tiles and a signed checkpoint in one transaction, has the checkpoint co-signed, publishes it,
//! and only then answers. What comes meanwhile is the next batch.

use std::collections::HashMap;
use std::iter;
use std::sync::Arc;
use std::time::Duration;

use hdms::Error;
use hdms::card::Role;
use hdms::ids::{CaseId, EntryId, NodeId};
use hdms::ledger::{Cosignatures, Entry, Place, Salt};
use hdms::log::{NoteKey, SignedCheckpoint};
use hdms::network::{NotaryLog, Parameters, Trust};
use hdms::notary::{self, Decision, Known, decide};
use hdms::provider::{Clock, Timestamp};
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::entries::{self, LoggedEntry};
use super::quotas::{Charges, EntryQuotas};
use super::store;
use crate::base::keys::{AwsPrimitives, NotaryKeys};
use crate::base::log::tree::Tree;
use crate::base::log::{Witnesses, sign, tiles};
use crate::base::sqlite::{Database, Failure};
use crate::base::system::{NodeClock, SystemRandomness};
use crate::member::Member;

/// Most envelopes whose deposits are written together.
pub const BATCH: usize = 256;

/// Of the database its writer keeps so much in memory, KiB: the upper levels of the indexes, also when
/// there are tens of millions of entries.
const CACHE: i32 = 64 * 1024;

/// How long an unpublished checkpoint waits for its next try, if no deposit comes before.
const AGAIN: Duration = Duration::from_secs(5);

/// How far the clocks of notaries may be apart, seconds: a rule that begins or ends so near counts.
const APART: u64 = 300;

/// What was found about one deposit before its place in the log matters: the entry that both
/// participants endorsed, or why it is refused.
pub type Checked = Result<CheckedDeposit, Error>;

/// A deposit that may be logged, if there is room for it and its depositor may have it logged.
#[derive(Debug)]
pub struct CheckedDeposit {
    /// What was checked.
    pub checked: notary::Checked,
    /// For whom it counts when it is new.
    pub depositor: (NodeId, Role),
    /// When it was received.
    pub at: Timestamp,
}

/// What becomes of one deposit; entries are named by their place in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DepositRuling {
    /// It is there, now or since before.
    Logged(u64),
    /// Another one was logged under its id first: this.
    Conflict(u64),
    /// It can't be logged.
    Refused(Error),
}

/// What was done with one envelope's deposits.
#[derive(Debug)]
pub struct DepositsDone {
    /// One for each, in their order.
    pub rulings: Vec<DepositRuling>,
    /// What was new in their batch, if it was published.
    pub news: Option<Arc<News>>,
}

/// The new entries of a batch and what their receipts are made of.
#[derive(Debug)]
pub struct News {
    entries: Vec<LoggedEntry>,
    tree: Tree,
    checkpoint: SignedCheckpoint,
}

impl News {
    /// The new entry at this place, with the tree and the published checkpoint that cover it.
    pub fn at(&self, index: u64) -> Option<(&LoggedEntry, &Tree, &SignedCheckpoint)> {
        let number = index.checked_sub(self.entries.first()?.index)?;
        let entry = self.entries.get(usize::try_from(number).ok()?)?;
        Some((entry, &self.tree, &self.checkpoint))
    }
}

/// One envelope's deposits on their way to the sequencer.
#[derive(Debug)]
pub struct Job {
    /// In their order.
    pub deposits: Vec<Checked>,
    /// Where to answer.
    pub answer: oneshot::Sender<Result<DepositsDone, Error>>,
}

/// See the module.
pub struct Sequencer<W> {
    member: Member,
    keys: Arc<NotaryKeys>,
    key: NoteKey,
    database: Database,
    clock: NodeClock,
    witnesses: W,
    quotas: Arc<EntryQuotas>,
    tree: Tree,
    newest: Option<SignedCheckpoint>,
    /// Leaves under the newest published checkpoint.
    published: u64,
    /// When the last entry was logged, seconds: times never go back, whatever the clock does.
    last: u64,
    /// How far this clock was ahead of the witnesses' when they co-signed last, seconds: an entry
    /// that seems logged after it was co-signed is none.
    ahead: u64,
    /// Why the newest checkpoint is not published, as was said.
    said: Option<Error>,
}

impl<W: Witnesses> Sequencer<W> {
    /// Over the tables of [`entries`] and [`store`]; `key` is the public half of the log key.
    ///
    /// Errors: those of [`store::open`].
    pub async fn open(
        member: Member,
        keys: Arc<NotaryKeys>,
        key: NoteKey,
        database: Database,
        clock: NodeClock,
        witnesses: W,
    ) -> Result<Self, Error> {
        let (tree, newest) = store::open(&database, &key).await?;
        let published = database.read(tiles::newest_published).await?;
        let published = published.map_or(0, |published| published.checkpoint().size);
        let last = database.read(entries::last_time).await?;
        database.write(|tx| Ok(tx.pragma_update(None, "cache_size", -CACHE)?)).await?;
        let (ahead, quotas) = (0, Arc::new(EntryQuotas::new(member.costs())));
        Ok(Self {
            member,
            keys,
            key,
            database,
            clock,
            witnesses,
            quotas,
            tree,
            newest,
            published,
            last,
            ahead,
            said: None,
        })
    }

    /// Works until nobody can send it jobs any more. A checkpoint that was not published is tried
    /// first of all, and again from time to time.
    pub async fn run(mut self, mut waiting: mpsc::Receiver<Job>) {
        self.publish_or_say_why().await;
        let mut jobs = Vec::new();
        loop {
            tokio::select! {
                count = waiting.recv_many(&mut jobs, BATCH) => match count {
                    0 => return,
                    _ => self.serve(&mut jobs).await,
                },
                () = tokio::time::sleep(AGAIN), if self.is_behind() => {
                    self.publish_or_say_why().await;
                }
            }
        }
    }

    async fn serve(&mut self, jobs: &mut Vec<Job>) {
        let (deposits, answers): (Vec<_>, Vec<_>) =
            jobs.drain(..).map(|job| (job.deposits, job.answer)).unzip();
        let (rulings, entries) = match self.write(deposits).await {
            Ok(written) => written,
            // Whoever asked may be gone, here and below; asking again finds what was logged.
            Err(error) => return answers.into_iter().for_each(|to| drop(to.send(Err(error)))),
        };
        let published = self.publish_or_say_why().await;
        let news = published
            .and(self.newest.clone())
            .map(|checkpoint| Arc::new(News { entries, tree: self.tree.clone(), checkpoint }));
        self.tree.forget_full();
        for (answer, rulings) in answers.into_iter().zip(rulings) {
            drop(answer.send(Ok(DepositsDone { rulings, news: news.clone() })));
        }
    }

    /// Rules on the deposits, and keeps what is new of them with a checkpoint.
    async fn write(
        &mut self,
        deposits: Vec<Vec<Checked>>,
    ) -> Result<(Vec<Vec<DepositRuling>>, Vec<LoggedEntry>), Error> {
        let time = self.clock.now().seconds().saturating_sub(self.ahead).max(self.last);
        let (mut tree, keys, key) = (self.tree.clone(), self.keys.clone(), self.key.clone());
        let charges = Charges::new(self.quotas.clone());
        let work = move |tx: &Connection| {
            let mut batch = Batch::new(tree.size(), time, charges);
            let mut rule = |deposit| batch.rule(tx, deposit);
            let ruled = deposits.into_iter().map(|job| job.into_iter().map(&mut rule).collect());
            let rulings = ruled.collect::<Result<Vec<Vec<_>>, Failure>>()?;
            let Batch { entries, charges, .. } = batch;
            let mut checkpoint = None;
            if !entries.is_empty() {
                store::append(tx, &mut tree, &entries)?;
                let signed = checkpoint.insert(sign(&tree, &keys, &key)?);
                tiles::keep_checkpoint(tx, signed)?;
            }
            Ok((rulings, entries, tree, checkpoint, charges))
        };
        let (rulings, entries, tree, checkpoint, charges) = self.database.write(work).await?;
        charges.keep();
        (self.tree, self.last) = (tree, time);
        self.newest = checkpoint.or_else(|| self.newest.take());
        Ok((rulings, entries))
    }

    fn is_behind(&self) -> bool {
        self.tree.size() > self.published
    }

    /// Answers whether everything is published.
    async fn publish_or_say_why(&mut self) -> Option<()> {
        match self.publish().await {
            Ok(()) => {
                self.said = None;
                Some(())
            }
            Err(error) => {
                if self.said.replace(error) != Some(error) {
                    let code = error.code();
                    tracing::warn!(code, "the newest checkpoint is not published yet");
                }
                None
            }
        }
    }

    /// Has the newest checkpoint co-signed by as many as are needed, and publishes it; again, when it
    /// was published with fewer than are asked for by now.
    async fn publish(&mut self) -> Result<(), Error> {
        let Some(newest) = self.newest.clone() else { return Ok(()) };
        let standing = self.member.standing();
        if !self.is_behind() && self.counts(&newest, &standing.trust).await? {
            return Ok(());
        }
        let now = self.clock.now().seconds();
        let needed = needed(standing.trust.parameters(), now);
        let mut checkpoint = newest;
        let latest = now.saturating_add(APART);
        let lines = self.witnesses.cosign(&checkpoint, needed, self.last..=latest).await;
        let timed = lines.into_iter().filter_map(|line| Some((line.cosigned_at()?, line)));
        let timed: Vec<_> = timed.filter(|(time, _)| *time <= latest).collect();
        self.note_clocks(timed.iter().map(|(time, _)| *time), now);
        let good: Vec<_> = timed.into_iter().filter(|(time, _)| *time >= self.last).collect();
        if good.len() < needed {
            return Err(Error::WitnessesMissing);
        }
        good.into_iter().for_each(|(_, line)| checkpoint.add(line));
        let kept = checkpoint.clone();
        self.database.write(move |tx| tiles::publish(tx, &kept)).await?;
        self.published = checkpoint.checkpoint().size;
        self.newest = Some(checkpoint);
        Ok(())
    }

    /// Whether a published checkpoint still counts as the network's rules are now.
    async fn counts(&self, newest: &SignedCheckpoint, trust: &Trust) -> Result<bool, Error> {
        let own = self.own();
        let cosignatures = Cosignatures::read(newest, &own, trust, &AwsPrimitives).await?;
        Ok(cosignatures.suffice(newest.checkpoint(), &own, trust.parameters()))
    }

    /// Notes how far this clock is ahead of what most witnesses say: an entry must not be later than
    /// they co-sign it.
    fn note_clocks(&mut self, witnesses: impl Iterator<Item = u64>, now: u64) {
        let mut times: Vec<_> = witnesses.collect();
        times.sort_unstable();
        if let Some(time) = times.get(times.len() / 2) {
            self.ahead = now.saturating_sub(*time);
        }
    }

    fn own(&self) -> NotaryLog {
        NotaryLog { notary: self.member.id().clone(), keys: self.keys.public(), until: None }
    }
}

/// How many witnesses a checkpoint needs that is co-signed about `now`, seconds.
fn needed(parameters: &Parameters, now: u64) -> usize {
    let near = now.saturating_sub(APART)..=now.saturating_add(APART);
    let changes = parameters.witnesses.iter().map(|rule| rule.since);
    let times = iter::once(*near.start()).chain(changes.filter(|time| near.contains(time)));
    times.map(|time| parameters.witnesses_needed(time)).max().unwrap_or(0)
}

/// The new entries of a batch, seen by those that come after them in it.
struct Batch {
    charges: Charges,
    first: u64,
    time: u64,
    entries: Vec<LoggedEntry>,
    by_id: HashMap<EntryId, usize>,
    /// The last of each case.
    by_case: HashMap<CaseId, usize>,
}

impl Batch {
    fn new(first: u64, time: u64, charges: Charges) -> Self {
        let (entries, by_id, by_case) = (Vec::new(), HashMap::new(), HashMap::new());
        Self { charges, first, time, entries, by_id, by_case }
    }

    fn rule(&mut self, tx: &Connection, deposit: Checked) -> Result<DepositRuling, Failure> {
        let CheckedDeposit { checked: notary::Checked { endorsed, secret, .. }, depositor, at } =
            match deposit {
                Ok(found) => found,
                Err(error) => return Ok(DepositRuling::Refused(error)),
            };
        let entry = endorsed.entry();
        let same = self.with_id(tx, &entry.id)?;
        let first = same.as_ref().map(|logged| logged.index);
        let known = Known {
            same: same.map(|logged| logged.entry),
            last: self.last_of(tx, &entry.case)?.map(|logged| (logged.entry, logged.place)),
        };
        Ok(match (decide(entry, secret, &known), first) {
            (Ok(Decision::Repeat), Some(first)) => DepositRuling::Logged(first),
            (Ok(Decision::Conflict), Some(first)) => DepositRuling::Conflict(first),
            // What is repeated costs its depositor nothing: anybody may have caught and repeated it.
            (Ok(Decision::Log(place)), _) => match self.charges.take(depositor, entry, at) {
                Ok(()) => DepositRuling::Logged(self.add(entry, place)?),
                Err(error) => DepositRuling::Refused(error),
            },
            (Ok(_), None) => return Err(Error::StoreCorrupt.into()),
            (Err(error), _) => DepositRuling::Refused(error),
        })
    }

    fn with_id(&self, tx: &Connection, id: &EntryId) -> Result<Option<LoggedEntry>, Failure> {
        match self.by_id.get(id) {
            Some(number) => Ok(Some(self.entries[*number].clone())),
            None => entries::with_id(tx, id),
        }
    }

    fn last_of(&self, tx: &Connection, case: &CaseId) -> Result<Option<LoggedEntry>, Failure> {
        match self.by_case.get(case) {
            Some(number) => Ok(Some(self.entries[*number].clone())),
            None => entries::last_of(tx, case),
        }
    }

    /// Answers its place in the log.
    fn add(&mut self, entry: &Entry, place: Place) -> Result<u64, Error> {
        let (number, time) = (self.entries.len(), self.time);
        let index = self.first + number as u64;
        let salts = [Salt::new(&SystemRandomness)?, Salt::new(&SystemRandomness)?];
        self.by_id.insert(entry.id.clone(), number);
        self.by_case.insert(entry.case.clone(), number);
        self.entries.push(LoggedEntry { index, time, entry: entry.clone(), salts, place });
        Ok(index)
    }
}
