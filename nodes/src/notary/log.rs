//! The way to the sequencer, and the answers that are made of what it rules: receipts, and signed
//! conflicts.

use hdms::Error;
use hdms::ledger::Conflict;
use hdms::notary::DepositAnswer;
use hdms::provider::Clock;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::reader::{LogReader, ProvenEntry};
use super::sequencer::{BATCH, Checked, DepositRuling, DepositsDone, Job, News, Sequencer};
use crate::base::log::Witnesses;
use crate::base::system::NodeClock;
use crate::member::Member;

/// The log. Clones lead to the same sequencer.
#[derive(Clone, Debug)]
pub struct Log {
    jobs: mpsc::Sender<Job>,
    notary: Member,
    reader: LogReader,
    clock: NodeClock,
}

impl Log {
    /// Starts the sequencer; it ends when the last clone of the way to it is dropped.
    pub fn start(
        notary: Member,
        sequencer: Sequencer<impl Witnesses>,
        reader: LogReader,
        clock: NodeClock,
    ) -> (Self, JoinHandle<()>) {
        let (jobs, waiting) = mpsc::channel(BATCH);
        (Self { jobs, notary, reader, clock }, tokio::spawn(sequencer.run(waiting)))
    }

    /// The log as it is kept.
    pub fn reader(&self) -> &LogReader {
        &self.reader
    }

    /// Logs entries, those of one call in their order. One answer for each.
    ///
    /// Errors: [`Error::WitnessesMissing`] when something of it is logged and not published yet;
    /// those of the store, when nothing of it was logged; [`Error::StoreCorrupt`] for a repeated
    /// deposit whose proof does not hold any more.
    pub async fn append(&self, deposits: Vec<Checked>) -> Result<Vec<DepositAnswer>, Error> {
        let (answer, answered) = oneshot::channel();
        let job = Job { deposits, answer };
        self.jobs.send(job).await.map_err(|_| Error::NodeStopped)?;
        let DepositsDone { rulings, news } = answered.await.map_err(|_| Error::NodeStopped)??;
        let mut answers = Vec::with_capacity(rulings.len());
        for ruling in rulings {
            answers.push(self.answer(ruling, news.as_deref()).await?);
        }
        Ok(answers)
    }

    async fn answer(
        &self,
        ruling: DepositRuling,
        news: Option<&News>,
    ) -> Result<DepositAnswer, Error> {
        Ok(match ruling {
            DepositRuling::Logged(index) => {
                DepositAnswer::Receipt(self.proven(index, news).await?.receipt()?)
            }
            DepositRuling::Conflict(first) => {
                let first = self.proven(first, news).await?;
                DepositAnswer::Conflict(self.conflict(first).await?)
            }
            DepositRuling::Refused(error) => DepositAnswer::Refused(error.code().into()),
        })
    }

    /// What is new from memory, anything else as it is kept.
    async fn proven(&self, index: u64, news: Option<&News>) -> Result<ProvenEntry, Error> {
        match news.and_then(|news| news.at(index)) {
            Some((entry, tree, checkpoint)) => ProvenEntry::new(entry, tree, checkpoint.clone()),
            None => self.reader.proven(index, &self.notary.standing().trust).await,
        }
    }

    async fn conflict(&self, first: ProvenEntry) -> Result<String, Error> {
        let conflict = Conflict {
            iss: self.notary.id().clone(),
            iat: self.clock.now().seconds(),
            entry: first.entry().clone(),
            receipt: first.receipt()?,
        };
        conflict.sign(self.notary.keys()).await
    }
}
