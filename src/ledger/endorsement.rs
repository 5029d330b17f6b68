//! Endorsements: what a participant has signed of one entry, or of several at once.

use std::sync::Arc;

use litemap::LiteMap;
use serde::{Deserialize, Serialize};

use super::Entry;
use crate::card::VerifiedCard;
use crate::error::Error;
use crate::ids::{EntryId, NodeId};
use crate::jose::jws::{self, Compact, Kind, MAX_STATEMENT, Unverified};
use crate::json;
use crate::provider::{NodeKeys, Primitives, Timestamp};

/// Most entries in one endorsement.
pub const MAX_ENTRIES: usize = 256;

/// A statement over up to [`MAX_ENTRIES`] entries.
pub const ENDORSEMENT: Kind = Kind { typ: "hdms-endorsement+jwt", longest: longest(MAX_ENTRIES) };

/// Bytes of the longest statement over so many entries.
const fn longest(entries: usize) -> usize {
    MAX_STATEMENT + entries.saturating_sub(1) * 512
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct EndorsementClaims {
    iss: NodeId,
    iat: u64,
    /// One or more, all of one case and of the same participants.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    entries: Vec<Entry>,
    /// Of version 1, instead.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    entry: Option<Entry>,
}

impl EndorsementClaims {
    /// What is endorsed. [`Error::EntryMalformed`] for nothing, too much, and what does not belong together.
    fn into_entries(mut self) -> Result<Vec<Entry>, Error> {
        let is_former = self.entry.is_some();
        self.entries.extend(self.entry);
        let fits = belong_together(&self.entries)
            && self.entries.iter().all(|entry| entry.is_former() == is_former)
            && (self.entries.len() == 1 || !is_former);
        if fits { Ok(self.entries) } else { Err(Error::EntryMalformed) }
    }
}

fn belong_together(entries: &[Entry]) -> bool {
    let Some(first) = entries.first() else { return false };
    let together = |entry: &Entry| {
        let participants = first.other(&entry.author) == Ok(&entry.counterparty);
        entry.case == first.case && participants
    };
    let mut ids = LiteMap::new_vec();
    entries.len() <= MAX_ENTRIES
        && entries.iter().all(|entry| together(entry) && ids.insert(&entry.id, ()).is_none())
}

/// A participant's checked signature over entries of one case. Clones share its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedEndorsement {
    by: NodeId,
    iat: u64,
    entries: Arc<[Entry]>,
    jwt: Arc<str>,
}

impl VerifiedEndorsement {
    /// Signs `entries` as `by`, whose keys these are. [`Error::EntryMalformed`] unless they are 1 to
    /// [`MAX_ENTRIES`] of one case and of the same participants; [`Error::NotParticipant`].
    pub async fn sign(
        entries: &[Entry],
        by: &NodeId,
        now: Timestamp,
        keys: &impl NodeKeys,
    ) -> Result<Self, Error> {
        if !belong_together(entries) {
            return Err(Error::EntryMalformed);
        }
        expect_participant(entries, by)?;
        let (iss, iat, entries) = (by.clone(), now.seconds(), entries.to_vec());
        let claims = EndorsementClaims { iss, iat, entries, entry: None };
        let jwt = jws::sign_ps256(ENDORSEMENT.typ, by.as_ref(), &claims, keys).await?;
        let EndorsementClaims { iss, entries, .. } = claims;
        Ok(Self { by: iss, iat, entries: entries.into(), jwt: jwt.into() })
    }

    /// [`UnverifiedEndorsement::parse`] and [`UnverifiedEndorsement::verify`], with their errors.
    pub async fn verify(
        jwt: &str,
        by: &VerifiedCard,
        primitives: &impl Primitives,
    ) -> Result<Self, Error> {
        UnverifiedEndorsement::parse(jwt)?.verify(by, primitives).await
    }

    /// Who endorsed.
    pub fn by(&self) -> &NodeId {
        &self.by
    }

    /// When it was signed, by the word of who did, seconds.
    pub fn signed_at(&self) -> u64 {
        self.iat
    }

    /// What was endorsed; never nothing.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The endorsed entry with this id. [`Error::EndorsementMissing`].
    pub fn entry(&self, id: &EntryId) -> Result<&Entry, Error> {
        self.entries.iter().find(|entry| entry.id == *id).ok_or(Error::EndorsementMissing)
    }

    /// The one entry that was endorsed. [`Error::EntryMismatch`] where it is one of several.
    pub fn only_entry(&self) -> Result<&Entry, Error> {
        match &self.entries[..] {
            [entry] => Ok(entry),
            _ => Err(Error::EntryMismatch),
        }
    }

    /// The signed statement.
    pub fn jwt(&self) -> &str {
        &self.jwt
    }
}

/// An endorsement that nobody has checked yet: good for finding the card of who endorsed.
#[derive(Clone, Debug)]
pub struct UnverifiedEndorsement<'a> {
    jwt: &'a str,
    signed: Compact,
    iss: NodeId,
    iat: u64,
    entries: Vec<Entry>,
}

impl<'a> UnverifiedEndorsement<'a> {
    /// Takes the statement apart. [`Error::EntryMalformed`], [`Error::AlgorithmRefused`].
    pub fn parse(jwt: &'a str) -> Result<Self, Error> {
        let malformed = Error::EntryMalformed;
        let (signed, claims) = Unverified::parse(jwt, &ENDORSEMENT, malformed)?.into_parts();
        let claims: EndorsementClaims = json::read(claims, malformed)?;
        let (iss, iat) = (claims.iss.clone(), claims.iat);
        let entries = claims.into_entries()?;
        if jwt.len() > longest(entries.len()) {
            return Err(malformed);
        }
        Ok(Self { jwt, signed, iss, iat, entries })
    }

    /// Who claims to have endorsed.
    pub fn claimed_by(&self) -> &NodeId {
        &self.iss
    }

    /// The ids of what is said to be endorsed.
    pub fn ids(&self) -> impl Iterator<Item = &EntryId> {
        self.entries.iter().map(|entry| &entry.id)
    }

    /// Checks that `by` signed and is a participant of the entries.
    ///
    /// Errors: [`Error::EndorsementForged`], [`Error::NotParticipant`], [`Error::AlgorithmRefused`].
    pub async fn verify(
        self,
        by: &VerifiedCard,
        primitives: &impl Primitives,
    ) -> Result<VerifiedEndorsement, Error> {
        let Self { jwt, signed, iss, iat, entries } = self;
        let checked = by.keys().check(&signed, iat, primitives).await;
        checked.map_err(|error| match error {
            Error::SignatureInvalid => Error::EndorsementForged,
            other => other,
        })?;
        if iss != *by.id() {
            return Err(Error::EndorsementForged);
        }
        expect_participant(&entries, by.id())?;
        Ok(VerifiedEndorsement { by: iss, iat, entries: entries.into(), jwt: jwt.into() })
    }
}

/// All have the same participants.
fn expect_participant(entries: &[Entry], node: &NodeId) -> Result<(), Error> {
    entries.iter().try_for_each(|entry| entry.other(node).map(drop))
}

/// An entry that both participants have endorsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endorsed {
    entry: Entry,
    authored: u64,
    jwts: [Arc<str>; 2],
}

impl Endorsed {
    /// What two endorsements, in any order, say of the entry with this id.
    /// [`Error::EndorsementMissing`] when one says nothing of it, or one participant has signed both;
    /// [`Error::EntryMismatch`] when they say different things.
    pub fn join(
        id: &EntryId,
        a: &VerifiedEndorsement,
        b: &VerifiedEndorsement,
    ) -> Result<Self, Error> {
        let entry = a.entry(id)?;
        if entry != b.entry(id)? {
            return Err(Error::EntryMismatch);
        }
        if a.by == b.by || entry.author == entry.counterparty {
            return Err(Error::EndorsementMissing);
        }
        let (author, counterparty) = if a.by == entry.author { (a, b) } else { (b, a) };
        let jwts = [author.jwt.clone(), counterparty.jwt.clone()];
        Ok(Self { entry: entry.clone(), authored: author.iat, jwts })
    }

    /// The entry.
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// When its author says that it was endorsed, seconds.
    pub fn authored(&self) -> u64 {
        self.authored
    }

    /// The author's and the counterparty's statement.
    pub fn jwts(&self) -> &[Arc<str>; 2] {
        &self.jwts
    }
}
