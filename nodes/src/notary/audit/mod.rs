//! A notary's log audited from outside: everything that it serves is read and computed anew, and held
//! against what it has signed, now and before, as its witnesses and the last audit know it. Trusted is
//! the network's root key and nothing else.

mod report;

use std::path::PathBuf;
use std::time::Duration;

use futures_util::future::join_all;
use hdms::Error;
use hdms::answers::{DOCUMENTS, WITNESSED};
use hdms::card::Role;
use hdms::endpoint::Endpoint;
use hdms::ids::NodeId;
use hdms::jwk::RsaJwk;
use hdms::ledger::{Cosignatures, LEAF_BYTES};
use hdms::log::{MAX_TEXT, NoteKey, SignedCheckpoint};
use hdms::network::{NotaryLog, Trust, notary_of, origin};
use hdms::provider::Clock;

use crate::base::audit::fetch::Fetch;
use crate::base::audit::replay::Replay;
use crate::base::audit::{Claim, Counts, Fault, Faults, Source, Unchecked, kept, witnesses};
use crate::base::http::client::Client;
use crate::base::http::reach::Reach;
use crate::base::keys::AwsPrimitives;
use crate::base::system::NodeClock;
pub use report::Report;

/// What is audited, and how.
#[derive(Clone, Debug)]
pub struct Audit {
    /// The notary's base URL, or that of a copy of its log.
    pub url: String,
    /// Base URL of the network's server.
    pub server: String,
    /// The network's root key.
    pub root: RsaJwk,
    /// File in which the checkpoint of the last good audit is kept.
    pub state: Option<PathBuf>,
    /// Base URLs of the witnesses to ask, each of which then has to answer; without any, all that the
    /// Network Map lists are asked.
    pub witnesses: Vec<String>,
    /// How long one answer may take.
    pub patience: Duration,
}

/// The log that is audited, and whom it is known from.
struct Audited<'a> {
    audit: &'a Audit,
    fetch: Fetch,
    trust: Trust,
}

impl Audit {
    /// Carries it out, telling how many leaves were read of how many. The state is replaced after a
    /// good audit only.
    ///
    /// Errors: [`Unchecked`] when it can't begin; what stops it later is in the report.
    pub async fn run(
        &self,
        clock: NodeClock,
        progress: impl Fn(u64, u64),
    ) -> Result<Report, Unchecked> {
        let client = Client::new(clock.clone(), self.reach());
        let client = client.map_err(Unchecked::of("HTTP client"))?;
        let fetch = Fetch { client, patience: self.patience, leaf: LEAF_BYTES };
        let documents = fetch.json(&self.server, "/network", DOCUMENTS).await?;
        let trust = Trust::verify(&documents, &self.root, None, clock.now(), &AwsPrimitives).await;
        let trust = trust.map_err(Unchecked::of(format!("{}/network", self.server)))?;
        let audited = Audited { audit: self, fetch, trust };
        let report = audited.report(progress).await?;
        if let (Some(file), Some(checkpoint), true) =
            (&self.state, &report.checkpoint, report.is_good())
        {
            kept::write(file, checkpoint)?;
        }
        Ok(report)
    }
}

impl Audit {
    /// As far as the addresses that it was given: a copy of a log may be on this machine.
    fn reach(&self) -> Reach {
        let given = [&self.server, &self.url].into_iter().chain(&self.witnesses);
        let local = |url: &&String| Reach::with_server(url, false) == Reach::Local;
        if given.into_iter().any(|url| local(&url)) { Reach::Local } else { Reach::Private }
    }
}

impl Audited<'_> {
    async fn report(&self, progress: impl Fn(u64, u64)) -> Result<Report, Unchecked> {
        let mut report = self.empty_report();
        let kept = match &self.audit.state {
            Some(file) => kept::read(file, |origin| self.key_of(origin)).await?,
            None => None,
        };
        report.kept = kept.as_ref().map(Claim::size);
        let Some((log, published)) = self.published(&mut report, kept.as_ref()).await? else {
            if report.is_empty {
                self.hold_to_nothing(&mut report).await?;
            }
            return Ok(report);
        };
        let mut claims = vec![Claim { checkpoint: published.clone(), source: Source::Log }];
        let key = log.log_key();
        claims.extend(kept.filter(|kept| kept.checkpoint.checkpoint().origin == key.name));
        claims.extend(self.ask_witnesses(log, &mut report).await?);
        self.replay(&mut report, published.checkpoint().size, claims, &progress).await;
        Ok(report)
    }

    /// What the witnesses know of the log.
    async fn ask_witnesses(
        &self,
        log: &NotaryLog,
        report: &mut Report,
    ) -> Result<Vec<Claim>, Unchecked> {
        let (key, mut claims) = (log.log_key(), Vec::new());
        let asked = self.witnesses(log)?.into_iter();
        let asked = asked.map(|(id, url)| witnesses::ask(&self.fetch, id, url, &key));
        for (witness, theirs) in join_all(asked).await {
            if !self.audit.witnesses.is_empty() {
                report.unfinished = report.unfinished.take().or(witness.silent.clone());
            }
            report.witnesses.push(witness);
            claims.extend(theirs);
        }
        Ok(claims)
    }

    /// A listed notary says that it has logged nothing yet: all others have to answer, and none may know
    /// of more. By its word alone nothing was checked.
    async fn hold_to_nothing(&self, report: &mut Report) -> Result<(), Unchecked> {
        let Some(notary) = self.notary_at(&self.audit.url) else { return Ok(()) };
        let listed = self.trust.notary(notary).ok();
        report.name = listed.map(|card| card.card().name.clone());
        let log = self.trust.log(notary).map_err(Unchecked::of(self.audit.url.clone()))?;
        let claims = self.ask_witnesses(log, report).await?;
        let silent = report.witnesses.iter().find_map(|witness| witness.silent.clone());
        let alone = format!("{}/log/checkpoint, and no other notary to ask", self.audit.url);
        let alone = report.witnesses.is_empty().then(|| Unchecked::of(alone)(Error::NotFound));
        report.unfinished = report.unfinished.take().or(silent).or(alone);
        for claim in claims {
            if claim.size() > 0 {
                report.faults.push(Fault::Shrunk { claim, leaves: 0 });
            }
        }
        Ok(())
    }

    fn key_of(&self, origin: &str) -> Result<NoteKey, Error> {
        Ok(self.trust.log(&notary_of(origin)?)?.log_key())
    }

    fn empty_report(&self) -> Report {
        Report {
            url: self.audit.url.clone(),
            name: None,
            checkpoint: None,
            is_empty: false,
            cosigned: Vec::new(),
            needed: self.trust.parameters().witnesses_needed(u64::MAX),
            time: None,
            kept: None,
            witnesses: Vec::new(),
            leaves: 0,
            counts: Counts::default(),
            faults: Faults::default(),
            unfinished: None,
        }
    }

    /// The log's checkpoint; none when it is no such thing, is gone since one was kept, or a listed
    /// notary has none yet.
    async fn checkpoint(
        &self,
        report: &mut Report,
        kept: Option<&Claim>,
    ) -> Result<Option<SignedCheckpoint>, Unchecked> {
        let (url, path) = (&self.audit.url, "/log/checkpoint");
        let note = match (self.fetch.bytes(url, path, MAX_TEXT).await, kept) {
            (Err(Unchecked { why: Error::AnswerTooLarge, .. }), _) => Vec::new(),
            (Ok(None), None) if self.notary_answers().await => {
                report.is_empty = true;
                return Ok(None);
            }
            (Ok(None), None) => return Err(Unchecked::of(format!("{url}{path}"))(Error::NotFound)),
            (Ok(None), Some(kept)) => {
                if let Some(notary) = self.notary_at(url) {
                    expect_of(kept, &origin(notary))?;
                }
                report.faults.push(Fault::Shrunk { claim: kept.clone(), leaves: 0 });
                return Ok(None);
            }
            (note, _) => note?.unwrap_or_default(),
        };
        let checkpoint = String::from_utf8(note).ok();
        report.checkpoint = checkpoint.and_then(|note| SignedCheckpoint::parse(&note).ok());
        if report.checkpoint.is_none() {
            report.faults.push(Fault::CheckpointMalformed);
        }
        Ok(report.checkpoint.clone())
    }

    /// The log and its checkpoint, with what is wrong with the signatures; none when there is nothing
    /// to read under it.
    async fn published(
        &self,
        report: &mut Report,
        kept: Option<&Claim>,
    ) -> Result<Option<(&NotaryLog, SignedCheckpoint)>, Unchecked> {
        let Some(checkpoint) = self.checkpoint(report, kept).await? else { return Ok(None) };
        let origin = checkpoint.checkpoint().origin.clone();
        let log = notary_of(&origin).and_then(|notary| self.trust.log(&notary));
        let Ok(log) = log else {
            report.faults.push(Fault::LogUnknown(origin));
            return Ok(None);
        };
        let listed = self.trust.notary(&log.notary).ok();
        report.name = listed.map(|card| card.card().name.clone());
        let other_here = self.notary_at(&self.audit.url).is_some_and(|id| *id != log.notary);
        if other_here {
            report.faults.push(Fault::OtherLog(origin.clone()));
        } else if let Some(kept) = kept {
            expect_of(kept, &origin)?;
        }
        if checkpoint.verify_log(&log.log_key(), &AwsPrimitives).await.is_err() {
            report.faults.push(Fault::SignatureForged);
            return Ok(None);
        }
        self.check_cosignatures(log, &checkpoint, report).await;
        Ok(Some((log, checkpoint)))
    }

    async fn check_cosignatures(
        &self,
        log: &NotaryLog,
        checkpoint: &SignedCheckpoint,
        report: &mut Report,
    ) {
        let mut found = Vec::new();
        for witness in self.trust.logs().iter().filter(|other| other.notary != log.notary) {
            match checkpoint.cosignature_time(&witness.witness_key(), &AwsPrimitives).await {
                Ok(time) => found.extend(time.map(|time| (witness.clone(), time))),
                Err(_) => report.faults.push(Fault::CosignatureForged(witness.notary.clone())),
            }
        }
        let cosignatures = Cosignatures::of(found.clone());
        let counts = |witness: &NotaryLog| cosignatures.witnesses().any(|one| one == witness);
        found.retain(|(witness, _)| counts(witness));
        report.cosigned = found.into_iter().map(|(witness, time)| (witness.notary, time)).collect();
        report.time = cosignatures.time();
        let parameters = self.trust.parameters();
        report.needed = cosignatures.needed(parameters);
        if !cosignatures.suffice(checkpoint.checkpoint(), log, parameters) {
            let (found, needed) = (report.cosigned.len(), report.needed);
            report.faults.push(match report.time.or(log.until) {
                Some(time) if !log.counts_at(time) => Fault::Former { until: log.until },
                _ => Fault::TooFewWitnesses { found, needed },
            });
        }
    }

    /// The notary that is listed at this URL.
    fn notary_at(&self, url: &str) -> Option<&NodeId> {
        let same = |endpoint: &Endpoint| endpoint.as_ref() == url.trim_end_matches('/');
        let mut notaries = self.trust.with_role(Role::Notary);
        let at = notaries.find(|card| card.card().endpoint.as_ref().is_some_and(same));
        at.map(|card| card.id())
    }

    /// Whether a listed notary answers at the log's address: that there is no log is its own word then.
    async fn notary_answers(&self) -> bool {
        let url = &self.audit.url;
        let asked = self.fetch.bytes(url, "/witness/state", WITNESSED).await;
        self.notary_at(url).is_some() && matches!(asked, Ok(Some(_)))
    }

    /// Whom to ask about this log, and where.
    fn witnesses(&self, log: &NotaryLog) -> Result<Vec<(NodeId, String)>, Unchecked> {
        let named = self.audit.witnesses.iter().map(|url| {
            let id = self.notary_at(url).cloned().ok_or(Error::NodeUnknown);
            Ok((id.map_err(Unchecked::of(format!("witness {url}")))?, url.clone()))
        });
        let listed = self.trust.with_role(Role::Notary).filter(|card| *card.id() != log.notary);
        let listed = listed
            .filter_map(|card| Some((card.id().clone(), card.card().endpoint.clone()?.into())));
        if self.audit.witnesses.is_empty() { Ok(listed.collect()) } else { named.collect() }
    }

    /// Reads the `published` leaves, and those that the log has signed beyond them.
    async fn replay(
        &self,
        report: &mut Report,
        published: u64,
        claims: Vec<Claim>,
        progress: &impl Fn(u64, u64),
    ) {
        let is_kept = |claim: &Claim| claim.source == Source::Kept;
        let beyond = claims.iter().filter(|claim| !is_kept(claim)).map(Claim::size).max();
        let signed = beyond.unwrap_or(published);
        let (mut faults, time) = (std::mem::take(&mut report.faults), report.time);
        if let Some(claim) = claims.iter().find(|claim| is_kept(claim) && claim.size() > published)
        {
            faults.push(Fault::Shrunk { claim: claim.clone(), leaves: published });
        }
        let mut replay = Replay::new(&self.fetch, &self.audit.url, claims, faults);
        let read = async {
            replay.read_to(published, &|leaves| progress(leaves, published)).await?;
            replay.hold_to_time(time);
            if replay.size() == published && signed > published {
                replay.read_to(signed, &|leaves| progress(leaves, signed)).await?;
            }
            for claim in replay.unmet().into_iter().filter(|claim| !is_kept(claim)) {
                let leaves = replay.size();
                replay.faults.push(Fault::Shrunk { claim, leaves });
            }
            replay.look_at_places().await
        };
        let unfinished = read.await.err();
        report.leaves = replay.size();
        (report.counts, report.faults) = (replay.counts, replay.faults);
        report.unfinished = report.unfinished.take().or(unfinished);
    }
}

/// That what was kept is of the log with this origin. Else it is nobody's fault: the file is another
/// log's.
fn expect_of(kept: &Claim, origin: &str) -> Result<(), Unchecked> {
    let theirs = &kept.checkpoint.checkpoint().origin;
    if theirs == origin {
        return Ok(());
    }
    let what = format!("state file of another log, {}", theirs.escape_debug());
    Err(Unchecked::of(what)(Error::EntryMismatch))
}
