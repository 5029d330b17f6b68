//! Sends what a node has queued, until the other side has answered. Nothing is lost on the way: an
//! item stays in the store until it is answered, and whatever is no answer is tried again.
//!
//! Every destination (the server for all mailboxes, each notary, each institution) has a lane of
//! its own. A lane keeps a few requests in flight; what is queued meanwhile goes together with the
//! next one, so that batches grow with the load and a single item never waits.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use hdms::Error;
use hdms::card::Role;
use hdms::mailbox::{Delivery, DeliveryAnswer, MAX_DELIVERIES};
use hdms::node::{OutboxItem, Parcel, Payload};
use hdms::notary::{DepositAnswer, DepositAnswers};
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::client::Client;
use crate::pause::doubled;
use crate::platform::{NativeNode, Side, adopt};

/// What goes together, and how many requests are in flight, to one destination. Where a request
/// carries many, the next one leaves when the last was answered, so that it carries all that came
/// meanwhile: each costs a signature.
struct Way {
    in_flight: usize,
    batch: usize,
}

impl Way {
    fn to(role: Role) -> Self {
        match role {
            Role::Personal => Self { in_flight: 1, batch: MAX_DELIVERIES },
            // With two cards each they must fit an envelope.
            Role::Notary => Self { in_flight: 1, batch: 50 },
            Role::Institution => Self { in_flight: 16, batch: 1 },
        }
    }
}

/// Bytes of envelopes after which a delivery is divided.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Items read from the store at a time when a node starts.
const PAGE: usize = 500;

/// How long after a first failure it is tried again; doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// Longest time between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The sending half of a node.
pub struct Sender<F> {
    node: Arc<NativeNode>,
    tasks: TaskTracker,
    stop: CancellationToken,
    side: PhantomData<fn() -> F>,
}

/// An item and how often it was tried in vain.
struct Waiting {
    item: OutboxItem,
    attempts: u32,
}

type Lane = mpsc::UnboundedSender<Waiting>;

impl<F: Side> Sender<F> {
    /// Sends what the node's store holds, then what comes out of `queue`, until `stop`; answers
    /// once everything that was begun is done or given up.
    ///
    /// Errors: those of the store at the start.
    pub async fn run(
        node: Arc<NativeNode>,
        mut queue: mpsc::UnboundedReceiver<OutboxItem>,
        stop: CancellationToken,
    ) -> Result<(), Error> {
        let tasks = TaskTracker::new();
        let sender = Arc::new(Self { node, tasks, stop: stop.clone(), side: PhantomData });
        let mut lanes = HashMap::new();
        for item in sender.kept().await? {
            sender.clone().enqueue(item, &mut lanes);
        }
        while let Some(Some(item)) = stop.run_until_cancelled(queue.recv()).await {
            sender.clone().enqueue(item, &mut lanes);
        }
        drop(lanes);
        sender.tasks.close();
        sender.tasks.wait().await;
        Ok(())
    }

    /// What waited when the node was stopped.
    async fn kept(&self) -> Result<Vec<OutboxItem>, Error> {
        let mut kept: Vec<OutboxItem> = Vec::new();
        loop {
            let after = kept.last().map(|item| item.id.clone()).unwrap_or_default();
            let page = self.node.waiting(&after, PAGE).await?;
            let last = page.len() < PAGE;
            kept.extend(page);
            if last {
                return Ok(kept);
            }
        }
    }

    fn enqueue(self: Arc<Self>, item: OutboxItem, lanes: &mut HashMap<String, Lane>) {
        let destination = match item.role {
            Role::Personal => String::new(),
            Role::Institution | Role::Notary => item.to.to_string(),
        };
        let lane = lanes.entry(destination).or_insert_with(|| {
            let (lane, waiting) = mpsc::unbounded_channel();
            let retry = lane.downgrade();
            self.clone().spawn(self.clone().lane(Way::to(item.role), waiting, retry));
            lane
        });
        // A lane ends only when the node stops.
        let _stopping = lane.send(Waiting { item, attempts: 0 }).is_err();
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            stop.run_until_cancelled(task).await;
        });
    }

    async fn lane(
        self: Arc<Self>,
        way: Way,
        mut waiting: mpsc::UnboundedReceiver<Waiting>,
        retry: mpsc::WeakUnboundedSender<Waiting>,
    ) {
        let permits = Arc::new(Semaphore::new(way.in_flight));
        let reached = Arc::new(Notify::new());
        while let Ok(permit) = permits.clone().acquire_owned().await {
            let mut batch = Vec::new();
            if waiting.recv_many(&mut batch, way.batch).await == 0 {
                return;
            }
            let (sender, retry, reached) = (self.clone(), retry.clone(), reached.clone());
            self.spawn(async move {
                let (failed, asked) = sender.send(batch).await;
                drop(permit);
                if failed.is_empty() {
                    reached.notify_waiters();
                }
                sender.try_again(failed, asked, &retry, &reached).await;
            });
        }
    }

    /// Sends a batch; answers what must be tried again, and the pause that was asked for.
    async fn send(&self, batch: Vec<Waiting>) -> (Vec<Waiting>, Duration) {
        let attempts: HashMap<_, _> =
            batch.iter().map(|waiting| (waiting.item.id.clone(), waiting.attempts)).collect();
        let items = batch.into_iter().map(|waiting| waiting.item).collect();
        let (parcels, mut failed) = self.node.parcels(items).await;
        let mut asked = Duration::ZERO;
        for parcel in parcels {
            let (to, unsent) = match parcel {
                Parcel::Inbox { endpoint, item } => {
                    let unsent = self.post_inbox(endpoint.as_ref(), *item).await;
                    (endpoint.into(), unsent)
                }
                Parcel::Mailbox { items } => {
                    let unsent = self.deliver(items).await;
                    (self.node.platform().member().server().to_owned(), unsent)
                }
                Parcel::Deposits { endpoint, items, envelope } => {
                    let unsent = self.deposit(endpoint.as_ref(), items, envelope).await;
                    (endpoint.into(), unsent)
                }
            };
            if !unsent.is_empty() {
                asked = asked.max(self.client().asked_pause(&to));
            }
            failed.extend(unsent);
        }
        let tried = |item: OutboxItem| Waiting {
            attempts: attempts.get(&item.id).map_or(1, |attempts| attempts.saturating_add(1)),
            item,
        };
        (failed.into_iter().map(tried).collect(), asked)
    }

    /// After a pause: its own, which grows with each failure, or a longer one that was asked for. It
    /// ends when something else has `reached` the same node, and when the network's documents or the
    /// node's card change, which may be what was missing.
    async fn try_again(
        &self,
        failed: Vec<Waiting>,
        asked: Duration,
        lane: &mpsc::WeakUnboundedSender<Waiting>,
        reached: &Notify,
    ) {
        let Some(attempts) = failed.iter().map(|waiting| waiting.attempts).min() else { return };
        tracing::debug!(items = failed.len(), attempts, "not sent, trying again");
        let member = self.node.platform().member();
        let mut changes = member.changes();
        tokio::time::sleep(asked).await;
        let pause = doubled(attempts, FIRST_PAUSE, LONGEST_PAUSE).saturating_sub(asked);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = reached.notified() => {}
            Ok(()) = changes.changed() => adopt(&self.node, &member.standing()),
        }
        let Some(lane) = lane.upgrade() else { return };
        for waiting in failed {
            let _stopping = lane.send(waiting).is_err();
        }
    }

    fn client(&self) -> &Client {
        self.node.platform().member().client()
    }

    async fn post_inbox(&self, endpoint: &str, item: OutboxItem) -> Vec<OutboxItem> {
        let answer = self.client().send_envelope(endpoint, envelope(&item).to_owned()).await;
        let settled = match answer {
            Ok(_) => self.node.delivered(&item).await,
            Err(error) if error.is_final() => self.node.refused(&item, error.code()).await,
            Err(_) => return vec![item],
        };
        if settled.is_ok() { Vec::new() } else { vec![item] }
    }

    /// Delivers envelopes to mailboxes, in as many requests as their size asks for.
    async fn deliver(&self, items: Vec<OutboxItem>) -> Vec<OutboxItem> {
        let mut failed = Vec::new();
        for items in by_size(items) {
            failed.extend(self.deliver_some(items).await);
        }
        failed
    }

    async fn deliver_some(&self, items: Vec<OutboxItem>) -> Vec<OutboxItem> {
        let delivery = |item: &OutboxItem| {
            let (to, envelope) = (item.to.clone(), envelope(item).to_owned());
            Ok(Delivery { to, id: item.id.parse()?, envelope })
        };
        let Ok(deliveries) = items.iter().map(delivery).collect::<Result<Vec<_>, Error>>() else {
            return items;
        };
        let member = self.node.platform().member();
        let answered = self.client().deliver(member.server(), member.signer(), deliveries).await;
        let answers = match answered {
            Ok(answers) if answers.len() == items.len() => answers,
            _ => return items,
        };
        let each = items.into_iter().zip(answers);
        join_all(each.map(|(item, answer)| self.mailed(item, answer)))
            .await
            .into_iter()
            .flatten()
            .collect()
    }

    /// Deals with the server's answer; answers the item when it must be tried again.
    async fn mailed(&self, item: OutboxItem, answer: DeliveryAnswer) -> Option<OutboxItem> {
        let dealt = match answer {
            DeliveryAnswer::Accepted(_) => self.node.delivered(&item).await,
            DeliveryAnswer::Refused(code)
                if Error::from_code(&code).is_some_and(Error::is_final) =>
            {
                self.node.refused(&item, &code).await
            }
            DeliveryAnswer::Refused(_) => return Some(item),
        };
        dealt.is_err().then_some(item)
    }

    /// Deposits entries at a notary; the case goes on with what it answers.
    async fn deposit(
        &self,
        endpoint: &str,
        items: Vec<OutboxItem>,
        envelope: String,
    ) -> Vec<OutboxItem> {
        let answers = match self.client().deposit(endpoint, envelope).await {
            Ok(DepositAnswers { answers }) if answers.len() == items.len() => answers,
            _ => return items,
        };
        let each = items.into_iter().zip(answers);
        join_all(each.map(|(item, answer)| self.deposited(item, answer)))
            .await
            .into_iter()
            .flatten()
            .collect()
    }

    /// Deals with the notary's answer; answers the item when it must be tried again.
    async fn deposited(&self, item: OutboxItem, answer: DepositAnswer) -> Option<OutboxItem> {
        if self.node.deposit_answered::<F>(&item, &answer).await.is_err() {
            return Some(item);
        }
        if let Err(error) = F::go_on(&self.node, &item.case).await {
            tracing::error!(%error, "a case could not go on");
        }
        None
    }
}

fn envelope(item: &OutboxItem) -> &str {
    match &item.payload {
        Payload::Envelope { compact, .. } => compact,
        Payload::Deposit { .. } => "",
    }
}

/// Groups of at most [`BATCH_BYTES`], or of one item.
fn by_size(items: Vec<OutboxItem>) -> Vec<Vec<OutboxItem>> {
    let mut groups: Vec<Vec<OutboxItem>> = Vec::new();
    let mut bytes = 0;
    for item in items {
        let size = envelope(&item).len();
        bytes += size;
        match groups.last_mut() {
            Some(group) if bytes <= BATCH_BYTES => group.push(item),
            _ => {
                groups.push(vec![item]);
                bytes = size;
            }
        }
    }
    groups
}
