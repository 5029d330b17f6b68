//! When pushes are sent. Every subscription to which something is due has an errand: a task that
//! looks what is due, sends it, and goes on until nothing is. What it knows is in the database, so
//! that a server which was killed takes up where it was.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use hdms::Error;
use hdms::ids::NodeId;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::PushSender;
use super::answer::PushOutcome;
use super::table::{self, Due};
use crate::base::pause::doubled;

/// Between two pushes to one subscription: each is shown to a person, so that what comes in a flood
/// shares the next.
const PACE: Duration = Duration::from_secs(2);

/// How long a node that listens has to acknowledge before it is pushed to as well.
const LISTENING: Duration = Duration::from_secs(3);

/// Between two attempts: the first pause and the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(15 * 60);

/// Longest pause that a push service may ask for.
const LONGEST_WISH: Duration = Duration::from_secs(24 * 3600);

/// Nodes looked at in one read, and subscriptions after a start.
const AT_ONCE: usize = 256;

/// The errands under way; whether something came since each began to look.
#[derive(Debug, Default)]
struct Errands {
    tasks: JoinSet<String>,
    again: HashMap<String, bool>,
}

impl PushSender {
    /// Pushes to the nodes that `announced` names, after what was left from before the start; until
    /// `stop`. Nothing of it runs any more when this returns.
    pub async fn run(
        self: Arc<Self>,
        mut announced: UnboundedReceiver<NodeId>,
        stop: CancellationToken,
    ) {
        let mut errands = Errands::default();
        stop.run_until_cancelled(self.go_on(&mut errands, &mut announced)).await;
        errands.tasks.shutdown().await;
    }

    async fn go_on(
        self: &Arc<Self>,
        errands: &mut Errands,
        announced: &mut UnboundedReceiver<NodeId>,
    ) {
        if let Err(error) = self.take_up(errands).await {
            tracing::error!(%error, "what was not pushed before the start waits for the next");
        }
        let mut nodes = Vec::new();
        loop {
            tokio::select! {
                _ = announced.recv_many(&mut nodes, AT_ONCE) => {
                    if let Err(error) = self.begin(errands, std::mem::take(&mut nodes)).await {
                        tracing::error!(%error, "what was to be pushed waits for the next");
                    }
                }
                Some(ended) = errands.tasks.join_next() => match ended {
                    Ok(id) => errands.end(self, id),
                    Err(_) => tracing::error!("an errand broke off"),
                },
            }
        }
    }

    /// After a start: everything that was not pushed yet.
    async fn take_up(self: &Arc<Self>, errands: &mut Errands) -> Result<(), Error> {
        let mut after = 0;
        loop {
            let limit = AT_ONCE as u64;
            let waiting = self.database.read(|tx| table::all_waiting(tx, after, limit)).await?;
            let Some((last, _)) = waiting.last() else { return Ok(()) };
            after = *last;
            waiting.into_iter().for_each(|(_, id)| errands.begin(self, id));
        }
    }

    async fn begin(
        self: &Arc<Self>,
        errands: &mut Errands,
        mut nodes: Vec<NodeId>,
    ) -> Result<(), Error> {
        nodes.sort_unstable();
        nodes.dedup();
        let waiting = self.database.read(|connection| {
            let waiting = nodes.iter().map(|node| table::waiting(connection, node));
            Ok(waiting.collect::<Result<Vec<_>, _>>()?.concat())
        });
        waiting.await?.into_iter().for_each(|id| errands.begin(self, id));
        Ok(())
    }

    /// The errand of one subscription. Answers its id.
    async fn serve(self: Arc<Self>, id: String) -> String {
        let mut failures = 0;
        loop {
            let turn = match Box::pin(self.turn(&id)).await {
                Ok(None) => return id,
                Ok(Some(turn)) => turn,
                Err(error) => {
                    tracing::error!(%error, "a push could not be prepared, trying again");
                    Attempt::Failed(None)
                }
            };
            let Attempt::Failed(wish) = turn else {
                failures = 0;
                sleep(PACE).await;
                continue;
            };
            failures += 1;
            let wish = wish.unwrap_or_default().min(LONGEST_WISH);
            sleep(doubled(failures, FIRST_PAUSE, LONGEST_PAUSE).max(wish)).await;
        }
    }

    /// One attempt; none when there is nothing to send.
    async fn turn(&self, id: &str) -> Result<Option<Attempt>, Error> {
        let Some(due) = self.due(id).await? else { return Ok(None) };
        if self.bells.is_heard(&due.node) {
            sleep(LISTENING).await;
        }
        let Ok(way) = self.way(&due.subscription) else {
            return self.forget(id).await;
        };
        let slot = self.slots.take(&way.origin).await;
        let Some(slot) = slot else { return Ok(None) };
        let Some(due) = self.due(id).await? else { return Ok(None) };
        let seq = due.seq;
        let outcome = self.send(&way, due).await?;
        slot.report(!matches!(outcome, PushOutcome::Later(_)));
        match outcome {
            PushOutcome::Taken => {}
            PushOutcome::Gone => return self.forget(id).await,
            PushOutcome::Later(wish) => return Ok(Some(Attempt::Failed(wish))),
            PushOutcome::Refused(status) => {
                let (status, origin) = (status.as_u16(), way.origin);
                tracing::warn!(status, origin, "a push service refused a push");
            }
        }
        let id = id.to_owned();
        self.database.write(move |tx| table::set_pushed(tx, &id, seq)).await?;
        Ok(Some(Attempt::Done))
    }

    async fn due(&self, id: &str) -> Result<Option<Due>, Error> {
        let now = self.now();
        self.database.read(|connection| table::due(connection, id, now)).await
    }

    /// Its node is told at its next look into the mailbox.
    async fn forget(&self, id: &str) -> Result<Option<Attempt>, Error> {
        let id = id.to_owned();
        self.database.write(move |tx| table::drop_one(tx, &id)).await?;
        Ok(None)
    }
}

/// How an attempt ended.
enum Attempt {
    /// Pushed, or given up.
    Done,
    /// To be tried again, not before this long.
    Failed(Option<Duration>),
}

impl Errands {
    fn begin(&mut self, sender: &Arc<PushSender>, id: String) {
        if let Some(again) = self.again.get_mut(&id) {
            *again = true;
            return;
        }
        self.again.insert(id.clone(), false);
        self.tasks.spawn(sender.clone().serve(id));
    }

    /// What came after the last look is looked for anew.
    fn end(&mut self, sender: &Arc<PushSender>, id: String) {
        if self.again.remove(&id) == Some(true) {
            self.begin(sender, id);
        }
    }
}
