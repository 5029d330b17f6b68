//! Who asks: checks the proof that a request carries (DESIGN section 5), once.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{PoisonError, RwLock};

use axum::http::request::Parts;
use hdms::Error;
use hdms::card::Role;
use hdms::doorman::AdmissionRequest;
use hdms::ids::NodeId;
use hdms::jose::jwk::RsaJwk;
use hdms::proof::{self, ClaimedProof, RequestProof};
use hdms::provider::{Clock, Timestamp};

use super::nodes::{self, Status};
use super::rate::{NodeRates, RateLimit, Rates};
use super::seen::Seen;
use crate::connections::subscriber;
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
    rates: NodeRates,
    failures: RateLimit<IpAddr>,
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
    role: Role,
    expires: u64,
}

impl Proofs {
    /// For the server at this base URL, with its folder. Errors as [`Seen::kept_in`].
    pub fn open(
        public_url: String,
        folder: &Path,
        rates: Rates,
        database: Database,
        clock: NodeClock,
    ) -> Result<Self, Error> {
        // A proof may be this far from now on either side.
        let seen = Seen::kept_in(folder, 2 * proof::WINDOW, clock.now())?;
        Ok(Self {
            public_url,
            database,
            clock,
            seen,
            rates: NodeRates::per_minute(rates.requests),
            failures: RateLimit::per_minute(rates.failures),
            at_hand: RwLock::default(),
        })
    }

    /// Who asks with these headers, as seen before the body of the request is read: so nobody else
    /// can make the server read one. A failure is counted for the address `from`; a good proof is
    /// accepted however many failed ones came from there.
    ///
    /// Errors: [`Error::RequestProofInvalid`], [`Error::CardUnknown`] for one that never got a
    /// card, [`Error::CardExpired`], [`Error::CardRevoked`]; [`Error::TooManyRequests`].
    pub async fn check(&self, request: &Parts, from: IpAddr) -> Result<Proven, Error> {
        let now = self.clock.now();
        let failed = |error| self.failures.take(&subscriber(from), now).and(Err(error));
        let proven = match self.verify(request, now).await {
            Ok(proven) => proven,
            Err(error) => return failed(error),
        };
        let id = format!("{}/{}", proven.node, proven.proof.jti);
        // Who repeats what a node has sent uses up nothing of that node's.
        if self.seen.has(&id) {
            return failed(Error::RequestProofInvalid);
        }
        self.rates.take(&proven.node, proven.role, now)?;
        if self.seen.first_time(&id, now) { Ok(proven) } else { failed(Error::RequestProofInvalid) }
    }

    async fn verify(&self, request: &Parts, now: Timestamp) -> Result<Proven, Error> {
        let proof = request.headers.get(proof::HEADER).and_then(|value| value.to_str().ok());
        let proof = proof.ok_or(Error::RequestProofInvalid)?;
        let claimed = ClaimedProof::parse(proof)?;
        let Member { key, role, expires } = self.member(claimed.node()).await?;
        if now.seconds() >= expires {
            return Err(Error::CardExpired);
        }
        let url = format!("{}{}", self.public_url, request.uri.path());
        let asked = (request.method.as_str(), url.as_str());
        let proof = claimed.verify(&key, asked, now, &AwsPrimitives).await?;
        Ok(Proven { node: proof.iss.clone(), role, proof })
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
        let AdmissionRequest { signing_key: key, role, .. } = known.request;
        let member = Member { key, role, expires: card.expires };
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
