//! The node woken by a push, what a person is told of it, and whether a person wants that.

use std::pin::pin;
use std::rc::Rc;

use futures_util::future::select;
use gloo_timers::future::TimeoutFuture;
use hdms::Error;
use hdms::push::PushMessage;

use super::Worker;
use crate::member::Member;
use crate::push::StandingSubscriptions;
use crate::views::{NodeStatus, PushState};
use crate::{clients, notification};

/// How long what waits is fetched before something is shown, milliseconds.
const FETCHING: u32 = 10_000;

impl Worker {
    /// Takes in what a push encloses, or else fetches what waits, and shows it. Answers whether
    /// something is shown.
    pub async fn woken(self: &Rc<Self>, payload: &[u8]) -> bool {
        let Ok(member) = self.member() else { return false };
        let PushMessage { seq, envelope } = PushMessage::read(payload);
        if let Some(envelope) = envelope {
            let seq = seq.unwrap_or_default();
            if let Ok(arrival) = self.delivery.take_in_copy(&member, seq, envelope).await {
                return notification::show(&[arrival]).await;
            }
        }
        select(pin!(self.sync(false)), TimeoutFuture::new(FETCHING)).await;
        notification::show(&self.delivery.take_arrivals()).await
    }

    /// Tells a person who has chosen so what has come, unless a page is looked at.
    pub(super) async fn announce(&self) {
        let arrivals = self.delivery.take_arrivals();
        let wanted = !arrivals.is_empty() && self.push.state() != PushState::None;
        if wanted && !clients::is_one_visible().await {
            notification::show(&arrivals).await;
        }
    }

    /// Keeps whether a person wants to be told, and brings it about as far as that can be done now.
    /// Takes its turn, as [`Worker::reconcile_push`]: a browser may take long to subscribe.
    ///
    /// Errors: those of [`crate::push::Push::reconcile`] that don't pass; the choice is off then.
    pub(super) async fn choose_push(
        self: &Rc<Self>,
        on: bool,
        token: Option<String>,
    ) -> Result<NodeStatus, Error> {
        let (choosing, member) = (self.clone(), self.member()?);
        let choosing = async move {
            let push = &choosing.push;
            push.choose(on, token).await?;
            match push.reconcile(&member, None).await {
                Err(error) if !error.is_transient() => {
                    push.choose(false, None).await?;
                    Err(error)
                }
                // What could not be done is done at the next contact.
                _ => choosing.status().await,
            }
        };
        self.subscriptions.run(choosing).await
    }

    /// Brings the subscription and what the server knows of it in line with the choice.
    pub(super) async fn reconcile_push(
        self: &Rc<Self>,
        member: Rc<Member>,
        standing: StandingSubscriptions,
    ) {
        let reconciling = self.clone();
        let reconciling = async move { reconciling.push.reconcile(&member, Some(&standing)).await };
        // What could not be done is done at the next contact.
        let _ = self.subscriptions.run(reconciling).await;
    }
}
