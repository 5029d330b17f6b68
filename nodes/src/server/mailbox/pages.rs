//! Pages of mailboxes on their way to who asked: so many of a node at a time, until the last byte of each
//! has gone out.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use hdms::Error;
use hdms::ids::NodeId;
use hdms::json;
use hdms::mailbox::MailboxPage;

/// Pages of one node under way at a time: one whose connection broke, and the next.
const PAGES: usize = 2;

/// How many each node has under way.
#[derive(Debug, Default)]
pub struct Pages(Mutex<HashMap<NodeId, usize>>);

/// Leave to have a page under way, until it is dropped.
#[derive(Debug)]
pub struct PageTurn {
    pages: Arc<Pages>,
    node: NodeId,
}

/// A page as it is sent.
struct Sent {
    json: Vec<u8>,
    _turn: PageTurn,
}

impl Pages {
    /// For one more page of this node's. [`Error::TooManyRequests`].
    pub fn begin(self: &Arc<Self>, node: &NodeId) -> Result<PageTurn, Error> {
        let mut under_way = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = under_way.entry(node.clone()).or_default();
        if *count >= PAGES {
            return Err(Error::TooManyRequests);
        }
        *count += 1;
        Ok(PageTurn { pages: self.clone(), node: node.clone() })
    }
}

impl PageTurn {
    /// The page as an answer, which is under way as long as anything of it lies in memory.
    pub fn answer(self, page: &MailboxPage) -> Result<Response, Error> {
        let body = Bytes::from_owner(Sent { json: json::write(page)?, _turn: self });
        Ok(([(CONTENT_TYPE, "application/json")], Body::from(body)).into_response())
    }
}

impl Drop for PageTurn {
    fn drop(&mut self) {
        let mut under_way = self.pages.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = under_way.entry(self.node.clone()) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

impl AsRef<[u8]> for Sent {
    fn as_ref(&self) -> &[u8] {
        &self.json
    }
}
