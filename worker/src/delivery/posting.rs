//! The outbox on its way: sent when it is due, settled by the answers, and kept with the reason when
//! there is none.

use std::rc::Rc;

use hdms::Error;
use hdms::node::{Occasion, OutboxItem, Parcel, Payload, Setback, Tried, answers_to};
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

#[wasm_bindgen(module = "/js/realm.js")]
extern "C" {
    fn wake_when_online();
}

impl Delivery {
    /// Sends what in the outbox may go on this occasion, and what comes of the answers. What still
    /// waits then is left to the browser, if it can, and to pages. While the node is suspended
    /// nothing is sent. Answers whether a recipient could not be reached.
    pub async fn post(&self, member: &Rc<Member>, occasion: Occasion) -> Result<bool, Error> {
        if member.suspension().is_some() {
            // Untouched, so that all of it goes once that is over.
            let waits = !member.node.waiting("", 1).await?.is_empty();
            let later = Timestamp(BrowserClock.now().0 + SUSPENDED);
            self.next.set(waits.then_some(later));
            return Ok(false);
        }
        let (mut tried, mut silent) = (Tried::default(), Vec::new());
        loop {
            let items = member.node.due(occasion, &tried).await?;
            if items.is_empty() {
                break;
            }
            tried.note(&items);
            let (parcels, stuck) = member.node.parcels(items).await;
            for (item, why) in stuck {
                self.postpone(member, vec![item], why.into()).await?;
            }
            for parcel in parcels {
                // What is sealed anew goes again at once: each time to a newer card.
                for id in self.deliver(member, parcel, &mut silent).await? {
                    tried.forget(&id);
                }
            }
        }
        self.look_ahead(member).await?;
        Ok(silent.iter().any(|(_, setback)| setback.why == Error::NetworkUnreachable))
    }

    /// Whether something may go now.
    pub async fn is_anything_due(&self, member: &Member) -> Result<bool, Error> {
        Ok(!member.node.due(Occasion::Time, &Tried::default()).await?.is_empty())
    }

    /// Notes when the next item is due, and asks the browser to wake the node once there is a
    /// network again.
    async fn look_ahead(&self, member: &Member) -> Result<(), Error> {
        let next = member.node.next_due().await?;
        if next.is_some() {
            wake_when_online();
        }
        self.next.set(next);
        Ok(())
    }

    /// Sends one parcel and takes in the answer, unless its recipient was silent just now. Answers
    /// what was sealed anew. Errors are this node's own; what the other side or the way is to blame
    /// for is kept with the items.
    async fn deliver(
        &self,
        member: &Rc<Member>,
        parcel: Parcel,
        silent: &mut Vec<(String, Setback)>,
    ) -> Result<Vec<String>, Error> {
        let Some((url, items, envelope)) = addressed(parcel) else { return Ok(Vec::new()) };
        if let Some((_, setback)) = silent.iter().find(|(other, _)| *other == url) {
            self.postpone(member, items, *setback).await?;
            return Ok(Vec::new());
        }
        let answer = transport::post(&url, "application/jose", envelope, None).await;
        let retry_after = answer.as_ref().ok().and_then(Answer::retry_after);
        let conflict = |answer: &&Answer| answer.status() == Error::FormerKey.status();
        let card = answer.as_ref().ok().filter(conflict).and_then(Answer::card);
        let outcome = match items.first().map(|item| &item.payload) {
            Some(Payload::Envelope { .. }) => self.answered(member, &items, answer).await?,
            _ => self.deposits_answered(member, &items, answer).await?,
        };
        let Err((items, mut why)) = outcome else { return Ok(Vec::new()) };
        if why == Error::FormerKey {
            match self.seal_anew(member, items.clone(), card).await {
                Err(error) if stops(error) => return Err(error),
                Err(error) => why = error,
                Ok(anew) => return Ok(anew),
            }
        }
        let setback = Setback { why, retry_after };
        if why == Error::NetworkUnreachable || retry_after.is_some() {
            silent.push((url, setback));
        }
        self.postpone(member, items, setback).await?;
        Ok(Vec::new())
    }

    async fn seal_anew(
        &self,
        member: &Rc<Member>,
        items: Vec<OutboxItem>,
        card: Option<String>,
    ) -> Result<Vec<String>, Error> {
        let member = member.clone();
        let sealing = async move { member.node.former_key(&items, card.as_deref()).await };
        Ok(self.commands.run(sealing).await?.into_iter().map(|item| item.id).collect())
    }

    async fn answered(
        &self,
        member: &Rc<Member>,
        items: &[OutboxItem],
        answer: Result<Answer, Error>,
    ) -> Result<Settled, Error> {
        let refusal = match answer.and_then(|answer| answer.success()) {
            Ok(()) => None,
            Err(error) if error.is_permanent() => Some(error),
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
            Ok(DepositAnswers { answers }) => answers_to(items, answers),
            Err(error) => Err(error),
        };
        let answers = match answers {
            Ok(answers) => answers,
            Err(error) => return Ok(Err((items.to_vec(), error))),
        };
        let (mut left, mut problem) = (Vec::new(), None);
        for (item, answers) in items.iter().zip(answers) {
            let (member, settled) = (member.clone(), item.clone());
            let settle = async move {
                member.node.deposit_answered::<PatientCase>(&settled, &answers).await
            };
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

    /// Keeps with items that they could not be sent. A full storage is no reason to stop: the node
    /// remembers it.
    async fn postpone(
        &self,
        member: &Rc<Member>,
        items: Vec<OutboxItem>,
        setback: Setback,
    ) -> Result<(), Error> {
        let member = member.clone();
        let noting = async move { member.node.postpone(&items, setback).await.1 };
        match self.commands.run(noting).await {
            Err(Error::StoreFull) => Ok(()),
            noted => noted,
        }
    }
}

/// Where a parcel goes, with what and what is posted there. A patient's node writes to institutions and
/// notaries only.
fn addressed(parcel: Parcel) -> Option<(String, Vec<OutboxItem>, String)> {
    match parcel {
        Parcel::Inbox { endpoint, item } => {
            let Payload::Envelope { compact, .. } = &item.payload else { return None };
            let compact = compact.clone();
            Some((format!("{endpoint}/inbox"), vec![*item], compact))
        }
        Parcel::Deposits { endpoint, items, envelope } => {
            Some((format!("{endpoint}/deposits"), items, envelope))
        }
        Parcel::Mailbox { .. } => None,
    }
}

/// What the answer did not settle, and why.
type Settled = Result<(), (Vec<OutboxItem>, Error)>;

/// Whether the node itself can't go on; anything else concerns one item.
fn stops(error: Error) -> bool {
    matches!(error, Error::NodeStopped | Error::StoreFailed | Error::StoreFull | Error::TimedOut)
}
