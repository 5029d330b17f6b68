//! What Mozilla's and Google's services have in common: subscriptions, what they take from senders,
//! and messages that wait until the browser has acknowledged them (RFC 8030).

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use aws_lc_rs::rand;
use axum::http::{HeaderMap, StatusCode};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use web_push_native::Auth;
use web_push_native::p256::PublicKey;

use crate::check::{self, POINT, Refusal};
use crate::jwt::decode;

/// A push service, as a test sees it.
#[derive(Debug)]
pub struct PushService {
    /// The origins of its endpoints, VAPID's `aud`.
    audiences: Vec<String>,
    state: Mutex<State>,
}

/// What a sender has asked for.
#[derive(Clone, Debug)]
pub struct PushRequest {
    /// The last part of the endpoint.
    pub subscription: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The encrypted content.
    pub body: Vec<u8>,
    /// What was answered.
    pub status: StatusCode,
    /// When it came; what was taken is handed on at once.
    pub at: SystemTime,
}

#[derive(Debug, Default)]
struct State {
    subscriptions: HashMap<String, Subscription>,
    agents: HashMap<String, Agent>,
    failures: VecDeque<Refusal>,
    requests: Vec<PushRequest>,
}

#[derive(Debug)]
struct Subscription {
    agent: String,
    channel: String,
    key: Vec<u8>,
    ended: bool,
}

/// A browser.
#[derive(Debug, Default)]
struct Agent {
    /// Not acknowledged yet, oldest first.
    waiting: Vec<Message>,
    connection: Option<UnboundedSender<Message>>,
}

/// A message on its way to a browser.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub id: String,
    /// What the browser calls the subscription.
    pub channel: String,
    /// The sender's key.
    pub key: Vec<u8>,
    /// Seconds for which it may wait.
    pub ttl: u32,
    pub body: Vec<u8>,
    topic: Option<String>,
    arrived: Instant,
}

impl Message {
    fn is_current(&self) -> bool {
        self.arrived.elapsed() < Duration::from_secs(self.ttl.into())
    }
}

/// For tests.
impl PushService {
    /// Every request of senders so far, oldest first.
    pub fn requests(&self) -> Vec<PushRequest> {
        self.state().requests.clone()
    }

    /// Subscribes a browser that the test plays itself, for the sender with this key, base64url.
    /// Answers the last part of the endpoint; none when it is no key.
    pub fn subscribed(&self, key: &str) -> Option<String> {
        self.subscribe("played by the test", unique().ok()?, key).ok()
    }

    /// How many messages no browser has acknowledged yet.
    pub fn waiting(&self) -> usize {
        self.state().agents.values().map(|agent| agent.waiting.len()).sum()
    }

    /// How many browsers are connected.
    pub fn connected(&self) -> usize {
        self.state().agents.values().filter(|agent| agent.is_connected()).count()
    }

    /// How many subscriptions stand.
    pub fn subscriptions(&self) -> usize {
        self.state().subscriptions.values().filter(|subscription| !subscription.ended).count()
    }

    /// Ends every subscription without a word to the browsers: senders are answered 410.
    pub fn expire(&self) {
        self.state().subscriptions.values_mut().for_each(|subscription| subscription.ended = true);
    }

    /// Answers the next requests of senders, `times` of them, with this status and, in seconds,
    /// `Retry-After`.
    pub fn fail_next(&self, times: usize, status: StatusCode, retry_after: Option<u32>) {
        let failure = Refusal { status, reason: "as a test has asked for", retry_after };
        self.state().failures.extend(std::iter::repeat_n(failure, times));
    }
}

/// For browsers.
impl PushService {
    /// A service whose endpoints have one of these origins.
    pub(crate) fn new(audiences: Vec<String>) -> Self {
        Self { audiences, state: Mutex::default() }
    }

    /// Makes a subscription of a browser, answers the last part of its endpoint. `key` is that of
    /// the only sender, as base64url.
    ///
    /// Errors: 400 when it is no uncompressed point of P-256.
    pub(crate) fn subscribe(
        &self,
        agent: &str,
        channel: String,
        key: &str,
    ) -> Result<String, Refusal> {
        let key = decode(key).filter(|key| key.len() == POINT);
        let key = key.ok_or(Refusal::new(StatusCode::BAD_REQUEST, "no key of a sender"))?;
        let id = unique()?;
        let subscription = Subscription { agent: agent.into(), channel, key, ended: false };
        self.state().subscriptions.insert(id.clone(), subscription);
        Ok(id)
    }

    pub(crate) fn unsubscribe(&self, agent: &str, channel: &str) {
        let mut state = self.state();
        let mine = state.subscriptions.values_mut();
        mine.filter(|one| one.agent == agent && one.channel == channel)
            .for_each(|one| one.ended = true);
    }

    /// A browser is there: it gets what waits and what comes, until it drops the receiver.
    pub(crate) fn connect(&self, agent: &str) -> UnboundedReceiver<Message> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut state = self.state();
        let agent = state.agents.entry(agent.into()).or_default();
        agent.waiting.retain(Message::is_current);
        for message in &agent.waiting {
            let _receiver_is_here = sender.send(message.clone());
        }
        agent.connection = Some(sender);
        receiver
    }

    /// Whether this browser was here before.
    pub(crate) fn knows(&self, agent: &str) -> bool {
        self.state().agents.contains_key(agent)
    }

    pub(crate) fn acknowledge(&self, agent: &str, message: &str) {
        if let Some(agent) = self.state().agents.get_mut(agent) {
            agent.waiting.retain(|waiting| waiting.id != message);
        }
    }
}

/// For senders.
impl PushService {
    /// Takes a message of a sender; answers its id.
    ///
    /// Errors: what [`check`] finds; 404 and 410 for an endpoint that never was or no longer is.
    pub(crate) fn post(
        &self,
        subscription: &str,
        headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<String, Refusal> {
        let at = SystemTime::now();
        let mut state = self.state();
        let taken = state.take(subscription, &headers, &body, &self.audiences);
        let status = taken.as_ref().map_or_else(|refusal| refusal.status, |_| StatusCode::CREATED);
        let subscription = subscription.to_owned();
        state.requests.push(PushRequest { subscription, headers, body, status, at });
        taken
    }

    /// Takes a message of the service's own house, which is trusted: `body` is encrypted and may
    /// wait for `ttl` seconds, `subscription` is the last part of the endpoint. Answers the
    /// message's id.
    ///
    /// Errors: 404 and 410 for an endpoint that never was or no longer is.
    pub fn deliver(&self, subscription: &str, ttl: u32, body: Vec<u8>) -> Result<String, Refusal> {
        self.state().deliver(subscription, ttl, None, body)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(
        &mut self,
        subscription: &str,
        headers: &HeaderMap,
        body: &[u8],
        audiences: &[String],
    ) -> Result<String, Refusal> {
        if let Some(failure) = self.failures.pop_front() {
            return Err(failure);
        }
        let key = &self.standing(subscription)?.key;
        check::vapid(headers, audiences, key)?;
        let ttl = check::time_to_live(headers)?;
        check::content(headers, body)?;
        check::manners(headers)?;
        let topic = check::header(headers, "topic").map(str::to_owned);
        self.deliver(subscription, ttl, topic, body.to_owned())
    }

    fn standing(&self, subscription: &str) -> Result<&Subscription, Refusal> {
        match self.subscriptions.get(subscription) {
            None => Err(Refusal::new(StatusCode::NOT_FOUND, "no such subscription")),
            Some(found) if found.ended => Err(Refusal::new(StatusCode::GONE, "ended")),
            Some(found) => Ok(found),
        }
    }

    fn deliver(
        &mut self,
        subscription: &str,
        ttl: u32,
        topic: Option<String>,
        body: Vec<u8>,
    ) -> Result<String, Refusal> {
        let id = unique()?;
        let Subscription { agent, channel, key, .. } = self.standing(subscription)?;
        let (agent, channel, key) = (agent.clone(), channel.clone(), key.clone());
        let message =
            Message { id: id.clone(), channel, key, ttl, body, topic, arrived: Instant::now() };
        self.agents.entry(agent).or_default().take(message);
        Ok(id)
    }
}

impl Agent {
    fn is_connected(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| !connection.is_closed())
    }

    /// Hands the message on and keeps it, in place of an earlier one of the same topic. What may
    /// not wait is lost when nobody is there.
    fn take(&mut self, message: Message) {
        if message.topic.is_some() {
            let channel = &message.channel;
            self.waiting.retain(|one| one.topic != message.topic || one.channel != *channel);
        }
        let sent = self.connection.as_ref().is_some_and(|to| to.send(message.clone()).is_ok());
        if sent || message.ttl > 0 {
            self.waiting.push(message);
        }
    }
}

/// Encrypts `plaintext` for a browser's subscription, with its keys as base64url (RFC 8291); `None`
/// when they are no keys.
pub fn encrypt(plaintext: Vec<u8>, p256dh: &str, auth: &str) -> Option<Vec<u8>> {
    let key = PublicKey::from_sec1_bytes(&decode(p256dh)?).ok()?;
    let auth: [u8; 16] = decode(auth)?.try_into().ok()?;
    web_push_native::encrypt(plaintext, &key, &Auth::from(auth)).ok()
}

/// A name that nobody can guess.
///
/// Errors: 500 when the machine has no randomness.
pub(crate) fn unique() -> Result<String, Refusal> {
    let mut bytes = [0; 24];
    rand::fill(&mut bytes)
        .map_err(|_| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "no randomness"))?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}
