//! Sends what a node has queued, until the other side has answered. Nothing is lost on the way: an
//! item stays in the store until it is answered, and whatever is no answer is tried again.
//!
//! Every destination (the server for all mailboxes, each notary, each institution) has a lane of
//! its own. A lane keeps a few requests in flight; what is queued meanwhile goes together with the
//! next one, so that batches grow with the load and a single item never waits.

mod batches;

use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use hdms::Error;
use hdms::card::Role;
use hdms::mailbox::{Delivery, DeliveryAnswer};
use hdms::node::{LONGEST_PAUSE, Occasion, OutboxItem, Parcel, Platform, Setback, answers_to};
use hdms::notary::DepositAnswer;
use hdms::provider::{Clock, Timestamp};
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::base::http::client::{Client, Delivered, Deposited};
use crate::base::http::problem::Problem;
use crate::institution::platform::{NativeNode, Side, adopt};
use crate::member::Standing;
use batches::{Batching, by_size, envelope, will_never_fit};

/// Items read from the store at a time when a node starts.
const PAGE: usize = 500;

/// The sending half of a node.
pub struct Sender<F> {
    node: Arc<NativeNode>,
    tasks: TaskTracker,
    stop: CancellationToken,
    side: PhantomData<fn() -> F>,
}

/// What goes to one destination.
struct Lane {
    waiting: mpsc::UnboundedSender<OutboxItem>,
    road: Arc<Road>,
}

/// The way to one destination.
#[derive(Default)]
struct Road {
    /// Rings whenever it has answered.
    reached: Notify,
    /// Until then it has asked to be left alone, milliseconds since 1970.
    rest: AtomicU64,
}

impl Road {
    fn rests(&self, now: Timestamp) -> bool {
        self.rest(now) > 0
    }

    /// Milliseconds. A time further ahead than any pause was set when the clock was wrong.
    fn rest(&self, now: Timestamp) -> u64 {
        let rest = self.rest.load(Ordering::Relaxed).saturating_sub(now.0);
        if rest > LONGEST_PAUSE { 0 } else { rest }
    }

    /// How long it rests from now on, and what waits by itself.
    fn pause(&self, items: &[OutboxItem], now: Timestamp) -> Duration {
        let first = items.iter().map(|item| item.pause(now)).min();
        Duration::from_millis(first.unwrap_or_default().max(self.rest(now)))
    }
}

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
            let (waiting, coming) = mpsc::unbounded_channel();
            let (back, road) = (waiting.downgrade(), Arc::<Road>::default());
            let way = Batching::to(item.role);
            self.clone().spawn(self.clone().lane(way, coming, back, road.clone()));
            Lane { waiting, road }
        });
        if item.may_go(Occasion::Time, self.now()) {
            // A lane ends only when the node stops.
            let _stopping = lane.waiting.send(item).is_err();
        } else if item.refused.is_none() {
            let (back, road) = (lane.waiting.downgrade(), lane.road.clone());
            let changes = self.changes();
            self.clone().spawn(self.clone().wait(vec![item], back, road, changes));
        }
    }

    fn now(&self) -> Timestamp {
        self.node.platform().clock().now()
    }

    /// Tells of what changes in the network from now on.
    fn changes(&self) -> watch::Receiver<Arc<Standing>> {
        self.node.platform().member().changes()
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            stop.run_until_cancelled(task).await;
        });
    }

    async fn lane(
        self: Arc<Self>,
        way: Batching,
        mut coming: mpsc::UnboundedReceiver<OutboxItem>,
        back: mpsc::WeakUnboundedSender<OutboxItem>,
        road: Arc<Road>,
    ) {
        let permits = Arc::new(Semaphore::new(way.in_flight));
        while let Ok(permit) = permits.clone().acquire_owned().await {
            let mut batch = Vec::new();
            if coming.recv_many(&mut batch, way.batch).await == 0 {
                return;
            }
            let (sender, back, road) = (self.clone(), back.clone(), road.clone());
            // What changes while a request is under way may be what it lacked.
            let changes = self.changes();
            if road.rests(self.now()) {
                self.spawn(sender.wait(batch, back, road, changes));
                continue;
            }
            self.spawn(async move {
                let failed = sender.send(batch, &road).await;
                drop(permit);
                if failed.is_empty() {
                    road.reached.notify_waiters();
                }
                sender.wait(failed, back, road, changes).await;
            });
        }
    }

    /// Sends a batch; answers what must be tried again, with when.
    async fn send(&self, batch: Vec<OutboxItem>, road: &Road) -> Vec<OutboxItem> {
        let (parcels, stuck) = self.node.parcels(batch).await;
        let mut failed = Vec::new();
        for (item, why) in stuck {
            failed.extend(if will_never_fit(&item, why) {
                let refusal = DepositAnswer::Refused(why.code().to_owned());
                let refusals = vec![refusal; item.entries().map_or(0, |entries| entries.len())];
                self.deposited(item, refusals, None).await
            } else {
                self.postpone(vec![item], why.into()).await
            });
        }
        for parcel in parcels {
            let unsent = match parcel {
                Parcel::Inbox { endpoint, item } => {
                    self.post_inbox(endpoint.as_ref(), *item, road).await
                }
                Parcel::Mailbox { items } => self.deliver(items, road).await,
                Parcel::Deposits { endpoint, items, envelope } => {
                    self.deposit(endpoint.as_ref(), items, envelope, road).await
                }
            };
            failed.extend(unsent);
        }
        failed
    }

    /// The destination has not answered, or with a refusal that may pass, to any of these.
    async fn unanswered(
        &self,
        items: Vec<OutboxItem>,
        problem: &Problem,
        road: &Road,
    ) -> Vec<OutboxItem> {
        if problem.error == Error::FormerKey {
            return self.seal_anew(items, problem.card.as_deref()).await;
        }
        let setback = Setback { why: problem.error, retry_after: problem.retry_after };
        let failed = self.postpone(items, setback).await;
        let asked = failed.iter().filter_map(|item| item.attempts.asked).max();
        road.rest.fetch_max(asked.map_or(0, |until| until.0), Ordering::Relaxed);
        failed
    }

    /// They go at once, or wait when there is no key to seal them to.
    async fn seal_anew(&self, items: Vec<OutboxItem>, card: Option<&str>) -> Vec<OutboxItem> {
        match self.node.former_key(&items, card).await {
            Ok(anew) => anew,
            Err(error) => self.postpone(items, error.into()).await,
        }
    }

    async fn postpone(&self, items: Vec<OutboxItem>, setback: Setback) -> Vec<OutboxItem> {
        let (failed, kept) = self.node.postpone(&items, setback).await;
        if let Err(error) = kept {
            tracing::error!(%error, "how sending has fared could not be kept");
        }
        tracing::debug!(items = failed.len(), code = setback.why.code(), "not sent for now");
        failed
    }

    /// Lets items go when they may: as time passes, when something else has reached their
    /// destination, and when the network's documents or the node's card change, which may be what was
    /// missing.
    async fn wait(
        self: Arc<Self>,
        mut items: Vec<OutboxItem>,
        back: mpsc::WeakUnboundedSender<OutboxItem>,
        road: Arc<Road>,
        mut changes: watch::Receiver<Arc<Standing>>,
    ) {
        while !items.is_empty() {
            let occasion = tokio::select! {
                () = tokio::time::sleep(road.pause(&items, self.now())) => Occasion::Time,
                () = road.reached.notified() => Occasion::Reached,
                Ok(()) = changes.changed() => {
                    adopt(&self.node, &self.node.platform().member().standing());
                    Occasion::Documents
                }
            };
            let Some(lane) = back.upgrade() else { return };
            let now = self.now();
            for item in items.extract_if(.., |item| item.may_go(occasion, now)) {
                let _stopping = lane.send(item).is_err();
            }
        }
    }

    fn client(&self) -> &Client {
        self.node.platform().member().client()
    }

    async fn post_inbox(&self, endpoint: &str, item: OutboxItem, road: &Road) -> Vec<OutboxItem> {
        let answer = self.client().send_envelope(endpoint, envelope(&item).to_owned()).await;
        let settled = match answer {
            Ok(_) => self.node.delivered(&item).await,
            Err(Problem { error, .. }) if error.is_permanent() => {
                self.node.refused(&item, error.code()).await
            }
            Err(problem) => return self.unanswered(vec![item], &problem, road).await,
        };
        match settled {
            Ok(()) => Vec::new(),
            Err(error) => self.postpone(vec![item], error.into()).await,
        }
    }

    /// Delivers envelopes to mailboxes, in as many requests as their size asks for.
    async fn deliver(&self, items: Vec<OutboxItem>, road: &Road) -> Vec<OutboxItem> {
        let mut failed = Vec::new();
        for items in by_size(items) {
            failed.extend(self.deliver_some(items, road).await);
        }
        failed
    }

    async fn deliver_some(&self, items: Vec<OutboxItem>, road: &Road) -> Vec<OutboxItem> {
        let delivery = |item: &OutboxItem| {
            let (to, envelope) = (item.to.clone(), envelope(item).to_owned());
            Ok(Delivery { to, id: item.id.parse()?, envelope })
        };
        let deliveries = match items.iter().map(delivery).collect::<Result<Vec<_>, Error>>() {
            Ok(deliveries) => deliveries,
            Err(error) => return self.postpone(items, error.into()).await,
        };
        let member = self.node.platform().member();
        let answered = self.client().deliver(member.server(), member.signer(), deliveries).await;
        let Delivered { answers, retry_after } = match answered {
            Ok(delivered) if delivered.answers.len() == items.len() => delivered,
            Ok(_) => return self.postpone(items, Error::NetworkUnreachable.into()).await,
            Err(problem) => {
                member.heed(problem.error);
                return self.unanswered(items, &problem, road).await;
            }
        };
        let each = items.into_iter().zip(answers);
        join_all(each.map(|(item, answer)| self.mailed(item, answer, retry_after))).await.concat()
    }

    /// Deals with the server's answer; answers the item when it must be tried again.
    async fn mailed(
        &self,
        item: OutboxItem,
        answer: DeliveryAnswer,
        retry_after: Option<u64>,
    ) -> Vec<OutboxItem> {
        let dealt = match answer {
            DeliveryAnswer::Accepted(seq) => self.node.mailed(&item, seq).await,
            DeliveryAnswer::FormerKey(card) => {
                return self.seal_anew(vec![item], Some(&card)).await;
            }
            DeliveryAnswer::Refused(code) => match Error::from_code(&code) {
                Some(error) if error.is_permanent() => self.node.refused(&item, &code).await,
                error => {
                    let why = error.unwrap_or(Error::NetworkUnreachable);
                    let retry_after = retry_after.filter(|_| why.is_transient());
                    return self.postpone(vec![item], Setback { why, retry_after }).await;
                }
            },
        };
        match dealt {
            Ok(()) => Vec::new(),
            Err(error) => self.postpone(vec![item], error.into()).await,
        }
    }

    /// Deposits entries at a notary; the case goes on with what it answers.
    async fn deposit(
        &self,
        endpoint: &str,
        items: Vec<OutboxItem>,
        envelope: String,
        road: &Road,
    ) -> Vec<OutboxItem> {
        let Deposited { answers, retry_after } =
            match self.client().deposit(endpoint, envelope).await {
                Ok(deposited) => deposited,
                Err(problem) => return self.unanswered(items, &problem, road).await,
            };
        let Ok(answers) = answers_to(&items, answers) else {
            return self.postpone(items, Error::NetworkUnreachable.into()).await;
        };
        let each = items.into_iter().zip(answers);
        let settled = each.map(|(item, answers)| self.deposited(item, answers, retry_after));
        join_all(settled).await.concat()
    }

    /// Deals with the notary's answers; answers the item when something of it must be tried again.
    async fn deposited(
        &self,
        item: OutboxItem,
        answers: Vec<DepositAnswer>,
        retry_after: Option<u64>,
    ) -> Vec<OutboxItem> {
        match self.node.deposit_answered::<F>(&item, &answers).await {
            Ok(()) => Vec::new(),
            Err(why) => {
                let retry_after = retry_after.filter(|_| why.is_transient());
                self.postpone(vec![item], Setback { why, retry_after }).await
            }
        }
    }
}
