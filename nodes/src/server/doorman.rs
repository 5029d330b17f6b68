//! The Doorman (DESIGN section 4): admits personal nodes at once, institutions and notaries once
//! the operator says so, and renews their cards.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use hdms::Error;
use hdms::card::{LIFETIME, Role};
use hdms::doorman::{AdmissionRequest, Admitted, Challenge, ChallengeAnswer, PATIENCE};
use hdms::jose::digest;
use hdms::provider::{Clock, Timestamp};

use super::network_map::Network;
use super::nodes::{self, IssuedCard, Known, Status};
use super::rate::RateLimit;
use super::seen::Seen;
use crate::connections::subscriber;
use crate::keys::AwsPrimitives;
use crate::sqlite::Database;
use crate::system::{NodeClock, SystemRandomness};

/// Most challenges that wait for an answer.
const OPEN: usize = 20_000;

/// Admits nodes.
#[derive(Debug)]
pub struct Doorman {
    network: Arc<Network>,
    database: Database,
    clock: NodeClock,
    rate: RateLimit<IpAddr>,
    seen: Seen,
    open: Mutex<HashMap<String, Asked>>,
}

/// A request whose challenge waits for an answer; found by the digest of the challenge's secret.
#[derive(Debug)]
struct Asked {
    request: AdmissionRequest,
    until: u64,
}

impl Doorman {
    /// Issues cards by `network`'s keys; allows each address this many requests a minute.
    pub fn new(
        network: Arc<Network>,
        database: Database,
        clock: NodeClock,
        requests_per_minute: u32,
    ) -> Self {
        Self {
            network,
            database,
            clock,
            rate: RateLimit::per_minute(requests_per_minute),
            // A request may be signed this far from now on either side.
            seen: Seen::new(2 * PATIENCE),
            open: Mutex::default(),
        }
    }

    /// First call: a signed request for a challenge.
    ///
    /// Errors: [`Error::TooManyRequests`], those of [`AdmissionRequest::verify`],
    /// [`Error::Replayed`].
    pub async fn ask(&self, jwt: &str, from: IpAddr) -> Result<Challenge, Error> {
        let now = self.clock.now();
        self.rate.take(&subscriber(from), now)?;
        let request = AdmissionRequest::verify(jwt, now, &AwsPrimitives).await?;
        if !self.seen.first_time(&format!("{}/{}", request.iss, request.jti), now) {
            return Err(Error::Replayed);
        }
        let key = &request.encryption_key;
        let (challenge, secret) = Challenge::new(key, &AwsPrimitives, &SystemRandomness).await?;
        self.expect_answer(digest(secret), request, now)?;
        Ok(challenge)
    }

    /// Second call: the secret for a card. Each secret is good for one answer.
    ///
    /// Errors: [`Error::PossessionUnproven`], [`Error::AdmissionPending`], [`Error::CardRevoked`].
    pub async fn answer(&self, answer: &ChallengeAnswer) -> Result<Admitted, Error> {
        let request = self.proven(answer)?;
        let id = request.iss.clone();
        let known = self.database.read(move |connection| nodes::find(connection, &id)).await?;
        let personal = request.role == Role::Personal;
        match self.decide(known, &request)? {
            Decision::Keep(card) => Ok(Admitted { card: card.jwt }),
            Decision::Issue => {
                let card = self.network.issue(&request).await?;
                let jwt = card.jwt.clone();
                self.keep(request, Status::Admitted, Some(card)).await?;
                if !personal {
                    self.network.refresh().await?;
                }
                Ok(Admitted { card: jwt })
            }
            Decision::Wait => {
                self.keep(request, Status::Pending, None).await?;
                Err(Error::AdmissionPending)
            }
        }
    }

    /// What a node that proved possession gets. The operator decides again when an institution or
    /// a notary wants another name or encryption key; it may move to another address by itself.
    fn decide(&self, known: Option<Known>, request: &AdmissionRequest) -> Result<Decision, Error> {
        let personal = request.role == Role::Personal;
        let Some(known) = known else {
            return Ok(if personal { Decision::Issue } else { Decision::Wait });
        };
        let before = &known.request;
        if before.role != request.role {
            return Err(Error::AdmissionMalformed);
        }
        let same = before.name == request.name && before.encryption_key == request.encryption_key;
        match (known.status, known.card) {
            (Status::Revoked, _) => Err(Error::CardRevoked),
            (Status::Pending, _) => Ok(Decision::Wait),
            (Status::Admitted, _) if !(same || personal) => Ok(Decision::Wait),
            (Status::Admitted, Some(card)) if self.is_current(&card, request)? => {
                Ok(Decision::Keep(card))
            }
            (Status::Admitted, _) => Ok(Decision::Issue),
        }
    }

    /// Says what the node asks to be, and has a third of its life before it.
    fn is_current(&self, card: &IssuedCard, request: &AdmissionRequest) -> Result<bool, Error> {
        let young = card.expires > self.clock.now().seconds() + LIFETIME / 3;
        Ok(young && self.network.is_for(card, request)?)
    }

    async fn keep(
        &self,
        request: AdmissionRequest,
        status: Status,
        card: Option<IssuedCard>,
    ) -> Result<(), Error> {
        self.database
            .write(move |tx| {
                nodes::keep_request(tx, &request, status)?;
                card.map_or(Ok(()), |card| nodes::keep_card(tx, &request.iss, &card))
            })
            .await
    }

    fn expect_answer(
        &self,
        secret: String,
        request: AdmissionRequest,
        now: Timestamp,
    ) -> Result<(), Error> {
        let now = now.seconds();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= OPEN {
            open.retain(|_, asked| asked.until > now);
        }
        if open.len() >= OPEN {
            return Err(Error::TooManyRequests);
        }
        open.insert(secret, Asked { request, until: now + PATIENCE });
        Ok(())
    }

    fn proven(&self, answer: &ChallengeAnswer) -> Result<AdmissionRequest, Error> {
        let unproven = Error::PossessionUnproven;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = open.remove(&digest(&answer.secret)).ok_or(unproven)?;
        let in_time = asked.until > self.clock.now().seconds();
        if in_time && asked.request.iss == answer.node { Ok(asked.request) } else { Err(unproven) }
    }
}

enum Decision {
    Keep(IssuedCard),
    Issue,
    Wait,
}
