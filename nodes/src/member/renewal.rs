//! How a member's card is renewed, and its encryption key with it.

use std::path::Path;

use hdms::Error;
use hdms::card::VerifiedCard;
use hdms::network::{Renewal, Trust};
use hdms::provider::{Clock, Store};

use super::{Member, card, put};
use crate::base::http::problem::Problem;
use crate::base::keys::{self, AwsKeys, Passphrase};

impl Member {
    /// A new card, with a new encryption key where that is due, which is on stable storage before the
    /// Doorman hears of it.
    pub(super) async fn ask_for_card(
        &self,
        before: &VerifiedCard,
        trust: &Trust,
    ) -> Result<VerifiedCard, Problem> {
        let inner = &*self.0;
        let (own, now) = ((&*inner.keys, &inner.store), inner.clock.now());
        if card::renewal(before, own, trust, now).await? == Renewal::CardAndKey {
            self.with_key_file(keys::renew_encryption_key).await?;
        }
        let jwt =
            card::ask((&inner.config, &inner.keys), &inner.client, &inner.clock, Some(before))
                .await?;
        let card = card::checked(&jwt, &inner.keys, trust, inner.clock.now()).await?;
        inner.store.commit(vec![put(card::CARD, jwt.into_bytes())]).await?;
        Ok(card)
    }

    /// Gives former encryption keys their time, and deletes those that have had it.
    pub(super) async fn retire_keys(&self, card: &VerifiedCard) {
        let (inner, now) = (&*self.0, self.0.clock.now());
        if card::names_newest_key(card, &inner.keys) && inner.keys.some_retire(now.seconds()) {
            let retired = self.with_key_file(move |keys, dir, passphrase| {
                keys::retire_encryption_keys(keys, (dir, passphrase), now)
            });
            if let Err(error) = retired.await {
                tracing::error!(%error, "former keys were not deleted");
            }
        }
    }

    /// Works on the key file where it may take its time.
    async fn with_key_file(
        &self,
        work: impl FnOnce(&AwsKeys, &Path, &Passphrase) -> Result<(), Error> + Send + 'static,
    ) -> Result<(), Error> {
        // Not the member, and with it the database, which would outlast the node when it is stopped.
        let (keys, config) = (self.0.keys.clone(), &self.0.config);
        let (data, passphrase) = (config.data.clone(), config.passphrase.clone());
        let work = move || work(&keys, &data, &passphrase);
        tokio::task::spawn_blocking(work).await.map_err(|_| Error::NodeRestarted)?
    }
}
