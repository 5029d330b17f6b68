//! A request, and for whom its notary was drawn.

use std::slice;

use hdms::Error;
use hdms::card::{Role, VerifiedCard};
use hdms::envelope::{self, Message, MessageType};
use hdms::ids::NodeId;
use hdms::ledger::{Drawn, Entry, Passed, VerifiedEndorsement};
use hdms::node::{Outcome, Platform};
use hdms::notary::{Deposit, DepositAnswer, DepositBody};
use hdms::provider::{Clock, Timestamp};
use hdms::treatment::hospital::HospitalCase;
use hdms::treatment::message::{ApprovalBody, Ranking};
use hdms::treatment::patient::PatientCase;
use hdms::treatment::request::TreatmentRequest;
use hdms_simulation::{BEGIN, World, keys};

use crate::case;

/// A request for which another notary than the simulated one was drawn, of three.
pub struct Scene {
    pub world: World,
    pub entry: Entry,
    pub ranking: Ranking,
    /// When the patient has endorsed the request.
    pub asked: Timestamp,
}

/// The first seed with which the simulated notary has this rank.
pub async fn drawn(rank: usize) -> Scene {
    for seed in 1.. {
        let mut world = network(seed).await;
        let request = TreatmentRequest { reason: "Cough".into(), date: None, may_read: vec![] };
        world.patient.ask(&case(), world.hospital.id(), request).await.unwrap();
        world.deliver_all().await.unwrap();
        let HospitalCase { entry, ranking, .. } = world.hospital.case(&case()).await.unwrap();
        let ranking = ranking.unwrap();
        if ranking.notaries[rank] == *world.notary.card().id() {
            return Scene { world, entry, ranking, asked: BEGIN };
        }
    }
    unreachable!()
}

/// A network of three notaries, of which one is simulated.
pub async fn network(seed: u64) -> World {
    let mut world = World::new(seed).await.unwrap();
    for name in ["stranger", "root"] {
        let keys = keys(name, world.providers.randomness.clone()).unwrap();
        let card = world.operator.card(&keys, Role::Notary, name).await.unwrap();
        world.network.map.nodes.push(card);
    }
    world.publish().await.unwrap();
    world
}

impl Scene {
    pub fn me(&self) -> &NodeId {
        self.world.notary.card().id()
    }

    pub fn passed(&self, why: impl Fn(NodeId) -> Passed) -> Vec<Passed> {
        let before = self.ranking.notaries.iter().take_while(|notary| *notary != self.me());
        before.cloned().map(why).collect()
    }

    /// What the simulated notary answers to the hospital's deposit of the request.
    pub async fn deposit(&mut self, drawn: Drawn) -> DepositAnswer {
        let (hospital, world) = (&self.world.hospital, &self.world);
        let mut endorsements = Vec::new();
        for node in [&world.patient, hospital] {
            let keys = node.platform().keys();
            let entry = slice::from_ref(&self.entry);
            let signed = VerifiedEndorsement::sign(entry, node.id(), self.asked, keys).await;
            endorsements.push(signed.unwrap().jwt().to_owned());
        }
        let state: HospitalCase = hospital.case(&case()).await.unwrap();
        let (entry, case_secret) = (self.entry.id.clone(), state.secret);
        let deposits = vec![Deposit { entry, case_secret, draw: Some(drawn) }];
        let cards = [&world.patient, hospital].map(|node| node.card().jwt().to_owned()).into();
        let body = serde_json::to_value(DepositBody { cards, endorsements, deposits }).unwrap();
        let (id, kind, to) = (case(), MessageType::Deposit, world.notary.card());
        let (card, p) = (hospital.card(), hospital.platform());
        let outbound = Message { from: &card, to, case: &id, kind, body };
        let sealed =
            envelope::seal(outbound, p.keys(), p.primitives(), p.clock(), p.randomness()).await;
        let answers = self.world.notary.receive(&sealed.unwrap().1).await.unwrap();
        answers.answers[0].clone()
    }

    /// What the patient makes of an approval with this draw and the simulated notary's receipt.
    pub async fn approve(&mut self, drawn: Drawn) -> Result<(), Error> {
        let answer = self.deposit(drawn.clone()).await;
        let DepositAnswer::Receipt(receipt) = answer else { panic!("{answer:?}") };
        self.tell(&receipt, drawn).await
    }

    pub async fn tell(&mut self, receipt: &str, draw: Drawn) -> Result<(), Error> {
        let hospital = &self.world.hospital;
        let (card, p) = (hospital.card(), hospital.platform());
        let (at, keys) = (p.clock().now(), p.keys());
        let entry = slice::from_ref(&self.entry);
        let mine = VerifiedEndorsement::sign(entry, hospital.id(), at, keys);
        let endorsement = mine.await.unwrap().jwt().to_owned();
        let receipt = receipt.to_owned();
        let body = ApprovalBody { endorsement, receipt, draw };
        let body = serde_json::to_value(body).unwrap();
        let (id, to) = (case(), self.world.patient.card());
        let kind = MessageType::TreatmentApproval;
        let outbound = Message { from: &card, to: &to, case: &id, kind, body };
        let sealed =
            envelope::seal(outbound, p.keys(), p.primitives(), p.clock(), p.randomness()).await;
        let envelope = sealed.unwrap().1;
        let taken = self.world.patient.receive::<PatientCase>(envelope.as_bytes()).await;
        taken.map(|taken| assert_eq!(taken.outcome, Outcome::Applied))
    }

    pub fn with_passed(&self, passed: Vec<Passed>) -> Drawn {
        Drawn { passed, ..self.ranking.drawn.clone() }
    }
}

pub fn refused(error: Error) -> DepositAnswer {
    DepositAnswer::Refused(error.code().into())
}

pub fn silent(since: u64) -> impl Fn(NodeId) -> Passed {
    move |notary| Passed { notary, delisted: None, silent: Some(since) }
}

pub fn delisted(manifest: u64) -> impl Fn(NodeId) -> Passed {
    move |notary| Passed { notary, delisted: Some(manifest), silent: None }
}

/// It is no notary any more.
pub async fn remove(world: &mut World, notary: &NodeId) {
    let mut kept = Vec::new();
    for jwt in std::mem::take(&mut world.network.map.nodes) {
        let card = VerifiedCard::vouched(&jwt, &world.software()).await.unwrap();
        if card.id() != notary {
            kept.push(jwt);
        }
    }
    world.network.map.nodes = kept;
    world.publish().await.unwrap();
}
