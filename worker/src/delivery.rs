//! What comes in and goes out: the mailbox is fetched and acknowledged, the outbox sent. What can't
//! be sent now stays and is sent later; every step may be interrupted and done again.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use hdms::Error;
use hdms::mailbox::{Acknowledgement, MAX_PAGE, MailboxMessage, MailboxPage};
use hdms::node::{OutboxItem, Outcome, Parcel, Payload, Taken};
use hdms::notary::DepositAnswers;
use hdms::provider::{Clock, Timestamp};
use hdms::treatment::patient::PatientCase;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::contact::Contact;
use crate::member::Member;
use crate::platform::BrowserClock;
use crate::push::Standing;
use crate::queue::Queue;
use crate::transport::{self, Answer};

/// Items of the outbox looked at in one go.
const BATCH: usize = 100;

#[wasm_bindgen(module = "/js/realm.js")]
extern "C" {
    fn wake_when_online();
}

/// After this a mailbox that could not be taken in for the node's own sake is tried again by a page,
/// milliseconds.
const PAUSE: u64 = 30_000;

/// The way between this node and the others.
#[derive(Debug)]
pub struct Delivery {
    commands: Queue,
    contact: Contact,
    changed: RefCell<HashSet<String>>,
    arrived: RefCell<Vec<Arrival>>,
    standing: RefCell<Option<Standing>>,
    next: Cell<Option<Timestamp>>,
}

/// A message that was dealt with for good.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Its place in the mailbox.
    pub seq: u64,
    /// What it was; the error with which it was refused and quarantined.
    pub taken: Result<Taken, Error>,
}

impl Arrival {
    fn is_news(&self) -> bool {
        !matches!(self.taken, Ok(Taken { outcome: Outcome::Repeated, .. }))
    }

    fn changed_case(&self) -> Option<String> {
        let taken = self.taken.as_ref().ok()?;
        (taken.outcome == Outcome::Applied).then(|| taken.case.to_string())
    }
}

/// Why an answer did not settle what was sent, and how long to wait, seconds, if the recipient says.
#[derive(Clone, Copy, Debug)]
struct Failure {
    why: Error,
    retry_after: Option<u64>,
}

impl Delivery {
    /// Whatever changes the node's state takes its turn in `commands`.
    pub fn new(commands: Queue, contact: Contact) -> Self {
        Self {
            commands,
            contact,
            changed: RefCell::default(),
            arrived: RefCell::default(),
            standing: RefCell::default(),
            next: Cell::default(),
        }
    }

    /// Refreshes the network's documents, takes in the mailbox and sends what of the outbox is due;
    /// all of it when `now`, or when the server is reached again after it was not. A failure of one
    /// does not keep the others from being tried; the first is answered and remembered.
    pub async fn sync(&self, member: &Rc<Member>, now: bool) -> Result<(), Error> {
        let away = self.problem() == Some(Error::NetworkUnreachable);
        let refreshed = member.refresh().await;
        let fetched = match refreshed {
            Err(Error::NetworkUnreachable) => refreshed,
            _ => self.fetch(member).await,
        };
        let posted = self.post(member, now || (away && fetched.is_ok())).await;
        if fetched.is_err_and(|error| error != Error::NetworkUnreachable) {
            let again = BrowserClock.now().0 + PAUSE;
            let sooner = self.next.get().map_or(again, |next| next.0.min(again));
            self.next.set(Some(Timestamp(sooner)));
        }
        let answer = refreshed.and(fetched).and(posted);
        self.contact.ended(answer.err()).await?;
        answer
    }

    /// Sends what in the outbox is due, or all of it when `now`, and what comes of the answers.
    /// What still waits then is left to the browser, if it can, and to pages.
    pub async fn post(&self, member: &Rc<Member>, now: bool) -> Result<(), Error> {
        let (mut tried, mut silent) = (HashSet::new(), HashMap::new());
        loop {
            let items = self.untried(member, &mut tried, now).await?;
            if items.is_empty() {
                break;
            }
            let node = &member.node;
            let (parcels, stuck) = node.parcels(items).await;
            for item in stuck {
                let why = node.card_of(&item.to).await.err().unwrap_or(Error::NodeUnknown);
                self.postpone(member, vec![item], Failure { why, retry_after: None }).await?;
            }
            for parcel in parcels {
                self.deliver(member, parcel, &mut silent).await?;
            }
        }
        self.look_ahead(member).await
    }

    /// When what waits is tried next, as far as known; `None` when nothing waits.
    pub fn next_attempt(&self) -> Option<Timestamp> {
        self.next.get()
    }

    /// When the server answered last.
    pub fn last_reached(&self) -> Option<Timestamp> {
        self.contact.last_reached()
    }

    /// Why the last synchronisation failed, if it did.
    pub fn problem(&self) -> Option<Error> {
        self.contact.problem()
    }

    /// Remembers that a case changed.
    pub fn note_change(&self, case: &str) {
        self.changed.borrow_mut().insert(case.to_owned());
    }

    /// The cases that have changed since this was asked last.
    pub fn take_changes(&self) -> HashSet<String> {
        self.changed.take()
    }

    /// What has come in since this was asked last.
    pub fn take_arrivals(&self) -> Vec<Arrival> {
        self.arrived.take()
    }

    /// The push subscriptions that stand, if the server has said so since this was asked last.
    pub fn take_standing(&self) -> Option<Standing> {
        self.standing.take()
    }

    /// Takes in the copy of a message that a push brought; what it refuses is left to the mailbox.
    pub async fn take_in_copy(
        &self,
        member: &Rc<Member>,
        seq: u64,
        envelope: String,
    ) -> Result<Arrival, Error> {
        let node = member.clone();
        let received = self
            .commands
            .run(async move { node.node.receive_copy::<PatientCase>(envelope.as_bytes()).await });
        let arrival = Arrival { seq, taken: Ok(received.await?) };
        self.changed.borrow_mut().extend(arrival.changed_case());
        Ok(arrival)
    }

    async fn fetch(&self, member: &Rc<Member>) -> Result<(), Error> {
        let mailbox = format!("{}/mailbox", member.config.server);
        let mut after = 0;
        loop {
            let url = format!("{mailbox}?after={after}&limit={MAX_PAGE}");
            let proof = member.proof("GET", &url, b"").await?;
            let asked = BrowserClock.now();
            let page: MailboxPage = transport::get(&url, Some(&proof)).await?.json()?;
            self.contact.reached();
            self.standing.replace(Some(Standing { asked, ids: page.subscriptions }));
            let (done, stopped) = self.take_in(member, page.messages, after).await;
            if done > after {
                member.post("/mailbox/acknowledgement", &Acknowledgement { upto: done }).await?;
                after = done;
            }
            if let Some(error) = stopped {
                return Err(error);
            }
            if !page.more {
                return Ok(());
            }
        }
    }

    /// Takes in messages one by one, each in a turn of its own. Answers up to where they are dealt
    /// with for good, and what stopped it.
    async fn take_in(
        &self,
        member: &Rc<Member>,
        messages: Vec<MailboxMessage>,
        mut done: u64,
    ) -> (u64, Option<Error>) {
        for MailboxMessage { seq, envelope } in messages {
            let node = member.clone();
            let received = self.commands.run(async move {
                Ok(node.node.receive::<PatientCase>(envelope.as_bytes()).await)
            });
            let taken = match received.await {
                Ok(Err(error)) | Err(error) if error.is_passing() => return (done, Some(error)),
                taken => taken.flatten(),
            };
            let arrival = Arrival { seq, taken };
            self.changed.borrow_mut().extend(arrival.changed_case());
            if arrival.is_news() {
                self.arrived.borrow_mut().push(arrival);
            }
            done = seq;
        }
        (done, None)
    }

    /// The items that are due and not yet in `tried`, which they are afterwards.
    async fn untried(
        &self,
        member: &Member,
        tried: &mut HashSet<String>,
        now: bool,
    ) -> Result<Vec<OutboxItem>, Error> {
        let mut after = String::new();
        loop {
            let page = member.node.waiting(&after, BATCH).await?;
            let Some(last) = page.last() else { return Ok(Vec::new()) };
            after = last.id.clone();
            let wanted = |item: &OutboxItem| {
                let due = item.is_due(BrowserClock.now()) || (now && item.refused.is_none());
                due && tried.insert(item.id.clone())
            };
            let items: Vec<_> = page.into_iter().filter(wanted).collect();
            if !items.is_empty() {
                return Ok(items);
            }
        }
    }

    /// Notes when the next item is due, and asks the browser to wake the node for it.
    async fn look_ahead(&self, member: &Member) -> Result<(), Error> {
        let (mut after, mut next) = (String::new(), None);
        loop {
            let page = member.node.waiting(&after, BATCH).await?;
            let Some(last) = page.last() else { break };
            after = last.id.clone();
            let waits = page.iter().filter(|item| item.refused.is_none());
            let soonest = waits.map(|item| item.attempts.next.unwrap_or(item.since)).min();
            next = next.into_iter().chain(soonest).min();
        }
        if next.is_some() {
            wake_when_online();
        }
        self.next.set(next);
        Ok(())
    }

    /// Sends one parcel and takes in the answer, unless its recipient was silent just now. Errors
    /// are this node's own; what the other side or the way is to blame for is kept with the items.
    async fn deliver(
        &self,
        member: &Rc<Member>,
        parcel: Parcel,
        silent: &mut HashMap<String, Failure>,
    ) -> Result<(), Error> {
        let (url, items, envelope) = match parcel {
            Parcel::Inbox { endpoint, item } => {
                let Payload::Envelope { compact, .. } = &item.payload else { return Ok(()) };
                let compact = compact.clone();
                (format!("{endpoint}/inbox"), vec![*item], compact)
            }
            Parcel::Deposits { endpoint, items, envelope } => {
                (format!("{endpoint}/deposits"), items, envelope)
            }
            // A patient's node writes to institutions and notaries only.
            Parcel::Mailbox { .. } => return Ok(()),
        };
        if let Some(failure) = silent.get(&url) {
            return self.postpone(member, items, *failure).await;
        }
        let answer = transport::post(&url, "application/jose", envelope, None).await;
        let retry_after = answer.as_ref().ok().and_then(Answer::retry_after);
        let outcome = match items.first().map(|item| &item.payload) {
            Some(Payload::Envelope { .. }) => self.answered(member, &items, answer).await?,
            _ => self.deposits_answered(member, &items, answer).await?,
        };
        let Err((items, why)) = outcome else { return Ok(()) };
        let failure = Failure { why, retry_after };
        if why == Error::NetworkUnreachable || retry_after.is_some() {
            silent.insert(url, failure);
        }
        self.postpone(member, items, failure).await
    }

    async fn answered(
        &self,
        member: &Rc<Member>,
        items: &[OutboxItem],
        answer: Result<Answer, Error>,
    ) -> Result<Settled, Error> {
        let refusal = match answer.and_then(|answer| answer.success()) {
            Ok(()) => None,
            Err(error) if error.is_final() => Some(error),
            Err(error) => return Ok(Err((items.to_vec(), error))),
        };
        for item in items.iter().cloned() {
            self.note_change(item.case.as_ref());
            let member = member.clone();
            let settle = async move {
                match refusal {
                    None => member.node.delivered(&item).await,
                    Some(error) => member.node.refused(&item, error.code()).await,
                }
            };
            self.commands.run(settle).await?;
        }
        Ok(Ok(()))
    }

    async fn deposits_answered(
        &self,
        member: &Rc<Member>,
        items: &[OutboxItem],
        answer: Result<Answer, Error>,
    ) -> Result<Settled, Error> {
        let answers: Result<DepositAnswers, Error> = answer.and_then(|answer| answer.json());
        let answers = match answers {
            Ok(DepositAnswers { answers }) if answers.len() == items.len() => answers,
            Ok(_) => return Ok(Err((items.to_vec(), Error::BodyMalformed))),
            Err(error) => return Ok(Err((items.to_vec(), error))),
        };
        let (mut left, mut problem) = (Vec::new(), None);
        for (item, answer) in items.iter().zip(answers) {
            let (member, settled) = (member.clone(), item.clone());
            let settle =
                async move { member.node.deposit_answered::<PatientCase>(&settled, &answer).await };
            match self.commands.run(settle).await {
                Ok(()) => self.note_change(item.case.as_ref()),
                Err(error) if stops(error) => return Err(error),
                Err(error) => {
                    left.push(item.clone());
                    problem = Some(error);
                }
            }
        }
        Ok(problem.map_or(Ok(()), |error| Err((left, error))))
    }

    /// Keeps with items that they could not be sent. A full storage does not keep them from being
    /// tried again.
    async fn postpone(
        &self,
        member: &Rc<Member>,
        items: Vec<OutboxItem>,
        Failure { why, retry_after }: Failure,
    ) -> Result<(), Error> {
        let member = member.clone();
        let noting = async move { member.node.postpone(&items, why, retry_after).await };
        match self.commands.run(noting).await {
            Err(Error::StoreFull) => Ok(()),
            noted => noted,
        }
    }
}

/// What the answer did not settle, and why.
type Settled = Result<(), (Vec<OutboxItem>, Error)>;

/// Whether the node itself can't go on; anything else concerns one item.
fn stops(error: Error) -> bool {
    matches!(error, Error::NodeStopped | Error::StoreFailed | Error::StoreFull | Error::TimedOut)
}
