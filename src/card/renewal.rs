//! When a node asks for another card, and when it comes with a newer encryption key.

use super::{LIFETIME, VerifiedCard};
use crate::error::Error;
use crate::network::Trust;
use crate::provider::Timestamp;

/// What a node does about its card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// Keeps it.
    NotDue,
    /// Asks for another that names the encryption key which it has.
    Card,
    /// Has a new encryption key first, on stable storage, and asks for a card that names it.
    CardAndKey,
}

impl VerifiedCard {
    /// What its node does about this card at `now`, whose newest encryption key has the thumbprint
    /// `newest`. From two thirds of the card's life on the encryption key is renewed with it; before, a
    /// card is asked for when this one names another key, after a renewal that broke off or as one of
    /// version 1, or does not count any more.
    pub fn renewal(&self, newest: &str, trust: &Trust, now: Timestamp) -> Renewal {
        use Error::{CardExpired, CardForged, CardRevoked, CardSuperseded};
        if !self.is_present_encryption_key(newest) {
            return Renewal::Card;
        }
        if now.seconds() >= self.card.iat + LIFETIME * 2 / 3 {
            return Renewal::CardAndKey;
        }
        match trust.check_standing(self, now) {
            Err(CardForged | CardExpired | CardRevoked | CardSuperseded) => Renewal::Card,
            _ => Renewal::NotDue,
        }
    }
}
