//! What the network's operator decides, on the database of a server that may be running: it takes
//! notice within a second. Every decision is on the trail.

use std::net::IpAddr;
use std::path::Path;

use hdms::Error;
use hdms::card::Role;
use hdms::ids::NodeId;
use hdms::network::PinnedLog;
use hdms::provider::Clock;
use rusqlite::Connection;
use serde_json::json;

use super::known::{Known, Status};
use super::nodes;
use super::rules::{History, Witnessing};
use super::settings::{self, Refused, Settings};
use super::trail::{self, Act, Trail};
use super::{pins, refusals, rivals, schema, strangers};
use crate::base::sqlite::{Database, Failure};
use crate::base::system::NodeClock;

pub use super::claims::Claims;
pub use super::rivals::{Lookalike, Stands};

/// Nodes that wait, listed together.
const PAGE: usize = 100;

/// A node that waits for the operator's decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applicant {
    /// The node.
    pub id: NodeId,
    /// What it asks to be.
    pub claims: Claims,
    /// What it was admitted as, and stays until the decision.
    pub admitted: Option<Claims>,
    /// A listed node that has the name or the address: it must be revoked first.
    pub rival: Option<NodeId>,
    /// Others whose names look like the one that it asks for.
    pub lookalikes: Vec<Lookalike>,
    /// When it has asked, by its own word, seconds.
    pub asked: u64,
    /// From which address or network (IPv6: /48) it has applied, unless it was ever admitted.
    pub from: Option<IpAddr>,
    /// Why it was revoked, where it was.
    pub revoked: Option<String>,
    /// Why it was refused last, where that is remembered; also once it asks for something else.
    pub refused: Option<String>,
    /// Whether it is what it asks to be.
    pub is_member: bool,
    /// Whether it waits for the operator.
    pub waits: bool,
}

impl Applicant {
    fn of(connection: &Connection, known: &Known) -> Result<Self, Failure> {
        let (is_revoked, reason) = (known.status == Status::Revoked, known.reason.clone());
        let refused = refusals::last_reason(connection, &known.request.iss)?;
        Ok(Self {
            id: known.request.iss.clone(),
            claims: Claims::of(&known.request),
            admitted: known.admitted_as().map(Claims::of),
            rival: rivals::rival(connection, &known.request)?,
            lookalikes: rivals::lookalikes(connection, &known.request)?,
            asked: known.request.iat,
            from: strangers::origin(connection, &known.request.iss)?,
            revoked: is_revoked.then(|| reason.clone().unwrap_or_default()),
            // Also of before each was noted.
            refused: refused.or(reason.filter(|_| !is_revoked)),
            is_member: known.status == Status::Admitted,
            waits: known.status == Status::Pending,
        })
    }

    /// Digest of what it asks to be: whoever has looked into it says so by this.
    pub fn digest(&self) -> Result<String, Error> {
        self.claims.digest(&self.id)
    }
}

/// Who logs, and how many must watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notaries {
    /// How many are members.
    pub count: u64,
    /// How many witnesses a receipt needs.
    pub witnessing: Witnessing,
}

impl Notaries {
    fn of(connection: &Connection, now: u64) -> Result<Self, Failure> {
        let rules = History::kept(connection)?;
        let witnessing =
            rules.map_or(Witnessing { needed: 0, next: None }, |rules| rules.witnessing(now));
        Ok(Self { count: settings::notaries(connection)?, witnessing })
    }

    /// Whether no notary can get so many witnesses among the others.
    pub fn lack(&self, witnesses: u64) -> bool {
        settings::lacking(witnesses, self.count)
    }
}

/// The operator of the server with the folder `data`.
#[derive(Clone, Debug)]
pub struct Operator {
    database: Database,
    clock: NodeClock,
}

impl Operator {
    /// Errors as [`Database::join`]: there is none before the server's first start.
    pub fn of(data: &Path) -> Result<Self, Error> {
        Self::with_clock(data, NodeClock::default())
    }

    /// One whose decisions are dated by this clock.
    pub fn with_clock(data: &Path, clock: NodeClock) -> Result<Self, Error> {
        let database = Database::join(&data.join(schema::FILE), &schema::SCHEMA)?;
        Ok(Self { database, clock })
    }

    /// The next nodes that wait, in the order of their ids, after this one; none after the last.
    pub async fn pending(&self, after: Option<NodeId>) -> Result<Vec<Applicant>, Error> {
        self.database
            .read(move |connection| {
                let waiting = nodes::pending(connection, after.as_ref(), PAGE)?;
                waiting.iter().map(|known| Applicant::of(connection, known)).collect()
            })
            .await
    }

    /// A node that has asked to be admitted. [`Error::NodeUnknown`].
    pub async fn applicant(&self, id: &NodeId) -> Result<Applicant, Error> {
        self.database.read(|connection| Applicant::of(connection, &find(connection, id)?)).await
    }

    /// Admits a node as what it has asked to be, also one that was refused or revoked. A member that asks
    /// for nothing may ask again for what it was refused.
    ///
    /// Errors: [`Error::NodeUnknown`]; [`Error::AdmissionTaken`] when another listed node has the
    /// name or the address; [`Error::CardRevoked`] for a notary that was revoked, whose log has
    /// ended.
    pub async fn admit(&self, id: NodeId) -> Result<(), Error> {
        self.decide_to_admit(id, None).await.map(drop)
    }

    /// The same, unless it asks for something else by now than what was `seen`. Answers whether it was
    /// admitted.
    pub async fn admit_as(&self, seen: &Applicant) -> Result<bool, Error> {
        self.decide_to_admit(seen.id.clone(), Some(seen.claims.clone())).await
    }

    async fn decide_to_admit(&self, id: NodeId, seen: Option<Claims>) -> Result<bool, Error> {
        let now = self.clock.now().seconds();
        self.database
            .write(move |tx| {
                let known = find(tx, &id)?;
                let applicant = Applicant::of(tx, &known)?;
                if seen.is_some_and(|seen| seen != applicant.claims) {
                    return Ok(false);
                }
                if applicant.is_member {
                    if refusals::forget(tx, &id)? {
                        trail::append(tx, now, Act::Admitted, Some(&id), &applicant.claims)?;
                    }
                    return Ok(true);
                }
                if known.status == Status::Revoked && known.request.role == Role::Notary {
                    return Err(Error::CardRevoked.into());
                }
                if known.request.role != Role::Personal && applicant.rival.is_some() {
                    return Err(Error::AdmissionTaken.into());
                }
                trail::append(tx, now, Act::Admitted, Some(&id), &applicant.claims)?;
                nodes::decide(tx, &known, Status::Admitted, None, now)?;
                Ok(true)
            })
            .await
    }

    /// Refuses what a node asks to be; a member stays what it was. [`Error::NodeUnknown`] unless it
    /// waits.
    pub async fn refuse(&self, id: NodeId, reason: &str) -> Result<(), Error> {
        self.turn_down(id, Status::Refused, reason).await
    }

    /// Revokes a node's card, whatever its role. [`Error::NodeUnknown`].
    pub async fn revoke(&self, id: NodeId, reason: &str) -> Result<(), Error> {
        self.turn_down(id, Status::Revoked, reason).await
    }

    /// What is set for the network and its server.
    pub async fn settings(&self) -> Result<Settings, Error> {
        self.database.read(Settings::kept).await
    }

    /// Changes what is set.
    pub async fn set(
        &self,
        change: impl FnOnce(&mut Settings) + Send + 'static,
    ) -> Result<Settings, Refused> {
        let now = self.clock.now();
        self.database.write(move |tx| Settings::change(tx, change, now)).await?
    }

    /// How many witnesses a receipt needs, and how many notaries there are.
    pub async fn notaries(&self) -> Result<Notaries, Error> {
        let now = self.clock.now().seconds();
        self.database.read(move |connection| Notaries::of(connection, now)).await
    }

    /// The same once this notary is revoked; nothing for any other node. [`Error::NodeUnknown`].
    pub async fn without(&self, id: &NodeId) -> Result<Option<Notaries>, Error> {
        let now = self.clock.now().seconds();
        self.database
            .read(|connection| {
                let known = find(connection, id)?;
                if known.status == Status::Revoked || known.log().is_none() {
                    return Ok(None);
                }
                let Notaries { count, witnessing } = Notaries::of(connection, now)?;
                Ok(Some(Notaries { count: count.saturating_sub(1), witnessing }))
            })
            .await
    }

    /// Pins the log of a notary as it was before there were witnesses: a signed note.
    ///
    /// Errors: [`Error::LogForged`]; [`Error::NodeUnknown`] for the log of no notary.
    pub async fn pin_log(&self, note: &str) -> Result<PinnedLog, Error> {
        pins::pin(&self.database, note, self.clock.now().seconds()).await
    }

    /// Everything that was decided.
    pub async fn trail(&self) -> Result<Trail, Error> {
        self.database.read(trail::read).await
    }

    async fn turn_down(&self, id: NodeId, status: Status, reason: &str) -> Result<(), Error> {
        let (now, reason) = (self.clock.now().seconds(), reason.to_owned());
        self.database
            .write(move |tx| {
                let known = find(tx, &id)?;
                let act = match status {
                    Status::Refused if known.status == Status::Pending => Act::Refused,
                    Status::Revoked if known.status != Status::Revoked => Act::Revoked,
                    Status::Revoked => return Ok(()),
                    _ => return Err(Error::NodeUnknown.into()),
                };
                let ends = known.admitted_as().filter(|_| act == Act::Revoked);
                let name = &ends.unwrap_or(&known.request).name;
                let mut detail = json!({ "name": name, "reason": reason });
                if act == Act::Refused {
                    detail["asked"] = json!(Claims::of(&known.request));
                }
                trail::append(tx, now, act, Some(&id), &detail)?;
                nodes::decide(tx, &known, status, Some(&reason), now)
            })
            .await
    }
}

fn find(connection: &Connection, id: &NodeId) -> Result<Known, Failure> {
    nodes::find(connection, id)?.ok_or(Failure::Refused(Error::NodeUnknown))
}
