//! Whose keys a node reads and writes with: the cards of others, and what their keys have signed.

use super::{Node, Platform};
use crate::card::{self, Role, VerifiedCard};
use crate::error::Error;
use crate::ids::{CaseId, EntryId, NodeId};
use crate::network;
use crate::provider::Table;
use crate::record::sdjwt::Parts;
use crate::record::{self, VerifiedRecord};
use crate::treatment::message::SharedRecord;

impl<P: Platform> Node<P> {
    /// The card of a node that the map lists or that has written before. [`Error::CardUnknown`],
    /// those of [`VerifiedCard::verify`].
    pub async fn card_of(&self, id: &NodeId) -> Result<VerifiedCard, Error> {
        let card = self.known_card(id).await?;
        card.check_validity(&self.trust(), self.now())?;
        Ok(card)
    }

    /// As [`Node::card_of`], for what a person decides while the network is away: with a revocation
    /// list too old to rely on, the card will do to prepare a message, which then waits for a newer
    /// list before it is sent. A personal node's card will also do once it has expired or was
    /// superseded: its server has the newer one, to whose key the message is sealed anew.
    pub(super) async fn card_for_later(&self, id: &NodeId) -> Result<VerifiedCard, Error> {
        let card = self.known_card(id).await?;
        self.check_for_later(&card)?;
        Ok(card)
    }

    /// Whether a card will do for [`Node::card_for_later`]. Errors: those of
    /// [`VerifiedCard::check_validity`].
    pub(super) fn check_for_later(&self, card: &VerifiedCard) -> Result<(), Error> {
        match card.check_validity(&self.trust(), self.now()) {
            Err(Error::CardExpired | Error::CardSuperseded)
                if card.card().role == Role::Personal =>
            {
                // An expired card may be a revoked one.
                let revoked = self.trust().check_revocation(card.id(), self.now());
                revoked
                    .or_else(|error| if error == Error::CardRevoked { Err(error) } else { Ok(()) })
            }
            Err(error) if error != Error::NetworkStale => Err(error),
            _ => Ok(()),
        }
    }

    /// The card of a node whatever became of it since. [`Error::CardUnknown`], those of
    /// [`VerifiedCard::verify_chain`].
    pub async fn known_card(&self, id: &NodeId) -> Result<VerifiedCard, Error> {
        let trust = self.trust();
        let jwt = self.youngest_card(id).await?;
        if let Ok(listed) = trust.node(id)
            && listed.jwt() == jwt
        {
            return Ok(listed.clone());
        }
        VerifiedCard::verify_chain(&jwt, &trust, self.platform.primitives()).await
    }

    /// What a node is called: as the map lists it, or else as the card says that is kept of it, or as it
    /// was listed last; none when it never was. A name is the Doorman's word, so that of a kept card counts
    /// as long as its chain holds: it may be by a key that was stolen, and that the root has withdrawn since.
    pub async fn name_of(&self, id: &NodeId) -> Result<Option<String>, Error> {
        if id == self.id() {
            return Ok(Some(self.card().card().name.clone()));
        }
        if let Ok(listed) = self.trust().node(id) {
            return Ok(Some(listed.card().name.clone()));
        }
        match self.known_card(id).await {
            Ok(card) => Ok(Some(card.card().name.clone())),
            Err(error) if error.is_transient() => Err(error),
            Err(_) => self.read_text(Table::Meta, &network::former_name(id)).await,
        }
    }

    /// The younger of the card that the map lists and the one that came with a message: a node may
    /// write with changed keys before the newer map is here. Of this node, its own. [`Error::CardUnknown`].
    pub(super) async fn youngest_card(&self, id: &NodeId) -> Result<String, Error> {
        if id == self.id() {
            return Ok(self.card().jwt().to_owned());
        }
        let trust = self.trust();
        let listed = trust.node(id).ok();
        let kept = self.read_text(Table::Cards, id.as_ref()).await?;
        match (listed, kept) {
            (Some(listed), Some(kept)) if card::claimed(&kept)?.1 > listed.card().iat => Ok(kept),
            (Some(listed), _) => Ok(listed.jwt().to_owned()),
            (None, kept) => kept.ok_or(Error::CardUnknown),
        }
    }

    /// The document of an entry, checked again: signature, disclosures, and that it is the one
    /// which was signed by the node that it names. Its author's card need not be valid any more.
    ///
    /// Errors: [`Error::UnknownEntry`], [`Error::CardUnknown`], those of [`record::verify`].
    pub async fn open_record(
        &self,
        case: &CaseId,
        entry: &EntryId,
    ) -> Result<VerifiedRecord, Error> {
        self.open_again(&self.record(case, entry).await?).await
    }

    /// A record that was shared with this node, checked again; the holder's proof was checked when
    /// it came, and is good for a time only. Errors as [`Node::open_record`].
    pub async fn open_shared(&self, shared: &SharedRecord) -> Result<VerifiedRecord, Error> {
        self.open_again(Parts::parse(&shared.record)?.presented).await
    }

    async fn open_again(&self, compact: &str) -> Result<VerifiedRecord, Error> {
        let jwt = self.youngest_card(&record::claimed_author(compact)?).await?;
        // A node id certifies the signing keys by itself.
        let primitives = self.platform.primitives();
        let keys = card::claimed_keys(&jwt, primitives).await?;
        record::verify_kept(compact, &keys, primitives).await
    }
}
