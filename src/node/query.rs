//! Asking a notary for the verification keys of entries that a participant gave this node
//! (the papers' steps 13 to 15 of trading).

use super::{Node, Platform};
use crate::envelope::{MessageType, Opening, Sealed};
use crate::error::Error;
use crate::ids::{CaseId, NodeId};
use crate::json;
use crate::ledger::VerifiedReceipt;
use crate::notary::{AnswerBody, Queried, QueryBody};

impl<P: Platform> Node<P> {
    /// Step 13: the query to `notary`, sealed, for `POST {endpoint}/queries`. `case` only names the
    /// exchange; a new id does. Errors: those of [`crate::network::Trust::check_standing`] and of the
    /// notary's card, [`Error::EnvelopeTooLarge`].
    pub async fn query(
        &self,
        notary: &NodeId,
        case: &CaseId,
        entries: Vec<Queried>,
    ) -> Result<String, Error> {
        self.trust().check_standing(&self.card(), self.now())?;
        let to = self.card_of(notary).await?;
        let body = json::value(&QueryBody { entries })?;
        Ok(self.seal_message(case, &to, MessageType::Query, body).await?.compact)
    }

    /// Step 15: what `notary` answered to the query of `case` about `entries`: the checked receipt
    /// of each, or none for an entry that it does not know under this salt.
    ///
    /// Errors: those of opening an envelope; [`Error::BodyMalformed`] and [`Error::EntryMismatch`]
    /// for an answer that does not fit the query, and those of [`VerifiedReceipt::verify`] and
    /// [`VerifiedReceipt::expect_past`].
    pub async fn queried(
        &self,
        notary: &NodeId,
        case: &CaseId,
        entries: &[Queried],
        envelope: &[u8],
    ) -> Result<Vec<Option<VerifiedReceipt>>, Error> {
        let (card, trust) = (self.card(), self.trust());
        let primitives = self.platform.primitives();
        let sealed = Sealed::parse(envelope)?;
        let decrypted = sealed.decrypt(self.platform.keys(), primitives).await?;
        let opening = Opening { me: &card, trust: &trust, received: self.now() };
        let opened = decrypted.verify(None, opening, primitives).await?;
        let expected = opened.kind() == MessageType::Answer
            && opened.sender().id() == notary
            && opened.case() == case;
        let AnswerBody { receipts } = opened.body()?;
        if !expected || receipts.len() != entries.len() {
            return Err(Error::BodyMalformed);
        }
        let mut checked = Vec::with_capacity(receipts.len());
        for (asked, text) in entries.iter().zip(receipts) {
            let Some(text) = text else {
                checked.push(None);
                continue;
            };
            let receipt = self.verify_receipt(&text).await?;
            receipt.expect_past(self.now())?;
            let fits = receipt.receipt().iss == *notary && receipt.receipt().entry == asked.entry;
            checked.push(Some(if fits { receipt } else { return Err(Error::EntryMismatch) }));
        }
        Ok(checked)
    }
}
