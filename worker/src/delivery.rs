//! What comes in and goes out: the mailbox is fetched and acknowledged, the outbox sent. What can't
//! be sent now stays and is sent later; every step may be interrupted and done again.

mod posting;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use hdms::Error;
use hdms::answers::PAGE;
use hdms::mailbox::{Acknowledgement, MAX_PAGE, MailboxMessage, MailboxPage, Refused};
use hdms::node::{Deliverer, MOST_TRIES, Occasion, Outcome, Taken};
use hdms::proof::HEADER;
use hdms::provider::{Clock, Timestamp};
use hdms::treatment::patient::PatientCase;

use crate::contact::Contact;
use crate::member::Member;
use crate::platform::BrowserClock;
use crate::push::StandingSubscriptions;
use crate::queue::Queue;
use crate::transport;

/// After this a mailbox that could not be taken in for the node's own sake is tried again by a page,
/// milliseconds.
const PAUSE: u64 = 30_000;

/// So often is tried again what was refused and may become good, milliseconds.
const HOPE: u64 = 5 * 60_000;

/// The way between this node and the others.
#[derive(Debug)]
pub struct Delivery {
    commands: Queue,
    contact: Contact,
    changed: RefCell<Vec<String>>,
    arrived: RefCell<Vec<Arrival>>,
    standing: RefCell<Option<StandingSubscriptions>>,
    next: Cell<Option<Timestamp>>,
    retried: Cell<Option<Timestamp>>,
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
        use Outcome::{Renewed, Repeated};
        !matches!(self.taken, Ok(Taken { outcome: Repeated | Renewed, .. }))
    }

    fn changed_case(&self) -> Option<String> {
        let taken = self.taken.as_ref().ok()?;
        let has_changed = matches!(taken.outcome, Outcome::Applied | Outcome::Renewed);
        has_changed.then(|| taken.case.to_string())
    }
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
            retried: Cell::default(),
        }
    }

    /// Fetches the network's documents if there are newer ones, and uses them.
    ///
    /// Errors: [`Error::NetworkUnreachable`], those of [`Member::adopt`].
    pub async fn refresh(&self, member: &Rc<Member>) -> Result<(), Error> {
        let Some(fetched) = member.fetch().await? else { return Ok(()) };
        let member = member.clone();
        self.commands.run(async move { member.adopt(fetched).await }).await?;
        // What was refused may be good by what they say.
        self.retried.set(None);
        Ok(())
    }

    /// Refreshes the network's documents and the node's card, takes in the mailbox and sends what of
    /// the outbox may go: all of it when a person wants it `now`; when the server is reached again
    /// after it was not, also what could not reach its recipient meanwhile. A failure of one does not
    /// keep the others from being tried; the first is answered and remembered.
    pub async fn sync(&self, member: &Rc<Member>, now: bool) -> Result<(), Error> {
        let away = self.is_cut_off();
        let refreshed = self.refresh(member).await;
        let fetched = match refreshed {
            Err(Error::NetworkUnreachable) => refreshed,
            _ => {
                // What comes of it is in the node's standing.
                let _ = member.renew().await;
                match self.fetch(member).await {
                    Err(error) if error.asks_for_card() => match member.join_again().await {
                        Ok(()) => self.fetch(member).await,
                        failed => failed,
                    },
                    fetched => fetched,
                }
            }
        };
        let fetched = match fetched {
            Ok(()) => self.retry_hopeful(member).await,
            failed => failed,
        };
        let occasion = match (now, away && fetched.is_ok()) {
            (true, _) => Occasion::Person,
            (false, true) => Occasion::Reached,
            (false, false) => Occasion::Time,
        };
        let posted = self.post(member, occasion).await.map(drop);
        if fetched.is_err_and(|error| error != Error::NetworkUnreachable) {
            let again = BrowserClock.now().0 + PAUSE;
            let sooner = self.next.get().map_or(again, |next| next.0.min(again));
            self.next.set(Some(Timestamp(sooner)));
        }
        let answer = refreshed.and(fetched).and(posted);
        self.contact.ended(answer.err()).await?;
        answer
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

    /// Whether the server could not be reached the last time.
    pub fn is_cut_off(&self) -> bool {
        self.problem() == Some(Error::NetworkUnreachable)
    }

    /// Remembers that a case changed.
    pub fn note_change(&self, case: &str) {
        let mut changed = self.changed.borrow_mut();
        if !changed.iter().any(|known| known == case) {
            changed.push(case.to_owned());
        }
    }

    /// The cases that have changed since this was asked last.
    pub fn take_changes(&self) -> Vec<String> {
        self.changed.take()
    }

    /// What has come in since this was asked last.
    pub fn take_arrivals(&self) -> Vec<Arrival> {
        self.arrived.take()
    }

    /// The push subscriptions that stand, if the server has said so since this was asked last.
    pub fn take_standing(&self) -> Option<StandingSubscriptions> {
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
        if let Some(case) = arrival.changed_case() {
            self.note_change(&case);
        }
        Ok(arrival)
    }

    async fn fetch(&self, member: &Rc<Member>) -> Result<(), Error> {
        let mailbox = format!("{}/mailbox", member.config.server);
        let mut after = 0;
        loop {
            let url = format!("{mailbox}?after={after}&limit={MAX_PAGE}");
            let proof = member.proof("GET", &url, b"").await?;
            let asked = BrowserClock.now();
            let page: MailboxPage =
                transport::get(&url, &[(HEADER, &proof)], PAGE).await?.json()?;
            self.contact.reached();
            if !page.knows(&member.node.card()) {
                // What comes of it is in the node's standing.
                let _ = member.join_again().await;
            }
            self.standing.replace(Some(StandingSubscriptions { asked, ids: page.subscriptions }));
            let (dealt, stopped) = self.take_in(member, page.messages, after).await;
            if dealt.upto > after {
                member.post("/mailbox/acknowledgement", &dealt).await?;
                after = dealt.upto;
            }
            match stopped {
                // It is off the mailbox now, whatever befalls the next.
                Some(Error::TakesTooLong) => {}
                Some(error) => return Err(error),
                None if page.more => {}
                None => return self.tell_given_up(member, after).await,
            }
        }
    }

    /// Tells of what was acknowledged as kept until it may be taken in, and is given up, once all that the
    /// mailbox has is acknowledged.
    async fn tell_given_up(&self, member: &Rc<Member>, upto: u64) -> Result<(), Error> {
        let told = member.node.given_up().await?;
        if !told.is_empty() {
            let refused = told.clone();
            member.post("/mailbox/acknowledgement", &Acknowledgement { upto, refused }).await?;
        }
        let node = member.clone();
        self.commands.run(async move { node.node.told_given_up(&told).await }).await
    }

    async fn retry_hopeful(&self, member: &Rc<Member>) -> Result<(), Error> {
        let (now, last) = (BrowserClock.now(), self.retried.get());
        if last.is_some_and(|last| now.0.abs_diff(last.0) < HOPE) {
            return Ok(());
        }
        let node = member.clone();
        let hopeful = self.commands.run(async move { node.node.next_hopeful().await });
        for key in hopeful.await? {
            let node = member.clone();
            let trying = async move { node.node.retry::<PatientCase>(&key).await };
            match self.commands.run(trying).await {
                Ok(taken) => taken.iter().for_each(|taken| self.note_change(taken.case.as_ref())),
                // Next time, until it has had its tries.
                Err(Error::TimedOut) => {}
                Err(error) => return Err(error),
            }
        }
        self.retried.set(Some(now));
        Ok(())
    }

    /// Takes in messages one by one, each in a turn of its own. Answers up to where they are dealt
    /// with for good and what of them was refused, and what stopped it.
    async fn take_in(
        &self,
        member: &Rc<Member>,
        messages: Vec<MailboxMessage>,
        upto: u64,
    ) -> (Acknowledgement, Option<Error>) {
        let mut dealt = Acknowledgement { upto, refused: Vec::new() };
        for MailboxMessage { seq, from, envelope } in messages {
            let by = Deliverer::Node { id: from, seq };
            let (taken, why) = match self.receive(member, envelope.into(), by).await {
                Ok(received) => received,
                Err(error) => return (dealt, Some(error)),
            };
            if let Some(why) = why {
                dealt.refused.push(Refused { seq, code: why.code().to_owned() });
            }
            let arrival = Arrival { seq, taken };
            if let Some(case) = arrival.changed_case() {
                self.note_change(&case);
            }
            if arrival.is_news() {
                self.arrived.borrow_mut().push(arrival);
            }
            dealt.upto = seq;
            if why == Some(Error::TakesTooLong) {
                return (dealt, why);
            }
        }
        (dealt, None)
    }

    /// Takes in one message, again where time runs out until it has had its tries. Answers what became of
    /// it, and what is to be reported.
    async fn receive(
        &self,
        member: &Rc<Member>,
        envelope: Rc<str>,
        by: Deliverer,
    ) -> Result<(Result<Taken, Error>, Option<Error>), Error> {
        let mut tries = 0;
        loop {
            let (node, envelope, by) = (member.clone(), envelope.clone(), by.clone());
            let received = self.commands.run(async move {
                let (node, envelope) = (&node.node, envelope.as_bytes());
                let taken = node.receive_from::<PatientCase>(envelope, &by).await;
                let why = node.to_report(envelope, taken.as_ref().map_err(|error| *error))?;
                Ok((taken, why))
            });
            match received.await {
                Err(Error::TimedOut) if tries < MOST_TRIES => tries += 1,
                received => return received,
            }
        }
    }
}
