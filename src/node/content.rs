//! Checks every signature inside a message, so that the state machines see only verified content; before
//! that, whether its case awaits such a message at all, so that nobody makes a node work for nothing.

use litemap::LiteMap;

use super::{Node, Platform};
use crate::card::{self, Role, VerifiedCard};
use crate::envelope::{MessageType, Opened};
use crate::error::Error;
use crate::ids::{CaseId, NodeId};
use crate::ledger::{self, VerificationKey, VerifiedEndorsement, VerifiedReceipt};
use crate::record::{self, VerifiedRecord};
use crate::treatment::Flow;
use crate::treatment::hospital::HospitalCase;
use crate::treatment::message::{
    ApprovalBody, ConfirmationBody, DataBody, DataRefusalBody, DataRequestBody, DisputeBody,
    HandedIn, MAX_NAME, MAX_REQUEST, RefusalBody, RequestBody, ResultBody, SharedRecord,
    VerifiedContent, VerifiedShare, check_count, check_text,
};
use crate::treatment::patient::PatientCase;

/// The messages that a flow takes.
pub trait Contents: Flow {
    /// The verified content of an opened message; `case` is `None` when no such case is known.
    ///
    /// Errors: [`Error::TypeNotForRole`] for one that this side of the flow does not take,
    /// [`Error::UnknownType`]; those of [`Flow::receive`] that show before anything is verified; those of
    /// the parts.
    async fn verify<P: Platform>(
        node: &Node<P>,
        case: Option<&Self>,
        opened: &Opened,
    ) -> Result<VerifiedContent, Error>;
}

impl Contents for PatientCase {
    async fn verify<P: Platform>(
        node: &Node<P>,
        case: Option<&Self>,
        opened: &Opened,
    ) -> Result<VerifiedContent, Error> {
        let known = || Self::known(case, opened.sender().id());
        Ok(match opened.kind() {
            MessageType::TreatmentApproval => {
                let body: ApprovalBody = opened.body()?;
                known()?.awaits_approval()?;
                node.verify_approval(opened, body).await?
            }
            MessageType::TreatmentRefusal => {
                let body: RefusalBody = opened.body()?;
                known()?;
                check_text(&body.reason)?;
                VerifiedContent::Refusal(body)
            }
            MessageType::DataRequest => {
                let body: DataRequestBody = opened.body()?;
                known()?;
                body.check()?;
                VerifiedContent::DataRequest(body)
            }
            MessageType::MedicalResult => {
                let body: ResultBody = opened.body()?;
                known()?.awaits_more()?;
                node.verify_results(opened, body).await?
            }
            other => return Err(not_taken(other)),
        })
    }
}

impl Contents for HospitalCase {
    async fn verify<P: Platform>(
        node: &Node<P>,
        case: Option<&Self>,
        opened: &Opened,
    ) -> Result<VerifiedContent, Error> {
        let known = || Self::known(case, opened.sender().id());
        Ok(match opened.kind() {
            MessageType::TreatmentRequest => {
                let body: RequestBody = opened.body()?;
                if case.is_some() && known().is_err() {
                    return Err(Error::NotAllowedNow);
                }
                node.verify_request(opened, body).await?
            }
            MessageType::Data => {
                let body: DataBody = opened.body()?;
                if body.cards.len() > body.records.len() {
                    return Err(Error::BodyMalformed);
                }
                let keys: Result<Vec<_>, _> =
                    body.records.iter().map(SharedRecord::verification_key).collect();
                known()?.awaits_data(&body.request, &keys?)?;
                node.verify_data(opened, body).await?
            }
            MessageType::DataRefusal => {
                let body: DataRefusalBody = opened.body()?;
                known()?;
                check_text(&body.reason)?;
                VerifiedContent::DataRefusal(body)
            }
            MessageType::Confirmation => {
                let body: ConfirmationBody = opened.body()?;
                known()?;
                node.verify_confirmation(opened, body).await?
            }
            MessageType::Dispute => {
                let body: DisputeBody = opened.body()?;
                known()?;
                check_count(body.entries.len())?;
                check_text(&body.reason)?;
                VerifiedContent::Dispute(body)
            }
            other => return Err(not_taken(other)),
        })
    }
}

fn not_taken(kind: MessageType) -> Error {
    match kind {
        // Those have endpoints of their own.
        MessageType::Deposit | MessageType::Query | MessageType::Answer => Error::UnknownType,
        _ => Error::TypeNotForRole,
    }
}

impl<P: Platform> Node<P> {
    async fn verify_request(
        &self,
        opened: &Opened,
        body: RequestBody,
    ) -> Result<VerifiedContent, Error> {
        if body.record.len() > MAX_REQUEST {
            return Err(Error::TextTooLong);
        }
        let (record, endorsement) =
            self.verify_document(opened, &body.record, &body.endorsement).await?;
        if body.name.len() > MAX_NAME {
            return Err(Error::BodyMalformed);
        }
        let ranking = self.rank(endorsement.only_entry()?, &body.manifest).await?;
        let RequestBody { name, case_secret: secret, .. } = body;
        Ok(VerifiedContent::Request { record, endorsement, secret, name, ranking })
    }

    async fn verify_approval(
        &self,
        opened: &Opened,
        body: ApprovalBody,
    ) -> Result<VerifiedContent, Error> {
        let endorsement = self.verify_endorsement(opened, &body.endorsement).await?;
        let draw = self.verify_draw(opened, endorsement.only_entry()?, body.draw).await?;
        let receipt = self.verify_receipt(&body.receipt).await?;
        receipt.expect_past(self.now())?;
        Ok(VerifiedContent::Approval { endorsement, receipt, draw })
    }

    /// A part of a hand-in: records, and the sender's endorsement of their entries and no others.
    async fn verify_results(
        &self,
        opened: &Opened,
        body: ResultBody,
    ) -> Result<VerifiedContent, Error> {
        let ResultBody { hand_in, of, results, endorsement } = body;
        check_count(of)?;
        check_count(results.len())?;
        let endorsement = self.verify_endorsement(opened, &endorsement).await?;
        if results.len() != endorsement.entries().len() {
            return Err(Error::EntryMismatch);
        }
        let (mut records, primitives) =
            (Vec::with_capacity(results.len()), self.platform.primitives());
        for HandedIn { entry, record } in results {
            let endorsed = endorsement.entry(&entry).map_err(|_| Error::EntryMismatch)?;
            let is_twice = records.iter().any(|(known, _)| *known == entry);
            if is_twice || endorsed.counterparty != *self.id() {
                return Err(Error::EntryMismatch);
            }
            let record = record::verify(&record, opened.sender().keys(), primitives).await?;
            record.expect_new()?;
            records.push((entry, record));
        }
        Ok(VerifiedContent::Results { hand_in, of, records, endorsement })
    }

    async fn verify_confirmation(
        &self,
        opened: &Opened,
        body: ConfirmationBody,
    ) -> Result<VerifiedContent, Error> {
        check_count(body.receipts.len())?;
        let (case, theirs) =
            (opened.case(), self.verify_endorsement(opened, &body.endorsement).await?);
        let mine = self.kept_endorsements(case, theirs.entries(), self.id()).await;
        let mine = mine.map_err(|error| match error {
            Error::EndorsementMissing => Error::UnknownEntry,
            other => other,
        })?;
        let mut receipts: Vec<VerifiedReceipt> = Vec::with_capacity(body.receipts.len());
        for text in &body.receipts {
            let receipt = self.verify_receipt(text).await?;
            receipt.expect_past(self.now())?;
            receipts.push(receipt);
        }
        self.expect_free_numbers(case, &theirs, &receipts).await?;
        Ok(VerifiedContent::Confirmation { theirs, mine, receipts })
    }

    /// That no two entries of the case have one number, by receipts that are seen to be theirs: else
    /// whoever writes another number into a receipt would make its notary look false.
    async fn expect_free_numbers(
        &self,
        case: &CaseId,
        endorsed: &VerifiedEndorsement,
        receipts: &[VerifiedReceipt],
    ) -> Result<(), Error> {
        let HospitalCase { notary, secret, .. } = self.case(case).await?;
        for (nth, receipt) in receipts.iter().enumerate() {
            let said = receipt.receipt();
            if notary.as_ref() != Some(&said.iss) {
                return Err(Error::ReceiptForged);
            }
            let entry = endorsed.entry(&said.entry).map_err(|_| Error::UnknownEntry)?;
            receipt.expect(entry, secret)?;
            self.expect_free_number(case, receipt, receipts[..nth].iter()).await?;
        }
        Ok(())
    }

    /// A new document and its author's endorsement; the sender is the author of both, and both are
    /// about this message's case.
    async fn verify_document(
        &self,
        opened: &Opened,
        compact: &str,
        endorsement: &str,
    ) -> Result<(VerifiedRecord, VerifiedEndorsement), Error> {
        let keys = opened.sender().keys();
        let record = record::verify(compact, keys, self.platform.primitives()).await?;
        record.expect_new()?;
        let endorsement = self.verify_endorsement(opened, endorsement).await?;
        if endorsement.only_entry()?.counterparty != *self.id() {
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
        // All are of one case.
        let of_case = endorsement.entries().iter().all(|entry| entry.case == *opened.case());
        if of_case { Ok(endorsement) } else { Err(Error::EntryMismatch) }
    }

    async fn verify_data(&self, opened: &Opened, body: DataBody) -> Result<VerifiedContent, Error> {
        let DataBody { request, records: shared, cards } = body;
        let sender = opened.sender();
        let along = cards.iter().filter_map(|jwt| Some((card::claimed(jwt).ok()?, jwt.as_str())));
        let along: Vec<_> = along.collect();
        let mut authors = LiteMap::new_vec();
        authors.insert(sender.id().clone(), sender.clone());
        let mut records = Vec::with_capacity(shared.len());
        for shared in shared {
            let author = record::claimed_author(&shared.record)?;
            let card = match authors.get(&author) {
                Some(card) => card.clone(),
                None => {
                    let card = self.author_card(&author, &along).await?;
                    authors.insert(author, card.clone());
                    card
                }
            };
            records.push(self.verify_share(sender, card, request.as_ref(), shared).await?);
        }
        Ok(VerifiedContent::Data { request, records })
    }

    /// The card of another node that wrote a shared record: the younger of the one that this node knows
    /// and the one that came along, which are given with whose and how old they claim to be.
    /// Errors: [`Error::CardUnknown`], also when the one that came along is no institution's, those of
    /// [`VerifiedCard::verify_chain`].
    async fn author_card(
        &self,
        author: &NodeId,
        along: &[((NodeId, u64), &str)],
    ) -> Result<VerifiedCard, Error> {
        let known = match self.youngest_card(author).await {
            Err(Error::CardUnknown) => None,
            known => Some(card::claimed(&known?)?.1),
        };
        let of_author = along.iter().rev().filter(|((node, _), _)| node == author);
        let youngest = of_author.max_by_key(|((_, issued), _)| *issued);
        let younger = youngest.filter(|((_, issued), _)| known.is_none_or(|known| known < *issued));
        let Some((_, jwt)) = younger else { return self.known_card(author).await };
        let primitives = self.platform.primitives();
        let card = VerifiedCard::verify_chain(jwt, &self.trust(), primitives).await?;
        card.expect_role(Role::Institution).map_err(|_| Error::CardUnknown)?;
        Ok(card)
    }

    /// A shared record: signed by its author, about its sender, presented for this request by its
    /// holder, and, if it comes with a receipt that counts, logged as it is.
    async fn verify_share(
        &self,
        sender: &VerifiedCard,
        author: VerifiedCard,
        nonce: &str,
        shared: SharedRecord,
    ) -> Result<VerifiedShare, Error> {
        let (keys, own) = (author.keys(), author.id() == sender.id());
        let (primitives, now) = (self.platform.primitives(), self.now());
        let record = if own {
            record::verify(&shared.record, keys, primitives).await?
        } else {
            let audience = self.id().as_ref();
            record::verify_presentation(&shared.record, keys, audience, nonce, now, primitives)
                .await?
        };
        if record.subject() != Some(sender.id().as_ref()) {
            return Err(Error::RecordForeign);
        }
        let is_logged = self.verify_shared_receipt(&record, shared.receipt.as_deref()).await?;
        match author.check_validity(&self.trust(), now) {
            // Its notary has seen that it counted when the record was logged.
            Err(Error::CardExpired | Error::CardRevoked | Error::CardSuperseded) if is_logged => {}
            validity => validity?,
        }
        Ok(VerifiedShare { record, author, shared })
    }

    /// Whether the receipt that came with a shared record counts.
    async fn verify_shared_receipt(
        &self,
        record: &VerifiedRecord,
        receipt: Option<&str>,
    ) -> Result<bool, Error> {
        let Some(text) = receipt else { return Ok(false) };
        let key = VerificationKey::of(record.record().jwt());
        match self.verify_receipt(text).await {
            Ok(receipt) if receipt.receipt().verification_key == key => {
                receipt.expect_past(self.now()).map(|()| true)
            }
            Ok(_) => Err(Error::EntryMismatch),
            // Given after its notary was revoked, or a witness, of which the sender has not heard: kept
            // with the record, for which its author alone vouches.
            Err(Error::ReceiptForged) if ledger::is_of_former_member(text, &self.trust()) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}
