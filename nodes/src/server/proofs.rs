//! Who asks: checks the proof that a request carries (DESIGN section 5), once.

use std::collections::{HashMap, HashSet};
use std::mem;
use std::sync::{Mutex, PoisonError, RwLock};

use axum::http::HeaderMap;
use hdms::Error;
use hdms::ids::NodeId;
use hdms::jose::jwk::RsaJwk;
use hdms::proof::{self, RequestProof};
use hdms::provider::{Clock, Timestamp};

use super::nodes::{self, Status};
use crate::keys::AwsPrimitives;
use crate::sqlite::Database;
use crate::system::NodeClock;

/// Nodes whose keys are kept at hand.
const AT_HAND: usize = 10_000;

/// Checks proofs.
#[derive(Debug)]
pub struct Proofs {
    /// Base URL by which nodes know this server, without a slash at its end.
    public_url: String,
    database: Database,
    clock: NodeClock,
    seen: Seen,
    at_hand: RwLock<AtHand>,
}

/// Nodes looked up since the last change.
#[derive(Debug, Default)]
struct AtHand {
    changes: u64,
    members: HashMap<NodeId, Member>,
}

/// What is to be known of a node that asks.
#[derive(Clone, Debug)]
struct Member {
    key: RsaJwk,
    expires: u64,
}

impl Proofs {
    /// For the server at this base URL.
    pub fn new(public_url: String, database: Database, clock: NodeClock) -> Self {
        // A proof may be this far from now on either side.
        let seen = Seen::new(2 * proof::WINDOW);
        Self { public_url, database, clock, seen, at_hand: RwLock::default() }
    }

    /// The node that claims to ask, when it is a member. To be asked before its request's body is
    /// read.
    ///
    /// Errors: [`Error::RequestProofInvalid`], [`Error::CardUnknown`] for one that never got a
    /// card, [`Error::CardExpired`], [`Error::CardRevoked`].
    pub async fn claim<'a>(&self, headers: &'a HeaderMap) -> Result<Claim<'a>, Error> {
        let proof = headers.get(proof::HEADER).and_then(|value| value.to_str().ok());
        let proof = proof.ok_or(Error::RequestProofInvalid)?;
        let node = RequestProof::claimed_node(proof)?;
        let member = self.member(&node).await?;
        if self.clock.now().seconds() >= member.expires {
            return Err(Error::CardExpired);
        }
        Ok(Claim { proof, node, key: member.key })
    }

    /// The node that asks, once its proof is seen to be for this request and no other.
    /// [`Error::RequestProofInvalid`].
    pub async fn check(
        &self,
        claim: Claim<'_>,
        method: &str,
        path: &str,
        body: &[u8],
    ) -> Result<NodeId, Error> {
        let url = format!("{}{path}", self.public_url);
        let request = (method, url.as_str(), body);
        let now = self.clock.now();
        let proof =
            RequestProof::verify(claim.proof, &claim.key, request, now, &AwsPrimitives).await?;
        let id = format!("{}/{}", proof.iss, proof.jti);
        if self.seen.first_time(&id, now) {
            Ok(claim.node)
        } else {
            Err(Error::RequestProofInvalid)
        }
    }

    /// Looks every node up anew from now on.
    pub fn forget(&self) {
        let mut at_hand = self.at_hand.write().unwrap_or_else(PoisonError::into_inner);
        at_hand.members.clear();
        at_hand.changes += 1;
    }

    async fn member(&self, node: &NodeId) -> Result<Member, Error> {
        let (at_hand, changes) = {
            let at_hand = self.at_hand.read().unwrap_or_else(PoisonError::into_inner);
            (at_hand.members.get(node).cloned(), at_hand.changes)
        };
        if let Some(member) = at_hand
            && member.expires > self.clock.now().seconds()
        {
            return Ok(member);
        }
        let id = node.clone();
        let known = self.database.read(move |connection| nodes::find(connection, &id)).await?;
        let known = known.ok_or(Error::CardUnknown)?;
        if known.status == Status::Revoked {
            return Err(Error::CardRevoked);
        }
        let card = known.card.ok_or(Error::CardUnknown)?;
        let member = Member { key: known.request.signing_key, expires: card.expires };
        self.keep_at_hand(node, &member, changes);
        Ok(member)
    }

    /// Unless something changed since it was looked up.
    fn keep_at_hand(&self, node: &NodeId, member: &Member, changes: u64) {
        let mut at_hand = self.at_hand.write().unwrap_or_else(PoisonError::into_inner);
        if at_hand.changes != changes {
            return;
        }
        if at_hand.members.len() >= AT_HAND {
            at_hand.members.clear();
        }
        at_hand.members.insert(node.clone(), member.clone());
    }
}

/// A proof whose node is a member, not yet checked.
#[derive(Clone, Debug)]
pub struct Claim<'a> {
    proof: &'a str,
    node: NodeId,
    key: RsaJwk,
}

/// Remembers ids for a while: two generations, the older of which is forgotten.
#[derive(Debug)]
pub struct Seen {
    window: u64,
    generations: Mutex<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    since: u64,
    newer: HashSet<String>,
    older: HashSet<String>,
}

impl Seen {
    /// Remembers every id for at least `window` seconds, and for less than three times that.
    pub fn new(window: u64) -> Self {
        Self { window, generations: Mutex::default() }
    }

    /// Whether `id` comes for the first time.
    pub fn first_time(&self, id: &str, now: Timestamp) -> bool {
        let now = now.seconds();
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        if now >= generations.since + self.window {
            generations.older = mem::take(&mut generations.newer);
            generations.since = now;
        }
        !generations.older.contains(id) && generations.newer.insert(id.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::Seen;
    use hdms::provider::Timestamp;

    #[test]
    fn an_id_is_new_once_within_the_window_and_forgotten_long_after() {
        let seen = Seen::new(100);
        let first = |id: &str, second| seen.first_time(id, Timestamp::from_seconds(second));
        assert!(first("a", 1000));
        assert!(first("b", 1099));
        for second in [1001, 1099, 1100] {
            assert!(!first("a", second), "{second}");
        }
        assert!(!first("b", 1199));
        assert!(first("a", 1400));
    }
}
