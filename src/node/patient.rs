//! What a patient decides (steps 1-3, 12, 19-20). Every decision may be repeated safely.

use serde_json::Value;

use super::{Node, Platform, put, record_key};
use crate::error::Error;
use crate::fhir::facts;
use crate::ids::{CaseId, EntryId, MessageId, NodeId};
use crate::ledger::{CaseSecret, Commitment, Draw, Entry, EntryKind, VerificationKey};
use crate::provider::{HolderKeys, Store, Table};
use crate::record::{self, Record, Selection};
use crate::treatment::message::{MAX_NAME, SharedRecord, check_text};
use crate::treatment::patient::{DataAnswer, PatientCase, ResultStatus};
use crate::treatment::request::TreatmentRequest;
use crate::treatment::{Authored, Step};

/// Names a record that the patient's node keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordName {
    /// Its case; for a record of the patient's own, a case that holds nothing else.
    pub case: CaseId,
    /// Its entry.
    pub entry: EntryId,
}

impl<P: Platform> Node<P> {
    /// As [`Node::ask_by_name`], without a name.
    pub async fn ask(
        &self,
        id: &CaseId,
        hospital: &NodeId,
        request: TreatmentRequest,
    ) -> Result<PatientCase, Error> {
        self.ask_by_name(id, hospital, request, "").await
    }

    /// Steps 1-3: asks a listed hospital for treatment, in a new case named `id`; `name` is how the
    /// patient wants to be called there.
    ///
    /// Errors: [`Error::NodeUnknown`], [`Error::AlreadyDecided`] when the case asks for something
    /// else already, [`Error::BodyMalformed`] for a name longer than [`MAX_NAME`],
    /// [`Error::NoNotary`], those of [`TreatmentRequest::check`].
    pub async fn ask_by_name(
        &self,
        id: &CaseId,
        hospital: &NodeId,
        request: TreatmentRequest,
        name: &str,
    ) -> Result<PatientCase, Error> {
        if name.len() > MAX_NAME {
            return Err(Error::BodyMalformed);
        }
        let _guard = self.platform.lock_case(id).await;
        if let Some(known) = self.find_case::<PatientCase>(id).await? {
            let same = known.hospital == *hospital && known.request == request;
            return if same { Ok(known) } else { Err(Error::AlreadyDecided) };
        }
        request.check()?;
        let trust = self.trust();
        let draw = self.draw(&trust, hospital)?;
        let holder = self.platform.holders().make_holder_key().await?;
        let secret = CaseSecret::new(self.platform.randomness())?;
        let content = record::Content {
            author: self.id().as_ref(),
            patient: self.id().as_ref(),
            case: id.as_ref(),
            holder: Some(&holder),
            issued: self.now(),
            born: None,
            fhir: &request.to_fhir(self.id(), hospital),
        };
        let p = &self.platform;
        let record = record::issue(&content, p.keys(), p.randomness()).await?;
        let key = VerificationKey::of(record.jwt());
        let entry = self.first_entry((id, hospital), key, (secret, draw))?;
        let endorsement = self.endorse(&[entry]).await?;
        let authored = Authored { record, endorsement };
        let manifest = (trust.documents().manifest.as_str(), &trust.manifest().notaries[..]);
        let (asked, private) = ((request, name), (holder, secret));
        let step = PatientCase::ask(asked, private, manifest, authored, self.now())?;
        self.carry_out(id, step, Vec::new()).await?;
        self.case(id).await
    }

    fn first_entry(
        &self,
        (case, hospital): (&CaseId, &NodeId),
        verification_key: VerificationKey,
        (secret, draw): (CaseSecret, Draw),
    ) -> Result<Entry, Error> {
        Ok(Entry {
            id: EntryId::new(self.platform.randomness())?,
            kind: EntryKind::Request,
            case: case.clone(),
            author: self.id().clone(),
            counterparty: hospital.clone(),
            verification_key,
            previous: None,
            case_secret: Some(Commitment::to_secret(secret)),
            draw: Some(draw),
        })
    }

    /// Step 12: shares whole records in answer to a request for data.
    ///
    /// Errors: [`Error::UnknownCase`], [`Error::UnknownEntry`], [`Error::AlreadyDecided`],
    /// [`Error::EnvelopeTooLarge`] when they don't fit one message.
    pub async fn share(
        &self,
        id: &CaseId,
        request: &MessageId,
        names: &[RecordName],
    ) -> Result<PatientCase, Error> {
        let _guard = self.platform.lock_case(id).await;
        let case: PatientCase = self.case(id).await?;
        let mut chosen = Vec::with_capacity(names.len());
        for name in names {
            chosen.push(self.shareable(name).await?);
        }
        let keys = chosen.iter().map(|record| VerificationKey::of(record.jwt()));
        let keys: Vec<_> = keys.collect();
        let asked = case.data_requests.iter().find(|asked| asked.asked.id == *request);
        match &asked.ok_or(Error::UnknownEntry)?.answer {
            DataAnswer::Open => {}
            DataAnswer::Shared { records, .. } if *records == keys => return Ok(case),
            _ => return Err(Error::AlreadyDecided),
        }
        let mut records = Vec::with_capacity(names.len());
        for ((name, record), key) in names.iter().zip(&chosen).zip(keys) {
            records.push((self.present(name, record, request, &case.hospital).await?, key));
        }
        let cards = self.author_cards(&chosen, &case.hospital).await?;
        let step = case.share(request, records, cards, self.now())?;
        self.carry_out(id, step, Vec::new()).await?;
        self.case(id).await
    }

    /// Step 12: shares nothing. Errors as [`Node::share`], and
    /// [`Error::TextTooLong`].
    pub async fn refuse_data(
        &self,
        id: &CaseId,
        request: &MessageId,
        reason: &str,
    ) -> Result<PatientCase, Error> {
        check_text(reason)?;
        self.decide(id, |case| case.refuse_data(request, reason, self.now())).await
    }

    /// Steps 19-20: confirms results, 1 to 256 at once: with one endorsement and one deposit.
    ///
    /// Errors: [`Error::UnknownCase`], those of [`PatientCase::to_confirm`]; nothing is confirmed then.
    pub async fn confirm(&self, id: &CaseId, entries: &[EntryId]) -> Result<PatientCase, Error> {
        let _guard = self.platform.lock_case(id).await;
        let case: PatientCase = self.case(id).await?;
        let endorsed = case.to_confirm(entries)?;
        if endorsed.is_empty() {
            return Ok(case);
        }
        let theirs = self.kept_endorsements(id, &endorsed, &case.hospital).await?;
        let mine = self.endorse(&endorsed).await?;
        let step = case.confirm(mine, &theirs, self.now())?;
        self.carry_out(id, step, Vec::new()).await?;
        self.case(id).await
    }

    /// Step 19: disputes results, 1 to 256 at once.
    ///
    /// Errors: [`Error::UnknownCase`], those of [`PatientCase::dispute`]; nothing is disputed then.
    pub async fn dispute(
        &self,
        id: &CaseId,
        entries: &[EntryId],
        reason: &str,
    ) -> Result<PatientCase, Error> {
        self.decide(id, |case| case.dispute(entries, reason, self.now())).await
    }

    /// Keeps a record of the patient's own, signed by the patient and logged nowhere.
    /// [`Error::NotFhir`], [`Error::RecordTooLarge`].
    pub async fn add_record(&self, fhir: Value) -> Result<RecordName, Error> {
        let p = &self.platform;
        let case = CaseId::new(p.clock(), p.randomness())?;
        let entry = EntryId::new(p.randomness())?;
        let name = RecordName { case, entry };
        self.add_record_as(&name, fhir).await?;
        Ok(name)
    }

    /// As [`Node::add_record`], under a name that the caller made, so that it can be repeated: does
    /// nothing when a record of this name is kept.
    pub async fn add_record_as(&self, name: &RecordName, fhir: Value) -> Result<(), Error> {
        let p = &self.platform;
        let key = record_key(&name.case, &name.entry);
        if p.store().read(Table::Records, &key).await?.is_some() {
            return Ok(());
        }
        let content = record::Content {
            author: self.id().as_ref(),
            patient: self.id().as_ref(),
            case: name.case.as_ref(),
            holder: None,
            issued: self.now(),
            born: facts::born([&fhir]),
            fhir: &fhir,
        };
        let record = record::issue(&content, p.keys(), p.randomness()).await?;
        p.store().commit(vec![put(Table::Records, key, record.compact().into())]).await
    }

    /// Forgets what a decided result or a record of the patient's own says. What is left (its signed JWT,
    /// entry, endorsements and receipt) still verifies and says nothing; it can't be shared any more.
    /// Repeating it does nothing.
    ///
    /// [`Error::UnknownEntry`], [`Error::NotAllowedNow`] for a result that is still to be decided.
    pub async fn forget_content(&self, name: &RecordName) -> Result<(), Error> {
        let _guard = self.platform.lock_case(&name.case).await;
        if let Some(case) = self.find_case::<PatientCase>(&name.case).await? {
            let status = &case.result(&name.entry)?.status;
            if !matches!(status, ResultStatus::Committed { .. } | ResultStatus::Disputed { .. }) {
                return Err(Error::NotAllowedNow);
            }
        }
        let record = Record::parse(&self.record(&name.case, &name.entry).await?)?;
        let key = record_key(&name.case, &name.entry);
        let forgotten = put(Table::Records, key, record.forget().compact().into());
        self.platform.store().commit(vec![forgotten]).await
    }

    /// Up to `limit` names of records after `after` (exclusive), requests among them.
    pub async fn record_names(
        &self,
        after: Option<&RecordName>,
        limit: usize,
    ) -> Result<Vec<RecordName>, Error> {
        let after = after.map(|name| record_key(&name.case, &name.entry)).unwrap_or_default();
        let store = self.platform.store();
        let rows = store.scan(Table::Records, "record/", &after, limit).await?;
        rows.iter().map(|(key, _)| RecordName::from_key(key)).collect()
    }

    async fn decide(
        &self,
        id: &CaseId,
        decision: impl Fn(&PatientCase) -> Result<Step<PatientCase>, Error>,
    ) -> Result<PatientCase, Error> {
        let _guard = self.platform.lock_case(id).await;
        let step = decision(&self.case(id).await?)?;
        self.carry_out(id, step, Vec::new()).await?;
        self.case(id).await
    }

    /// A record that may be shared: the patient's own, or a final result.
    async fn shareable(&self, name: &RecordName) -> Result<Record, Error> {
        if let Some(case) = self.find_case::<PatientCase>(&name.case).await? {
            let result = case.result(&name.entry)?;
            if !matches!(result.status, ResultStatus::Committed { .. }) {
                return Err(Error::NotAllowedNow);
            }
        }
        Record::parse(&self.record(&name.case, &name.entry).await?)
    }

    /// The card of each node that wrote one of the records, but of this one and the recipient.
    async fn author_cards(
        &self,
        records: &[Record],
        recipient: &NodeId,
    ) -> Result<Vec<String>, Error> {
        let mut cards = Vec::new();
        for record in records {
            let author = record::claimed_author(record.compact())?;
            if author == *self.id() || author == *recipient {
                continue;
            }
            let card = self.youngest_card(&author).await?;
            if !cards.contains(&card) {
                cards.push(card);
            }
        }
        Ok(cards)
    }

    async fn present(
        &self,
        name: &RecordName,
        record: &Record,
        request: &MessageId,
        hospital: &NodeId,
    ) -> Result<SharedRecord, Error> {
        // Whoever has one record is not to find the others of its case.
        let without = ["/case".to_owned()];
        let selection = Selection::AllBut(&without);
        let receipt = match self.receipt(&name.case, &name.entry).await {
            Ok(None) => {
                let record = record.select(selection)?.compact().to_owned();
                return Ok(SharedRecord { record, receipt: None });
            }
            // Its notary was revoked before it logged this, or a witness before it co-signed: the record's
            // author vouches for it alone until there is another receipt, and as long as it is no former
            // member itself.
            Err(Error::ReceiptForged) => {
                self.card_for_later(&record::claimed_author(record.compact())?).await?;
                None
            }
            receipt => receipt?,
        };
        let p = &self.platform;
        let (nonce, audience) = (request.as_ref(), hospital.as_ref());
        let (keys, clock) = (p.holders(), p.clock());
        let presented = record::present(record, selection, nonce, audience, keys, clock).await?;
        Ok(SharedRecord {
            record: presented,
            receipt: receipt.map(|receipt| receipt.for_others()).transpose()?,
        })
    }
}

impl RecordName {
    fn from_key(key: &str) -> Result<Self, Error> {
        let name = key.strip_prefix("record/").and_then(|name| name.split_once('/'));
        let (case, entry) = name.ok_or(Error::StoreCorrupt)?;
        Ok(Self { case: case.parse()?, entry: entry.parse()? })
    }
}
