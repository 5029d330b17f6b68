//! The live stream of a mailbox: server-sent events that say that something has come, and no more.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};

use axum::response::sse::Event;
use futures_util::{Stream, stream};
use hdms::ids::NodeId;
use hdms::mailbox::Bell;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// A bell for each node that listens.
#[derive(Debug, Default)]
pub struct Bells(Mutex<HashMap<NodeId, watch::Sender<u64>>>);

impl Bells {
    /// Tells those who listen for `node` that its mailbox now reaches to `seq`.
    pub fn ring(&self, node: &NodeId, seq: u64) {
        let mut bells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(bell) = bells.get(node) else { return };
        if bell.is_closed() {
            bells.remove(node);
            return;
        }
        bell.send_if_modified(|last| {
            let newer = seq > *last;
            *last = seq.max(*last);
            newer
        });
    }

    /// The last place of `node`'s mailbox that was rung, from now on.
    pub fn listen(&self, node: &NodeId) -> watch::Receiver<u64> {
        let mut bells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        bells.retain(|_, bell| !bell.is_closed());
        bells.entry(node.clone()).or_insert_with(|| watch::channel(0).0).subscribe()
    }
}

/// One event for each ring after the place `seen`, the first at once when the mailbox already
/// reaches to `last` beyond it; ends when the server stops.
pub fn events(
    mut rings: watch::Receiver<u64>,
    seen: u64,
    last: u64,
    stop: CancellationToken,
) -> impl Stream<Item = Result<Event, Infallible>> {
    rings.mark_changed();
    let start = (rings, stop, seen, Some(last));
    stream::unfold(start, |(mut rings, stop, seen, last)| async move {
        let mut reached = last.unwrap_or(0);
        while reached <= seen {
            tokio::select! {
                changed = rings.changed() => changed.ok()?,
                () = stop.cancelled() => return None,
            }
            reached = *rings.borrow_and_update();
        }
        let event = Event::default().event("mail").id(reached.to_string());
        let event = event.json_data(Bell { seq: reached }).ok()?;
        Some((Ok(event), (rings, stop, reached, None)))
    })
}
