//! A whole network in one process: a patient, a hospital, a notary and a Doorman on software
//! primitives, with fixed keys, clock and randomness. Messages lie in a heap until the test
//! delivers them, in whatever order and as often as it likes.

pub mod docs;
mod keyring;
mod locks;
pub mod log;
mod manifests;
pub mod notary;
mod operator;
pub mod transcript;

use std::cell::RefCell;

use futures_lite::future::yield_now;
use hdms::Error;
use hdms::card::{Role, VerifiedCard};
use hdms::envelope::Opened;
use hdms::ids::{CaseId, EntryId, NodeId};
use hdms::jwk::RsaJwk;
use hdms::ledger::{CaseSecret, Commitment, Draw, Drawn, Entry, EntryKind, VerificationKey};
use hdms::memory::MemoryStore;
use hdms::network::{NetworkDocuments, Trust};
use hdms::node::{Deliverer, Node, OutboxItem, Outcome, Parcel, Payload, Platform, answers_to};
use hdms::notary::DepositAnswers;
use hdms::provider::{Clock, Timestamp, Write};
use hdms::software::{Software, SoftwareHolders, SoftwareKeys};
use hdms::testing::{FixedClock, SeededRandomness};
use hdms::treatment::Flow;
use hdms::treatment::hospital::HospitalCase;
use hdms::treatment::patient::PatientCase;
use hdms::treatment::request::TreatmentRequest;
pub use keyring::{Keyring, keys};
use locks::{Guard, Locks};
use notary::Notary;
pub use operator::{Network, Operator, id, stated};
use serde_json::Value;

/// When every simulation begins: 2026-01-01, noon.
pub const BEGIN: Timestamp = Timestamp(1_767_268_800_000);

/// Software providers for one node.
pub struct Simulated {
    primitives: Software<SeededRandomness>,
    keys: Keyring,
    holders: SoftwareHolders<SeededRandomness>,
    store: MemoryStore,
    clock: FixedClock,
    randomness: SeededRandomness,
    queued: RefCell<Vec<OutboxItem>>,
    cases: Locks,
    senders: Locks,
    deaf_to: RefCell<Option<NodeId>>,
}

impl Simulated {
    fn new(keys: SoftwareKeys<SeededRandomness>, world: &Providers) -> Self {
        Self {
            primitives: Software::new(world.randomness.clone()),
            keys: Keyring::new(keys),
            holders: SoftwareHolders::new(world.randomness.clone()),
            store: MemoryStore::default(),
            clock: world.clock.clone(),
            randomness: world.randomness.clone(),
            queued: RefCell::default(),
            cases: Locks::default(),
            senders: Locks::default(),
            deaf_to: RefCell::default(),
        }
    }

    /// Takes in nothing of this node for now, which has used up its quota; of nobody else by this.
    pub fn ignore(&self, sender: Option<NodeId>) {
        self.deaf_to.replace(sender);
    }
}

impl Platform for Simulated {
    type Primitives = Software<SeededRandomness>;
    type Keys = Keyring;
    type Holders = SoftwareHolders<SeededRandomness>;
    type Store = MemoryStore;
    type Clock = FixedClock;
    type Randomness = SeededRandomness;
    type Guard = Guard;

    fn primitives(&self) -> &Self::Primitives {
        &self.primitives
    }

    fn keys(&self) -> &Self::Keys {
        &self.keys
    }

    fn holders(&self) -> &Self::Holders {
        &self.holders
    }

    fn store(&self) -> &Self::Store {
        &self.store
    }

    fn clock(&self) -> &Self::Clock {
        &self.clock
    }

    fn randomness(&self) -> &Self::Randomness {
        &self.randomness
    }

    /// Others who are at work at the same time have a turn first.
    async fn lock_case(&self, case: &CaseId) -> Guard {
        yield_now().await;
        self.cases.lock(case.as_ref()).await
    }

    async fn lock_sender(&self, sender: &NodeId) -> Guard {
        self.senders.lock(sender.as_ref()).await
    }

    fn hear(&self, message: &Opened, _by: &Deliverer) -> Result<Vec<Write>, Error> {
        let is_heard = self.deaf_to.borrow().as_ref() != Some(message.sender().id());
        if is_heard { Ok(Vec::new()) } else { Err(Error::TooManyRequests) }
    }

    fn queued(&self, items: Vec<OutboxItem>) {
        self.queued.borrow_mut().extend(items);
    }
}

/// What all nodes of a simulation share.
#[derive(Clone)]
pub struct Providers {
    /// One clock for all.
    pub clock: FixedClock,
    /// One stream for all.
    pub randomness: SeededRandomness,
}

/// A message on its way.
#[derive(Clone, Debug)]
pub struct Mail {
    /// To the patient, or else to the hospital.
    pub to_patient: bool,
    /// Its type.
    pub kind: String,
    /// The compact JWE.
    pub envelope: String,
}

/// The network.
pub struct World {
    /// Shared providers.
    pub providers: Providers,
    /// The patient's node.
    pub patient: Node<Simulated>,
    /// The hospital's node.
    pub hospital: Node<Simulated>,
    /// The only notary that takes deposits; two others co-sign its checkpoints.
    pub notary: Notary,
    /// Who signs the network's documents.
    pub operator: Operator,
    /// What they say.
    pub network: Network,
    /// What they said when they were signed last.
    said: Network,
    /// The documents themselves.
    pub documents: NetworkDocuments,
    /// The pinned root key.
    pub root: RsaJwk,
    /// Messages that were sent and not yet delivered.
    pub mail: Vec<Mail>,
}

impl World {
    /// A network with everything drawn from `seed`.
    pub async fn new(seed: u64) -> Result<Self, Error> {
        let providers =
            Providers { clock: FixedClock::new(BEGIN), randomness: SeededRandomness::new(seed) };
        let operator = Operator::new(&providers)?;
        let hospital_keys = keys("hospital", providers.randomness.clone())?;
        let notary_keys = keys("notary", providers.randomness.clone())?;
        let patient_keys = keys("patient", providers.randomness.clone())?;
        let cards = [
            operator.card(&hospital_keys, Role::Institution, "Hospital").await?,
            operator.card(&notary_keys, Role::Notary, "Notary").await?,
            operator.card(&patient_keys, Role::Personal, "").await?,
        ];
        let network = operator.network(&cards[..2], &[])?;
        let documents = operator.publish(&network).await?;
        let root = operator.root().clone();
        let software = Software::new(providers.randomness.clone());
        let trust = Trust::verify(&documents, &root, None, BEGIN, &software).await?;
        let verified = async |jwt| VerifiedCard::verify(jwt, &trust, BEGIN, &software).await;
        let hospital = verified(&cards[0]).await?;
        let notary = verified(&cards[1]).await?;
        let patient = verified(&cards[2]).await?;
        let witnesses = operator.witnesses()?;
        let node = |keys, card| Node::new(Simulated::new(keys, &providers), card, trust.clone());
        Ok(Self {
            patient: node(patient_keys, patient),
            hospital: node(hospital_keys, hospital),
            notary: Notary::new(notary_keys, notary, trust.clone(), witnesses, &providers)?,
            providers,
            operator,
            said: network.clone(),
            network,
            documents,
            root,
            mail: Vec::new(),
        })
    }

    /// Another patient's node.
    pub async fn other_patient(&self) -> Result<Node<Simulated>, Error> {
        self.stranger(Role::Personal, "").await
    }

    /// A node that the Network Map does not list.
    pub async fn stranger(&self, role: Role, name: &str) -> Result<Node<Simulated>, Error> {
        let keys = keys("stranger", self.providers.randomness.clone())?;
        let card = self.operator.card(&keys, role, name).await?;
        let (trust, now, software) =
            (self.patient.trust(), self.providers.clock.now(), self.software());
        let card = VerifiedCard::verify(&card, &trust, now, &software).await?;
        Ok(Node::new(Simulated::new(keys, &self.providers), card, Trust::clone(&trust)))
    }

    /// What another patient has sent since; its deposits are answered.
    pub async fn sent_by(&mut self, patient: &Node<Simulated>) -> Result<Vec<Mail>, Error> {
        let (mut mail, queued) = (Vec::new(), patient.platform().queued.take());
        dispatch::<PatientCase>(patient, queued, &mut self.notary, &mut mail).await?;
        Ok(mail)
    }

    /// The primitives of everybody.
    pub fn software(&self) -> Software<SeededRandomness> {
        Software::new(self.providers.randomness.clone())
    }

    /// The entry of a request by the patient to the hospital, of no document in particular.
    pub fn first_entry(
        &self,
        id: EntryId,
        case: CaseId,
        secret: CaseSecret,
    ) -> Result<Entry, Error> {
        Ok(Entry {
            id,
            kind: EntryKind::Request,
            case,
            author: self.patient.id().clone(),
            counterparty: self.hospital.id().clone(),
            verification_key: VerificationKey::of("a document"),
            previous: None,
            case_secret: Some(Commitment::to_secret(secret)),
            draw: Some(self.draw()?),
        })
    }

    /// The patient's part of a draw, by the documents that everybody trusts.
    pub fn draw(&self) -> Result<Draw, Error> {
        let (trust, hospital) = (self.patient.trust(), self.hospital.card());
        let (number, manifest) = (trust.manifest().number, &trust.documents().manifest);
        let key = hospital.card().signing_key.thumbprint();
        Draw::new(number, manifest, key, &self.providers.randomness)
    }

    /// The hospital's part, for an entry that has the patient's.
    pub async fn drawn(&self, entry: &Entry) -> Result<Option<Drawn>, Error> {
        match &entry.draw {
            Some(_) => Drawn::sign(entry, self.hospital.platform().keys()).await.map(Some),
            None => Ok(None),
        }
    }

    /// What the documents are trusted for now by a node that trusted `previous` before.
    pub async fn trust(&self, previous: Option<&Trust>) -> Result<Trust, Error> {
        let now = self.providers.clock.now();
        let size = previous.map_or(0, |previous| previous.manifest().number);
        let documents = self.operator.offered(&self.documents, size);
        Trust::verify(&documents, &self.root, previous, now, &self.software()).await
    }

    /// Signs what [`World::network`] says by now, under the next manifest, and has every node trust it.
    /// A document that says something new has a new number.
    pub async fn publish(&mut self) -> Result<(), Error> {
        self.network.follow(&self.said);
        self.said = self.network.clone();
        self.documents = self.operator.publish(&self.network).await?;
        let trust = self.trust(Some(&self.patient.trust())).await?;
        self.patient.set_trust(trust.clone());
        self.hospital.set_trust(trust.clone());
        self.notary.set_trust(trust);
        Ok(())
    }

    /// What the hospital has queued finds nobody, and stays in its outbox.
    pub fn unanswered(&self) -> Vec<OutboxItem> {
        self.hospital.platform().queued.take()
    }

    /// What the patient has queued, which reaches nobody.
    pub fn undeposited(&mut self) -> Vec<OutboxItem> {
        self.patient.platform().queued.take()
    }

    /// A network in which the patient has asked in `case` and may be asked for Observations, the hospital has
    /// taken the case and handed in `results` together, and the patient has them. Answers their entries.
    pub async fn with_results(
        seed: u64,
        case: &CaseId,
        results: Vec<Value>,
    ) -> Result<(Self, Vec<EntryId>), Error> {
        let mut world = Self::new(seed).await?;
        let may_read = vec!["Observation".into()];
        let request = TreatmentRequest { reason: "Cough".into(), date: None, may_read };
        world.patient.ask(case, world.hospital.id(), request).await?;
        world.deliver_all().await?;
        world.hospital.approve(case).await?;
        world.deliver_all().await?;
        let entries = world.hand_in(case, results).await?;
        world.deliver_all().await?;
        Ok((world, entries))
    }

    /// The hospital hands in results together. Answers their entries.
    pub async fn hand_in(&self, case: &CaseId, results: Vec<Value>) -> Result<Vec<EntryId>, Error> {
        let (state, hand_in) = self.hospital.hand_in(case, results, None).await?;
        let of_it = state.results.into_iter().filter(|one| one.hand_in.as_ref() == Some(&hand_in));
        Ok(of_it.map(|one| one.id).collect())
    }

    /// Collects what both nodes have queued: messages into [`World::mail`], deposits to the notary
    /// and its answers back, until nothing moves.
    pub async fn settle(&mut self) -> Result<(), Error> {
        loop {
            let from_patient = self.patient.platform().queued.take();
            let from_hospital = self.hospital.platform().queued.take();
            if from_patient.is_empty() && from_hospital.is_empty() {
                return Ok(());
            }
            let (mut mail, notary) = (Vec::new(), &mut self.notary);
            dispatch::<PatientCase>(&self.patient, from_patient, notary, &mut mail).await?;
            dispatch::<HospitalCase>(&self.hospital, from_hospital, notary, &mut mail).await?;
            self.mail.extend(mail);
        }
    }

    /// Delivers one message, then settles.
    pub async fn deliver(&mut self, mail: &Mail) -> Result<Outcome, Error> {
        self.providers.clock.advance(1000);
        let envelope = mail.envelope.as_bytes();
        let taken = if mail.to_patient {
            self.patient.receive::<PatientCase>(envelope).await
        } else {
            self.hospital.receive::<HospitalCase>(envelope).await
        };
        self.settle().await?;
        taken.map(|taken| taken.outcome)
    }

    /// Delivers everything in order until nothing is left; the first refusal ends it.
    pub async fn deliver_all(&mut self) -> Result<(), Error> {
        self.settle().await?;
        while !self.mail.is_empty() {
            let mail = self.mail.remove(0);
            self.deliver(&mail).await?;
        }
        Ok(())
    }
}

/// Sends what a node queued.
async fn dispatch<F: Flow>(
    node: &Node<Simulated>,
    items: Vec<OutboxItem>,
    notary: &mut Notary,
    mail: &mut Vec<Mail>,
) -> Result<(), Error> {
    let (parcels, stuck) = node.parcels(items).await;
    if !stuck.is_empty() {
        return Err(Error::NetworkUnreachable);
    }
    for parcel in parcels {
        match parcel {
            Parcel::Inbox { item, .. } => post(node, *item, false, mail).await?,
            Parcel::Mailbox { items } => {
                for item in items {
                    post(node, item, true, mail).await?;
                }
            }
            Parcel::Deposits { items, envelope, .. } => {
                let DepositAnswers { answers } = notary.receive(&envelope).await?;
                for (item, answers) in items.iter().zip(answers_to(&items, answers)?) {
                    node.deposit_answered::<F>(item, &answers).await?;
                }
            }
        }
    }
    Ok(())
}

async fn post(
    node: &Node<Simulated>,
    item: OutboxItem,
    to_patient: bool,
    mail: &mut Vec<Mail>,
) -> Result<(), Error> {
    node.delivered(&item).await?;
    if let Payload::Envelope { kind, compact, .. } = item.payload {
        mail.push(Mail { to_patient, kind, envelope: compact });
    }
    Ok(())
}
