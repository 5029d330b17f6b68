//! What comes in and goes out: the mailbox is fetched and acknowledged, the outbox sent. What can't
//! be sent now stays and is sent later; every step may be interrupted and done again.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use hdms::Error;
use hdms::json;
use hdms::mailbox::{Acknowledgement, MAX_PAGE, MailboxMessage, MailboxPage};
use hdms::node::{OutboxItem, Outcome, Parcel, Taken};
use hdms::notary::DepositAnswers;
use hdms::provider::{Clock, Timestamp};
use hdms::treatment::patient::PatientCase;

use crate::member::Member;
use crate::platform::BrowserClock;
use crate::queue::Queue;
use crate::transport::{self, Answer};

/// Items of the outbox looked at in one go.
const BATCH: usize = 100;

/// How an item of the outbox has fared since the worker started.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attempts {
    /// How often sending was tried.
    pub count: u32,
    /// Why it failed last.
    pub problem: Option<Error>,
}

/// The way between this node and the others.
#[derive(Debug)]
pub struct Delivery {
    commands: Queue,
    attempts: RefCell<HashMap<String, Attempts>>,
    changed: RefCell<HashSet<String>>,
    last_reached: Cell<Option<Timestamp>>,
    problem: Cell<Option<Error>>,
}

impl Delivery {
    /// Whatever changes the node's state takes its turn in `commands`.
    pub fn new(commands: Queue) -> Self {
        Self {
            commands,
            attempts: RefCell::default(),
            changed: RefCell::default(),
            last_reached: Cell::default(),
            problem: Cell::default(),
        }
    }

    /// Refreshes the network's documents, takes in the mailbox and sends the outbox. A failure of
    /// one does not keep the others from being tried; the first is answered and remembered.
    pub async fn sync(&self, member: &Rc<Member>) -> Result<(), Error> {
        let refreshed = member.refresh().await;
        let fetched = self.fetch(member).await;
        let posted = self.post(member).await;
        let answer = refreshed.and(fetched).and(posted);
        self.problem.set(answer.err());
        answer
    }

    /// Sends what waits in the outbox, and what comes of the answers.
    pub async fn post(&self, member: &Rc<Member>) -> Result<(), Error> {
        let mut tried = HashSet::new();
        loop {
            let items = self.untried(member, &mut tried).await?;
            if items.is_empty() {
                return Ok(());
            }
            let node = &member.node;
            let (parcels, stuck) = node.parcels(items).await;
            for item in stuck {
                self.failed(&item, Error::NodeUnknown);
            }
            for parcel in parcels {
                self.deliver(member, parcel).await?;
            }
        }
    }

    /// How an item of the outbox has fared.
    pub fn attempts(&self, id: &str) -> Attempts {
        self.attempts.borrow().get(id).copied().unwrap_or_default()
    }

    /// When the server answered last.
    pub fn last_reached(&self) -> Option<Timestamp> {
        self.last_reached.get()
    }

    /// Why the last synchronisation failed, if it did.
    pub fn problem(&self) -> Option<Error> {
        self.problem.get()
    }

    /// Remembers that a case changed.
    pub fn note_change(&self, case: &str) {
        self.changed.borrow_mut().insert(case.to_owned());
    }

    /// The cases that have changed since this was asked last.
    pub fn take_changes(&self) -> HashSet<String> {
        self.changed.take()
    }

    async fn fetch(&self, member: &Rc<Member>) -> Result<(), Error> {
        let mailbox = format!("{}/mailbox", member.config.server);
        let mut after = 0;
        loop {
            let url = format!("{mailbox}?after={after}&limit={MAX_PAGE}");
            let proof = member.proof("GET", &url, b"").await?;
            let page: MailboxPage = transport::get(&url, Some(&proof)).await?.json()?;
            self.last_reached.set(Some(BrowserClock.now()));
            let (done, stopped) = self.take_in(member, page.messages, after).await;
            if done > after {
                self.acknowledge(member, &mailbox, done).await?;
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
            match received.await.and_then(settled) {
                Ok(case) => self.changed.borrow_mut().extend(case),
                Err(error) => return (done, Some(error)),
            }
            done = seq;
        }
        (done, None)
    }

    async fn acknowledge(&self, member: &Member, mailbox: &str, upto: u64) -> Result<(), Error> {
        let url = format!("{mailbox}/acknowledgement");
        let body = text(&Acknowledgement { upto })?;
        let proof = member.proof("POST", &url, body.as_bytes()).await?;
        transport::post(&url, "application/json", body, Some(&proof)).await?.success()
    }

    /// The items that wait and are not yet in `tried`, which they are afterwards.
    async fn untried(
        &self,
        member: &Member,
        tried: &mut HashSet<String>,
    ) -> Result<Vec<OutboxItem>, Error> {
        let mut after = String::new();
        loop {
            let page = member.node.waiting(&after, BATCH).await?;
            let Some(last) = page.last() else { return Ok(Vec::new()) };
            after = last.id.clone();
            let wanted =
                |item: &OutboxItem| item.refused.is_none() && tried.insert(item.id.clone());
            let items: Vec<_> = page.into_iter().filter(wanted).collect();
            if !items.is_empty() {
                return Ok(items);
            }
        }
    }

    /// Sends one parcel and takes in the answer. Errors are this node's own; what the other side or
    /// the way is to blame for is remembered with the items.
    async fn deliver(&self, member: &Rc<Member>, parcel: Parcel) -> Result<(), Error> {
        match parcel {
            Parcel::Inbox { endpoint, item } => {
                let Some(envelope) = envelope(&item) else { return Ok(()) };
                let answer = send(&format!("{endpoint}/inbox"), envelope).await;
                self.answered(member, item, answer).await
            }
            Parcel::Deposits { endpoint, items, envelope } => {
                let answer = send(&format!("{endpoint}/deposits"), envelope).await;
                self.deposits_answered(member, items, answer).await
            }
            // A patient's node writes to institutions and notaries only.
            Parcel::Mailbox { .. } => Ok(()),
        }
    }

    async fn answered(
        &self,
        member: &Rc<Member>,
        item: OutboxItem,
        answer: Result<Answer, Error>,
    ) -> Result<(), Error> {
        let refusal = match answer.and_then(|answer| answer.success()) {
            Ok(()) => None,
            Err(error) if error.is_final() => Some(error),
            Err(error) => return self.all_failed(&[item], error),
        };
        self.note_change(item.case.as_ref());
        let member = member.clone();
        let settle = async move {
            match refusal {
                None => member.node.delivered(&item).await,
                Some(error) => member.node.refused(&item, error.code()).await,
            }
        };
        self.commands.run(settle).await
    }

    async fn deposits_answered(
        &self,
        member: &Rc<Member>,
        items: Vec<OutboxItem>,
        answer: Result<Answer, Error>,
    ) -> Result<(), Error> {
        let answers: Result<DepositAnswers, Error> = answer.and_then(|answer| answer.json());
        let answers = match answers {
            Ok(DepositAnswers { answers }) if answers.len() == items.len() => answers,
            Ok(_) => return self.all_failed(&items, Error::BodyMalformed),
            Err(error) => return self.all_failed(&items, error),
        };
        for (item, answer) in items.into_iter().zip(answers) {
            let (member, settled) = (member.clone(), item.clone());
            let settle =
                async move { member.node.deposit_answered::<PatientCase>(&settled, &answer).await };
            match self.commands.run(settle).await {
                Ok(()) => self.note_change(item.case.as_ref()),
                Err(error) if stops(error) => return Err(error),
                Err(error) => self.failed(&item, error),
            }
        }
        Ok(())
    }

    fn all_failed(&self, items: &[OutboxItem], error: Error) -> Result<(), Error> {
        items.iter().for_each(|item| self.failed(item, error));
        Ok(())
    }

    fn failed(&self, item: &OutboxItem, error: Error) {
        let mut attempts = self.attempts.borrow_mut();
        let entry = attempts.entry(item.id.clone()).or_default();
        entry.count += 1;
        entry.problem = Some(error);
    }
}

/// Which case a received envelope changed. Refused ones are in quarantine and done with, too.
fn settled(received: Result<Taken, Error>) -> Result<Option<String>, Error> {
    match received {
        Ok(Taken { outcome: Outcome::Applied, case, .. }) => Ok(Some(case.to_string())),
        Ok(_) => Ok(None),
        Err(error) if error.is_passing() => Err(error),
        Err(_) => Ok(None),
    }
}

/// Whether the node itself can't go on; anything else concerns one item.
fn stops(error: Error) -> bool {
    matches!(error, Error::NodeStopped | Error::TimedOut)
}

async fn send(url: &str, envelope: String) -> Result<Answer, Error> {
    transport::post(url, "application/jose", envelope, None).await
}

fn envelope(item: &OutboxItem) -> Option<String> {
    match &item.payload {
        hdms::node::Payload::Envelope { compact, .. } => Some(compact.clone()),
        hdms::node::Payload::Deposit { .. } => None,
    }
}

fn text<T: serde::Serialize>(value: &T) -> Result<String, Error> {
    String::from_utf8(json::write(value)?).map_err(|_| Error::CryptoFailed)
}
