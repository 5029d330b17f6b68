//! Somebody who wants to choose a case's notary: the hospital, the patient, or a notary that takes
//! what was not drawn for it. Both have a part in the draw, each is fixed before the other is known,
//! and everybody who has to rely on it checks.

use futures_lite::future::block_on;
use hdms::Error;
use hdms::card::{Role, SigningKeys, VerifiedCard};
use hdms::envelope::{self, Letter, MessageType};
use hdms::ids::{CaseId, NodeId};
use hdms::ledger::{
    Draw, DrawSignature, Drawn, Entry, Passed, SILENCE, VerifiedDraw, VerifiedEndorsement,
};
use hdms::network::{self, Manifest};
use hdms::node::{Outcome, Platform};
use hdms::notary::{Deposit, DepositAnswer, DepositBody};
use hdms::provider::{Clock, NodeKeys, Timestamp};
use hdms::software::SoftwareKeys;
use hdms::testing::SeededRandomness;
use hdms::treatment::hospital::HospitalCase;
use hdms::treatment::message::{ApprovalBody, Ranking, RequestBody};
use hdms::treatment::patient::{PatientCase, Phase};
use hdms::treatment::request::TreatmentRequest;
use hdms_simulation::{BEGIN, World, keys};

use crate::case;

/// A request for which another notary than the simulated one was drawn, of three.
struct Scene {
    world: World,
    entry: Entry,
    ranking: Ranking,
    /// When the patient has endorsed the request.
    asked: Timestamp,
}

/// The first seed with which the simulated notary has this rank.
async fn drawn(rank: usize) -> Scene {
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
async fn network(seed: u64) -> World {
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
    fn me(&self) -> &NodeId {
        self.world.notary.card().id()
    }

    fn passed(&self, why: impl Fn(NodeId) -> Passed) -> Vec<Passed> {
        let before = self.ranking.notaries.iter().take_while(|notary| *notary != self.me());
        before.cloned().map(why).collect()
    }

    /// What the simulated notary answers to the hospital's deposit of the request.
    async fn deposit(&mut self, drawn: Drawn) -> DepositAnswer {
        let (hospital, world) = (&self.world.hospital, &self.world);
        let mut endorsements = Vec::new();
        for node in [&world.patient, hospital] {
            let keys = node.platform().keys();
            let signed = VerifiedEndorsement::sign(&self.entry, node.id(), self.asked, keys).await;
            endorsements.push(signed.unwrap().jwt().to_owned());
        }
        let state: HospitalCase = hospital.case(&case()).await.unwrap();
        let endorsements = endorsements.try_into().unwrap();
        let deposits = vec![Deposit { endorsements, case_secret: state.secret, draw: Some(drawn) }];
        let cards = [&world.patient, hospital].map(|node| node.card().jwt().to_owned()).into();
        let body = serde_json::to_value(DepositBody { cards, deposits }).unwrap();
        let (id, kind, to) = (case(), MessageType::Deposit, world.notary.card());
        let (card, p) = (hospital.card(), hospital.platform());
        let letter = Letter { from: &card, to, case: &id, kind, body };
        let sealed =
            envelope::seal(letter, p.keys(), p.primitives(), p.clock(), p.randomness()).await;
        let answers = self.world.notary.receive(&sealed.unwrap().1).await.unwrap();
        answers.answers[0].clone()
    }

    /// What the patient makes of an approval with this draw and the simulated notary's receipt.
    async fn approve(&mut self, drawn: Drawn) -> Result<(), Error> {
        let answer = self.deposit(drawn.clone()).await;
        let DepositAnswer::Receipt(receipt) = answer else { panic!("{answer:?}") };
        self.tell(&receipt, drawn).await
    }

    async fn tell(&mut self, receipt: &str, draw: Drawn) -> Result<(), Error> {
        let hospital = &self.world.hospital;
        let (card, p) = (hospital.card(), hospital.platform());
        let (at, keys) = (p.clock().now(), p.keys());
        let mine = VerifiedEndorsement::sign(&self.entry, hospital.id(), at, keys);
        let endorsement = mine.await.unwrap().jwt().to_owned();
        let receipt = receipt.to_owned();
        let body = ApprovalBody { endorsement, receipt, draw };
        let body = serde_json::to_value(body).unwrap();
        let (id, to) = (case(), self.world.patient.card());
        let kind = MessageType::TreatmentApproval;
        let letter = Letter { from: &card, to: &to, case: &id, kind, body };
        let sealed =
            envelope::seal(letter, p.keys(), p.primitives(), p.clock(), p.randomness()).await;
        let envelope = sealed.unwrap().1;
        let taken = self.world.patient.receive::<PatientCase>(envelope.as_bytes()).await;
        taken.map(|taken| assert_eq!(taken.outcome, Outcome::Applied))
    }

    fn with_passed(&self, passed: Vec<Passed>) -> Drawn {
        Drawn { passed, ..self.ranking.drawn.clone() }
    }
}

fn refused(error: Error) -> DepositAnswer {
    DepositAnswer::Refused(error.code().into())
}

fn silent(since: u64) -> impl Fn(NodeId) -> Passed {
    move |notary| Passed { notary, delisted: None, silent: Some(since) }
}

fn delisted(manifest: u64) -> impl Fn(NodeId) -> Passed {
    move |notary| Passed { notary, delisted: Some(manifest), silent: None }
}

#[test]
fn the_first_in_rank_takes_the_case_and_no_other_does() {
    block_on(async {
        let mut first = drawn(0).await;
        first.world.hospital.approve(&case()).await.unwrap();
        first.world.deliver_all().await.unwrap();
        let approved: PatientCase = first.world.patient.case(&case()).await.unwrap();
        assert_eq!(approved.notary.as_ref(), Some(first.me()));

        let mut second = drawn(1).await;
        let plain = second.ranking.drawn.clone();
        assert_eq!(second.deposit(plain).await, refused(Error::NotDrawn));
        assert!(second.world.notary.log().is_empty());
    });
}

/// A notary that goes along with the hospital, and whose log is in order: the patient looks itself.
#[test]
fn the_patient_takes_no_receipt_of_a_notary_that_was_not_drawn() {
    block_on(async {
        let mut scene = drawn(0).await;
        let plain = scene.ranking.drawn.clone();
        let DepositAnswer::Receipt(receipt) = scene.deposit(plain.clone()).await else { panic!() };
        let first = scene.ranking.notaries[0].clone();
        let untrue = [
            ("another came first", scene.with_passed(vec![silent(BEGIN.seconds())(first)])),
            ("another signature", Drawn { signature: other_signature(&plain), ..plain.clone() }),
        ];
        for (case, drawn) in untrue {
            assert_eq!(scene.tell(&receipt, drawn).await, Err(Error::NotDrawn), "{case}");
        }
        assert_eq!(scene.tell(&receipt, plain).await, Ok(()));

        // One that was drawn second, and took the case all the same.
        let mut scene = drawn(1).await;
        let day = SILENCE * 1000;
        scene.world.providers.clock.advance(day);
        let waited = scene.with_passed(scene.passed(silent(BEGIN.seconds() + 60)));
        let answer = scene.deposit(waited).await;
        let DepositAnswer::Receipt(receipt) = answer else { panic!("{answer:?}") };
        let plain = scene.ranking.drawn.clone();
        assert_eq!(scene.tell(&receipt, plain).await, Err(Error::NotDrawn));
        let state: PatientCase = scene.world.patient.case(&case()).await.unwrap();
        assert_eq!(state.phase, Phase::Requested);
    });
}

fn other_signature(drawn: &Drawn) -> DrawSignature {
    let mut signature = drawn.signature.clone();
    signature.0[0] ^= 1;
    signature
}

#[test]
fn a_hospital_that_grinds_finds_one_signature() {
    block_on(async {
        let mut scene = drawn(0).await;
        let again = Drawn::sign(&scene.entry, scene.world.hospital.platform().keys()).await;
        assert_eq!(again.unwrap(), scene.ranking.drawn, "there is no other");
        let fresh = SoftwareKeys::generate(2048, SeededRandomness::new(9)).unwrap();
        let by_another = Drawn::sign(&scene.entry, &fresh).await.unwrap();
        let message = message(&scene.entry);
        let ps256 = scene.world.hospital.platform().keys().sign_ps256(&message).await.unwrap();
        let own = scene.ranking.drawn.signature.clone();
        let longer = [&[0][..], &own.0].concat();
        for signature in [by_another.signature, DrawSignature(ps256), DrawSignature(longer)] {
            let drawn = Drawn { signature, passed: Vec::new() };
            assert_eq!(scene.deposit(drawn).await, refused(Error::NotDrawn));
        }
        assert!(matches!(scene.approve(scene.ranking.drawn.clone()).await, Ok(())));
    });
}

/// A key of a younger card counts for what is signed otherwise, and not here: the patient has named
/// the key of the older card before the hospital knew what it would have to sign.
#[test]
fn a_key_made_after_the_request_draws_nothing() {
    block_on(async {
        let scene = drawn(0).await;
        let world = &scene.world;
        let younger = keys("doorman", world.providers.randomness.clone()).unwrap();
        let drawn = Drawn::sign(&scene.entry, &younger).await.unwrap();
        let card = world.hospital.card();
        for keys in [card.keys(), &SigningKeys::first(younger.public().0).unwrap()] {
            let verified =
                VerifiedDraw::verify(&scene.entry, drawn.clone(), keys, &world.software()).await;
            assert_eq!(verified.err(), Some(Error::NotDrawn));
        }
        // Nor does the hospital take a request that names a key which it no longer has.
        let key = younger.public().0.thumbprint();
        let trust = world.patient.trust();
        let (number, manifest) = (trust.manifest().number, &trust.documents().manifest);
        let draw = Draw::new(number, manifest, key, &world.providers.randomness).unwrap();
        assert_eq!(asked(world, draw, manifest).await, Err(Error::RequestOutdated));
    });
}

fn message(entry: &Entry) -> Vec<u8> {
    let draw = entry.draw.as_ref().unwrap();
    let value = String::from(draw.value);
    format!("hdms-notary-draw/v2\n{}\n{}\n{value}", entry.case, entry.id).into_bytes()
}

#[test]
fn a_patient_that_repeats_its_value_meets_the_same_notary_no_more_often_than_chance_has_it() {
    block_on(async {
        let world = network(1).await;
        let (draw, trust) = (world.draw().unwrap(), world.patient.trust());
        let template = first_entry(&world, draw).await;
        let notaries = &trust.manifest().notaries;
        let mut met = vec![0; notaries.len()];
        for number in 0..300 {
            let entry = Entry { id: crate::id(1000 + number), ..template.clone() };
            let keys = world.hospital.platform().keys();
            let drawn = Drawn::sign(&entry, keys).await.unwrap();
            let ranked = entry.draw.unwrap().ranked(notaries, &drawn.signature);
            met[notaries.iter().position(|notary| *notary == ranked[0]).unwrap()] += 1;
        }
        assert!(met.iter().all(|count| (70..=130).contains(count)), "{met:?}");
    });
}

/// An entry as the patient's node makes one.
async fn first_entry(world: &World, draw: Draw) -> Entry {
    let request = TreatmentRequest { reason: "Cough".into(), date: None, may_read: vec![] };
    let state = world.patient.ask(&case(), world.hospital.id(), request).await.unwrap();
    Entry { draw: Some(draw), ..state.entry }
}

#[test]
fn the_next_in_rank_waits_until_the_first_was_silent_for_a_day() {
    block_on(async {
        let mut scene = drawn(1).await;
        let since = BEGIN.seconds() + 60;
        let waited = scene.with_passed(scene.passed(silent(since)));
        assert_eq!(scene.deposit(waited.clone()).await, refused(Error::NotDrawn), "too early");
        scene.world.providers.clock.advance((SILENCE - 600) * 1000);
        assert_eq!(scene.deposit(waited.clone()).await, refused(Error::NotDrawn), "still");
        let before = scene.with_passed(scene.passed(silent(since - SILENCE)));
        assert_eq!(scene.deposit(before).await, refused(Error::NotDrawn), "before it was asked");
        let neither = |notary| Passed { notary, delisted: None, silent: None };
        let neither = scene.with_passed(scene.passed(neither));
        assert_eq!(scene.deposit(neither).await, refused(Error::NotDrawn), "no reason");
        scene.world.providers.clock.advance(700 * 1000);
        let stranger = scene.me().clone();
        let another = scene.with_passed(vec![silent(since)(stranger)]);
        assert_eq!(scene.deposit(another).await, refused(Error::NotDrawn), "another was first");
        assert_eq!(scene.approve(waited).await, Ok(()));
    });
}

/// The manifest that the patient names may be old: of the time before it asked nobody was silent.
#[test]
fn no_notary_was_silent_before_the_patient_asked() {
    block_on(async {
        let mut scene = drawn(1).await;
        scene.world.providers.clock.advance(SILENCE * 1000);
        scene.asked = scene.world.providers.clock.now();
        let waited = scene.with_passed(scene.passed(silent(BEGIN.seconds() + 60)));
        assert_eq!(scene.deposit(waited).await, refused(Error::NotDrawn));
        scene.world.providers.clock.advance(SILENCE * 1000);
        let waited = scene.with_passed(scene.passed(silent(scene.asked.seconds())));
        assert_eq!(scene.approve(waited).await, Ok(()));
    });
}

#[test]
fn the_third_in_rank_waits_for_a_day_of_each_before_it() {
    block_on(async {
        let mut scene = drawn(2).await;
        let since = BEGIN.seconds() + 60;
        scene.world.providers.clock.advance(SILENCE * 1000);
        let at_once = scene.with_passed(scene.passed(silent(since)));
        assert_eq!(scene.deposit(at_once.clone()).await, refused(Error::NotDrawn));
        scene.world.providers.clock.advance(SILENCE * 1000);
        assert_eq!(scene.deposit(at_once).await, refused(Error::NotDrawn), "not one by one");
        let mut passed = scene.passed(silent(since));
        passed[1].silent = Some(since + SILENCE);
        let one_by_one = scene.with_passed(passed);
        assert_eq!(scene.approve(one_by_one).await, Ok(()));
    });
}

#[test]
fn a_notary_is_passed_over_as_delisted_only_by_a_manifest_without_it() {
    block_on(async {
        let mut scene = drawn(1).await;
        let named = scene.entry.draw.clone().unwrap().number;
        for number in [1, named] {
            let said = scene.with_passed(scene.passed(delisted(number)));
            assert_eq!(scene.deposit(said).await, refused(Error::NotDrawn), "{number}");
        }
        let unknown = scene.with_passed(scene.passed(delisted(named + 1)));
        assert_eq!(scene.deposit(unknown.clone()).await, refused(Error::NotDrawn));
        let first = scene.ranking.notaries[0].clone();
        remove(&mut scene.world, &first).await;
        assert_eq!(scene.approve(unknown).await, Ok(()));
    });
}

#[test]
fn a_patient_that_does_not_know_the_manifest_yet_waits_for_it() {
    block_on(async {
        let mut scene = drawn(1).await;
        let before = scene.world.patient.trust();
        let first = scene.ranking.notaries[0].clone();
        remove(&mut scene.world, &first).await;
        let after = scene.world.patient.trust();
        scene.world.patient.set_trust(before.as_ref().clone());
        let number = after.manifest().number;
        let said = scene.with_passed(scene.passed(delisted(number)));
        assert_eq!(scene.approve(said).await, Err(Error::ManifestUnknown));
        scene.world.patient.set_trust(after.as_ref().clone());
        let taken = scene.world.patient.retry_hopeful::<PatientCase>().await.unwrap();
        assert_eq!(taken.len(), 1);
    });
}

async fn remove(world: &mut World, notary: &NodeId) {
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

/// Not an attack: a notary that is down, or gone, keeps nobody from being treated.
#[test]
fn a_notary_that_refuses_a_card_for_a_day_has_not_been_silent() {
    block_on(async {
        let mut scene = drawn(1).await;
        let world = &mut scene.world;
        world.hospital.approve(&case()).await.unwrap();
        let deposit = world.unanswered();
        for (why, goes_on) in [(Error::CardSuperseded, false), (Error::NodeBusy, true)] {
            let (failed, kept) = world.hospital.postpone(&deposit, why.into()).await;
            assert_eq!((failed.len(), kept), (1, Ok(())));
            world.providers.clock.advance(SILENCE * 1000);
            world.hospital.pass_over().await.unwrap();
            assert_eq!(!world.unanswered().is_empty(), goes_on, "{why}");
        }
    });
}

#[test]
fn a_hospital_goes_on_to_the_next_in_rank_when_the_first_is_silent_or_delisted() {
    block_on(async {
        for is_delisted in [false, true] {
            let mut scene = drawn(1).await;
            let world = &mut scene.world;
            world.hospital.approve(&case()).await.unwrap();
            let stale = world.unanswered();
            assert_eq!(stale[0].to, scene.ranking.notaries[0]);
            world.hospital.pass_over().await.unwrap();
            assert!(world.unanswered().is_empty(), "not yet");
            if is_delisted {
                remove(world, &scene.ranking.notaries[0]).await;
            } else {
                world.providers.clock.advance(SILENCE * 1000);
            }
            world.hospital.pass_over().await.unwrap();
            world.hospital.pass_over().await.unwrap();
            let late = DepositAnswer::Refused(Error::NotDrawn.code().into());
            let answered = world.hospital.deposit_answered::<HospitalCase>(&stale[0], &late).await;
            assert_eq!(answered, Ok(()), "what the first says now is no matter");
            world.deliver_all().await.unwrap();
            let state: PatientCase = world.patient.case(&case()).await.unwrap();
            assert_eq!((state.phase, state.notary.as_ref()), (Phase::Approved, Some(scene.me())));
            let HospitalCase { ranking, .. } = scene.world.hospital.case(&case()).await.unwrap();
            let [passed] = &ranking.unwrap().drawn.passed[..] else { panic!("one") };
            assert_eq!(passed.delisted.is_some(), is_delisted);
            assert_eq!(state.passed, std::slice::from_ref(passed), "the patient is told");
        }
    });
}

/// What the hospital makes of a request whose draw goes by `draw`, sent with this manifest.
async fn asked(world: &World, draw: Draw, manifest: &str) -> Result<(), Error> {
    let (p, card, to) = (world.patient.platform(), world.patient.card(), world.hospital.card());
    let fresh = CaseId::new(p.clock(), p.randomness()).unwrap();
    let request = TreatmentRequest { reason: "Cough".into(), date: None, may_read: vec![] };
    let state = world.patient.ask(&fresh, to.id(), request).await.unwrap();
    let entry = Entry { draw: Some(draw), ..state.entry };
    let at = p.clock().now();
    let mine = VerifiedEndorsement::sign(&entry, card.id(), at, p.keys()).await.unwrap();
    let body = RequestBody {
        record: world.patient.record(&fresh, &entry.id).await.unwrap(),
        endorsement: mine.jwt().to_owned(),
        name: String::new(),
        case_secret: state.secret.unwrap(),
        manifest: manifest.to_owned(),
    };
    let (kind, body) = (MessageType::TreatmentRequest, serde_json::to_value(body).unwrap());
    let letter = Letter { from: &card, to: &to, case: &fresh, kind, body };
    let sealed = envelope::seal(letter, p.keys(), p.primitives(), p.clock(), p.randomness()).await;
    let envelope = sealed.unwrap().1;
    world.hospital.receive::<HospitalCase>(envelope.as_bytes()).await.map(drop)
}

#[test]
fn a_request_goes_by_a_manifest_that_the_network_has_said_and_that_has_not_long_ended() {
    block_on(async {
        let mut world = network(1).await;
        let (key, trust) =
            (world.hospital.card().card().signing_key.thumbprint(), world.patient.trust());
        let (number, manifest) = (trust.manifest().number, trust.documents().manifest.clone());
        let by = |number, manifest: &str| {
            Draw::new(number, manifest, key.clone(), &world.providers.randomness).unwrap()
        };
        let good = by(number, &manifest);
        let another_number = by(number + 1, &manifest);
        let forged = format!("{manifest}A");
        let by_forged = by(number, &forged);
        let other = Manifest { notaries: vec![], ..trust.manifest().clone() };
        let doorman = keys("doorman", world.providers.randomness.clone()).unwrap();
        let second = network::sign(&other, &doorman).await.unwrap();
        let of_second = by(number, &second);
        let stranger = keys("hospital", world.providers.randomness.clone()).unwrap();
        let iss: NodeId = stranger.public().0.thumbprint().parse().unwrap();
        let foreign = Manifest { iss, number: 1, ..other };
        let foreign = network::sign(&foreign, &stranger).await.unwrap();
        let of_foreign = by(1, &foreign);
        assert_eq!(asked(&world, good, &manifest).await, Ok(()));
        for (draw, manifest, expected) in [
            (another_number, &manifest, Error::EntryMismatch),
            (by_forged.clone(), &manifest, Error::EntryMismatch),
            (by_forged, &forged, Error::ManifestUnknown),
            (of_second, &second, Error::ManifestUnknown),
            (of_foreign, &foreign, Error::ManifestUnknown),
        ] {
            assert_eq!(asked(&world, draw, manifest).await, Err(expected));
        }

        // An earlier one that was signed in its time goes, until it has ended for a week.
        let lasts = world.network.lasts;
        world.network.lasts = SILENCE;
        world.publish().await.unwrap();
        let trust = world.patient.trust();
        let (number, manifest) = (trust.manifest().number, &trust.documents().manifest);
        let [early, late] = [(); 2].map(|()| {
            Draw::new(number, manifest, key.clone(), &world.providers.randomness).unwrap()
        });
        world.network.lasts = lasts;
        world.publish().await.unwrap();
        world.providers.clock.advance(7 * SILENCE * 1000);
        assert_eq!(asked(&world, early, manifest).await, Ok(()));
        world.providers.clock.advance(SILENCE * 1000);
        assert_eq!(asked(&world, late, manifest).await, Err(Error::RequestOutdated));
    });
}
