//! What the Doorman makes of a request, by what is known of its node.

use std::net::IpAddr;

use hdms::Error;
use hdms::card::{Card, KeyChange, LIFETIME, Role};
use hdms::doorman::{AdmissionRequest, PATIENCE};
use hdms::jwk::{EcJwk, RsaJwk};
use rusqlite::Connection;

use super::super::known::{Known, Status};
use super::super::nodes;
use super::super::refusals::{self, Wish};
use super::super::trail::Act;
use super::super::{rivals, strangers, superseded, waiting_changes};
use crate::base::http::problem::Problem;
use crate::base::sqlite::Failure;

/// How old a statement of a changed key may be that nobody has seen yet, seconds.
const NEW: u64 = 7 * 24 * 3600;

/// Most changes of signing keys of one that was never admitted: whatever it brings is kept.
const CHANGES_OF_APPLICANT: usize = 4;

/// That the node has the signing key that it had after these changes, or that that vouches for the new:
/// a chain that holds leads from one to the other. [`Error::PossessionUnproven`].
pub fn expect_same_node(
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
pub struct Found {
    /// From where it was asked: [`crate::base::http::addresses::customer`].
    pub from: IpAddr,
    pub known: Option<Known>,
    /// Since when it has a key that is not known here, seconds.
    pub changed: Option<u64>,
    /// Whether another listed node has the name or the address.
    pub has_rival: bool,
    /// Whether so few personal nodes have changed their keys that this one may.
    pub has_room: bool,
    /// Since when changes of its keys wait: [`waiting_changes::of_node`].
    pub waiting: Vec<(String, u64)>,
    /// Why the operator has refused just this, if so.
    pub refused: Option<String>,
}

impl Found {
    /// When a change of keys was first seen, by its [mark](waiting_changes::marks), if it waits.
    fn seen(&self, mark: &str) -> Option<u64> {
        self.waiting.iter().filter(|(change, _)| change == mark).map(|(_, seen)| *seen).min()
    }

    /// Whether the node begins to wait if the operator is to decide: one that was refused whatever it asked
    /// for waits again once it asks for something else.
    pub fn arrives(&self) -> bool {
        self.refused.is_none() && self.known.as_ref().is_none_or(Known::was_only_refused)
    }

    /// How many changes of the node's keys are known here, or by a card that was `shown`.
    fn changes(&self, shown: Option<&Card>) -> usize {
        let known = self.known.as_ref().map_or(0, |known| known.request.changes.len());
        known.max(shown.map_or(0, |card| card.changes.len()))
    }

    /// Of which changes that this request brings it is to be noted that they wait, by their marks. Of none
    /// where the node is not known and shows no card: anybody may be any number of such nodes.
    /// [`Error::CardMalformed`].
    pub fn lets_wait(
        &self,
        shown: Option<&Card>,
        request: &AdmissionRequest,
    ) -> Result<Vec<String>, Error> {
        if self.known.is_none() && shown.is_none() {
            return Ok(Vec::new());
        }
        let new = waiting_changes::marks(&request.changes)?.into_iter().skip(self.changes(shown));
        Ok(new.filter(|mark| self.seen(mark).is_none()).collect())
    }
}

/// [`Error::CardRevoked`] for a node that was revoked before the database was put back;
/// [`Error::TooManyRequests`] for one more applicant where many wait who came from there.
pub fn find(
    connection: &Connection,
    request: &AdmissionRequest,
    (from, now): (IpAddr, u64),
) -> Result<Found, Failure> {
    let known = nodes::find(connection, &request.iss)?;
    if known.is_none() && nodes::is_barred(connection, &request.iss)? {
        return Err(Error::CardRevoked.into());
    }
    let listed = request.role != Role::Personal;
    let has_rival = listed && rivals::rival(connection, request)?.is_some();
    let has_room = strangers::has_room(connection, &request.iss, now)?;
    let changed = superseded::since(connection, &request.iss)?;
    let waiting = if request.changes.is_empty() {
        Vec::new()
    } else {
        waiting_changes::of_node(connection, (&request.iss, &request.changes), now)?
    };
    let refused = match &known {
        Some(known) => refused(connection, known, request)?,
        None => None,
    };
    let found = Found { from, known, changed, has_rival, has_room, waiting, refused };
    if found.arrives() && listed {
        strangers::expect_few_applicants(connection, from)?;
    }
    Ok(found)
}

/// Why the operator has refused just this, if so; also before each was noted. Whatever its keys are.
fn refused(
    connection: &Connection,
    known: &Known,
    request: &AdmissionRequest,
) -> Result<Option<String>, Failure> {
    let is_last = || Wish::of(&known.request) == Wish::of(request);
    let stands = known.status == Status::Refused && is_last();
    let last = stands.then(|| known.reason.clone().unwrap_or_default());
    Ok(refusals::reason(connection, request)?.or(last))
}

/// Of which quotas a request takes.
#[derive(Clone, Copy)]
pub struct Used {
    /// Of its address's: a personal node changes its signing key.
    pub change: bool,
    /// Of its own: the map is to name another card of it, long before the last one ends, or the operator
    /// has something else to decide about it. Not to change its signing key, which a node can do so many
    /// times and no more: whoever has its present key can't use up that.
    pub renewal: bool,
}

impl Used {
    pub fn by(
        decision: &Decision,
        known: Option<&Known>,
        request: &AdmissionRequest,
        now: u64,
    ) -> Self {
        let personal = request.role == Role::Personal;
        // Who brings changes that nobody has seen leaves as much behind as who makes one.
        let seen = known.map_or(0, |known| known.request.changes.len());
        let goes_on = request.changes.len() > seen;
        let is_young = |known: &Known| {
            known.card.as_ref().is_some_and(|card| card.expires > now + LIFETIME / 3)
        };
        let member = known.filter(|known| is_young(known)).and_then(Known::admitted_as);
        let differs = |member: &AdmissionRequest| {
            subkeys(member) != subkeys(request)
                || (&member.endpoint, &member.signing_key)
                    != (&request.endpoint, &request.signing_key)
        };
        let wishes = matches!(decision, Decision::Wait) && known.is_some();
        let renewal = !personal && !goes_on && (wishes || member.is_some_and(differs));
        Self { change: personal && goes_on, renewal }
    }
}

pub enum Decision {
    Admit,
    Wait,
    /// For this reason, as before; but the node has another signing key.
    Refuse(String),
}

/// What a node that proved possession gets. [`Error::CardRevoked`] and [`Error::AdmissionRefused`], with the
/// operator's reason, where nothing is to be kept; [`Error::AdmissionMalformed`].
pub fn decide(found: &Found, request: &AdmissionRequest) -> Result<Decision, Problem> {
    let personal = request.role == Role::Personal;
    let Some(known) = &found.known else {
        return Ok(if personal { Decision::Admit } else { Decision::Wait });
    };
    if known.status == Status::Revoked {
        return Err(Problem { reason: known.reason.clone(), ..Error::CardRevoked.into() });
    }
    let member = known.admitted_as();
    let other_log = |member: &AdmissionRequest| member.log.is_some() && member.log != request.log;
    if known.request.role != request.role || member.is_some_and(other_log) {
        return Err(Error::AdmissionMalformed.into());
    }
    let approved = |member: &AdmissionRequest| {
        let near =
            member.endpoint == request.endpoint || (!found.has_rival && same_host(member, request));
        says_the_same(member, request) && member.log == request.log && near
    };
    let has_changed = known.request.signing_key != request.signing_key;
    match &found.refused {
        _ if personal || member.is_some_and(approved) => Ok(Decision::Admit),
        None => Ok(Decision::Wait),
        Some(reason) if has_changed => Ok(Decision::Refuse(reason.clone())),
        Some(reason) => Err(refusal(reason.clone())),
    }
}

/// [`Error::AdmissionRefused`] with the operator's reason.
pub fn refusal(reason: String) -> Problem {
    Problem { reason: Some(reason), ..Error::AdmissionRefused.into() }
}

/// Whether what a member moves to is on the host that the operator has seen.
fn same_host(member: &AdmissionRequest, request: &AdmissionRequest) -> bool {
    let host = |request: &AdmissionRequest| {
        request.endpoint.as_ref().map(|endpoint| endpoint.host().to_owned())
    };
    host(member) == host(request)
}

/// That nobody brings back what the node asked for before: [`Error::Replayed`]. An id begins with its
/// time in milliseconds. One that brings more changes of keys goes on from the others whatever their times:
/// else a thief of the former key would keep it out by one dated ahead.
pub fn expect_newest(kept: &AdmissionRequest, request: &AdmissionRequest) -> Result<(), Error> {
    let made = |request: &AdmissionRequest| {
        (request.iat, request.jti.as_ref().chars().take(13).collect::<String>())
    };
    let goes_on = request.changes.len() > kept.changes.len();
    if !goes_on && made(request) < made(kept) { Err(Error::Replayed) } else { Ok(()) }
}

/// Whether it says of itself what this member does.
pub fn says_the_same(member: &AdmissionRequest, request: &AdmissionRequest) -> bool {
    // What a node taken back from others' copies has told the operator is not known any more.
    let told = member.about.is_none() || member.about == request.about;
    told && member.name == request.name
}

/// Whether it asks for the same as before.
pub fn is_repeated(before: &AdmissionRequest, request: &AdmissionRequest) -> bool {
    let (iat, jti) = (request.iat, request.jti.clone());
    // Its statement about its subkeys may be another one about the same.
    let same_subkeys = subkeys(before) == subkeys(request);
    let stated = request.subkeys.clone();
    same_subkeys && AdmissionRequest { iat, jti, subkeys: stated, ..before.clone() } == *request
}

/// Which subkeys it states, if any.
fn subkeys(request: &AdmissionRequest) -> Option<(RsaJwk, EcJwk)> {
    request.stated_subkeys().ok().map(|stated| (stated.encryption, stated.request))
}

/// That the statements of changed keys which it brings for the first time are no older than a week, or
/// were not when they were first seen, and wait since: they say until when the former key has signed, and
/// nobody takes back more of what was signed since. One of a card that was `shown` has been seen before.
/// [`Error::PossessionUnproven`]; [`Error::CardSuperseded`] where a card could show it.
pub fn expect_timely(
    found: &Found,
    shown: Option<&Card>,
    request: &AdmissionRequest,
    now: u64,
) -> Result<(), Error> {
    let marks = waiting_changes::marks(&request.changes)?;
    for (jwt, mark) in request.changes.iter().zip(&marks).skip(found.changes(shown)) {
        let made = KeyChange::claimed(jwt)?.iat + PATIENCE;
        if made + NEW < found.seen(mark).unwrap_or(now) {
            let unseen = shown.map_or(Error::CardSuperseded, |_| Error::PossessionUnproven);
            return Err(unseen);
        }
    }
    Ok(())
}

/// That who was never admitted has not changed its keys over and over; one that shows a card was.
/// [`Error::AdmissionPending`]: it is admitted as it was, or not at all; [`Error::AdmissionRefused`] where
/// that is decided; [`Error::CardSuperseded`] for one that is not known, and may have a card.
pub fn expect_few_changes(
    (known, shown): (Option<&Known>, Option<&Card>),
    request: &AdmissionRequest,
    decision: &Decision,
) -> Result<(), Problem> {
    let was_admitted = shown.is_some() || known.and_then(Known::admitted_as).is_some();
    let before = known.map_or(0, |known| known.request.changes.len());
    let most = CHANGES_OF_APPLICANT.max(before);
    if request.role == Role::Personal || was_admitted || request.changes.len() <= most {
        return Ok(());
    }
    Err(match (known, decision) {
        (None, _) => Error::CardSuperseded.into(),
        (_, Decision::Refuse(reason)) => refusal(reason.clone()),
        _ => Error::AdmissionPending.into(),
    })
}

/// Since when the node's cards so far don't count, seconds, if it has any and has changed its signing
/// key: later than the last of them was issued.
pub fn ends_cards(known: &Known, request: &AdmissionRequest, now: u64) -> Option<u64> {
    let changed = known.request.signing_key != request.signing_key;
    let last = known.card.as_ref().filter(|_| changed)?.issued();
    Some(now.max(last + 1))
}

/// What the trail says of a request; nothing of a personal node's, nor of those who were never
/// admitted: anybody can apply, and the trail only grows.
pub fn acts(known: Option<&Known>, request: &AdmissionRequest, status: Status) -> Vec<Act> {
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
