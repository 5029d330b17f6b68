//! The log of a network's manifests audited from outside: every manifest is read, every hash computed
//! anew, and all held against what the log has signed, as its witnesses and the last audit know it, and
//! against who had to co-sign. Trusted is the network's root key and nothing else.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::future::join_all;
use hdms::Error;
use hdms::base64url::digest;
use hdms::card::Role;
use hdms::jwk::RsaJwk;
use hdms::log::merkle::leaf_hash;
use hdms::log::{Hash, MAX_TEXT, NoteKey, SignedCheckpoint};
use hdms::network::{Doormen, Manifest, Numbered, Trust, leaf, majority, verify_by};
use hdms::provider::Clock;

use crate::base::audit::fetch::Fetch;
use crate::base::audit::replay::Replay;
use crate::base::audit::{
    Claim, Counts, Fault, Faults, Source, Unchecked, Witness, kept, witnesses,
};
use crate::base::http::client::Client;
use crate::base::http::reach::Reach;
use crate::base::keys::AwsPrimitives;
use crate::base::log::tree::{self, Tree};
use crate::base::system::NodeClock;

/// Largest answer with the network's documents, bytes.
const DOCUMENTS: usize = 64 * 1024 * 1024;

/// Largest answer with a manifest, bytes.
const MANIFEST: usize = 1024 * 1024;

/// What is audited, and how.
#[derive(Clone, Debug)]
pub struct ManifestsAudit {
    /// The server's base URL.
    pub url: String,
    /// The network's root key.
    pub root: RsaJwk,
    /// File in which the checkpoint of the last good audit is kept.
    pub state: Option<PathBuf>,
    /// How long one answer may take.
    pub patience: Duration,
}

/// What an audit has come to.
#[derive(Debug)]
pub struct ManifestsReport {
    /// The network's name.
    pub name: String,
    /// The log's checkpoint.
    pub checkpoint: SignedCheckpoint,
    /// The number of the manifest that nodes are offered.
    pub offered: u64,
    /// Manifests that nobody had to co-sign.
    pub unwatched: u64,
    /// Manifests under a list of the Doorman's keys that is not offered any more and that the server has not
    /// kept: who had to co-sign the first of each is not known, nor who has signed.
    pub former: u64,
    /// What was read.
    pub counts: Counts,
    /// What the notaries know of the log.
    pub witnesses: Vec<Witness>,
    /// What is wrong.
    pub faults: Faults,
}

/// Lists of the Doorman's keys, by digest.
type Lists = HashMap<String, Doormen>;

struct AuditedManifests<'a> {
    audit: &'a ManifestsAudit,
    fetch: Fetch,
    trust: Trust,
    key: NoteKey,
}

impl ManifestsAudit {
    /// Carries it out. The state is replaced after a good audit only. [`Unchecked`] when it can't be
    /// carried out to its end.
    pub async fn run(&self, clock: NodeClock) -> Result<ManifestsReport, Unchecked> {
        let reach = Reach::with_server(&self.url, true);
        let client = Client::new(clock.clone(), reach).map_err(Unchecked::of("HTTP client"))?;
        let fetch = Fetch { client, patience: self.patience, leaf: size_of::<Hash>() };
        let documents = fetch.json(&self.url, "/network", DOCUMENTS).await?;
        let trust = Trust::verify(&documents, &self.root, None, clock.now(), &AwsPrimitives).await;
        let trust = trust.map_err(Unchecked::of(format!("{}/network", self.url)))?;
        let key = trust.manifests_log().map_err(Unchecked::of("manifests' log"))?;
        let report = AuditedManifests { audit: self, fetch, trust, key }.report().await?;
        if let (Some(file), 0) = (&self.state, report.faults.count()) {
            kept::write(file, &report.checkpoint)?;
        }
        Ok(report)
    }
}

impl AuditedManifests<'_> {
    async fn report(&self) -> Result<ManifestsReport, Unchecked> {
        let checkpoint = self.checkpoint().await?;
        let mut claims =
            vec![Claim { checkpoint: checkpoint.clone(), source: Source::Log }, self.offered()];
        // As a rule it is the newest.
        claims.dedup_by(|one, other| one.checkpoint.checkpoint() == other.checkpoint.checkpoint());
        if let Some(file) = &self.audit.state {
            let key_of = |origin: &str| {
                if origin == self.key.name { Ok(self.key.clone()) } else { Err(Error::LogForged) }
            };
            claims.extend(kept::read(file, key_of).await?);
        }
        let mut report = ManifestsReport {
            name: self.trust.parameters().name.clone(),
            checkpoint,
            offered: self.trust.manifest().number,
            unwatched: 0,
            former: 0,
            counts: Counts::default(),
            witnesses: Vec::new(),
            faults: Faults::default(),
        };
        let notaries = self.trust.with_role(Role::Notary);
        let asked = notaries.filter_map(|card| {
            let url = card.card().endpoint.clone()?.into();
            Some(witnesses::ask(&self.fetch, card.id().clone(), url, &self.key))
        });
        for (witness, theirs) in join_all(asked).await {
            report.witnesses.push(witness);
            claims.extend(theirs);
        }
        self.replay(&mut report, claims).await?;
        self.look_at_manifests(&mut report).await?;
        Ok(report)
    }

    async fn checkpoint(&self) -> Result<SignedCheckpoint, Unchecked> {
        let (url, path) = (&self.audit.url, "/manifests/log/checkpoint");
        let unchecked = || Unchecked::of(format!("{url}{path}"));
        let note = self.fetch.bytes(url, path, MAX_TEXT).await?;
        let note = note.ok_or(Error::NotFound).map_err(unchecked())?;
        let note = String::from_utf8(note).map_err(|_| Error::LogForged).map_err(unchecked())?;
        let checkpoint = SignedCheckpoint::parse(&note).map_err(unchecked())?;
        checkpoint.verify_log(&self.key, &AwsPrimitives).await.map_err(unchecked())?;
        Ok(checkpoint)
    }

    /// What the documents rest on.
    fn offered(&self) -> Claim {
        Claim { checkpoint: self.trust.checkpoint().clone(), source: Source::Log }
    }

    /// Reads the log, and holds it against the claims.
    async fn replay(
        &self,
        report: &mut ManifestsReport,
        claims: Vec<Claim>,
    ) -> Result<(), Unchecked> {
        let base = format!("{}/manifests", self.audit.url.trim_end_matches('/'));
        let published = report.checkpoint.checkpoint().size;
        let mut replay =
            Replay::new(&self.fetch, &base, claims, std::mem::take(&mut report.faults));
        replay.read_to(published, &|_| ()).await?;
        for claim in replay.unmet() {
            // What is co-signed and waits for the others is not published yet: one is no fault.
            let leaves = replay.size();
            if claim.source == Source::Kept || claim.size() > leaves + 1 {
                replay.faults.push(Fault::Shrunk { claim, leaves });
            }
        }
        (report.counts, report.faults) = (replay.counts, replay.faults);
        Ok(())
    }

    /// Reads every manifest up to one that is not there, and looks who has co-signed it.
    async fn look_at_manifests(&self, report: &mut ManifestsReport) -> Result<(), Unchecked> {
        let (mut tree, mut before, mut lists) = (Tree::default(), None, Lists::default());
        self.keep(&self.trust.documents().doormen, &mut lists).await;
        for number in 1..=report.checkpoint.checkpoint().size {
            let path = format!("/manifests/{number}");
            let numbered = self.fetch.found(&self.audit.url, &path, MANIFEST).await?;
            let Some(numbered): Option<Numbered> = numbered else {
                report.faults.push(Fault::ManifestMissing(number));
                return Ok(());
            };
            tree.push(leaf_hash(&leaf(&numbered.manifest)));
            if let Some(list) = &numbered.doormen {
                self.keep(list, &mut lists).await;
            }
            let Ok((claims, checkpoint)) = self.read(&numbered, number, &tree, &lists).await else {
                report.faults.push(Fault::ManifestForged(number));
                before = None;
                continue;
            };
            let list = lists.get(&claims.doormen);
            self.look_at_witnesses(report, (before.as_ref(), list), &claims, &checkpoint).await;
            before = Some(claims);
        }
        Ok(())
    }

    /// Keeps a list of the Doorman's keys that the root key has signed.
    async fn keep(&self, jwt: &str, lists: &mut Lists) {
        let list = verify_by::<Doormen>(jwt, &[&self.audit.root], &AwsPrimitives).await;
        lists.extend(list.ok().map(|list| (digest(jwt), list)));
    }

    /// What a manifest says, and the checkpoint whose last leaf it is.
    async fn read(
        &self,
        numbered: &Numbered,
        number: u64,
        tree: &Tree,
        lists: &Lists,
    ) -> Result<(Manifest, SignedCheckpoint), Error> {
        let claims = Manifest::unverified(&numbered.manifest)?;
        if let Some(list) = lists.get(&claims.doormen) {
            let key = list.key(claims.iss.as_ref(), claims.iat).ok_or(Error::NetworkForged)?;
            verify_by::<Manifest>(&numbered.manifest, &[key], &AwsPrimitives).await?;
        }
        let checkpoint = SignedCheckpoint::parse(&numbered.checkpoint)?;
        checkpoint.verify_log(&self.key, &AwsPrimitives).await?;
        let (signed, root) = (checkpoint.checkpoint(), tree::root(tree, number)?);
        let same = (signed.size, signed.root, claims.number) == (number, root, number);
        if same { Ok((claims, checkpoint)) } else { Err(Error::LogForged) }
    }

    async fn look_at_witnesses(
        &self,
        report: &mut ManifestsReport,
        (before, list): (Option<&Manifest>, Option<&Doormen>),
        claims: &Manifest,
        checkpoint: &SignedCheckpoint,
    ) {
        report.former += u64::from(list.is_none());
        let same_list = before.filter(|before| before.doormen == claims.doormen);
        let required = match (same_list, list) {
            (Some(before), _) => &before.witnesses[..],
            (None, Some(list)) => list.log.as_ref().map_or(&[][..], |log| &log.witnesses),
            (None, None) => return,
        };
        let mut cosigned = 0;
        for witness in required {
            match checkpoint.cosignature_time(&witness.key(), &AwsPrimitives).await {
                Ok(time) => cosigned += usize::from(time.is_some()),
                Err(_) => report.faults.push(Fault::CosignatureForged(witness.notary.clone())),
            }
        }
        report.unwatched += u64::from(required.is_empty());
        if cosigned < majority(required.len()) {
            report.faults.push(Fault::ManifestUnwitnessed(claims.number));
        }
    }
}
