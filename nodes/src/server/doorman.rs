//! The Doorman (DESIGN section 4): admits personal nodes at once, institutions and notaries once
//! the operator says so, and renews their cards. A member may move, and change its keys by a
//! statement of its old one; for all else the operator decides again.

use std::net::IpAddr;
use std::sync::Arc;

use hdms::Error;
use hdms::card::{KeyChange, LIFETIME, Role};
use hdms::doorman::{AdmissionRequest, Admitted, Challenge, ChallengeAnswer, PATIENCE};
use hdms::ids::NodeId;
use hdms::jose::jwk::RsaJwk;
use hdms::provider::{Clock, Timestamp};
use reqwest::Url;
use rusqlite::Connection;

use super::challenges::Challenges;
use super::claims::Claims;
use super::network_map::Network;
use super::nodes::{self, IssuedCard, Known, Status};
use super::rate::{DAY, RateLimit, Rates};
use super::strangers;
use super::superseded;
use super::trail::{self, Act};
use crate::connections::subscriber;
use crate::keys::AwsPrimitives;
use crate::problem::Problem;
use crate::reach::Reach;
use crate::sqlite::{Database, Failure};
use crate::system::{NodeClock, SystemRandomness};

/// Personal nodes that may change their keys from one address a day.
const CHANGES_OF_ADDRESS: u32 = 20;

/// Admits nodes.
#[derive(Debug)]
pub struct Doorman {
    network: Arc<Network>,
    database: Database,
    clock: NodeClock,
    by_address: RateLimit<IpAddr>,
    by_node: RateLimit<NodeId>,
    changes: RateLimit<IpAddr>,
    challenges: Challenges,
    /// Where nodes may be: where all others of the network go.
    reach: Reach,
}

impl Doorman {
    /// Issues cards by `network`'s keys. Errors: those of the database, [`Error::RandomnessFailed`].
    pub async fn open(
        network: Arc<Network>,
        database: Database,
        clock: NodeClock,
        rates: Rates,
        reach: Reach,
    ) -> Result<Self, Error> {
        Ok(Self {
            reach,
            network,
            challenges: Challenges::open(&database).await?,
            database,
            clock,
            by_address: RateLimit::per_minute(rates.admissions),
            by_node: RateLimit::per_minute(rates.admissions_of_node),
            changes: RateLimit::new(CHANGES_OF_ADDRESS, DAY),
        })
    }

    /// Whether this address may ask now, before anything is read of what it asks.
    /// [`Error::TooManyRequests`].
    pub fn hear(&self, from: IpAddr) -> Result<(), Error> {
        self.by_address.take(&subscriber(from), self.clock.now())
    }

    /// First call: a signed request for a challenge, of which nothing is kept here.
    ///
    /// Errors: those of [`AdmissionRequest::verify`], [`Error::EndpointRefused`] where the network's
    /// nodes don't go.
    pub async fn ask(&self, jwt: &str) -> Result<Challenge, Error> {
        let now = self.clock.now();
        let request = AdmissionRequest::verify(jwt, now, &AwsPrimitives).await?;
        self.expect_reachable(&request)?;
        let expires = now.seconds() + PATIENCE;
        let secret = self.challenges.secret(jwt, expires);
        let (node, key) = (&request.iss, request.encryption_key()?);
        Challenge::seal(&secret, (node, &key), expires, &AwsPrimitives, &SystemRandomness).await
    }

    /// Second call: the request again, with the answer that only the owner of both its keys knows.
    ///
    /// Errors: [`Error::PossessionUnproven`], [`Error::TooManyRequests`].
    pub async fn proven(&self, answer: &ChallengeAnswer) -> Result<AdmissionRequest, Error> {
        let (unproven, now) = (Error::PossessionUnproven, self.clock.now());
        // What costs little comes first: whoever has not solved the challenge gets no further.
        let asked = answer.expires.checked_sub(PATIENCE).ok_or(unproven)?;
        if now.seconds() >= answer.expires || !self.challenges.is_right(answer) {
            return Err(unproven);
        }
        let asked = Timestamp::from_seconds(asked);
        let request = AdmissionRequest::verify(&answer.request, asked, &AwsPrimitives).await?;
        self.by_node.take(&request.iss, now)?;
        Ok(request)
    }

    /// Decides on a request from this address that is [`Doorman::proven`].
    ///
    /// Errors: [`Error::Replayed`] when the node has made a later one; [`Error::PossessionUnproven`]
    /// when it has other keys than before and its old ones have not said so; [`Error::CardSuperseded`]
    /// when it is not known which are its keys, and no card shows it;
    /// [`Error::AdmissionMalformed`] for another role, or another log of a notary;
    /// [`Error::TooManyChanges`] while too many personal nodes have changed their keys, and
    /// [`Error::TooManyRequests`] while too many applicants wait who came from there;
    /// [`Error::AdmissionPending`]; [`Error::AdmissionRefused`] and [`Error::CardRevoked`] with the
    /// operator's reason.
    pub async fn decide(
        &self,
        mut request: AdmissionRequest,
        from: IpAddr,
    ) -> Result<Admitted, Problem> {
        let (from, shown) = (subscriber(from), request.card.take());
        loop {
            // What somebody else did to the node meanwhile is looked at first.
            let decided = self.decide_as_found(&request, shown.as_deref(), from).await?;
            if let Some(admitted) = decided {
                return Ok(admitted);
            }
        }
    }

    /// Nothing when the node is no longer as it was found.
    async fn decide_as_found(
        &self,
        request: &AdmissionRequest,
        shown: Option<&str>,
        from: IpAddr,
    ) -> Result<Option<Admitted>, Problem> {
        let (asked, now) = (request.clone(), self.clock.now());
        let found = move |connection: &Connection| find(connection, &asked, (from, now.seconds()));
        let found = self.database.read(found).await?;
        let known = found.known.as_ref();
        if let Some(known) = known {
            expect_newest(&known.request, request)?;
            expect_same_node(&known.request.changes, &known.request.signing_key, request)?;
        }
        if let Some(before) = found.changed {
            self.expect_later_card(request, shown, before).await?;
        }
        expect_timely(known, request)?;
        let ended = known.and_then(|known| ends_cards(known, request, now.seconds()));
        // Who brings changes that nobody has seen leaves as much behind as who makes one.
        let changes = ended.is_some() || (known.is_none() && !request.changes.is_empty());
        if changes && request.role == Role::Personal {
            let may = found.has_room && self.changes.take(&from, now).is_ok();
            may.then_some(()).ok_or(Error::TooManyChanges)?;
        }
        let ended = ended.max(found.changed);
        match decide(known, request, found.has_rival)? {
            Decision::Admit => Ok(self.admit(found, request, ended).await?),
            Decision::Wait => {
                let is_repeated = known.is_some_and(|known| is_repeated(&known.request, request));
                let waits = (Status::Pending, None, ended);
                if !is_repeated && !self.keep(found, request, waits).await? {
                    return Ok(None);
                }
                if ended.is_some() {
                    self.network.refresh().await?;
                }
                Err(Error::AdmissionPending.into())
            }
            Decision::Refuse(error) => {
                let reason = known.and_then(|known| known.reason.clone());
                Err(Problem { reason, ..error.into() })
            }
        }
    }

    /// The kept card while it says what the node asks to be and has a third of its life before it,
    /// else a new one. Nothing when the node is no longer as it was found.
    async fn admit(
        &self,
        found: Found,
        request: &AdmissionRequest,
        ended: Option<u64>,
    ) -> Result<Option<Admitted>, Error> {
        let good = |card: &IssuedCard| {
            let young = card.expires > self.clock.now().seconds() + LIFETIME / 3;
            Ok::<_, Error>(young && self.network.is_for(card, request)?)
        };
        let known = found.known.as_ref();
        let standing = known.filter(|known| known.status == Status::Admitted);
        if let Some(card) = standing.and_then(|known| known.card.as_ref())
            && good(card)?
        {
            return Ok(Some(Admitted { card: card.jwt.clone() }));
        }
        let listed = request.role != Role::Personal;
        let since = ended.or(known.and_then(Known::next_card_from));
        let card = self.network.issue(request, since).await?;
        let jwt = card.jwt.clone();
        if !self.keep(found, request, (Status::Admitted, Some(card), ended)).await? {
            return Ok(None);
        }
        if listed || ended.is_some() {
            self.network.refresh().await?;
        }
        Ok(Some(Admitted { card: jwt }))
    }

    /// Keeps what was decided, if all that it rests on is still as it was found. Answers whether it is.
    async fn keep(
        &self,
        found: Found,
        request: &AdmissionRequest,
        (status, card, ended): (Status, Option<IssuedCard>, Option<u64>),
    ) -> Result<bool, Error> {
        let acts = acts(found.known.as_ref(), request, status);
        let (request, now) = (request.clone(), self.clock.now().seconds());
        self.database
            .write(move |tx| {
                if find(tx, &request, (found.from, now))? != found {
                    return Ok(false);
                }
                nodes::keep_request(tx, &request, status, ended)?;
                if found.known.is_none() {
                    let waits = status == Status::Pending;
                    strangers::note_first(tx, &request.iss, now, waits.then_some(found.from))?;
                }
                for act in acts {
                    trail::append(tx, now, act, Some(&request.iss), &Claims::of(&request))?;
                }
                if let Some(card) = card {
                    nodes::keep_card(tx, &request.iss, &card)?;
                    superseded::found(tx, &request.iss)?;
                }
                Ok(true)
            })
            .await
    }

    /// That a node whose present key is not known here shows a card of it, or of one before it, issued
    /// since it changed: with its former key anybody may come who has that. [`Error::CardSuperseded`].
    async fn expect_later_card(
        &self,
        request: &AdmissionRequest,
        shown: Option<&str>,
        before: u64,
    ) -> Result<(), Error> {
        let superseded = Error::CardSuperseded;
        let shown = self.network.issued(shown.ok_or(superseded)?).await;
        let shown = shown.map_err(|_| superseded)?;
        let card = shown.card();
        if *shown.id() != request.iss || card.iat < before {
            return Err(superseded);
        }
        expect_same_node(&card.changes, &card.signing_key, request)
    }

    fn expect_reachable(&self, request: &AdmissionRequest) -> Result<(), Error> {
        let Some(endpoint) = &request.endpoint else { return Ok(()) };
        let there = Url::parse(endpoint.as_ref()).is_ok_and(|url| self.reach.admits(&url));
        if there { Ok(()) } else { Err(Error::EndpointRefused) }
    }
}

/// That the node has the signing key that it had after these changes, or that that vouches for the new:
/// a chain that holds leads from one to the other. [`Error::PossessionUnproven`].
fn expect_same_node(
    changes: &[String],
    key: &RsaJwk,
    request: &AdmissionRequest,
) -> Result<(), Error> {
    let goes_on = request.changes.starts_with(changes);
    let changed = request.changes.len() > changes.len();
    let vouched = changed || *key == request.signing_key;
    if goes_on && vouched { Ok(()) } else { Err(Error::PossessionUnproven) }
}

/// What a decision on a request rests on.
#[derive(PartialEq)]
struct Found {
    /// From where it was asked.
    from: IpAddr,
    known: Option<Known>,
    /// Since when it has a key that is not known here, seconds.
    changed: Option<u64>,
    /// Whether another listed node has the name or the address.
    has_rival: bool,
    /// Whether so few personal nodes have changed their keys that this one may.
    has_room: bool,
}

/// [`Error::CardRevoked`] for a node that was revoked before the database was put back;
/// [`Error::TooManyRequests`] for one more applicant where many wait who came from there.
fn find(
    connection: &Connection,
    request: &AdmissionRequest,
    (from, now): (IpAddr, u64),
) -> Result<Found, Failure> {
    let known = nodes::find(connection, &request.iss)?;
    if known.is_none() && nodes::is_barred(connection, &request.iss)? {
        return Err(Error::CardRevoked.into());
    }
    let listed = request.role != Role::Personal;
    if known.is_none() && listed {
        strangers::expect_few_applicants(connection, from)?;
    }
    let has_rival = listed && nodes::rival(connection, request)?.is_some();
    let has_room = strangers::has_room(connection, &request.iss, now)?;
    let changed = superseded::since(connection, &request.iss)?;
    Ok(Found { from, known, changed, has_rival, has_room })
}

enum Decision {
    Admit,
    Wait,
    Refuse(Error),
}

/// What a node that proved possession gets; `rival` when a listed node has the name or the address.
fn decide(
    known: Option<&Known>,
    request: &AdmissionRequest,
    rival: bool,
) -> Result<Decision, Error> {
    let personal = request.role == Role::Personal;
    let Some(known) = known else {
        return Ok(if personal { Decision::Admit } else { Decision::Wait });
    };
    if known.status == Status::Revoked {
        return Ok(Decision::Refuse(Error::CardRevoked));
    }
    let member = known.admitted_as();
    let other_log = |member: &AdmissionRequest| member.log.is_some() && member.log != request.log;
    if known.request.role != request.role || member.is_some_and(other_log) {
        return Err(Error::AdmissionMalformed);
    }
    let approved = |member: &AdmissionRequest| {
        let near = member.endpoint == request.endpoint || (!rival && same_host(member, request));
        // What a node taken back from others' copies has told the operator is not known any more.
        let told = member.about.is_none() || member.about == request.about;
        let same = member.name == request.name && told;
        same && member.log == request.log && near
    };
    Ok(if personal || member.is_some_and(approved) {
        Decision::Admit
    } else if known.status == Status::Refused && is_repeated(&known.request, request) {
        Decision::Refuse(Error::AdmissionRefused)
    } else {
        Decision::Wait
    })
}

/// Whether what a member moves to is on the host that the operator has seen.
fn same_host(member: &AdmissionRequest, request: &AdmissionRequest) -> bool {
    let host = |request: &AdmissionRequest| {
        request.endpoint.as_ref().map(|endpoint| endpoint.host().to_owned())
    };
    host(member) == host(request)
}

/// That nobody brings back what the node asked for before: [`Error::Replayed`]. An id begins with its
/// time in milliseconds.
fn expect_newest(kept: &AdmissionRequest, request: &AdmissionRequest) -> Result<(), Error> {
    let made = |request: &AdmissionRequest| {
        (request.iat, request.jti.as_ref().chars().take(13).collect::<String>())
    };
    if made(request) < made(kept) { Err(Error::Replayed) } else { Ok(()) }
}

/// Whether it asks for the same as before.
fn is_repeated(before: &AdmissionRequest, request: &AdmissionRequest) -> bool {
    let (iat, jti) = (request.iat, request.jti.clone());
    // Its statement about its encryption key may be another one about the same key.
    let same_key = before.encryption_key() == request.encryption_key();
    let encryption = request.encryption.clone();
    same_key && AdmissionRequest { iat, jti, encryption, ..before.clone() } == *request
}

/// That the statements of changed keys which it brings for the first time are no older than the node's last
/// card: they say until when the former key has signed, and nobody takes back what was signed under a card
/// since. [`Error::PossessionUnproven`].
fn expect_timely(known: Option<&Known>, request: &AdmissionRequest) -> Result<(), Error> {
    let Some(card) = known.and_then(|known| known.card.as_ref()) else { return Ok(()) };
    let seen = known.map_or(0, |known| known.request.changes.len());
    for jwt in request.changes.iter().skip(seen) {
        if KeyChange::claimed(jwt)?.iat + PATIENCE < card.issued() {
            return Err(Error::PossessionUnproven);
        }
    }
    Ok(())
}

/// Since when the node's cards so far don't count, seconds, if it has any and has changed its signing
/// key: later than the last of them was issued.
fn ends_cards(known: &Known, request: &AdmissionRequest, now: u64) -> Option<u64> {
    let changed = known.request.signing_key != request.signing_key;
    let last = known.card.as_ref().filter(|_| changed)?.issued();
    Some(now.max(last + 1))
}

/// What the trail says of a request; nothing of a personal node's, nor of those who were never
/// admitted: anybody can apply, and the trail only grows.
fn acts(known: Option<&Known>, request: &AdmissionRequest, status: Status) -> Vec<Act> {
    if request.role == Role::Personal {
        return Vec::new();
    }
    let before = known.map(|known| &known.request);
    let member = known.and_then(Known::admitted_as);
    let moved = member.is_some_and(|member| member.endpoint != request.endpoint);
    let changed = |before: &AdmissionRequest| before.signing_key != request.signing_key;
    let found = [
        (status == Status::Pending && member.is_some(), Act::Applied),
        (member.is_some() && before.is_some_and(changed), Act::KeysChanged),
        (status == Status::Admitted && moved, Act::Moved),
    ];
    found.into_iter().filter_map(|(happened, act)| happened.then_some(act)).collect()
}
