//! Both participants' parts in the draw of a case's notary ([`crate::ledger::Draw`]).

use super::{Node, OutboxItem, Payload, Platform};
use crate::card::Role;
use crate::envelope::Opened;
use crate::error::Error;
use crate::ids::NodeId;
use crate::ledger::{Draw, Drawn, Entry, Passed, SILENCE, VerifiedDraw};
use crate::network::{Manifest, Trust};
use crate::provider::CLOCK_SKEW;
use crate::treatment::hospital::HospitalCase;
use crate::treatment::message::Ranking;

/// How long after its end a request may still go by a manifest, seconds: what was asked for in time
/// may have waited for one of the two.
const GRACE: u64 = 7 * 24 * 3600;

/// Items read from the outbox at a time.
const PAGE: usize = 500;

impl<P: Platform> Node<P> {
    /// The patient's part, by the manifest that this node holds. [`Error::NodeUnknown`],
    /// [`Error::NoNotary`].
    pub(super) fn draw(&self, trust: &Trust, hospital: &NodeId) -> Result<Draw, Error> {
        let card = trust.node(hospital)?;
        card.expect_role(Role::Institution).map_err(|_| Error::NodeUnknown)?;
        let claims = trust.manifest();
        if claims.notaries.is_empty() {
            return Err(Error::NoNotary);
        }
        let key = card.card().signing_key.thumbprint();
        let manifest = &trust.documents().manifest;
        Draw::new(claims.number, manifest, key, self.platform.randomness())
    }

    /// The hospital's part, made when a request comes: the notaries of the manifest that it goes by,
    /// in rank.
    ///
    /// Errors: [`Error::EntryMismatch`] when the request came with another manifest than it names,
    /// [`Error::ManifestUnknown`], [`Error::RequestOutdated`].
    pub(super) async fn rank(&self, entry: &Entry, manifest: &str) -> Result<Ranking, Error> {
        let draw = entry.draw.as_ref().filter(|draw| draw.goes_by(manifest));
        let draw = draw.ok_or(Error::EntryMismatch)?;
        let trust = self.trust();
        let claims = trust.earlier(manifest, self.platform.primitives()).await?;
        if claims.number != draw.number {
            return Err(Error::EntryMismatch);
        }
        self.expect_recent(&claims, draw)?;
        let drawn = Drawn::sign(entry, self.platform.keys()).await?;
        let notaries = draw.ranked(&claims.notaries, &drawn.signature);
        Ok(Ranking { notaries, drawn })
    }

    /// Deposits each request whose notary is none any more, or has answered nothing for a day, at the
    /// next in rank. To be called now and then, and once the node trusts newer documents.
    ///
    /// Errors: those of the store.
    pub async fn pass_over(&self) -> Result<(), Error> {
        let mut after = String::new();
        loop {
            let page = self.waiting(&after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.id.clone();
            for item in page.into_iter().filter(|item| item.refused.is_none()) {
                self.pass_over_all(item).await?;
            }
        }
    }

    /// Deposits a request at the first in rank that is not to be passed over.
    pub(super) async fn pass_over_all(&self, mut item: OutboxItem) -> Result<(), Error> {
        loop {
            match self.pass_over_at(&item).await {
                Ok(true) => {}
                // Others may have a next one.
                Ok(false) | Err(Error::NoNotary | Error::NotAllowedNow) => return Ok(()),
                Err(error) => return Err(error),
            }
            let Some(next) = self.waiting_item(&item.id).await? else { return Ok(()) };
            item = next;
        }
    }

    /// Whether the request goes to the next in rank.
    async fn pass_over_at(&self, item: &OutboxItem) -> Result<bool, Error> {
        let Payload::Deposit { endorsements, draw: Some(_), .. } = &item.payload else {
            return Ok(false);
        };
        let _guard = self.platform.lock_case(&item.case).await;
        let case: HospitalCase = self.case(&item.case).await?;
        let still = case.notary.as_ref() == Some(&item.to);
        let Some(passed) = self.passed(item, case.entry.draw.as_ref()).filter(|_| still) else {
            return Ok(false);
        };
        let endorsed = self.endorsed(&item.entries()?, endorsements).await?;
        let step = case.pass_over(passed, endorsed, self.now())?;
        self.carry_out(&item.case, step, Vec::new()).await?;
        Ok(true)
    }

    /// Why the next in rank counts, if it does.
    fn passed(&self, item: &OutboxItem, draw: Option<&Draw>) -> Option<Passed> {
        let (trust, notary) = (self.trust(), item.to.clone());
        let manifest = trust.manifest();
        if manifest.expect_delisted(&notary, draw?).is_ok() {
            return Some(Passed { notary, delisted: Some(manifest.number), silent: None });
        }
        let since = item.since.seconds();
        // What it refuses until something is mended, a card for one, it has answered.
        let problem = item.attempts.problem.as_deref().and_then(Error::from_code);
        let has_answered = problem.is_some_and(|error| !error.is_transient());
        let is_silent = !has_answered && self.now().seconds() >= since.saturating_add(SILENCE);
        is_silent.then_some(Passed { notary, delisted: None, silent: Some(since) })
    }

    fn expect_recent(&self, manifest: &Manifest, draw: &Draw) -> Result<(), Error> {
        let now = self.now().seconds();
        if manifest.iat > now.saturating_add(CLOCK_SKEW) {
            return Err(Error::NotYetValid);
        }
        let is_own = self.card().card().signing_key.thumbprint() == draw.key.as_ref();
        let is_recent = now < manifest.exp.saturating_add(GRACE);
        if is_own && is_recent { Ok(()) } else { Err(Error::RequestOutdated) }
    }

    /// The hospital's part as it comes to the patient; whether who was passed over was silent for a day is
    /// for [`VerifiedDraw::expect`], with the receipt. [`Error::NotDrawn`]; [`Error::ManifestUnknown`]
    /// where a notary is said to be delisted by a manifest that this node has yet to see.
    pub(super) async fn verify_draw(
        &self,
        opened: &Opened,
        entry: &Entry,
        drawn: Drawn,
    ) -> Result<VerifiedDraw, Error> {
        let (keys, primitives) = (opened.sender().keys(), self.platform.primitives());
        let draw = VerifiedDraw::verify(entry, drawn, keys, primitives).await?;
        let trust = self.trust();
        for (number, notary) in draw.delisted() {
            if number > trust.manifest().number {
                return Err(Error::ManifestUnknown);
            }
            trust.manifest().expect_delisted(notary, draw.draw())?;
        }
        Ok(draw)
    }
}
