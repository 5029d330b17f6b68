//! What a native node brings to the core: keys and primitives by `aws-lc-rs`, SQLite, the machine's
//! clock and randomness, and locks for cases and senders.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use hdms::Error;
use hdms::card::Role;
use hdms::envelope::Opened;
use hdms::ids::{CaseId, NodeId};
use hdms::network::Trust;
use hdms::node::{Contents, Deliverer, Node, OutboxItem, Outcome, Platform};
use hdms::provider::{Clock, Store, Table, Write};
use hdms::software::SoftwareHolders;
use hdms::treatment::hospital::HospitalCase;
use tokio::sync::{Mutex, OwnedMutexGuard, broadcast, mpsc};

use super::inbox_quotas::InboxQuotas;
use super::undecided::{Undecided, origins};
use crate::base::keys::{AwsKeys, AwsPrimitives};
use crate::base::store::SqliteStore;
use crate::base::system::{NodeClock, SystemRandomness};
use crate::member::{Member, Standing};

/// Locks shared by all cases: two cases that meet in one wait for each other, no more. So it is with
/// senders.
const LOCKS: usize = 256;

/// So often is tried again what was refused and may become good.
const HOPE: Duration = Duration::from_secs(5 * 60);

/// Changes that a slow listener may be behind before it misses some.
const CHANGES: usize = 4096;

/// A native node.
pub type NativeNode = Node<NativePlatform>;

/// One side of the treatment, as a native node drives it.
pub trait Side: Contents + Send + Sync + 'static {
    /// What may go on by itself as time passes and documents change.
    fn go_on_in_time(node: &NativeNode) -> impl Future<Output = Result<(), Error>> + Send;
}

impl Side for HospitalCase {
    /// Deposits at the next notary where one is gone.
    async fn go_on_in_time(node: &NativeNode) -> Result<(), Error> {
        node.pass_over().await
    }
}

/// The providers of a native node.
#[derive(Debug)]
pub struct NativePlatform {
    member: Member,
    clock: NodeClock,
    holders: SoftwareHolders<SystemRandomness>,
    store: WatchedStore,
    cases: Locks,
    senders: Locks,
    quotas: InboxQuotas,
    outgoing: mpsc::UnboundedSender<OutboxItem>,
}

impl NativePlatform {
    /// Of a member with its store; answers also what it queues for sending, for
    /// [`crate::institution::sender::Sender`]. The keys of a patient's cases live in memory only.
    pub fn new(
        member: Member,
        store: SqliteStore,
        clock: NodeClock,
    ) -> (Self, mpsc::UnboundedReceiver<OutboxItem>) {
        let (outgoing, queue) = mpsc::unbounded_channel();
        let platform = Self {
            quotas: InboxQuotas::new(member.costs()),
            member,
            clock,
            holders: SoftwareHolders::new(SystemRandomness),
            store: WatchedStore { store, changes: broadcast::Sender::new(CHANGES) },
            cases: Locks::default(),
            senders: Locks::default(),
            outgoing,
        };
        (platform, queue)
    }

    /// The member of the network that the node is.
    pub fn member(&self) -> &Member {
        &self.member
    }

    /// The requests for treatment that wait to be decided, where it is an institution.
    pub fn undecided(&self) -> &Undecided {
        self.quotas.undecided()
    }

    fn is_institution(&self) -> bool {
        self.member.standing().card.card().role == Role::Institution
    }

    /// From now on, the id of every case whose state was changed, once that is on stable storage.
    pub fn changes(&self) -> broadcast::Receiver<CaseId> {
        self.store.changes.subscribe()
    }
}

#[derive(Debug)]
struct Locks([Arc<Mutex<()>>; LOCKS]);

impl Default for Locks {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Arc::default()))
    }
}

impl Locks {
    async fn lock(&self, what: &impl Hash) -> OwnedMutexGuard<()> {
        let mut hasher = DefaultHasher::new();
        what.hash(&mut hasher);
        let lock = &self.0[hasher.finish() as usize % LOCKS];
        lock.clone().lock_owned().await
    }
}

/// A node on `platform`, that is and trusts what its member comes to be and to trust.
pub fn follow(platform: NativePlatform) -> Arc<NativeNode> {
    let mut changes = platform.member().changes();
    let standing = changes.borrow_and_update().clone();
    let node = Arc::new(Node::new(platform, standing.card.clone(), Trust::clone(&standing.trust)));
    let follower = node.clone();
    node.platform().member().spawn(async move {
        while changes.changed().await.is_ok() {
            let standing = changes.borrow_and_update().clone();
            adopt(&follower, &standing);
        }
    });
    node
}

/// Makes `node` use what its member came to be and to trust.
pub fn adopt(node: &NativeNode, standing: &Standing) {
    node.set_trust(Trust::clone(&standing.trust));
    if let Err(error) = node.set_card(standing.card.clone()) {
        tracing::error!(%error, "the card is not this node's");
    }
}

/// Tries again what was refused and may become good, and what else goes on by itself: now and then, and
/// once the node comes to trust newer documents. Never ends.
pub async fn hope<F: Side>(node: Arc<NativeNode>) {
    let member = node.platform().member();
    let mut changes = member.changes();
    loop {
        tokio::select! {
            () = tokio::time::sleep(HOPE) => {}
            Ok(()) = changes.changed() => adopt(&node, &changes.borrow_and_update().clone()),
        }
        let tried = node.retry_hopeful::<F>().await.map(drop);
        for outcome in [tried, F::go_on_in_time(&node).await] {
            if let Err(error) = outcome {
                tracing::warn!(%error, "what waits is tried again later");
            }
        }
    }
}

impl Platform for NativePlatform {
    type Primitives = AwsPrimitives;
    type Keys = AwsKeys;
    type Holders = SoftwareHolders<SystemRandomness>;
    type Store = WatchedStore;
    type Clock = NodeClock;
    type Randomness = SystemRandomness;
    type Guard = OwnedMutexGuard<()>;

    fn primitives(&self) -> &AwsPrimitives {
        &AwsPrimitives
    }

    fn keys(&self) -> &AwsKeys {
        self.member.keys()
    }

    fn holders(&self) -> &Self::Holders {
        &self.holders
    }

    fn store(&self) -> &WatchedStore {
        &self.store
    }

    fn clock(&self) -> &NodeClock {
        &self.clock
    }

    fn randomness(&self) -> &SystemRandomness {
        &SystemRandomness
    }

    async fn lock_case(&self, case: &CaseId) -> OwnedMutexGuard<()> {
        self.cases.lock(case).await
    }

    async fn lock_sender(&self, sender: &NodeId) -> OwnedMutexGuard<()> {
        self.senders.lock(sender).await
    }

    /// Whom a mailbox holds messages of, its server has limited.
    fn hear(&self, message: &Opened, by: &Deliverer) -> Result<Vec<Write>, Error> {
        if !self.is_institution() {
            return Ok(Vec::new());
        }
        let from = if let Deliverer::Address(from) = by { from.parse().ok() } else { None };
        let origin = self.quotas.hear(message, from, self.clock.now())?;
        Ok(origin.map(|network| origins::keep(message.case(), network)).into_iter().collect())
    }

    fn heard(&self, message: &Opened, outcome: Option<Outcome>) {
        if self.is_institution() {
            self.quotas.heard(message, outcome);
        }
    }

    fn queued(&self, items: Vec<OutboxItem>) {
        for item in items {
            // A node that is stopping has no sender any more; the item waits in the store.
            let _sender_gone = self.outgoing.send(item).is_err();
        }
    }
}

/// A store that tells which cases were changed.
#[derive(Debug)]
pub struct WatchedStore {
    store: SqliteStore,
    changes: broadcast::Sender<CaseId>,
}

impl Store for WatchedStore {
    async fn read(&self, table: Table, key: &str) -> Result<Option<Vec<u8>>, Error> {
        self.store.read(table, key).await
    }

    async fn scan(
        &self,
        table: Table,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(String, Vec<u8>)>, Error> {
        self.store.scan(table, prefix, after, limit).await
    }

    async fn commit(&self, writes: Vec<Write>) -> Result<(), Error> {
        let changed: Vec<CaseId> = writes.iter().filter_map(changed_case).collect();
        self.store.commit(writes).await?;
        for case in changed {
            // Nobody may be listening.
            let _unheard = self.changes.send(case).is_err();
        }
        Ok(())
    }
}

fn changed_case(write: &Write) -> Option<CaseId> {
    match write {
        Write::Put { table: Table::Cases, key, .. } => key.parse().ok(),
        _ => None,
    }
}
