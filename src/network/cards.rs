//! Cards held against what the network says: who signed them, and whether they count.

use super::{Doormen, Trust};
use crate::card::VerifiedCard;
use crate::error::Error;
use crate::provider::{Primitives, Timestamp};

impl VerifiedCard {
    /// Checks form, Doorman's signature, node id, expiry and revocation, in this order.
    ///
    /// Errors: [`Error::CardMalformed`], [`Error::CardForged`], [`Error::CardMismatch`], those of
    /// [`VerifiedCard::check_validity`].
    pub async fn verify(
        jwt: &str,
        trust: &Trust,
        now: Timestamp,
        primitives: &impl Primitives,
    ) -> Result<Self, Error> {
        let verified = Self::verify_chain(jwt, trust, primitives).await?;
        verified.encryption_key()?;
        verified.check_validity(trust, now)?;
        Ok(verified)
    }

    /// Only form, Doorman's signature, node id and keys: for a card with which a node reads what it
    /// keeps however old the card or the revocation list, also one that names no subkeys. Others check the
    /// rest.
    pub async fn verify_chain(
        jwt: &str,
        trust: &Trust,
        primitives: &impl Primitives,
    ) -> Result<Self, Error> {
        if let Some(checked) = trust.checked(jwt) {
            return Ok(checked);
        }
        let verified = Self::issued_by(jwt, trust.doormen(), primitives).await?;
        trust.remember(&verified);
        Ok(verified)
    }

    /// The same by a list of Doormen.
    pub async fn issued_by(
        jwt: &str,
        doormen: &Doormen,
        primitives: &impl Primitives,
    ) -> Result<Self, Error> {
        Self::signed(jwt, |kid, time| doormen.key(kid, time), primitives).await
    }

    /// [`Error::CardExpired`], [`Error::CardRevoked`], [`Error::CardSuperseded`], or
    /// [`Error::NetworkStale`] when the revocation list is too old to say.
    pub fn check_validity(&self, trust: &Trust, now: Timestamp) -> Result<(), Error> {
        if now.seconds() >= self.card().exp {
            return Err(Error::CardExpired);
        }
        match trust.check_revocation(self.id(), now) {
            Err(Error::CardRevoked) => Err(Error::CardRevoked),
            known => trust.check_superseded(self.id(), self.card().iat).and(known),
        }
    }
}
