//! When a node asks for another card, and when it comes with a newer encryption key.

use super::Trust;
use crate::card::{LIFETIME, VerifiedCard};
use crate::error::Error;
use crate::jwk::EcJwk;
use crate::provider::{Store, Table, Timestamp, Write};

/// How long a card is not asked for again that the server seems to lack, or that is refused until its
/// node is no longer revoked, milliseconds.
pub const RENEWAL_PAUSE: u64 = 15 * 60_000;

/// Key of [`Table::Meta`]: since when a node has had its newest encryption key by its own clock, seconds,
/// and after a space the key's thumbprint.
const HELD: &str = "card/key";

/// What a node does about its card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// Keeps it.
    NotDue,
    /// Asks for another that names the subkeys which it has.
    Card,
    /// The same each [`RENEWAL_PAUSE`]: it was revoked, and is refused until it is not.
    Revoked,
    /// Has a new encryption key first, on stable storage, and asks for a card that names it.
    CardAndKey,
}

impl VerifiedCard {
    /// What its node does about this card at `now`, whose newest encryption key has the thumbprint
    /// `newest`, and whose request key is `request`. The encryption key is renewed, and the card with it,
    /// from two thirds of a card's life on, since the node has had it by its own clock, however young the
    /// cards are that it is given; before, a card is asked for when this one names other subkeys, after a
    /// renewal that broke off, or none, or does not count any more. Errors: those of the store.
    pub async fn renewal(
        &self,
        (newest, request): (&str, &EcJwk),
        store: &impl Store,
        trust: &Trust,
        now: Timestamp,
    ) -> Result<Renewal, Error> {
        use Error::{CardExpired, CardForged, CardRevoked, CardSuperseded};
        if now.seconds() >= self.key_held(newest, store, now).await? + LIFETIME * 2 / 3 {
            return Ok(Renewal::CardAndKey);
        }
        if !self.names_subkeys(newest, request) {
            return Ok(Renewal::Card);
        }
        Ok(match trust.check_standing(self, now) {
            Err(CardRevoked) => Renewal::Revoked,
            Err(CardForged | CardExpired | CardSuperseded) => Renewal::Card,
            _ => Renewal::NotDue,
        })
    }

    /// Since when the node has had this encryption key, seconds. One that is not known yet is as old as the
    /// node's own statement in the card, whatever the Doorman says of when that was issued, or else new.
    async fn key_held(&self, kid: &str, store: &impl Store, now: Timestamp) -> Result<u64, Error> {
        let (now, kept) = (now.seconds(), store.read(Table::Meta, HELD).await?);
        let kept = kept.and_then(|text| String::from_utf8(text).ok());
        let kept = kept.as_deref().and_then(|text| text.split_once(' '));
        let since = kept.filter(|(_, kept)| *kept == kid).and_then(|(since, _)| since.parse().ok());
        // A clock that was ahead keeps no key young.
        if let Some(since) = since.filter(|since| *since <= now) {
            return Ok(since);
        }
        let stated = self.subkeys_stated().filter(|_| self.is_present_encryption_key(kid));
        let since = stated.map_or(now, |stated| now.min(stated));
        let value = format!("{since} {kid}").into();
        store.commit(vec![Write::Put { table: Table::Meta, key: HELD.into(), value }]).await?;
        Ok(since)
    }
}
