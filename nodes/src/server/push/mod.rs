//! Web push from the server: browsers that no page keeps awake are woken when something has come
//! for them, by their push services (RFC 8030) or by Firebase.

mod answer;
mod browser;
mod endpoints;
mod errands;
mod firebase;
mod slots;
mod table;
mod vapid;

use std::collections::BTreeMap;
use std::sync::Arc;

use hdms::Error;
use hdms::ids::{MessageId, NodeId};
use hdms::provider::Clock;
use hdms::push::Subscription;

use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use super::ServerConfig;
use super::stream::Bells;
use crate::base::keys;
use crate::base::sqlite::Database;
use crate::base::system::{NodeClock, SystemRandomness};
use answer::PushOutcome;
use browser::Browser;
use endpoints::{Endpoints, Route};
use firebase::Firebase;
use slots::Slots;
use table::Due;
use vapid::Vapid;

pub use firebase::{FirebaseApp, FirebaseConfig};
pub use table::standing;

/// Somebody waits for it (RFC 8030 section 5.3).
const URGENCY: &str = "high";

/// What only wakes takes the place of what woke before (RFC 8030 section 5.4).
const TOPIC: &str = "wake";

/// Longest time for which push services keep something, seconds.
const LONGEST_TTL: u64 = 28 * 24 * 3600;

/// How the server pushes.
#[derive(Clone, Debug, Default)]
pub struct PushConfig {
    /// Where the operators of push services reach this server's, a `mailto:` or `https:` URL;
    /// without it, the server's own.
    pub contact: Option<String>,
    /// Whether http and private networks may be sent to as well.
    pub private: bool,
    /// Origins to send to, by those in whose place they are sent to: relays.
    pub via: BTreeMap<String, String>,
    /// A Firebase project, to offer that way too.
    pub firebase: Option<FirebaseConfig>,
}

/// Pushes to nodes.
#[derive(Debug)]
pub struct PushSender {
    endpoints: Endpoints,
    vapid: Vapid,
    firebase: Option<Firebase>,
    slots: Slots,
    announced: UnboundedSender<NodeId>,
    bells: Arc<Bells>,
    database: Database,
    clock: NodeClock,
}

impl PushSender {
    /// Opens the key kept in the server's folder, or makes it at the first start. When it has changed
    /// since the last, subscriptions made with the old one are dropped. Answers also the nodes that
    /// are announced, for [`PushSender::run`].
    ///
    /// Errors: those of the key file; those of [`Endpoints::new`] and [`Firebase::new`].
    pub async fn open(
        config: &ServerConfig,
        bells: Arc<Bells>,
        database: Database,
        clock: NodeClock,
    ) -> Result<(Arc<Self>, UnboundedReceiver<NodeId>), Error> {
        let key = keys::open_or_make_es256(&config.data.join("vapid"), &config.passphrase)?;
        let PushConfig { contact, private, via, firebase } = config.push.clone();
        let contact = contact.unwrap_or_else(|| usual_contact(&config.public_url));
        let public = key.public();
        if database.write(move |tx| table::change_sender(tx, &public)).await? {
            tracing::warn!("the key for web push is a new one: browsers have to subscribe anew");
        }
        let (announced, nodes) = mpsc::unbounded_channel();
        let sender = Self {
            endpoints: Endpoints::new(private, &via)?,
            vapid: Vapid::new(key, contact),
            firebase: firebase.map(Firebase::new).transpose()?,
            slots: Slots::default(),
            announced,
            bells,
            database,
            clock,
        };
        Ok((Arc::new(sender), nodes))
    }

    /// Has `node` pushed to, if something has come for it and it is to be pushed to.
    pub fn announce(&self, node: &NodeId) {
        // Nobody pushes any more when the server stops; it does so after the next start.
        let _stopping = self.announced.send(node.clone()).is_err();
    }

    /// The key with which browsers subscribe: the uncompressed point, base64url.
    pub fn key(&self) -> String {
        self.vapid.public()
    }

    /// What pages need to register with Firebase, where it is offered.
    pub fn firebase(&self) -> Option<&FirebaseApp> {
        self.firebase.as_ref().map(Firebase::app)
    }

    /// Keeps a subscription of `node`.
    ///
    /// Errors: [`Error::PushSubscriptionRefused`] for one that can't be sent to from here.
    pub async fn subscribe(&self, node: NodeId, subscription: Subscription) -> Result<(), Error> {
        subscription.check()?;
        self.way(&subscription)?;
        if let Subscription::WebPush { p256dh, auth, .. } = &subscription {
            Browser::new(p256dh, auth)?;
        }
        let whose = node.clone();
        self.database.write(move |tx| table::keep(tx, &whose, &subscription)).await?;
        self.announce(&node);
        Ok(())
    }

    /// Forgets a subscription of `node`, if there is one.
    pub async fn unsubscribe(&self, node: NodeId, id: String) -> Result<(), Error> {
        self.database.write(move |tx| table::remove(tx, &node, &id)).await
    }

    /// Forgets what has expired.
    pub async fn expire(&self) -> Result<(), Error> {
        let now = self.now();
        self.database.write(move |tx| table::drop_expired(tx, now)).await
    }

    fn way(&self, subscription: &Subscription) -> Result<Route<'_>, Error> {
        match subscription {
            Subscription::WebPush { endpoint, .. } => self.endpoints.way(endpoint),
            Subscription::Firebase { .. } => {
                let firebase = self.firebase.as_ref().ok_or(Error::PushSubscriptionRefused)?;
                self.endpoints.way(&firebase.endpoint())
            }
        }
    }

    async fn send(&self, way: &Route<'_>, mut due: Due) -> Result<PushOutcome, Error> {
        let now = self.now();
        let ttl = due.expires.saturating_sub(now).min(LONGEST_TTL);
        let payload = due.payload()?;
        match (&due.subscription, &self.firebase) {
            (Subscription::WebPush { p256dh, auth, .. }, _) => {
                let authorization = self.vapid.authorization(&way.origin, now)?;
                Browser::new(p256dh, auth)?.push(way, authorization, ttl, payload).await
            }
            (Subscription::Firebase { token }, Some(firebase)) => {
                let wake = MessageId::new(&self.clock, &SystemRandomness)?;
                Ok(firebase.wake(way, token, ttl, &wake).await)
            }
            (Subscription::Firebase { .. }, None) => Ok(PushOutcome::Gone),
        }
    }

    fn now(&self) -> u64 {
        self.clock.now().seconds()
    }
}

/// The server's own address, or one that has the form which push services ask for.
fn usual_contact(public_url: &str) -> String {
    if public_url.starts_with("https://") {
        return public_url.to_owned();
    }
    "mailto:operator@localhost".to_owned()
}
