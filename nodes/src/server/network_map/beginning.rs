//! Whether what is known here is all that was said: at the start, and where a manifest finds no witnesses.

use std::sync::atomic::Ordering;
use std::time::Duration;

use hdms::Error;
use tokio::time::Instant;

use super::super::certificate::Certificate;
use super::super::manifests;
use super::super::nodes;
use super::super::recovery::{Recovery, ServerStanding};
use super::{Network, signing};
use crate::base::log::tree::Tree;

/// How long the notaries have to say and to give back what they have witnessed, and for each manifest
/// besides: before the server serves, and later.
const HEAD_START: (Duration, Duration) = (Duration::from_secs(3), Duration::ZERO);
pub(super) const LATER: (Duration, Duration) = (Duration::from_secs(10), Duration::from_millis(50));

impl Network {
    /// Offers what was said before. More is signed once the server serves, but by one that has nobody to
    /// ask, or nothing to offer yet.
    pub async fn begin(&self) -> Result<(), Error> {
        let is_newest = self.recover(&mut *self.refreshes.lock().await, HEAD_START).await?;
        self.offer().await?;
        let listed = self.database.read(nodes::listed).await?;
        let is_alone = manifests::members(&listed).is_empty();
        let begins = is_newest && (is_alone || self.offered().documents.is_none());
        if begins { self.refresh().await } else { Ok(()) }
    }

    /// At the start, and where the newest manifest finds no witnesses, sees whether they have witnessed
    /// others, which are taken back, all within this time and that for each of them. Answers whether
    /// anything may be signed.
    pub(super) async fn recover(
        &self,
        tree: &mut Tree,
        (within, each): (Duration, Duration),
    ) -> Result<bool, Error> {
        let newest = self.manifests.newest().await?;
        let is_stuck = newest.as_ref().is_some_and(|newest| !newest.is_published);
        let mut is_newest = self.is_newest.load(Ordering::Relaxed);
        let certificate = self.certificate();
        let claims = newest.as_ref().map(|newest| &newest.claims);
        // Where nobody had to be heard at the start, who co-signs nothing may have seen more.
        let is_doubted = signing::required(claims, &certificate).is_empty() && self.is_behind();
        if is_newest && !is_stuck && !is_doubted {
            return Ok(true);
        }
        match self.take_back(tree, &certificate, (within, each)).await? {
            ServerStanding::Newest => is_newest = true,
            ServerStanding::Behind => is_newest = false,
            ServerStanding::Taken(_) | ServerStanding::Unheard => {}
        }
        self.is_newest.store(is_newest, Ordering::Relaxed);
        if !is_newest && !self.behind.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "nothing is signed until most notaries have said what they have witnessed"
            );
        }
        Ok(is_newest)
    }

    /// Takes back what the witnesses have seen, until none has seen more.
    async fn take_back(
        &self,
        tree: &mut Tree,
        certificate: &Certificate,
        (within, each): (Duration, Duration),
    ) -> Result<ServerStanding, Error> {
        let recovery = Recovery {
            client: &self.client,
            manifests: &self.manifests,
            certificate,
            clock: &self.clock,
            until: Instant::now() + within,
            each,
        };
        loop {
            // What was taken back may name other witnesses.
            let newest = self.manifests.newest().await?;
            let claims = newest.as_ref().map(|newest| &newest.claims);
            let required = signing::required(claims, certificate);
            let listed = self.database.read(nodes::listed).await?;
            let notaries = manifests::notaries(&listed, &required);
            match recovery.run(&notaries, &required).await? {
                // Another may have seen still more.
                ServerStanding::Taken(taken) => *tree = taken,
                standing => return Ok(standing),
            }
        }
    }
}
