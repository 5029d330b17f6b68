//! The outbox on its way: sent when it is due, settled by the answers, and kept with the reason when
//! there is none.

use std::rc::Rc;

use hdms::Error;
use hdms::node::{OutboxItem, Parcel, Payload};
use hdms::notary::DepositAnswers;
use hdms::provider::{Clock, Timestamp};
use hdms::treatment::patient::PatientCase;
use wasm_bindgen::prelude::wasm_bindgen;

use super::Delivery;
use crate::member::Member;
use crate::platform::BrowserClock;
use crate::transport::{self, Answer};

/// So often a page lets the node ask whether it may send again, milliseconds.
const SUSPENDED: u64 = 5 * 60_000;

/// Items of the outbox looked at in one go.
const BATCH: usize = 100;

#[wasm_bindgen(module = "/js/realm.js")]
extern "C" {
    fn wake_when_online();
}

/// Why an answer did not settle what was sent, and how long to wait, seconds, if the recipient says.
#[derive(Clone, Copy, Debug)]
struct Failure {
    why: Error,
    retry_after: Option<u64>,
}

impl Delivery {
    /// Sends what in the outbox is due, or all of it when `now`, and what comes of the answers.
    /// What still waits then is left to the browser, if it can, and to pages. While the node is
    /// suspended nothing is sent.
    pub async fn post(&self, member: &Rc<Member>, now: bool) -> Result<(), Error> {
        if member.suspension().is_some() {
            // Untouched, so that all of it goes once that is over.
            let waits = !member.node.waiting("", 1).await?.is_empty();
            let later = Timestamp(BrowserClock.now().0 + SUSPENDED);
            self.next.set(waits.then_some(later));
            return Ok(());
        }
        let (mut tried, mut silent) = (Vec::new(), Vec::new());
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

    /// The items that are due and not yet in `tried`, which they are afterwards.
    async fn untried(
        &self,
        member: &Member,
        tried: &mut Vec<String>,
        now: bool,
    ) -> Result<Vec<OutboxItem>, Error> {
        let mut after = String::new();
        loop {
            let page = member.node.waiting(&after, BATCH).await?;
            let Some(last) = page.last() else { return Ok(Vec::new()) };
            after = last.id.clone();
            let wanted = |item: &OutboxItem| {
                let due = item.is_due(BrowserClock.now()) || (now && item.refused.is_none());
                due && !tried.contains(&item.id)
            };
            let items: Vec<_> = page.into_iter().filter(wanted).collect();
            tried.extend(items.iter().map(|item| item.id.clone()));
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
        silent: &mut Vec<(String, Failure)>,
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
        if let Some((_, failure)) = silent.iter().find(|(other, _)| *other == url) {
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
            silent.push((url, failure));
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
