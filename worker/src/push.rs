//! Waking by push: what the patient has chosen, what this browser has, and what the server knows of
//! it, reconciled at every contact. Browsers and push services drop subscriptions without a word.

use std::cell::RefCell;

use futures_util::future::{Either, select};
use gloo_timers::future::TimeoutFuture;
use hdms::Error;
use hdms::base64url::encode;
use hdms::json;
use hdms::provider::{Clock, Store, Table, Timestamp, Write};
use hdms::push::{Subscription, SubscriptionRemoval};
use js_sys::Uint8Array;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{
    DomException, PushManager, PushSubscription, PushSubscriptionOptionsInit,
    ServiceWorkerGlobalScope,
};

use crate::js;
use crate::member::Member;
use crate::platform::BrowserClock;
use crate::store::IndexedDb;
use crate::views::PushState;

/// Row of [`Table::Meta`].
const CHOICE: &str = "push";

/// A subscription that expires within this time is renewed, milliseconds.
const RENEWAL: u64 = 7 * 24 * 3600 * 1000;

/// How long subscribing may take, milliseconds, and how often it is tried: soon after its start
/// Firefox may never answer.
const SUBSCRIBING: u32 = 8_000;
const TRIES: usize = 3;

/// How this browser is woken.
#[derive(Debug)]
pub struct Push {
    store: IndexedDb,
    choice: RefCell<Choice>,
}

/// What the patient has chosen, and what the server was told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Choice {
    on: bool,
    /// The token of the Firebase SDK, if by Firebase; empty when a page has to fetch another one.
    token: Option<String>,
    /// Id of the subscription that the server knows.
    told: Option<String>,
    /// When it was told, milliseconds.
    since: Option<u64>,
}

/// The ids of the node's subscriptions that the server said stand, and when it was asked.
#[derive(Clone, Debug)]
pub struct StandingSubscriptions {
    /// Before the server answered.
    pub asked: Timestamp,
    /// See [`Subscription::id`].
    pub ids: Vec<String>,
}

impl Push {
    /// As the store keeps it. Errors are those of the store.
    pub async fn stored(store: &IndexedDb) -> Result<Self, Error> {
        let kept = store.read(Table::Meta, CHOICE).await?;
        let choice = kept.map(|kept| json::stored(&kept)).transpose()?.unwrap_or_default();
        Ok(Self { store: store.clone(), choice: RefCell::new(choice) })
    }

    /// How it stands.
    pub fn state(&self) -> PushState {
        match &*self.choice.borrow() {
            Choice { on: false, .. } => PushState::None,
            Choice { token: Some(_), since, .. } => PushState::Firebase { since: *since },
            Choice { since, .. } => PushState::WebPush { since: *since },
        }
    }

    /// Keeps what the patient has chosen; a `token` is Firebase's. [`Push::reconcile`] brings it
    /// about, but what the browser can end it ends at once. Errors are those of the store.
    pub async fn choose(&self, on: bool, token: Option<String>) -> Result<(), Error> {
        let before = self.choice.borrow().clone();
        let ends = before.on && !on;
        self.keep(Choice { on, token, ..before }).await?;
        if ends && let Ok(Some(subscription)) = existing().await {
            end(&subscription).await;
        }
        Ok(())
    }

    /// Makes the browser's subscription what was chosen, renewed where need be, and tells the
    /// server. One that does not stand any more is replaced.
    ///
    /// Errors: [`Error::PushBlocked`], [`Error::PushUnavailable`], the server's
    /// [`Error::PushSubscriptionRefused`], those of the way and the store. What could not be done is
    /// done the next time.
    pub async fn reconcile(
        &self,
        member: &Member,
        standing: Option<&StandingSubscriptions>,
    ) -> Result<(), Error> {
        let mut choice = self.choice.borrow().clone();
        let done = choice.bring_about(member, standing).await;
        self.keep(choice).await?;
        done
    }

    async fn keep(&self, choice: Choice) -> Result<(), Error> {
        if choice == *self.choice.borrow() {
            return Ok(());
        }
        let (key, value) = (CHOICE.to_owned(), json::write(&choice)?);
        self.store.commit(vec![Write::Put { table: Table::Meta, key, value }]).await?;
        self.choice.replace(choice);
        Ok(())
    }
}

impl Choice {
    async fn bring_about(
        &mut self,
        member: &Member,
        standing: Option<&StandingSubscriptions>,
    ) -> Result<(), Error> {
        let dropped = standing.is_some_and(|standing| self.is_dropped(standing));
        if dropped {
            (self.told, self.since) = (None, None);
        }
        let subscription = match &mut self.token {
            _ if !self.on => return self.end(member).await,
            Some(token) => {
                if dropped {
                    token.clear();
                }
                Subscription::Firebase { token: token.clone() }
            }
            None => {
                let parameters = member.node.trust();
                let vapid = parameters.parameters().vapid.as_deref();
                subscribed(vapid.ok_or(Error::PushSubscriptionRefused)?, dropped).await?
            }
        };
        if subscription.check().is_ok() { self.tell(member, &subscription).await } else { Ok(()) }
    }

    fn is_dropped(&self, StandingSubscriptions { asked, ids }: &StandingSubscriptions) -> bool {
        // What the server was told since it was asked, its answer does not know.
        let known = self.since.is_some_and(|since| since < asked.0);
        known && self.told.as_ref().is_some_and(|id| !ids.contains(id))
    }

    async fn tell(&mut self, member: &Member, subscription: &Subscription) -> Result<(), Error> {
        let id = subscription.id();
        if self.told.as_ref() == Some(&id) {
            return Ok(());
        }
        self.since = None;
        member.post("/mailbox/subscriptions", subscription).await?;
        self.since = Some(BrowserClock.now().0);
        match self.told.replace(id) {
            Some(old) => forget(member, old).await,
            None => Ok(()),
        }
    }

    async fn end(&mut self, member: &Member) -> Result<(), Error> {
        self.since = None;
        let Some(id) = self.told.clone() else { return Ok(()) };
        forget(member, id).await?;
        self.told = None;
        Ok(())
    }
}

async fn forget(member: &Member, id: String) -> Result<(), Error> {
    member.post("/mailbox/subscriptions/removal", &SubscriptionRemoval { id }).await
}

/// This browser's subscription with the key `vapid`: the one it has, if that will do, else a new one.
async fn subscribed(vapid: &str, renew: bool) -> Result<Subscription, Error> {
    if let Some(found) = existing().await? {
        let (subscription, expires) = read(&found)?;
        let lasting = expires.is_none_or(|time| time > BrowserClock.now().0 + RENEWAL);
        if !renew && lasting && key(&found) == vapid {
            return Ok(subscription);
        }
        end(&found).await;
    }
    let options = PushSubscriptionOptionsInit::new();
    options.set_user_visible_only(true);
    options.set_application_server_key(&vapid.into());
    for _ in 0..TRIES {
        let subscribing = manager()?.subscribe_with_options(&options).map_err(refused)?;
        let subscribing = std::pin::pin!(async { subscribing.await });
        if let Either::Left((made, _)) = select(subscribing, TimeoutFuture::new(SUBSCRIBING)).await
        {
            return Ok(read(&made.map_err(refused)?)?.0);
        }
    }
    Err(Error::PushUnavailable)
}

fn manager() -> Result<PushManager, Error> {
    let global: ServiceWorkerGlobalScope = js_sys::global().unchecked_into();
    global.registration().push_manager().map_err(refused)
}

/// The subscription that the browser has, whoever made it.
async fn existing() -> Result<Option<PushSubscription>, Error> {
    let found = manager()?.get_subscription().map_err(refused)?.await.map_err(refused)?;
    Ok(if found.is_null() { None } else { Some(found.unchecked_into()) })
}

async fn end(subscription: &PushSubscription) {
    if let Ok(ending) = subscription.unsubscribe() {
        // One that the browser can't end now is dead to the server all the same.
        let _ = ending.await;
    }
}

/// The VAPID key that a subscription was made with, base64url.
fn key(subscription: &PushSubscription) -> String {
    let key = subscription.options().application_server_key();
    key.ok().flatten().map(|key| encode(Uint8Array::new(&key).to_vec())).unwrap_or_default()
}

/// A `PushSubscription`, and when it expires, milliseconds.
fn read(subscription: &JsValue) -> Result<(Subscription, Option<u64>), Error> {
    let json: Value = js::read(subscription)?;
    let text = |pointer: &str| json.pointer(pointer)?.as_str().map(str::to_owned);
    let text = |pointer| text(pointer).ok_or(Error::PushUnavailable);
    // A whole number (Push API section 8); to read floating point takes the module 14 KB.
    let expires = json.pointer("/expirationTime").and_then(Value::as_u64);
    let subscription = Subscription::WebPush {
        endpoint: text("/endpoint")?,
        p256dh: text("/keys/p256dh")?,
        auth: text("/keys/auth")?,
        expires: expires.map(|time| time / 1000),
    };
    Ok((subscription, expires))
}

fn refused(cause: JsValue) -> Error {
    match cause.dyn_into::<DomException>() {
        Ok(exception) if exception.name() == "NotAllowedError" => Error::PushBlocked,
        _ => Error::PushUnavailable,
    }
}
