//! Being a native member of the network: an institution, a notary or a native personal node. A
//! [`Member`] owns the node's key file, gets and renews its card at the Doorman, and keeps what the node
//! trusts up to date, in the node's own database, so that it also starts while the server is away.
//!
//! ```text
//! let member = Member::join(config, store, clock, stop.clone()).await?;   // waits for the operator
//! let Standing { card, trust, trouble } = &*member.standing();            // now
//! let mut changes = member.changes();                                     // watch::Receiver<Arc<Standing>>
//! Opening { me: card, trust, received };                                  // to open envelopes with
//! member.keys(); member.client(); member.signer(); member.server();       // to ask others
//! member.refresh().await?;                                                // at once, not in its turn
//! ```

mod card;
pub mod costs;
mod documents;
mod joining;
mod renewal;

pub use joining::is_refusal;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use hdms::Error;
use hdms::card::{Role, VerifiedCard};
use hdms::doorman::About;
use hdms::endpoint::Endpoint;
use hdms::ids::NodeId;
use hdms::jwk::RsaJwk;
use hdms::network::{self, KeyWarning, LogKeys, Trust};
use hdms::provider::{Clock, Table, Write};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::base::http::client::{Client, Signer};
use crate::base::http::problem::Problem;
use crate::base::http::reach::Reach;
use crate::base::keys::{AwsKeys, Passphrase};
use crate::base::names::first_odd;
use crate::base::pause::doubled;
use crate::base::store::SqliteStore;
use crate::base::system::NodeClock;
use costs::Costs;

/// Longest time between two attempts to get a newer card.
const LONGEST_PAUSE: Duration = Duration::from_millis(network::RENEWAL_PAUSE);

/// What a member is and where it asks.
#[derive(Clone, Debug)]
pub struct MemberConfig {
    /// The node's folder, with its key file.
    pub data: PathBuf,
    /// Opens the key file.
    pub passphrase: Passphrase,
    /// Base URL of the HDMS server.
    pub server: String,
    /// The network's root key; without it, what the server says at the first start is pinned.
    pub root: Option<RsaJwk>,
    /// What it is.
    pub role: Role,
    /// How people call it.
    pub name: String,
    /// Base URL at which others reach it; none for a personal node.
    pub endpoint: Option<Endpoint>,
    /// Where it goes itself.
    pub reach: Reach,
    /// What others may cost it.
    pub costs: Costs,
    /// What its operator tells the network's; none of a personal node.
    pub about: Option<About>,
    /// A notary's log, which it sets itself.
    pub log: Option<LogKeys>,
    /// How often to ask the server for newer network documents.
    pub refresh: Duration,
}

impl MemberConfig {
    /// The first character of its name and of what it tells the operator that is in no applicant's texts.
    pub fn odd_character(&self) -> Option<char> {
        let about = self.about.iter().flat_map(About::texts);
        [&self.name].into_iter().chain(about).find_map(|text| first_odd(text))
    }

    /// Tells whoever runs the node which that is, where the Doorman has refused its request for its form.
    fn tell_odd_character(&self, node: &NodeId, refusal: Error) {
        if let Some(one) = self.odd_character().filter(|_| refusal == Error::AdmissionMalformed) {
            let (node, character) = (node.as_ref(), format!("U+{:04X}", u32::from(one)));
            tracing::error!(node, character, "names and what else is told have no such characters");
        }
    }
}

/// What a member is to others and what it trusts.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Its own card.
    pub card: VerifiedCard,
    /// From the newest network documents.
    pub trust: Arc<Trust>,
    /// Why it may not take part in the network as it is, if so; with the operator's reason.
    pub trouble: Option<Problem>,
}

/// A member of the network. Clones are the same member.
#[derive(Clone, Debug)]
pub struct Member(Arc<MemberInner>);

#[derive(Debug)]
struct MemberInner {
    config: MemberConfig,
    keys: Arc<AwsKeys>,
    root: RsaJwk,
    store: SqliteStore,
    client: Client,
    clock: NodeClock,
    standing: watch::Sender<Arc<Standing>>,
    asking: tokio::sync::Mutex<Inquiries>,
    /// Whether the server seems to lack the node's newest card.
    lacking: AtomicBool,
    /// What it does beside all else, until `stop` is cancelled.
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// How asking the server has fared.
#[derive(Debug, Default)]
struct Inquiries {
    /// Its name for the documents that the node has.
    etag: Option<String>,
    /// How often a newer card was asked for in vain.
    failures: u32,
    /// Not before then is it asked for again, unless the documents change.
    again: Option<Instant>,
    /// When one was got last that the server had lacked.
    given: Option<Instant>,
    /// Why the Doorman gives no newer card, if it won't.
    refusal: Option<Problem>,
    /// Whether the server has shown two networks, and nothing since that continues the first.
    split: bool,
}

impl Member {
    /// Does `task` beside all else, until the node is stopped.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.0.stop.clone();
        self.0.tasks.spawn(async move {
            stop.run_until_cancelled(task).await;
        });
    }

    /// Returns once the node was stopped and nothing of what it [did beside](Member::spawn) goes on.
    pub async fn ended(&self) {
        self.0.stop.cancelled().await;
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    /// The node's id.
    pub fn id(&self) -> &NodeId {
        self.0.keys.node()
    }

    /// The node's keys.
    pub fn keys(&self) -> &AwsKeys {
        &self.0.keys
    }

    /// What others may cost it.
    pub fn costs(&self) -> &Costs {
        &self.0.config.costs
    }

    /// Asks other nodes.
    pub fn client(&self) -> &Client {
        &self.0.client
    }

    /// Signs requests to the server.
    pub fn signer(&self) -> Signer<'_, AwsKeys> {
        Signer { node: self.id(), keys: &self.0.keys }
    }

    /// Base URL of the HDMS server.
    pub fn server(&self) -> &str {
        &self.0.config.server
    }

    /// How often it asks for newer network documents.
    pub fn refreshes(&self) -> Duration {
        self.0.config.refresh
    }

    /// Card and trust as they are now.
    pub fn standing(&self) -> Arc<Standing> {
        self.0.standing.borrow().clone()
    }

    /// Every change of card or trust.
    pub fn changes(&self) -> watch::Receiver<Arc<Standing>> {
        self.0.standing.subscribe()
    }

    /// Takes newer network documents from the server, if it has any, and renews the card when it
    /// is due. What was good before stays in use when this fails.
    pub async fn refresh(&self) -> Result<(), Error> {
        let mut asking = self.0.asking.lock().await;
        let before = self.standing();
        let newer = self.newer_trust(&mut asking, &before.trust).await;
        let trust = match &newer {
            Ok(Some(trust)) => trust.clone(),
            _ => before.trust.clone(),
        };
        match &newer {
            Ok(Some(_)) => asking.split = false,
            Err(error) => asking.split |= *error == Error::NetworkSplit,
            Ok(None) => {}
        }
        if before.trust.node(self.id()).is_ok() && trust.node(self.id()).is_err() {
            self.lacks_card();
        }
        let mut card = None;
        if newer.is_ok() {
            card = self.renewed(&mut asking, &before, &trust).await;
        }
        let card = card.unwrap_or_else(|| before.card.clone());
        self.retire_keys(&card).await;
        let trouble = self.trouble(&asking, &card, &trust);
        if trouble != before.trouble {
            self.tell(trouble.as_ref());
        }
        let after = Standing { card, trust, trouble };
        if !after.is(&before) {
            self.0.standing.send_replace(Arc::new(after));
        }
        newer.map(drop)
    }

    /// The server lacks the node's newest card: its database was put back to before it was issued. It
    /// is asked for a card again with the next [`Member::refresh`].
    pub fn lacks_card(&self) {
        self.0.lacking.store(true, Ordering::Relaxed);
    }

    /// The same, if that is why the server has refused a request of the node's.
    pub fn heed(&self, refusal: Error) {
        if refusal.asks_for_card() {
            self.lacks_card();
        }
    }

    /// What the node's user is to be told of others' keys, oldest first. Errors: those of the store.
    pub async fn warnings(&self) -> Result<Vec<KeyWarning>, Error> {
        network::warnings(&self.0.store).await
    }

    /// The node's user has seen what is said about `node`. Errors: those of the store.
    pub async fn dismiss(&self, node: &NodeId) -> Result<(), Error> {
        // Not while newer documents bring others.
        let _asking = self.0.asking.lock().await;
        network::dismiss(&self.0.store, node).await
    }

    async fn newer_trust(
        &self,
        asking: &mut Inquiries,
        before: &Trust,
    ) -> Result<Option<Arc<Trust>>, Error> {
        let inner = &*self.0;
        let (etag, size) = (asking.etag.as_deref(), before.manifest().number);
        let fetched = inner.client.network(self.server(), etag, size).await?;
        let Some(fetched) = fetched else { return Ok(None) };
        let (root, now) = (&inner.root, inner.clock.now());
        let trust = documents::take(&fetched, root, Some(before), &inner.store, now).await?;
        (asking.etag, asking.again) = (fetched.etag, None);
        Ok(Some(Arc::new(trust)))
    }

    /// A newer card, if it is due and can be had.
    async fn renewed(
        &self,
        asking: &mut Inquiries,
        before: &Standing,
        trust: &Trust,
    ) -> Option<VerifiedCard> {
        let inner = &*self.0;
        let lacking = inner.lacking.load(Ordering::Relaxed) && asking.may_lack();
        let (own, now) = ((&*inner.keys, &inner.store), inner.clock.now());
        let due = card::is_due(&before.card, &inner.config, own, trust, now).await;
        let due = due.unwrap_or_else(|error| {
            tracing::error!(%error, "it is not known whether the card is to be renewed");
            false
        });
        if !lacking && !due {
            asking.forget_refusal();
            return None;
        }
        if asking.again.is_some_and(|again| Instant::now() < again) {
            return None;
        }
        match self.ask_for_card(&before.card, trust).await {
            Ok(card) => {
                inner.lacking.store(false, Ordering::Relaxed);
                asking.given = lacking.then(Instant::now).or(asking.given);
                asking.forget_refusal();
                Some(card)
            }
            Err(problem) => {
                tracing::warn!(error = %problem.error, "the card was not renewed yet");
                asking.failures = asking.failures.saturating_add(1);
                let pause = doubled(asking.failures, inner.config.refresh, LONGEST_PAUSE);
                let pause = pause.max(joining::asked_pause(&problem));
                asking.again = Some(Instant::now() + pause);
                let transient =
                    problem.error.is_transient() || problem.error == Error::AdmissionPending;
                asking.refusal = Some(problem).filter(|_| !transient);
                None
            }
        }
    }

    /// What its user should know of a member's standing. The Doorman's refusal tells more than what
    /// follows from it.
    fn trouble(&self, asking: &Inquiries, card: &VerifiedCard, trust: &Trust) -> Option<Problem> {
        let suspended = trust.check_standing(card, self.0.clock.now()).err();
        match suspended {
            Some(Error::VersionTooOld) => Some(Error::VersionTooOld.into()),
            _ if asking.split => Some(Error::NetworkSplit.into()),
            _ => asking.refusal.clone().or(suspended.map(Into::into)),
        }
    }

    /// Tells whoever runs the node.
    fn tell(&self, trouble: Option<&Problem>) {
        let Some(Problem { error, reason, .. }) = trouble else {
            return tracing::info!("this node may take part in the network again");
        };
        tracing::error!(code = error.code(), reason, "{}", error.sentence());
        self.0.config.tell_odd_character(self.id(), *error);
    }
}

impl Inquiries {
    /// Whether the server may lack the card again: it is not asked each time that it says so.
    fn may_lack(&self) -> bool {
        self.given.is_none_or(|given| given.elapsed() >= LONGEST_PAUSE)
    }

    fn forget_refusal(&mut self) {
        (self.failures, self.again, self.refusal) = (0, None, None);
    }
}

impl Standing {
    fn is(&self, other: &Self) -> bool {
        let same_trust = Arc::ptr_eq(&self.trust, &other.trust);
        same_trust && self.card == other.card && self.trouble == other.trouble
    }
}

/// As long as the member is there.
async fn keep_up_to_date(kept: Weak<MemberInner>) {
    let mut is_away = false;
    while let Some(pause) = kept.upgrade().map(|inner| inner.config.refresh) {
        tokio::time::sleep(pause).await;
        let Some(member) = kept.upgrade().map(Member) else { return };
        match member.refresh().await {
            Ok(()) => {
                if std::mem::take(&mut is_away) {
                    tracing::info!("the server is back");
                }
            }
            Err(error @ (Error::NetworkUnreachable | Error::TimedOut)) => {
                if !std::mem::replace(&mut is_away, true) {
                    tracing::warn!(code = error.code(), "the server is away");
                }
            }
            Err(error) => tracing::error!(%error, "network documents were not taken"),
        }
    }
}

fn put(key: &str, value: Vec<u8>) -> Write {
    Write::Put { table: Table::Meta, key: key.into(), value }
}
