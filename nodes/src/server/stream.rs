//! The live stream of a mailbox: server-sent events that say that something has come, and no more.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};

use axum::response::sse::Event;
use futures_util::{Stream, stream};
use hdms::Error;
use hdms::ids::NodeId;
use hdms::mailbox::Bell;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// A bell for each node that listens.
#[derive(Debug)]
pub struct Bells {
    bells: Mutex<HashMap<NodeId, watch::Sender<u64>>>,
    streams: usize,
}

impl Bells {
    /// Each node may listen this often at a time.
    pub fn new(streams: usize) -> Self {
        Self { bells: Mutex::default(), streams }
    }

    /// Tells those who listen for `node` that its mailbox now reaches to `seq`.
    pub fn ring(&self, node: &NodeId, seq: u64) {
        let bells = self.bells.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(bell) = bells.get(node) else { return };
        bell.send_if_modified(|last| {
            let newer = seq > *last;
            *last = seq.max(*last);
            newer
        });
    }

    /// The last place of `node`'s mailbox that was rung, from now on.
    /// [`Error::TooManyRequests`] when the node listens too often already.
    pub fn listen(&self, node: &NodeId) -> Result<watch::Receiver<u64>, Error> {
        let mut bells = self.bells.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bell) = bells.get(node) {
            let many = bell.receiver_count() >= self.streams;
            return if many { Err(Error::TooManyRequests) } else { Ok(bell.subscribe()) };
        }
        Ok(bells.entry(node.clone()).or_insert_with(|| watch::channel(0).0).subscribe())
    }

    /// Whether anybody listens for `node`.
    pub fn is_heard(&self, node: &NodeId) -> bool {
        let bells = self.bells.lock().unwrap_or_else(PoisonError::into_inner);
        bells.get(node).is_some_and(|bell| !bell.is_closed())
    }

    /// Ends every stream of these nodes, and forgets those that nobody listens to.
    pub fn silence(&self, nodes: &[NodeId]) {
        let mut bells = self.bells.lock().unwrap_or_else(PoisonError::into_inner);
        bells.retain(|_, bell| !bell.is_closed());
        for node in nodes {
            bells.remove(node);
        }
    }
}

/// One event for each ring after the place `seen`, the first at once when the mailbox already
/// reaches to `last` beyond it; ends when the server stops or the bell is silenced.
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
