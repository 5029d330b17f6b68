//! Checks every signature inside a message, so that the state machines see only verified content.

use super::{Node, Platform};
use crate::card::VerifiedCard;
use crate::envelope::{MessageType, Opened};
use crate::error::Error;
use crate::ids::NodeId;
use crate::ledger::{VerificationKey, VerifiedEndorsement};
use crate::record::{self, VerifiedRecord};
use crate::treatment::message::{
    ApprovalBody, ConfirmationBody, Content, DataBody, DataRefusalBody, DataRequestBody,
    DisputeBody, MAX_NAME, MAX_REQUEST, RefusalBody, RequestBody, ResultBody, SharedRecord,
    VerifiedShare, check_text,
};

impl<P: Platform> Node<P> {
    /// The verified content of an opened message. The errors are those of the parts.
    pub(super) async fn verify_content(&self, opened: &Opened) -> Result<Content, Error> {
        Ok(match opened.kind() {
            MessageType::TreatmentRequest => self.verify_request(opened).await?,
            MessageType::MedicalResult => {
                let body: ResultBody = opened.body()?;
                let (record, endorsement) =
                    self.verify_document(opened, &body.record, &body.endorsement).await?;
                Content::Result { record, endorsement }
            }
            MessageType::TreatmentApproval => self.verify_approval(opened).await?,
            MessageType::Confirmation => self.verify_confirmation(opened).await?,
            MessageType::Data => self.verify_data(opened).await?,
            MessageType::TreatmentRefusal => {
                let body: RefusalBody = opened.body()?;
                check_text(&body.reason)?;
                Content::Refusal(body)
            }
            MessageType::DataRequest => {
                let body: DataRequestBody = opened.body()?;
                body.check()?;
                Content::DataRequest(body)
            }
            MessageType::DataRefusal => {
                let body: DataRefusalBody = opened.body()?;
                check_text(&body.reason)?;
                Content::DataRefusal(body)
            }
            MessageType::Dispute => {
                let body: DisputeBody = opened.body()?;
                check_text(&body.reason)?;
                Content::Dispute(body)
            }
            MessageType::Deposit | MessageType::Query | MessageType::Answer => {
                return Err(Error::UnknownType);
            }
        })
    }

    async fn verify_request(&self, opened: &Opened) -> Result<Content, Error> {
        let body: RequestBody = opened.body()?;
        if body.record.len() > MAX_REQUEST {
            return Err(Error::TextTooLong);
        }
        let (record, endorsement) =
            self.verify_document(opened, &body.record, &body.endorsement).await?;
        if body.name.len() > MAX_NAME {
            return Err(Error::BodyMalformed);
        }
        let ranking = self.rank(endorsement.entry(), &body.manifest).await?;
        let RequestBody { name, case_secret: secret, .. } = body;
        Ok(Content::Request { record, endorsement, secret, name, ranking })
    }

    async fn verify_approval(&self, opened: &Opened) -> Result<Content, Error> {
        let body: ApprovalBody = opened.body()?;
        let endorsement = self.verify_endorsement(opened, &body.endorsement).await?;
        let draw = self.verify_draw(opened, endorsement.entry(), body.draw).await?;
        let receipt = self.verify_receipt(&body.receipt).await?;
        Ok(Content::Approval { endorsement, receipt, draw })
    }

    async fn verify_confirmation(&self, opened: &Opened) -> Result<Content, Error> {
        let body: ConfirmationBody = opened.body()?;
        let theirs = self.verify_endorsement(opened, &body.endorsement).await?;
        let entry = theirs.entry();
        let mine = self
            .kept_endorsement(&entry.case, &entry.id, self.id())
            .await
            .map_err(|_| Error::UnknownEntry)?;
        let receipt = self.verify_receipt(&body.receipt).await?;
        Ok(Content::Confirmation { theirs, mine, receipt })
    }

    /// A document and its author's endorsement; the sender is the author of both, and both are
    /// about this message's case.
    async fn verify_document(
        &self,
        opened: &Opened,
        compact: &str,
        endorsement: &str,
    ) -> Result<(VerifiedRecord, VerifiedEndorsement), Error> {
        let keys = opened.sender().keys();
        let record = record::verify(compact, keys, self.platform.primitives()).await?;
        let endorsement = self.verify_endorsement(opened, endorsement).await?;
        let entry = endorsement.entry();
        if entry.counterparty != *self.id() {
            return Err(Error::EntryMismatch);
        }
        Ok((record, endorsement))
    }

    async fn verify_endorsement(
        &self,
        opened: &Opened,
        jwt: &str,
    ) -> Result<VerifiedEndorsement, Error> {
        let primitives = self.platform.primitives();
        let endorsement = VerifiedEndorsement::verify(jwt, opened.sender(), primitives).await?;
        if endorsement.entry().case != *opened.case() {
            return Err(Error::EntryMismatch);
        }
        Ok(endorsement)
    }

    async fn verify_data(&self, opened: &Opened) -> Result<Content, Error> {
        let body: DataBody = opened.body()?;
        let mut records = Vec::with_capacity(body.records.len());
        for shared in body.records {
            let share = self.verify_share(opened.sender(), body.request.as_ref(), shared).await?;
            records.push(share);
        }
        Ok(Content::Data { request: body.request, records })
    }

    /// A shared record: signed by its author, about its sender, presented for this request by its
    /// holder, and, if it comes with a receipt, logged as it is.
    async fn verify_share(
        &self,
        sender: &VerifiedCard,
        nonce: &str,
        shared: SharedRecord,
    ) -> Result<VerifiedShare, Error> {
        let author: NodeId = record::claimed_author(&shared.record)?;
        let own = author == *sender.id();
        let author = if own { sender.clone() } else { self.card_of(&author).await? };
        let keys = author.keys();
        let primitives = self.platform.primitives();
        let record = if own {
            record::verify(&shared.record, keys, primitives).await?
        } else {
            let audience = self.id().as_ref();
            let now = self.now();
            record::verify_presentation(&shared.record, keys, audience, nonce, now, primitives)
                .await?
        };
        if record.subject() != Some(sender.id().as_ref()) {
            return Err(Error::RecordForeign);
        }
        let mut notary = None;
        if let Some(text) = &shared.receipt {
            let receipt = self.verify_receipt(text).await?;
            let key = VerificationKey::of(record.record().jwt());
            if receipt.receipt().verification_key != key {
                return Err(Error::EntryMismatch);
            }
            notary = Some(receipt.receipt().iss.clone());
        }
        Ok(VerifiedShare { record, shared, notary })
    }
}
