//! Who asks: checks the proof that a request carries (docs/architecture.md), once.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use axum::http::request::Parts;
use hdms::Error;
use hdms::card::Role;
use hdms::ids::{MessageId, NodeId};
use hdms::jwk::EcJwk;
use hdms::proof::{self, ClaimedProof, RequestProof};
use hdms::provider::{Clock, Timestamp};
use rusqlite::Connection;

use super::known::Status;
use super::nodes;
use super::rates::Rates;
use super::superseded;
use crate::base::http::addresses::subscriber;
use crate::base::http::gate::Gate;
use crate::base::keys::AwsPrimitives;
use crate::base::rate::{NodeRates, RateLimit};
use crate::base::replay_cache::ReplayCache;
use crate::base::sqlite::Database;
use crate::base::system::NodeClock;

/// Nodes whose keys are kept at hand.
const AT_HAND: usize = 10_000;

/// Places for requests from addresses that fail too often.
const DOUBTED: usize = 64;

/// Checks proofs.
#[derive(Debug)]
pub struct Proofs {
    /// Base URL by which nodes know this server, without a slash at its end.
    public_url: String,
    database: Database,
    clock: NodeClock,
    seen: ReplayCache,
    rates: NodeRates,
    failures: RateLimit<IpAddr>,
    checks: Arc<Gate>,
    /// For addresses that fail too often.
    doubted: Arc<Gate>,
    at_hand: RwLock<AtHand>,
}

/// Nodes looked up since the last change.
#[derive(Debug, Default)]
struct AtHand {
    changes: u64,
    members: HashMap<NodeId, KnownMember>,
}

/// What is to be known of a node that asks.
#[derive(Clone, Debug)]
struct KnownMember {
    key: EcJwk,
    role: Role,
    expires: u64,
    /// Where its last good proof came from.
    at: Option<IpAddr>,
}

impl Proofs {
    /// For the server at this base URL, with its folder. Errors as [`ReplayCache::kept_in`].
    pub fn open(
        public_url: String,
        folder: &Path,
        rates: Rates,
        database: Database,
        clock: NodeClock,
    ) -> Result<Self, Error> {
        // A proof may be this far from now on either side.
        let seen = ReplayCache::kept_in(folder, 2 * proof::WINDOW, clock.now())?;
        Ok(Self {
            public_url,
            database,
            clock,
            seen,
            rates: NodeRates::per_minute(rates.requests),
            failures: RateLimit::per_minute(rates.failures),
            checks: Gate::new(),
            doubted: Gate::with(DOUBTED, 1),
            at_hand: RwLock::default(),
        })
    }

    /// Who asks with these headers, as seen before the body of the request is read: so nobody else
    /// can make the server read one. A failure is counted for the address `from`; where too many came
    /// from there, only those nodes have their turn as before whose last good proof did as well, and of
    /// all others one at a time is checked.
    ///
    /// Errors: [`Error::RequestProofInvalid`], [`Error::CardUnknown`] for one that never got a
    /// card, or none that names a request key, [`Error::CardExpired`], [`Error::CardRevoked`]; [`Error::TooManyRequests`],
    /// [`Error::NodeBusy`].
    pub async fn check(&self, request: &Parts, from: IpAddr) -> Result<Proven, Error> {
        let (now, from) = (self.clock.now(), subscriber(from));
        let failed = |error| self.failures.take(&from, now).and(Err(error));
        let claimed = match self.claimed(request) {
            Ok(claimed) => claimed,
            Err(error) => return failed(error),
        };
        let is_trusted = self.failures.has(&from, now) || self.is_known_at(claimed.node(), from);
        let gate = if is_trusted { &self.checks } else { &self.doubted };
        let place = gate.enter(from)?;
        let verified = async { Ok::<_, Error>(self.verify(claimed, request, now).await) };
        let proven = match place.work(verified).await? {
            Ok(proven) => proven,
            Err(error) => return failed(error),
        };
        self.rates.take(&proven.node, proven.role, now)?;
        self.note(&proven.node, from);
        let id = id(&proven.node, &proven.proof.jti);
        if self.seen.first_time(&id, now) { Ok(proven) } else { failed(Error::RequestProofInvalid) }
    }

    /// The proof that a request carries. Who repeats what a node has sent uses up nothing of that
    /// node's, nor the time to check it.
    fn claimed(&self, request: &Parts) -> Result<ClaimedProof, Error> {
        let proof = request.headers.get(proof::HEADER).and_then(|value| value.to_str().ok());
        let claimed = ClaimedProof::parse(proof.ok_or(Error::RequestProofInvalid)?)?;
        let is_repeated = self.seen.has(&id(claimed.node(), claimed.id()));
        if is_repeated { Err(Error::RequestProofInvalid) } else { Ok(claimed) }
    }

    async fn verify(
        &self,
        claimed: ClaimedProof,
        request: &Parts,
        now: Timestamp,
    ) -> Result<Proven, Error> {
        let KnownMember { key, role, expires, .. } = self.member(claimed.node()).await?;
        if now.seconds() >= expires {
            return Err(Error::CardExpired);
        }
        let url = format!("{}{}", self.public_url, request.uri.path());
        let asked = (request.method.as_str(), url.as_str());
        let proof = claimed.verify(&key, asked, now, &AwsPrimitives).await?;
        Ok(Proven { node: proof.iss.clone(), role, proof })
    }

    fn is_known_at(&self, node: &NodeId, from: IpAddr) -> bool {
        let at_hand = self.at_hand.read().unwrap_or_else(PoisonError::into_inner);
        at_hand.members.get(node).is_some_and(|member| member.at == Some(from))
    }

    /// Notes where a good proof came from.
    fn note(&self, node: &NodeId, from: IpAddr) {
        if self.is_known_at(node, from) {
            return;
        }
        let mut at_hand = self.at_hand.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(member) = at_hand.members.get_mut(node) {
            member.at = Some(from);
        }
    }

    /// Looks every node up anew from now on.
    pub fn forget(&self) {
        let mut at_hand = self.at_hand.write().unwrap_or_else(PoisonError::into_inner);
        at_hand.members.clear();
        at_hand.changes += 1;
    }

    /// The same for one node, which may have other keys now.
    pub fn forget_node(&self, node: &NodeId) {
        let mut at_hand = self.at_hand.write().unwrap_or_else(PoisonError::into_inner);
        at_hand.members.remove(node);
        at_hand.changes += 1;
    }

    async fn member(&self, node: &NodeId) -> Result<KnownMember, Error> {
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
        let look = move |connection: &Connection| {
            Ok((nodes::find(connection, &id)?, superseded::since(connection, &id)?))
        };
        let (known, changed) = self.database.read(look).await?;
        // Of its keys the one is known that it has given up: it asks for a card, and is known again.
        changed.map_or(Ok(()), |_| Err(Error::RequestProofInvalid))?;
        let known = known.ok_or(Error::CardUnknown)?;
        if known.status == Status::Revoked {
            return Err(Error::CardRevoked);
        }
        let card = known.card.ok_or(Error::CardUnknown)?;
        // One that names no request key is of before there were any: it takes another.
        let key = known.request.stated_subkeys().map_err(|_| Error::CardUnknown)?.request;
        let role = known.request.role;
        let member = KnownMember { key, role, expires: card.expires, at: None };
        self.keep_at_hand(node, &member, changes);
        Ok(member)
    }

    /// Unless something changed since it was looked up.
    fn keep_at_hand(&self, node: &NodeId, member: &KnownMember, changes: u64) {
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

/// Under which a proof is remembered.
fn id(node: &NodeId, jti: &MessageId) -> String {
    format!("{node}/{jti}")
}

/// A request that a member has proven to be its own, but for its body.
#[derive(Clone, Debug)]
pub struct Proven {
    /// Who asks.
    pub node: NodeId,
    /// As what it was admitted.
    pub role: Role,
    proof: RequestProof,
}

impl Proven {
    /// Whether it was proven with this body. [`Error::RequestProofInvalid`].
    pub fn check_body(&self, body: &[u8]) -> Result<(), Error> {
        self.proof.check_body(body)
    }
}
