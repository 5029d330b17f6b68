//! A notary in memory, around the core's decisions.

use std::collections::{HashMap, VecDeque};

use hdms::Error;
use hdms::card::VerifiedCard;
use hdms::envelope::{self, Message, MessageType, Opened, Opening, Sealed};
use hdms::ids::{CaseId, EntryId, NodeId};
use hdms::ledger::{Conflict, Entry, LeafOpening, Place, Salt};
use hdms::log::TlogProof;
use hdms::network::Trust;
use hdms::notary::{
    self, AnswerBody, Decision, Deposit, DepositAnswer, DepositAnswers, DepositCards, Known,
    Queried, SignedManifest, Statements,
};
use hdms::provider::Clock;
use hdms::software::{Software, SoftwareKeys};
use hdms::testing::SeededRandomness;
use serde_json::Value;

use crate::Providers;
use crate::log::{Log, LogSigner};

/// An entry that the notary has logged.
#[derive(Clone, Debug)]
pub struct Logged {
    /// The entry.
    pub entry: Entry,
    /// Where it stands in its case.
    pub place: Place,
    /// What opens its leaf, as its participants get it.
    pub opening: LeafOpening,
    /// Its receipt, under the first checkpoint that was co-signed with it; none before.
    pub receipt: Option<String>,
}

/// Logs entries in memory.
pub struct Notary {
    keys: SoftwareKeys<SeededRandomness>,
    card: VerifiedCard,
    trust: Trust,
    /// Every manifest of the network that it has trusted, by number.
    manifests: HashMap<u64, SignedManifest>,
    providers: Providers,
    primitives: Software<SeededRandomness>,
    signer: LogSigner,
    /// Who co-signs its checkpoints.
    pub witnesses: Vec<LogSigner>,
    leaves: Log,
    /// Where the next new entry is logged, whatever its turn: a notary that is false.
    pub renumbered: VecDeque<Place>,
    logged: Vec<Logged>,
    answered: Vec<(String, DepositAnswers)>,
}

impl Notary {
    /// With an empty log.
    pub fn new(
        keys: SoftwareKeys<SeededRandomness>,
        card: VerifiedCard,
        trust: Trust,
        witnesses: Vec<LogSigner>,
        providers: &Providers,
    ) -> Result<Self, Error> {
        Ok(Self {
            manifests: HashMap::from([numbered(&trust)]),
            signer: LogSigner::of(card.id())?,
            primitives: Software::new(providers.randomness.clone()),
            providers: providers.clone(),
            keys,
            card,
            trust,
            witnesses,
            leaves: Log::default(),
            renumbered: VecDeque::new(),
            logged: Vec::new(),
            answered: Vec::new(),
        })
    }

    /// Trusts other documents from now on.
    pub fn set_trust(&mut self, trust: Trust) {
        self.manifests.extend([numbered(&trust)]);
        self.trust = trust;
    }

    /// Makes its receipts anew, under a checkpoint that its witnesses of now co-sign.
    pub fn forget_receipts(&mut self) {
        self.logged.iter_mut().for_each(|logged| logged.receipt = None);
    }

    /// Everything logged, in order.
    pub fn log(&self) -> &[Logged] {
        &self.logged
    }

    /// Its private keys.
    pub fn keys(&self) -> &SoftwareKeys<SeededRandomness> {
        &self.keys
    }

    /// Its card.
    pub fn card(&self) -> &VerifiedCard {
        &self.card
    }

    /// Every envelope that it took and what it answered, in order.
    pub fn answered(&self) -> &[(String, DepositAnswers)] {
        &self.answered
    }

    /// Answers an envelope with deposits. [`Error::WitnessesMissing`] when too few have co-signed;
    /// what was logged stays, and the same deposits get their receipts later.
    pub async fn receive(&mut self, envelope: &str) -> Result<DepositAnswers, Error> {
        let (depositor, body) = notary::deposits(self.open(envelope).await?)?;
        let now = self.providers.clock.now();
        let cards = DepositCards::verify(&body.cards, &self.trust, now, &self.primitives).await;
        let (mut statements, mut ruled) = (Statements::default(), Vec::new());
        for endorsement in &body.endorsements {
            statements.add(endorsement, &cards, &self.primitives).await;
        }
        for deposit in &body.deposits {
            ruled.push(self.rule(deposit, depositor.id(), (&cards, &statements)).await);
        }
        self.publish()?;
        let mut answers = Vec::new();
        for ruling in ruled {
            answers.push(match ruling {
                Ok((entry, Decision::Log(_) | Decision::Repeat)) => {
                    DepositAnswer::Receipt(self.receipt(&entry)?.clone())
                }
                Ok((entry, Decision::Conflict)) => {
                    DepositAnswer::Conflict(self.conflict(&entry).await?)
                }
                Err(error) => DepositAnswer::Refused(error.code().to_owned()),
            });
        }
        let answers = DepositAnswers { answers };
        self.answered.push((envelope.to_owned(), answers.clone()));
        Ok(answers)
    }

    /// Answers an envelope with a query: the sealed answer.
    pub async fn query(&self, envelope: &str) -> Result<String, Error> {
        let opened = self.open(envelope).await?;
        let queried = notary::queried(&opened)?;
        let receipts = queried.iter().map(|asked| self.answer(asked));
        let body = AnswerBody { receipts: receipts.collect::<Result<_, _>>()? };
        let body = serde_json::to_value(body).map_err(|_| Error::BodyMalformed)?;
        self.seal(opened.sender(), opened.case(), body).await
    }

    /// Seals the body of an answer to the query of `case`.
    pub async fn seal(
        &self,
        to: &VerifiedCard,
        case: &CaseId,
        body: Value,
    ) -> Result<String, Error> {
        let message = Message { from: &self.card, to, case, kind: MessageType::Answer, body };
        let Providers { clock, randomness } = &self.providers;
        let sealing = envelope::seal(message, &self.keys, &self.primitives, clock, randomness);
        Ok(sealing.await?.1)
    }

    async fn open(&self, envelope: &str) -> Result<Opened, Error> {
        let received = self.providers.clock.now();
        let opening = Opening { me: &self.card, trust: &self.trust, received };
        let sealed = Sealed::parse(envelope.as_bytes())?;
        let decrypted = sealed.decrypt(&self.keys, &self.primitives).await?;
        decrypted.verify(None, opening, &self.primitives).await
    }

    /// Decides on one deposit, and logs it if it is new.
    async fn rule(
        &mut self,
        deposit: &Deposit,
        depositor: &NodeId,
        along: (&DepositCards, &Statements),
    ) -> Result<(EntryId, Decision), Error> {
        let checked = notary::check(deposit, depositor, along, &self.primitives).await?;
        checked.expect_drawn(self.card.id(), &self.manifests, self.providers.clock.now())?;
        let entry = checked.endorsed.entry();
        let last = self.logged.iter().rev().find(|logged| logged.entry.case == entry.case);
        let known = Known {
            same: self.find(&entry.id).map(|logged| logged.entry.clone()),
            last: last.map(|logged| (logged.entry.clone(), logged.place)),
        };
        let decision = notary::decide(entry, checked.secret, &known)?;
        if let Decision::Log(place) = decision {
            let place = self.renumbered.pop_front().unwrap_or(place);
            self.append(entry, place)?;
        }
        Ok((entry.id.clone(), decision))
    }

    /// Logs an entry there, also once more: then its receipt is another from now on.
    pub fn append(&mut self, entry: &Entry, place: Place) -> Result<(), Error> {
        let Providers { clock, randomness } = &self.providers;
        let salts = [Salt::new(randomness)?, Salt::new(randomness)?];
        let opening = LeafOpening::of(entry, salts, place, clock.now().seconds());
        self.leaves.append(opening.leaf().to_bytes());
        self.logged.push(Logged { entry: entry.clone(), place, opening, receipt: None });
        Ok(())
    }

    /// Has a checkpoint over everything co-signed, and makes the receipts that wait for it.
    fn publish(&mut self) -> Result<(), Error> {
        let Some(newest) = self.logged.last().filter(|newest| newest.receipt.is_none()) else {
            return Ok(());
        };
        let now = self.providers.clock.now().seconds();
        let needed = self.trust.parameters().witnesses_needed(now);
        if newest.opening.time > now || self.witnesses.len() < needed {
            return Err(Error::WitnessesMissing);
        }
        let mut checkpoint = self.signer.sign(self.leaves.checkpoint(self.card.id()));
        for witness in &self.witnesses {
            checkpoint.add(witness.cosign(&checkpoint, now));
        }
        for (index, logged) in self.logged.iter_mut().enumerate() {
            if logged.receipt.is_none() {
                let proof = self.leaves.prove(index, checkpoint.clone());
                logged.receipt = Some(logged.opening.receipt(proof)?);
            }
        }
        Ok(())
    }

    fn find(&self, entry: &EntryId) -> Option<&Logged> {
        self.logged.iter().rev().find(|logged| logged.entry.id == *entry)
    }

    fn receipt(&self, entry: &EntryId) -> Result<&String, Error> {
        let receipt = self.find(entry).and_then(|logged| logged.receipt.as_ref());
        receipt.ok_or(Error::UnknownEntry)
    }

    /// What was logged under this id first, signed.
    async fn conflict(&self, entry: &EntryId) -> Result<String, Error> {
        let logged = self.find(entry).ok_or(Error::UnknownEntry)?;
        let conflict = Conflict {
            iss: self.card.id().clone(),
            iat: self.providers.clock.now().seconds(),
            entry: logged.entry.clone(),
            receipt: self.receipt(entry)?.clone(),
        };
        conflict.sign(&self.keys).await
    }

    /// The same for an entry that is not logged and for another salt.
    fn answer(&self, asked: &Queried) -> Result<Option<String>, Error> {
        let logged = self.find(&asked.entry).filter(|logged| logged.opening.salt == asked.salt);
        let published = logged.filter(|logged| logged.receipt.is_some());
        published.map(|logged| self.for_others(logged)).transpose()
    }

    fn for_others(&self, logged: &Logged) -> Result<String, Error> {
        let proof = TlogProof::parse(self.receipt(&logged.entry.id)?)?;
        logged.opening.clone().for_others().receipt(proof)
    }
}

fn numbered(trust: &Trust) -> (u64, SignedManifest) {
    let (jwt, claims) = (trust.documents().manifest.clone(), trust.manifest().clone());
    (claims.number, SignedManifest { jwt, claims })
}
