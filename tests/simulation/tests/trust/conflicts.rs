//! A place in a case is taken once. Whoever comes second is told so, with proof of the first, and
//! believes nothing less.

use futures_lite::future::block_on;
use hdms::Error;
use hdms::base64url::digest;
use hdms::card::VerifiedCard;
use hdms::envelope::MessageType;
use hdms::ids::NodeId;
use hdms::ledger::{
    Commitment, Conflict, Entry, EntryKind, VerificationKey, VerifiedEndorsement, VerifiedReceipt,
};
use hdms::node::{Node, Platform};
use hdms::notary::{
    self, Decision, Deposit, DepositAnswer, DepositAnswers, DepositBody, MAX_DEPOSITS, Place,
};
use hdms::provider::{NodeKeys, Store, Table};
use hdms::treatment::hospital::{HospitalCase, HospitalPhase};
use hdms_simulation::{BEGIN, Simulated, World};

use crate::logbook::{Logbook, SECRET};
use crate::{case, id, seal};

const NOW: u64 = BEGIN.0 / 1000;

/// The first entry of the logbook is logged; this one wants its place.
fn second(book: &Logbook) -> Entry {
    Entry { id: id(50), verification_key: VerificationKey::of("second"), ..book.entries[0].clone() }
}

fn conflict(book: &Logbook) -> Conflict {
    let opening = book.opening(0, NOW).for_others();
    let (log, checkpoint) = book.log(NOW, &[(&book.witnesses[0], NOW)]);
    Conflict {
        iss: book.notary_id().clone(),
        iat: NOW,
        entry: second(book).id,
        first: book.entries[0].id.clone(),
        receipt: opening.receipt(log.prove(0, checkpoint)).unwrap(),
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
    let entry = (entry, Some(SECRET));
    Conflict::verify(&jwt, entry, notary, &book.trust(), &book.world.software()).await
}

#[test]
fn a_conflict_proves_what_was_first() {
    block_on(async {
        let book = Logbook::new().await;
        let (keys, conflict) = (book.world.notary.keys(), conflict(&book));
        assert_eq!(verify(&book, &conflict, keys, &second(&book)).await, Ok(conflict.clone()));
        let same_id = Entry { id: book.entries[0].id.clone(), ..second(&book) };
        let under_its_id = Conflict { entry: same_id.id.clone(), ..conflict.clone() };
        assert!(verify(&book, &under_its_id, keys, &same_id).await.is_ok());
        let elsewhere = Entry { previous: Some(id(11)), ..book.entries[0].clone() };
        assert!(verify(&book, &under_its_id, keys, &elsewhere).await.is_ok());
    });
}

#[test]
fn a_conflict_that_proves_nothing_is_refused() {
    block_on(async {
        let book = Logbook::new().await;
        let (keys, good) = (book.world.notary.keys(), conflict(&book));
        let entry = second(&book);
        let forged = async |conflict: Conflict, entry: &Entry| {
            let verified = verify(&book, &conflict, keys, entry).await;
            assert_eq!(verified.err(), Some(Error::ReceiptForged), "{conflict:?}");
        };
        let stranger = hdms_simulation::keys("stranger", book.world.providers.randomness.clone());
        let signed = verify(&book, &good, &stranger.unwrap(), &entry).await;
        assert_eq!(signed.err(), Some(Error::ReceiptForged), "not the notary's signature");
        forged(Conflict { iss: book.world.hospital.id().clone(), ..good.clone() }, &entry).await;
        forged(Conflict { first: id(11), ..good.clone() }, &entry).await;
        forged(Conflict { entry: id(51), ..good.clone() }, &entry).await;
        forged(Conflict { receipt: String::new(), ..good.clone() }, &entry).await;
        let other = book.receipt(1, NOW, &[(&book.witnesses[0], NOW)]);
        forged(Conflict { first: id(11), receipt: other, ..good.clone() }, &entry).await;
        let unwitnessed = book.receipt(0, NOW, &[]);
        forged(Conflict { receipt: unwitnessed, ..good.clone() }, &entry).await;
        let another_place = Entry { previous: Some(id(11)), ..entry.clone() };
        forged(good.clone(), &another_place).await;
        let another_case = Entry { case: id(99), ..entry };
        forged(good.clone(), &another_case).await;
        let itself = Conflict { entry: book.entries[0].id.clone(), ..good };
        forged(itself, &book.entries[0]).await;
    });
}

#[test]
fn the_notary_logs_repeats_refuses_and_tells_strangers_nothing() {
    block_on(async {
        let book = Logbook::new().await;
        let [first, next, _] = &book.entries[..] else { panic!("three entries") };
        let second = second(&book);
        let rule =
            |entry: &Entry, same: Option<&Entry>, before: Option<&Entry>, there: Option<&Entry>| {
                let [same, predecessor, occupant] =
                    [same, before, there].map(|entry| entry.cloned());
                let secret = predecessor.as_ref().map(|_| SECRET);
                notary::decide(entry, &Place { same, predecessor, occupant, secret })
            };
        assert_eq!(rule(first, None, None, None), Ok(Decision::Log));
        assert_eq!(rule(next, None, Some(first), None), Ok(Decision::Log));
        assert_eq!(rule(first, Some(first), None, Some(first)), Ok(Decision::Repeat));
        let taken = Ok(Decision::Conflict(first.id.clone()));
        assert_eq!(rule(&second, None, None, Some(first)), taken);
        let same_id = Entry { id: first.id.clone(), ..second.clone() };
        assert_eq!(rule(&same_id, Some(first), None, Some(first)), taken);
        let turned = Entry {
            author: second.counterparty.clone(),
            counterparty: second.author.clone(),
            ..second.clone()
        };
        assert_eq!(rule(&turned, None, None, Some(first)), taken, "both are participants");

        let former = Entry { case_secret: None, ..first.clone() };
        assert_eq!(rule(&former, None, None, None), Err(Error::FormerCase));
        let repeated = rule(&former, Some(&former), None, Some(&former));
        assert_eq!(repeated, Ok(Decision::Repeat), "it keeps its receipt");
        let predecessor = Some(former.clone());
        let place = Place { predecessor, ..Place::default() };
        assert_eq!(notary::decide(next, &place), Err(Error::FormerCase));

        assert_eq!(rule(next, None, None, None), Err(Error::PredecessorUnknown));
        let elsewhere = Entry { case: id(99), ..first.clone() };
        assert_eq!(rule(next, None, Some(&elsewhere), None), Err(Error::PredecessorUnknown));
        let stranger: NodeId = digest("a stranger").parse().unwrap();
        for of_stranger in [
            Entry { author: stranger.clone(), ..second.clone() },
            Entry { counterparty: stranger, ..second },
        ] {
            let untold = Err(Error::NotParticipant);
            assert_eq!(rule(&of_stranger, None, None, Some(first)), untold);
            let same_id = Entry { id: first.id.clone(), ..of_stranger.clone() };
            assert_eq!(rule(&same_id, Some(first), None, None), untold);
            let follows = Entry { previous: next.previous.clone(), ..of_stranger };
            assert_eq!(rule(&follows, None, Some(first), None), untold);
        }
    });
}

/// These entries, endorsed by both and deposited by one of them in this order.
async fn deposit(world: &World, by: &Node<Simulated>, entries: &[&Entry]) -> String {
    let mut deposits = Vec::new();
    for entry in entries {
        let mut endorsements = Vec::new();
        for node in [&world.hospital, &world.patient] {
            let keys = node.platform().keys();
            let signed = VerifiedEndorsement::sign(entry, node.id(), BEGIN, keys).await.unwrap();
            endorsements.push(signed.jwt().to_owned());
        }
        let case_secret = entry.case_secret.map(|_| SECRET);
        let (endorsements, draw) = (endorsements.try_into().unwrap(), world.drawn(entry).await);
        deposits.push(Deposit { endorsements, case_secret, draw: draw.unwrap() });
    }
    sealed(world, by, deposits).await
}

async fn sealed(world: &World, by: &Node<Simulated>, deposits: Vec<Deposit>) -> String {
    let cards = [&world.patient, &world.hospital].map(|node| node.card().jwt().to_owned()).into();
    let body = serde_json::to_value(DepositBody { cards, deposits }).unwrap();
    seal(by, world.notary.card(), MessageType::Deposit, body).await
}

#[test]
fn the_same_deposit_gets_the_same_receipt_and_another_in_its_place_a_conflict() {
    block_on(async {
        let book = Logbook::new().await;
        let (first, second, mut world) = (&book.entries[0], second(&book), book.world);
        let envelope = deposit(&world, &world.hospital, &[first, &second, first]).await;
        let DepositAnswers { answers } = world.notary.receive(&envelope).await.unwrap();
        let [DepositAnswer::Receipt(receipt), DepositAnswer::Conflict(conflict), again] =
            &answers[..]
        else {
            panic!("{answers:?}")
        };
        assert_eq!(*again, DepositAnswer::Receipt(receipt.clone()));
        let (trust, software) = (world.patient.trust(), world.software());
        let notary = world.notary.card();
        let second = (&second, Some(SECRET));
        let proven = Conflict::verify(conflict, second, notary, &trust, &software).await.unwrap();
        assert_eq!(proven.first, first.id);
        assert!(!proven.receipt.contains("parties_salt"));
        let logged = VerifiedReceipt::verify(receipt, &trust, &software).await.unwrap();
        assert_eq!(logged.expect(first, Some(SECRET)), Ok(()));
        let place = Commitment::to_place(Some(SECRET), &case(), None);
        assert_eq!(logged.opening().place, place);
        assert_ne!(place, Commitment::to_place(None, &case(), None), "the case is not enough");

        let from_patient = deposit(&world, &world.patient, &[first]).await;
        let later = world.notary.receive(&from_patient).await.unwrap();
        assert_eq!(later.answers, [DepositAnswer::Receipt(receipt.clone())]);
        assert_eq!(world.notary.log().len(), 1);
    });
}

#[test]
fn no_deposits_too_many_and_more_cards_than_they_need_are_refused() {
    block_on(async {
        let mut world = World::new(1).await.unwrap();
        let endorsements = ["a.b.c".into(), "d.e.f".into()];
        let deposit = Deposit { endorsements, case_secret: None, draw: None };
        for count in [0, MAX_DEPOSITS + 1] {
            let envelope = sealed(&world, &world.hospital, vec![deposit.clone(); count]).await;
            let answer = world.notary.receive(&envelope).await;
            assert_eq!(answer.err(), Some(Error::BodyMalformed));
            assert_eq!(world.notary.query(&envelope).await.err(), Some(Error::UnknownType));
        }
        let cards = vec![world.patient.card().jwt().to_owned(); 3];
        let body = DepositBody { cards, deposits: vec![deposit] };
        let body = serde_json::to_value(body).unwrap();
        let notary = world.notary.card().clone();
        let envelope = seal(&world.hospital, &notary, MessageType::Deposit, body).await;
        assert_eq!(world.notary.receive(&envelope).await.err(), Some(Error::BodyMalformed));
    });
}

#[test]
fn with_too_few_witnesses_nothing_is_answered_and_nothing_is_lost() {
    block_on(async {
        let mut book = Logbook::new().await;
        let witnesses = std::mem::take(&mut book.world.notary.witnesses);
        let (one, two) = (book.entries[0].clone(), book.entries[1].clone());
        let envelope = deposit(&book.world, &book.world.hospital, &[&one, &two]).await;
        for _ in 0..2 {
            let answer = book.world.notary.receive(&envelope).await;
            assert_eq!(answer.err(), Some(Error::WitnessesMissing));
        }
        assert!(Error::WitnessesMissing.is_transient());
        book.world.notary.witnesses = witnesses;
        let answers = book.world.notary.receive(&envelope).await.unwrap().answers;
        for (answer, entry) in answers.iter().zip([&one, &two]) {
            let DepositAnswer::Receipt(text) = answer else { panic!("{answer:?}") };
            book.verify(text).await.unwrap().expect(entry, Some(SECRET)).unwrap();
        }
        assert_eq!(book.world.notary.log().len(), 2, "each was logged once");
    });
}

/// The hospital's deposit of the patient's request meets what `place` has already.
async fn refused_by(
    conflict: impl AsyncFn(&Logbook, &Entry) -> String,
) -> (Node<Simulated>, Result<(), Error>) {
    let mut book = Logbook::new().await;
    book.world = crate::asked(1).await;
    book.world.deliver_all().await.unwrap();
    book.world.hospital.approve(&case()).await.unwrap();
    let requested: HospitalCase = book.world.hospital.case(&case()).await.unwrap();
    let waiting = book.world.hospital.waiting("", 1).await.unwrap();
    book.secret = requested.secret.unwrap();
    let answer = DepositAnswer::Conflict(conflict(&book, &requested.entry).await);
    let drawn = requested.notary;
    assert_eq!(drawn.as_ref(), Some(book.notary_id()));
    let outcome = book.world.hospital.deposit_answered::<HospitalCase>(&waiting[0], &answer).await;
    (book.world.hospital, outcome)
}

#[test]
fn a_proven_conflict_ends_a_deposit_and_is_kept_with_it() {
    block_on(async {
        let (hospital, outcome) = refused_by(async |book, entry| {
            let conflict = Conflict { entry: entry.id.clone(), ..conflict(book) };
            conflict.sign(book.world.notary.keys()).await.unwrap()
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
