//! The node woken by a push, and what a person is told of it.

use std::pin::pin;
use std::rc::Rc;

use futures_util::future::select;
use gloo_timers::future::TimeoutFuture;
use hdms::push::PushMessage;

use crate::views::PushState;
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
