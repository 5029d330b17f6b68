//! The Doorman (docs/architecture.md): admits personal nodes at once, institutions and notaries once
//! the operator says so, and renews their cards. A member may move, and change its keys by a
//! statement of its old one; for all else the operator decides again.

mod decision;

use std::net::IpAddr;
use std::sync::Arc;

use hdms::Error;
use hdms::card::{Card, LIFETIME, Role, VerifiedCard};
use hdms::doorman::{About, AdmissionRequest, Admitted, Challenge, ChallengeAnswer, PATIENCE};
use hdms::ids::NodeId;
use hdms::provider::{Clock, Timestamp};
use reqwest::Url;
use rusqlite::Connection;

use super::challenges::Challenges;
use super::claims::Claims;
use super::known::{IssuedCard, Known, Status};
use super::network_map::Network;
use super::nodes;
use super::rates::Rates;
use super::strangers;
use super::superseded;
use super::trail;
use super::waiting_changes;
use crate::base::http::addresses::{customer, subscriber};
use crate::base::http::problem::Problem;
use crate::base::http::reach::Reach;
use crate::base::keys::AwsPrimitives;
use crate::base::names;
use crate::base::rate::{DAY, RateLimit};
use crate::base::sqlite::Database;
use crate::base::system::{NodeClock, SystemRandomness};
use decision::{
    Decision, Found, Used, acts, decide, ends_cards, expect_few_changes, expect_newest,
    expect_same_node, expect_timely, find, is_repeated, refusal, says_the_same,
};

/// Personal nodes that may change their keys from one address a day.
const CHANGES_OF_ADDRESS: u32 = 20;

/// New cards that an institution or a notary gets a day while its last one is young, and what else it may
/// ask its operator for: each is in the Network Map, and so in a manifest that everybody keeps, or on the
/// trail.
const RENEWALS: u32 = 10;

/// After how many seconds to ask again where many wait who came from there: an operator takes hours.
const UNTIL_DECIDED: u64 = 3600;

/// Admits nodes.
#[derive(Debug)]
pub struct Doorman {
    network: Arc<Network>,
    database: Database,
    clock: NodeClock,
    by_address: RateLimit<IpAddr>,
    /// By the signing key that has signed: whoever has another one of the node, its former or its next,
    /// uses up nothing of it.
    by_key: RateLimit<String>,
    changes: RateLimit<IpAddr>,
    renewals: RateLimit<NodeId>,
    challenges: Challenges,
    /// Where nodes may be: where all others of the network go.
    reach: Reach,
}

/// What was decided about a request, and is kept.
#[derive(Debug)]
pub struct Decided {
    answer: Result<Admitted, Problem>,
    /// Whether the network's documents are to say so.
    is_news: bool,
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
            by_key: RateLimit::per_minute(rates.admissions_of_key),
            changes: RateLimit::new(CHANGES_OF_ADDRESS, DAY),
            renewals: RateLimit::new(RENEWALS, DAY),
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
    /// nodes don't go, [`Error::AdmissionMalformed`] for texts that an operator can't judge.
    pub async fn ask(&self, jwt: &str) -> Result<Challenge, Error> {
        let now = self.clock.now();
        let request = AdmissionRequest::verify(jwt, now, &AwsPrimitives).await?;
        self.expect_reachable(&request)?;
        self.expect_plain(&request).await?;
        let expires = now.seconds() + PATIENCE;
        let secret = self.challenges.secret(jwt, expires);
        let (node, key) = (&request.iss, request.stated_subkeys()?.encryption);
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
        self.by_key.take(&request.signing_key.thumbprint(), now)?;
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
    /// [`Error::AdmissionPending`] for what waits already, and for an applicant that has changed its keys
    /// over and over; [`Error::AdmissionRefused`] and [`Error::CardRevoked`] with the operator's reason.
    pub async fn decide(
        &self,
        mut request: AdmissionRequest,
        from: IpAddr,
    ) -> Result<Decided, Problem> {
        let (from, shown) = (customer(from), request.card.take());
        loop {
            // What somebody else did to the node meanwhile is looked at first.
            let decided = self.decide_as_found(&request, shown.as_deref(), from).await?;
            if let Some(decided) = decided {
                return Ok(decided);
            }
        }
    }

    /// Has the network's documents say what was decided. Errors: [`Error::AdmissionPending`],
    /// [`Error::AdmissionRefused`], those of [`Network::refresh`].
    pub async fn publish(&self, decided: Decided) -> Result<Admitted, Problem> {
        if decided.is_news {
            self.network.refresh().await?;
        }
        decided.answer
    }

    /// Nothing when the node is no longer as it was found.
    async fn decide_as_found(
        &self,
        request: &AdmissionRequest,
        shown: Option<&str>,
        from: IpAddr,
    ) -> Result<Option<Decided>, Problem> {
        let (asked, now) = (request.clone(), self.clock.now());
        let found = move |connection: &Connection| find(connection, &asked, (from, now.seconds()));
        let found = self.database.read(found).await.map_err(once_decided)?;
        let known = found.known.as_ref();
        if let Some(known) = known {
            expect_newest(&known.request, request)?;
            expect_same_node(&known.request.changes, &known.request.signing_key, request)?;
        }
        let shown = self.shown_card(request, shown).await?;
        let shown = shown.as_ref().map(VerifiedCard::card);
        // With its former key anybody may come who has that.
        if found.changed.is_some_and(|before| shown.is_none_or(|card| card.iat < before)) {
            return Err(Error::CardSuperseded.into());
        }
        expect_timely(&found, shown, request, now.seconds())?;
        let ended = known.and_then(|known| ends_cards(known, request, now.seconds()));
        let decision = decide(&found, request)?;
        if let Err(problem) = expect_few_changes((known, shown), request, &decision) {
            self.note_waiting(&found, (shown, request)).await?;
            return Err(problem);
        }
        expect_news(&decision, known, request)?;
        let used = Used::by(&decision, known, request, now.seconds());
        self.take(used, &found, (shown, request)).await?;
        let ended = ended.max(found.changed);
        let done = match decision {
            Decision::Wait => self.wait(found, request, ended).await,
            Decision::Admit => self.admit(found, request, ended).await,
            Decision::Refuse(reason) => self.refuse(found, request, (ended, reason)).await,
        };
        if !matches!(done, Ok(Some(_))) {
            self.give_back(used, request, from);
        }
        done.map_err(once_decided)
    }

    /// [`Error::TooManyRequests`]; [`Error::TooManyChanges`]: then it is noted since when its changes of keys
    /// wait.
    async fn take(
        &self,
        used: Used,
        found: &Found,
        (shown, request): (Option<&Card>, &AdmissionRequest),
    ) -> Result<(), Problem> {
        let now = self.clock.now();
        let may_change = || found.has_room && self.changes.take(&found.from, now).is_ok();
        if used.renewal && self.renewals.take(&request.iss, now).is_err() {
            let next = DAY.as_secs() / u64::from(RENEWALS);
            return Err(Problem { retry_after: Some(next), ..Error::TooManyRequests.into() });
        }
        if !used.change || may_change() {
            return Ok(());
        }
        self.note_waiting(found, (shown, request)).await?;
        Err(Error::TooManyChanges.into())
    }

    /// Notes since when its changes of keys wait.
    async fn note_waiting(
        &self,
        found: &Found,
        (shown, request): (Option<&Card>, &AdmissionRequest),
    ) -> Result<(), Error> {
        let waiting = found.lets_wait(shown, request)?;
        if waiting.is_empty() {
            return Ok(());
        }
        let (id, from, now) = (request.iss.clone(), found.from, self.clock.now().seconds());
        let note = move |tx: &_| waiting_changes::note(tx, (&id, from), &waiting, now);
        self.database.write(note).await
    }

    fn give_back(&self, used: Used, request: &AdmissionRequest, from: IpAddr) {
        if used.change {
            self.changes.give_back(&from);
        }
        if used.renewal {
            self.renewals.give_back(&request.iss);
        }
    }

    /// Keeps it for the operator. Nothing when the node is no longer as it was found.
    async fn wait(
        &self,
        found: Found,
        request: &AdmissionRequest,
        ended: Option<u64>,
    ) -> Result<Option<Decided>, Error> {
        let kept = self.keep(found, request, (Status::Pending, None, ended)).await?;
        let (answer, is_news) = (Err(Error::AdmissionPending.into()), ended.is_some());
        Ok(kept.then_some(Decided { answer, is_news }))
    }

    /// Keeps that the node has another signing key: the former one, which may be stolen, counts no more,
    /// whatever it asks for. Nothing when the node is no longer as it was found.
    async fn refuse(
        &self,
        found: Found,
        request: &AdmissionRequest,
        (ended, reason): (Option<u64>, String),
    ) -> Result<Option<Decided>, Error> {
        let kept = self.keep(found, request, (Status::Refused, None, ended)).await?;
        let (answer, is_news) = (Err(refusal(reason)), ended.is_some());
        Ok(kept.then_some(Decided { answer, is_news }))
    }

    /// The kept card while it says what the node asks to be and has a third of its life before it,
    /// else a new one. Nothing when the node is no longer as it was found.
    async fn admit(
        &self,
        found: Found,
        request: &AdmissionRequest,
        ended: Option<u64>,
    ) -> Result<Option<Decided>, Error> {
        let good = |card: &IssuedCard| {
            let young = card.expires > self.clock.now().seconds() + LIFETIME / 3;
            Ok::<_, Error>(young && self.network.is_for(card, request)?)
        };
        let known = found.known.as_ref();
        let standing = known.filter(|known| known.status == Status::Admitted);
        if let Some(card) = standing.and_then(|known| known.card.as_ref())
            && good(card)?
        {
            let answer = Ok(Admitted { card: card.jwt.clone() });
            return Ok(Some(Decided { answer, is_news: false }));
        }
        let listed = request.role != Role::Personal;
        let since = ended.or(known.and_then(Known::next_card_from));
        let card = self.network.issue(request, since).await?;
        let (answer, is_news) =
            (Ok(Admitted { card: card.jwt.clone() }), listed || ended.is_some());
        let kept = self.keep(found, request, (Status::Admitted, Some(card), ended)).await?;
        Ok(kept.then_some(Decided { answer, is_news }))
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
                if found.arrives() {
                    let waits = status == Status::Pending;
                    strangers::note_arrival(tx, &request.iss, now, waits.then_some(found.from))?;
                }
                if !found.waiting.is_empty() {
                    waiting_changes::forget(tx, &request.iss, &request.changes)?;
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

    /// The card that it shows, if that is one of this node: for a Doorman who does not know its present
    /// key, or since when it has that. [`Error::PossessionUnproven`] when the request does not go on from
    /// there.
    async fn shown_card(
        &self,
        request: &AdmissionRequest,
        shown: Option<&str>,
    ) -> Result<Option<VerifiedCard>, Error> {
        let Some(jwt) = shown else { return Ok(None) };
        let issued = self.network.issued(jwt).await.ok();
        let own = issued.filter(|card| *card.id() == request.iss);
        if let Some(card) = own.as_ref().map(VerifiedCard::card) {
            expect_same_node(&card.changes, &card.signing_key, request)?;
        }
        Ok(own)
    }

    fn expect_reachable(&self, request: &AdmissionRequest) -> Result<(), Error> {
        let Some(endpoint) = &request.endpoint else { return Ok(()) };
        let there = Url::parse(endpoint.as_ref()).is_ok_and(|url| self.reach.admits(&url));
        if there { Ok(()) } else { Err(Error::EndpointRefused) }
    }

    /// That an operator sees what its texts are, or has admitted it by them. [`Error::AdmissionMalformed`].
    async fn expect_plain(&self, request: &AdmissionRequest) -> Result<(), Error> {
        let about = request.about.iter().flat_map(About::texts);
        if about.chain([&request.name]).all(|text| names::is_plain(text)) {
            return Ok(());
        }
        let known = self.database.read(|connection| nodes::find(connection, &request.iss)).await?;
        let member = known.as_ref().and_then(Known::admitted_as);
        let is_known = member.is_some_and(|member| says_the_same(member, request));
        if is_known { Ok(()) } else { Err(Error::AdmissionMalformed) }
    }
}

/// Where one more may apply once those that wait were decided: when that may be.
fn once_decided(error: Error) -> Problem {
    let later = (error == Error::TooManyRequests).then_some(UNTIL_DECIDED);
    Problem { retry_after: later, ..error.into() }
}

/// Whether there is something to be kept: [`Error::AdmissionPending`] to what was asked before.
fn expect_news(
    decision: &Decision,
    known: Option<&Known>,
    request: &AdmissionRequest,
) -> Result<(), Error> {
    let repeated = known.is_some_and(|known| is_repeated(&known.request, request));
    match decision {
        Decision::Wait if repeated => Err(Error::AdmissionPending),
        _ => Ok(()),
    }
}
