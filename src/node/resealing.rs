//! What was sealed to a key that its recipient has given up: sealed anew, and still the same message.

use super::outbox_item::{OutboxItem, Payload};
use super::{Node, Platform, put};
use crate::card::VerifiedCard;
use crate::envelope;
use crate::error::Error;
use crate::ids::NodeId;
use crate::json;
use crate::provider::{Store, Table};

impl<P: Platform> Node<P> {
    /// The card with which `of` has answered that it has another encryption key: kept when it is
    /// newer than the one known. [`Error::FormerKey`] when it is not: there is nothing to seal to.
    /// Further errors: those of [`VerifiedCard::vouched`] and [`VerifiedCard::verify_chain`],
    /// [`Error::CardMismatch`], those of a card that will not do even for later.
    pub async fn learn_card(&self, of: &NodeId, jwt: &str) -> Result<(), Error> {
        let (trust, primitives) = (self.trust(), self.platform.primitives());
        let card = VerifiedCard::verify_chain(jwt, &trust, primitives).await?;
        card.encryption_key()?;
        if card.id() != of {
            return Err(Error::CardMismatch);
        }
        self.check_for_later(&card)?;
        match self.known_card(of).await {
            Ok(known) if !is_newer(&card, &known) => Err(Error::FormerKey),
            Ok(_) | Err(Error::CardUnknown) => {
                let write = put(Table::Cards, of.to_string(), jwt.into());
                self.platform.store().commit(vec![write]).await
            }
            Err(error) => Err(error),
        }
    }

    /// The item sealed anew to the newest card of its recipient, kept so. Deposits are sealed
    /// whenever they are sent. One of a version that did not keep what it had signed can't be: it is
    /// given up, as its case takes nothing new anyway. [`Error::FormerKey`] when it is sealed to that
    /// card's key already. Further errors: those of a card that will not do even for later,
    /// [`Error::EnvelopeTooLarge`].
    async fn seal_anew(&self, item: &OutboxItem) -> Result<Option<OutboxItem>, Error> {
        let Payload::Envelope { kind, compact, signed } = &item.payload else {
            return Ok(Some(item.clone()));
        };
        let to = self.card_for_later(&item.to).await?;
        if to.is_present_encryption_key(&envelope::addressed_key(compact)?) {
            return Err(Error::FormerKey);
        }
        let Some(signed) = signed.clone() else {
            self.refused(item, Error::FormerCase.code()).await?;
            return Ok(None);
        };
        let (primitives, randomness) = (self.platform.primitives(), self.platform.randomness());
        let compact = envelope::seal_signed(&signed, &to, primitives, randomness).await?;
        let payload = Payload::Envelope { kind: kind.clone(), compact, signed: Some(signed) };
        let item = OutboxItem { payload, ..item.clone() };
        let write = put(Table::Outbox, item.id.clone(), json::write(&item)?);
        self.platform.store().commit(vec![write]).await?;
        Ok(Some(item))
    }

    /// What to do with items whose recipient has answered [`Error::FormerKey`] with its card: they go
    /// again at once, sealed anew, but for those of before version 2, which are given up. Errors as
    /// [`Node::learn_card`] and when one is sealed: they wait.
    pub async fn former_key(
        &self,
        items: &[OutboxItem],
        card: Option<&str>,
    ) -> Result<Vec<OutboxItem>, Error> {
        let (Some(first), Some(card)) = (items.first(), card) else {
            return Err(Error::FormerKey);
        };
        match self.learn_card(&first.to, card).await {
            Ok(()) => {}
            // The item may have been sealed before the card came. What is sealed just before it is sent
            // was not.
            Err(Error::FormerKey) if matches!(first.payload, Payload::Envelope { .. }) => {}
            Err(error) => return Err(error),
        }
        let mut anew = Vec::with_capacity(items.len());
        for item in items {
            anew.extend(self.seal_anew(item).await?);
        }
        Ok(anew)
    }
}

/// Whether a card was issued later, and names no encryption key of before, but where the signing key
/// has changed since: then nothing that was said under the former one counts.
fn is_newer(card: &VerifiedCard, known: &VerifiedCard) -> bool {
    let said = |card: &VerifiedCard| (card.keys().changes().len(), card.subkeys_stated());
    card.card().iat > known.card().iat && said(card) >= said(known)
}
