//! An id is taken once, and a number of a case. Whoever comes second is told so, with proof of the first,
//! and believes nothing less.

use std::slice;

use futures_lite::future::block_on;
use hdms::Error;
use hdms::base64url::digest;
use hdms::card::VerifiedCard;
use hdms::envelope::MessageType;
use hdms::ids::NodeId;
use hdms::jose::jws::sign_ps256;
use hdms::ledger::{
    Conflict, Entry, EntryKind, MAX_ENTRIES, Place, VerificationKey, VerifiedEndorsement,
    VerifiedReceipt,
};
use hdms::node::{Node, Platform};
use hdms::notary::{
    self, Decision, Deposit, DepositAnswer, DepositAnswers, DepositBody, Known, MAX_DEPOSITS,
};
use hdms::provider::{NodeKeys, Store, Table};
use hdms::treatment::hospital::{HospitalCase, HospitalPhase};
use hdms_simulation::{BEGIN, Simulated, World};
use serde_json::{Value, json};

use crate::logbook::{Logbook, SECRET};
use crate::{case, id, seal};

const NOW: u64 = BEGIN.0 / 1000;

/// The first entry of the logbook is logged; this one wants its id.
fn second(book: &Logbook) -> Entry {
    Entry { verification_key: VerificationKey::of("second"), ..book.entries[0].clone() }
}

fn conflict(book: &Logbook) -> Conflict {
    let (log, checkpoint) = book.log(NOW, &[(&book.witnesses[0], NOW)]);
    Conflict {
        iss: book.notary_id().clone(),
        iat: NOW,
        entry: book.entries[0].clone(),
        receipt: book.opening(0, NOW).receipt(log.prove(0, checkpoint)).unwrap(),
    }
}

async fn verify(
    book: &Logbook,
    conflict: &Conflict,
    signer: &impl NodeKeys,
    entry: &Entry,
) -> Result<Conflict, Error> {
    let jwt = conflict.sign(signer).await.unwrap();
    let notary: &VerifiedCard = book.world.notary.card();
    Conflict::verify(&jwt, entry, notary, &book.trust(), &book.world.software()).await
}

#[test]
fn a_conflict_proves_what_was_first() {
    block_on(async {
        let book = Logbook::new().await;
        let (keys, conflict) = (book.world.notary.keys(), conflict(&book));
        let first = &book.entries[0];
        let another_kind = Entry { kind: EntryKind::Result, ..first.clone() };
        let another_case = Entry { case: id(99), ..first.clone() };
        for entry in [second(&book), another_kind, another_case] {
            assert_eq!(verify(&book, &conflict, keys, &entry).await, Ok(conflict.clone()));
        }
    });
}

#[test]
fn a_conflict_that_proves_nothing_is_refused() {
    block_on(async {
        let book = Logbook::new().await;
        let (keys, good) = (book.world.notary.keys(), conflict(&book));
        let (first, entry) = (&book.entries[0], second(&book));
        let forged = async |conflict: Conflict, entry: &Entry| {
            let verified = verify(&book, &conflict, keys, entry).await;
            assert_eq!(verified.err(), Some(Error::ReceiptForged), "{conflict:?}");
        };
        let stranger = hdms_simulation::keys("stranger", book.world.providers.randomness.clone());
        let signed = verify(&book, &good, &stranger.unwrap(), &entry).await;
        assert_eq!(signed.err(), Some(Error::ReceiptForged), "not the notary's signature");
        forged(Conflict { iss: book.world.hospital.id().clone(), ..good.clone() }, &entry).await;
        forged(Conflict { receipt: String::new(), ..good.clone() }, &entry).await;
        let unwitnessed = book.receipt(0, NOW, &[]);
        forged(Conflict { receipt: unwitnessed, ..good.clone() }, &entry).await;
        let other = book.receipt(1, NOW, &[(&book.witnesses[0], NOW)]);
        forged(Conflict { entry: book.entries[1].clone(), receipt: other, ..good.clone() }, &entry)
            .await;
        forged(good.clone(), &Entry { id: id(50), ..entry.clone() }).await;
        forged(good.clone(), first).await;
        // What the notary claims to have logged is not in its leaf.
        for claimed in [
            Entry { verification_key: VerificationKey::of("third"), ..first.clone() },
            Entry { case: id(99), ..first.clone() },
        ] {
            forged(Conflict { entry: claimed, ..good.clone() }, first).await;
        }
        let draw = Entry { draw: None, ..first.clone() };
        forged(Conflict { entry: draw, ..good.clone() }, first).await;
        // Without its salt nobody sees of what it is.
        let (log, checkpoint) = book.log(NOW, &[(&book.witnesses[0], NOW)]);
        let closed = book.opening(0, NOW).for_others();
        let receipt = closed.receipt(log.prove(0, checkpoint)).unwrap();
        forged(Conflict { receipt, ..good }, &entry).await;
    });
}

#[test]
fn the_notary_numbers_repeats_refuses_and_tells_strangers_nothing() {
    block_on(async {
        let book = Logbook::new().await;
        let [first, next, last] = &book.entries[..] else { panic!("three entries") };
        let logged = |entry: &Entry, number| Some((entry.clone(), Place::Numbered(SECRET, number)));
        let rule = |entry: &Entry, same: Option<&Entry>, last: Option<(Entry, Place)>| {
            let secret = entry.case_secret.map(|_| SECRET);
            notary::decide(entry, secret, &Known { same: same.cloned(), last })
        };
        let log = |number| Ok(Decision::Log(Place::Numbered(SECRET, number)));
        assert_eq!(rule(first, None, None), log(1));
        assert_eq!(rule(next, None, logged(first, 1)), log(2));
        assert_eq!(rule(last, None, logged(next, 2)), log(3));
        assert_eq!(rule(first, Some(first), logged(last, 3)), Ok(Decision::Repeat));
        let taken = Ok(Decision::Conflict);
        assert_eq!(rule(&second(&book), Some(first), logged(first, 1)), taken);

        assert_eq!(rule(next, None, None), Err(Error::CaseUnlogged));
        let again = Entry { id: id(50), ..first.clone() };
        assert_eq!(rule(&again, None, logged(next, 2)), Err(Error::CaseLogged));
        let former = Entry { case_secret: None, draw: None, ..first.clone() };
        assert_eq!(rule(&former, None, None), Err(Error::FormerCase));
        let repeated = rule(&former, Some(&former), Some((former.clone(), Place::Former)));
        assert_eq!(repeated, Ok(Decision::Repeat), "it keeps its receipt");
        let of_former = rule(next, None, Some((former, Place::Former)));
        assert_eq!(of_former, Err(Error::FormerCase));

        let stranger: NodeId = digest("a stranger").parse().unwrap();
        for of_stranger in [
            Entry { author: stranger.clone(), ..next.clone() },
            Entry { counterparty: stranger, ..next.clone() },
        ] {
            let untold = Err(Error::NotParticipant);
            assert_eq!(rule(&of_stranger, None, logged(first, 1)), untold);
            let same_id = Entry { id: first.id.clone(), ..of_stranger };
            assert_eq!(rule(&same_id, Some(first), logged(first, 1)), untold);
        }
    });
}

/// These entries, endorsed by both in one statement each and deposited by one of them in this order.
async fn deposit(world: &World, by: &Node<Simulated>, entries: &[Entry]) -> String {
    let mut endorsements = Vec::new();
    for node in [&world.hospital, &world.patient] {
        let keys = node.platform().keys();
        let signed = VerifiedEndorsement::sign(entries, node.id(), BEGIN, keys).await.unwrap();
        endorsements.push(signed.jwt().to_owned());
    }
    let deposits = deposits(world, entries).await;
    sealed(world, by, endorsements, deposits).await
}

async fn deposits(world: &World, entries: &[Entry]) -> Vec<Deposit> {
    let mut deposits = Vec::new();
    for entry in entries {
        let (case_secret, draw) = (entry.case_secret.map(|_| SECRET), world.drawn(entry).await);
        deposits.push(Deposit { entry: entry.id.clone(), case_secret, draw: draw.unwrap() });
    }
    deposits
}

async fn sealed(
    world: &World,
    by: &Node<Simulated>,
    endorsements: Vec<String>,
    deposits: Vec<Deposit>,
) -> String {
    let cards = [&world.patient, &world.hospital].map(|node| node.card().jwt().to_owned()).into();
    let body = serde_json::to_value(DepositBody { cards, endorsements, deposits }).unwrap();
    seal(by, world.notary.card(), MessageType::Deposit, body).await
}

#[test]
fn the_same_deposit_gets_the_same_receipt_and_another_under_its_id_a_conflict() {
    block_on(async {
        let book = Logbook::new().await;
        let (first, second, mut world) = (book.entries[0].clone(), second(&book), book.world);
        let envelope = deposit(&world, &world.hospital, slice::from_ref(&first)).await;
        let DepositAnswers { answers } = world.notary.receive(&envelope).await.unwrap();
        let [DepositAnswer::Receipt(receipt)] = &answers[..] else { panic!("{answers:?}") };
        let other = deposit(&world, &world.hospital, slice::from_ref(&second)).await;
        let DepositAnswers { answers } = world.notary.receive(&other).await.unwrap();
        let [DepositAnswer::Conflict(conflict)] = &answers[..] else { panic!("{answers:?}") };
        let (trust, software) = (world.patient.trust(), world.software());
        let notary = world.notary.card();
        let proven = Conflict::verify(conflict, &second, notary, &trust, &software).await.unwrap();
        assert_eq!(proven.entry, first);
        let logged = VerifiedReceipt::verify(receipt, &trust, &software).await.unwrap();
        assert_eq!(logged.expect(&first, Some(SECRET)), Ok(()));
        assert_eq!(logged.receipt().number, Some(1));
        let place = Place::Numbered(SECRET, 1).commitment(&first);
        assert_eq!(logged.opening().place, place);
        assert_ne!(place, Place::Former.commitment(&first), "the case is not enough");

        let from_patient = deposit(&world, &world.patient, &[first]).await;
        let later = world.notary.receive(&from_patient).await.unwrap();
        assert_eq!(later.answers, [DepositAnswer::Receipt(receipt.clone())]);
        assert_eq!(world.notary.log().len(), 1);
    });
}

#[test]
fn one_statement_of_each_speaks_for_many_entries_and_each_has_its_own_number() {
    block_on(async {
        let book = Logbook::new().await;
        let (entries, mut world) = (book.entries.clone(), book.world);
        let envelope = deposit(&world, &world.patient, &entries).await;
        let DepositAnswers { answers } = world.notary.receive(&envelope).await.unwrap();
        let (trust, software) = (world.patient.trust(), world.software());
        for (number, (entry, answer)) in (1..).zip(entries.iter().zip(&answers)) {
            let DepositAnswer::Receipt(text) = answer else { panic!("{answer:?}") };
            let receipt = VerifiedReceipt::verify(text, &trust, &software).await.unwrap();
            receipt.expect(entry, Some(SECRET)).unwrap();
            assert_eq!(receipt.receipt().number, Some(number));
        }
        assert_eq!(answers.len(), 3);

        // An entry of which one of them says nothing is not endorsed, and one of a foreign statement is
        // not theirs.
        let [_, next, last] = &entries[..] else { panic!("three entries") };
        let new = |id| Entry { id, ..last.clone() };
        let (alone, both) = (new(crate::id(70)), new(crate::id(71)));
        let mut endorsements = Vec::new();
        for (node, said) in [
            (&world.hospital, vec![alone.clone(), both.clone()]),
            (&world.patient, vec![both.clone()]),
        ] {
            let keys = node.platform().keys();
            let signed = VerifiedEndorsement::sign(&said, node.id(), BEGIN, keys).await.unwrap();
            endorsements.push(signed.jwt().to_owned());
        }
        let deposits = deposits(&world, &[alone, next.clone(), both]).await;
        let envelope = sealed(&world, &world.hospital, endorsements, deposits).await;
        let answers = world.notary.receive(&envelope).await.unwrap().answers;
        let missing = DepositAnswer::Refused(Error::EndorsementMissing.code().into());
        assert_eq!(answers[..2], [missing.clone(), missing]);
        assert!(matches!(answers[2], DepositAnswer::Receipt(_)));
    });
}

#[test]
fn a_statement_speaks_of_entries_that_belong_together_each_once() {
    block_on(async {
        let book = Logbook::new().await;
        let (hospital, entries) = (&book.world.hospital, &book.entries);
        let sign = async |entries: &[Entry]| {
            let keys = hospital.platform().keys();
            VerifiedEndorsement::sign(entries, hospital.id(), BEGIN, keys).await.map(drop)
        };
        let another_case = Entry { case: id(99), ..entries[1].clone() };
        let author = digest("a stranger").parse().unwrap();
        let another_author = Entry { author, ..entries[1].clone() };
        let many = |count| (0..count).map(|n| Entry { id: id(1000 + n), ..entries[1].clone() });
        for wrong in [
            vec![],
            vec![entries[0].clone(), another_case],
            vec![entries[0].clone(), another_author],
            vec![entries[0].clone(), entries[0].clone()],
            many(MAX_ENTRIES as u32 + 1).collect(),
        ] {
            assert_eq!(sign(&wrong).await, Err(Error::EntryMalformed));
        }
        let (keys, card) = (hospital.platform().keys(), hospital.card());
        let most: Vec<_> = many(MAX_ENTRIES as u32).collect();
        let signed = VerifiedEndorsement::sign(&most, hospital.id(), BEGIN, keys).await.unwrap();
        let software = book.world.software();
        let read = VerifiedEndorsement::verify(signed.jwt(), &card, &software).await.unwrap();
        assert_eq!(read.entries(), most);

        let iss = hospital.id();
        let former = Entry { previous: Some(id(3)), ..entries[1].clone() };
        let verify = async |claims: Value| {
            let signed = sign_ps256("hdms-endorsement+jwt", iss.as_ref(), &claims, keys).await;
            let jwt = signed.unwrap();
            VerifiedEndorsement::verify(&jwt, &card, &software).await.map(drop)
        };
        assert_eq!(verify(json!({"iss": iss, "iat": NOW, "entry": former})).await, Ok(()));
        for wrong in [
            json!({"iss": iss, "iat": NOW, "entry": entries[1]}),
            json!({"iss": iss, "iat": NOW, "entries": [former]}),
            json!({"iss": iss, "iat": NOW, "entries": [entries[1]], "entry": former}),
            json!({"iss": iss, "iat": NOW}),
        ] {
            assert_eq!(verify(wrong).await, Err(Error::EntryMalformed));
        }
    });
}

#[test]
fn no_deposits_too_many_and_more_cards_than_they_need_are_refused() {
    block_on(async {
        let mut world = World::new(1).await.unwrap();
        let endorsements = vec!["a.b.c".to_owned()];
        let deposit = Deposit { entry: id(3), case_secret: None, draw: None };
        for count in [0, MAX_DEPOSITS + 1] {
            let deposits = vec![deposit.clone(); count];
            let envelope = sealed(&world, &world.hospital, endorsements.clone(), deposits).await;
            let answer = world.notary.receive(&envelope).await;
            assert_eq!(answer.err(), Some(Error::BodyMalformed));
            assert_eq!(world.notary.query(&envelope).await.err(), Some(Error::UnknownType));
        }
        let cards = |count| vec![world.patient.card().jwt().to_owned(); count];
        let said = |count| vec!["a.b.c".to_owned(); count];
        for (cards, endorsements) in [(cards(3), said(2)), (cards(2), said(3))] {
            let body = DepositBody { cards, endorsements, deposits: vec![deposit.clone()] };
            let body = serde_json::to_value(body).unwrap();
            let notary = world.notary.card().clone();
            let envelope = seal(&world.hospital, &notary, MessageType::Deposit, body).await;
            let answer = world.notary.receive(&envelope).await;
            assert_eq!(answer.err(), Some(Error::BodyMalformed));
        }
    });
}

#[test]
fn with_too_few_witnesses_nothing_is_answered_and_nothing_is_lost() {
    block_on(async {
        let mut book = Logbook::new().await;
        let witnesses = std::mem::take(&mut book.world.notary.witnesses);
        let two = book.entries[..2].to_vec();
        let envelope = deposit(&book.world, &book.world.hospital, &two).await;
        for _ in 0..2 {
            let answer = book.world.notary.receive(&envelope).await;
            assert_eq!(answer.err(), Some(Error::WitnessesMissing));
        }
        assert!(Error::WitnessesMissing.is_transient());
        book.world.notary.witnesses = witnesses;
        let answers = book.world.notary.receive(&envelope).await.unwrap().answers;
        for (answer, entry) in answers.iter().zip(&two) {
            let DepositAnswer::Receipt(text) = answer else { panic!("{answer:?}") };
            book.verify(text).await.unwrap().expect(entry, Some(SECRET)).unwrap();
        }
        assert_eq!(book.world.notary.log().len(), 2, "each was logged once");
    });
}

/// The hospital's deposit of the patient's request meets what the log has already.
async fn refused_by(
    conflict: impl AsyncFn(&mut Logbook, &Entry) -> String,
) -> (Node<Simulated>, Result<(), Error>) {
    let mut book = Logbook::new().await;
    book.world = crate::asked(1).await;
    book.world.deliver_all().await.unwrap();
    book.world.hospital.approve(&case()).await.unwrap();
    let requested: HospitalCase = book.world.hospital.case(&case()).await.unwrap();
    let waiting = book.world.hospital.waiting("", 1).await.unwrap();
    book.secret = requested.secret.unwrap();
    let answer = [DepositAnswer::Conflict(conflict(&mut book, &requested.entry).await)];
    let drawn = requested.notary;
    assert_eq!(drawn.as_ref(), Some(book.notary_id()));
    let outcome = book.world.hospital.deposit_answered::<HospitalCase>(&waiting[0], &answer).await;
    (book.world.hospital, outcome)
}

#[test]
fn a_proven_conflict_ends_a_deposit_and_is_kept_with_it() {
    block_on(async {
        let (hospital, outcome) = refused_by(async |book, entry| {
            book.entries[0].id = entry.id.clone();
            conflict(book).sign(book.world.notary.keys()).await.unwrap()
        })
        .await;
        outcome.unwrap();
        let HospitalCase { phase, entry, .. } = hospital.case(&case()).await.unwrap();
        let code = Error::EntryConflict.code();
        assert!(
            matches!(phase, HospitalPhase::Approving { refused: Some(why), .. } if why == code)
        );
        assert!(hospital.waiting("", 10).await.unwrap().is_empty());
        let key = format!("{}/{}/conflict", case(), entry.id);
        let kept = hospital.platform().store().read(Table::Receipts, &key).await.unwrap();
        assert!(kept.is_some());
    });
}

#[test]
fn a_deposit_with_a_forged_conflict_stays_in_the_outbox() {
    block_on(async {
        let (hospital, outcome) = refused_by(async |book, _| {
            conflict(book).sign(book.world.notary.keys()).await.unwrap()
        })
        .await;
        assert_eq!(outcome, Err(Error::ReceiptForged));
        assert_eq!(hospital.waiting("", 10).await.unwrap().len(), 1);
        let requested: HospitalCase = hospital.case(&case()).await.unwrap();
        assert!(matches!(requested.phase, HospitalPhase::Approving { refused: None, .. }));
        assert!(requested.entry.kind == EntryKind::Request);
    });
}
