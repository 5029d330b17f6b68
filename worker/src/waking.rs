//! The node woken by a push, what a person is told of it, and whether a person wants that.

use std::pin::pin;
use std::rc::Rc;

use futures_util::future::select;
use gloo_timers::future::TimeoutFuture;
use hdms::Error;
use hdms::push::PushMessage;

use crate::member::Member;
use crate::push::StandingSubscriptions;
use crate::views::{NodeStatus, PushState};
use crate::worker::Worker;
use crate::{clients, notification};

/// How long what waits is fetched before something is shown, milliseconds.
const FETCHING: u32 = 10_000;

/// Takes in what a push encloses, or else fetches what waits, and shows it. Answers whether
/// something is shown.
pub async fn woken(worker: &Rc<Worker>, payload: &[u8]) -> bool {
    let Ok(member) = worker.member() else { return false };
    let PushMessage { seq, envelope } = PushMessage::read(payload);
    if let Some(envelope) = envelope {
        let seq = seq.unwrap_or_default();
        if let Ok(arrival) = worker.delivery.take_in_copy(&member, seq, envelope).await {
            return notification::show(&[arrival]).await;
        }
    }
    select(pin!(worker.sync(false)), TimeoutFuture::new(FETCHING)).await;
    notification::show(&worker.delivery.take_arrivals()).await
}

/// Tells a person who has chosen so what has come, unless a page is looked at.
pub async fn announce(worker: &Worker) {
    let arrivals = worker.delivery.take_arrivals();
    let wanted = !arrivals.is_empty() && worker.push.state() != PushState::None;
    if wanted && !clients::is_one_visible().await {
        notification::show(&arrivals).await;
    }
}

/// Keeps what a person has chosen, and brings it about as far as that can be done now. Takes its turn,
/// as [`compare`]: a browser may take long to subscribe.
///
/// Errors: those of [`crate::push::Push::compare`] that don't pass; the choice is off then.
pub async fn choose(
    worker: &Rc<Worker>,
    on: bool,
    token: Option<String>,
) -> Result<NodeStatus, Error> {
    let (choosing, member) = (worker.clone(), worker.member()?);
    let choosing = async move {
        let push = &choosing.push;
        push.choose(on, token).await?;
        match push.compare(&member, None).await {
            Err(error) if !error.is_passing() => {
                push.choose(false, None).await?;
                Err(error)
            }
            // What could not be done is done at the next contact.
            _ => choosing.status().await,
        }
    };
    worker.subscriptions.run(choosing).await
}

/// Brings the subscription and what the server knows of it in line with the choice.
pub async fn compare(worker: &Rc<Worker>, member: Rc<Member>, standing: StandingSubscriptions) {
    let comparing = worker.clone();
    let comparing = async move { comparing.push.compare(&member, Some(&standing)).await };
    // What could not be done is done at the next contact.
    let _ = worker.subscriptions.run(comparing).await;
}
