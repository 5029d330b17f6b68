//! What the notary logs, and that it answers the same again.

use hdms::Error;
use hdms::ledger::{Entry, VerificationKey};
use hdms::notary::{DepositAnswer, MAX_DEPOSITS};
use hdms::provider::Timestamp;

use crate::case::{Case, refused};
use crate::common::{case_id, entry_id};

#[tokio::test]
async fn an_entry_is_logged_once_and_every_repetition_gets_the_same_receipt() {
    let case = Case::begin().await;
    let entry = case.entry(None, "request");
    let deposit = case.endorsed(&entry).await;
    let envelope = case.seal(&case.hospital, vec![deposit.clone()]).await;
    let first = case.send(envelope.clone()).await.unwrap();
    assert_eq!(case.place(&first[0], &entry).await, 0);
    assert_eq!(case.send(envelope).await.unwrap(), first, "the same envelope");
    let twice = vec![deposit.clone(), deposit];
    let again = case.deposit(&case.patient, twice).await;
    assert_eq!(again, [first[0].clone(), first[0].clone()], "the other participant");
    // Endorsed anew: another signature over the same entry.
    let anew = case.endorsed(&entry).await;
    assert_eq!(case.deposit(&case.patient, vec![anew]).await, first);
}

#[tokio::test]
async fn a_chain_in_one_envelope_is_logged_in_its_order() {
    let case = Case::begin().await;
    let first = case.entry(None, "1");
    let second = case.entry(Some(&first.id), "2");
    let third = case.entry(Some(&second.id), "3");
    let chain = [&first, &second, &third, &second];
    let mut deposits = Vec::new();
    for entry in chain {
        deposits.push(case.endorsed(entry).await);
    }
    let answers = case.deposit(&case.patient, deposits).await;
    for (place, number) in [(0, 0), (1, 1), (2, 2), (1, 3)] {
        assert_eq!(case.place(&answers[number], chain[number]).await, place);
    }
    assert_eq!(answers[1], answers[3]);
}

#[tokio::test]
async fn a_second_and_different_entry_in_one_place_gets_a_conflict_that_names_the_first() {
    let case = Case::begin().await;
    let first = case.entry(None, "request");
    let good = case.endorsed(&first).await;
    case.deposit(&case.patient, vec![good.clone()]).await;

    let rival = case.entry(None, "another request");
    let changed = Entry { verification_key: VerificationKey::of("changed"), ..first.clone() };
    let next = case.entry(Some(&first.id), "result");
    let rival_next = case.entry(Some(&first.id), "other result");
    let mut deposits = Vec::new();
    for entry in [&rival, &changed, &next, &rival_next] {
        deposits.push(case.endorsed(entry).await);
    }
    deposits.push(good);
    let answers = case.deposit(&case.hospital, deposits).await;
    assert_eq!(case.first(&answers[0], &rival).await, first.id);
    assert_eq!(case.first(&answers[1], &changed).await, first.id);
    assert_eq!(case.place(&answers[2], &next).await, 1);
    assert_eq!(case.first(&answers[3], &rival_next).await, next.id, "logged in the same batch");
    assert_eq!(case.place(&answers[4], &first).await, 0);
}

#[tokio::test]
async fn a_conflict_tells_nothing_to_those_who_are_no_participants() {
    let case = Case::begin().await;
    let first = case.entry(None, "request");
    let good = case.endorsed(&first).await;
    case.deposit(&case.patient, vec![good]).await;
    let stranger = case.net.person(2).await;
    let rival = Entry { author: stranger.id.clone(), ..case.entry(None, "rival") };
    let deposit = hdms::notary::Deposit {
        endorsements: [
            case.endorse(&rival, &stranger).await,
            case.endorse(&rival, &case.hospital).await,
        ],
        case_secret: Some(crate::common::SECRET),
        draw: case.drawn(&rival).await,
    };
    let cards = [&stranger, &case.hospital].map(|one| one.card.jwt().to_owned()).into();
    let envelope = case.seal_with(&stranger, cards, vec![deposit]).await;
    assert_eq!(case.send(envelope).await.unwrap(), [refused(Error::NotParticipant)]);
}

#[tokio::test]
async fn an_entry_that_follows_nothing_known_is_refused() {
    let case = Case::begin().await;
    let first = case.entry(None, "request");
    let logged = case.endorsed(&first).await;
    let orphan = case.endorsed(&case.entry(Some(&entry_id()), "orphan")).await;
    let elsewhere = Entry { case: case_id(), ..case.entry(Some(&first.id), "other case") };
    let elsewhere = case.endorsed(&elsewhere).await;
    let early = case.entry(Some(&first.id), "result");
    let early = case.endorsed(&early).await;
    let deposits = vec![early.clone(), orphan, logged, elsewhere, early];
    let answers = case.deposit(&case.patient, deposits).await;
    let unknown = refused(Error::PredecessorUnknown);
    assert_eq!([&answers[0], &answers[1], &answers[3]], [&unknown; 3]);
    assert!(matches!(&answers[4], DepositAnswer::Receipt(_)), "once its predecessor is there");
}

#[tokio::test]
async fn receipts_stay_the_same_when_the_log_grows_and_when_the_notary_starts_again() {
    let mut case = Case::begin().await;
    let chain = [case.entry(None, "request"), case.elsewhere(), case.elsewhere()];
    let (mut deposits, mut receipts) = (Vec::new(), Vec::new());
    for entry in &chain {
        deposits.push(case.endorsed(entry).await);
        receipts
            .extend(case.deposit(&case.patient, vec![deposits[deposits.len() - 1].clone()]).await);
    }
    case.grow(5).await;
    assert_eq!(case.deposit(&case.hospital, deposits.clone()).await, receipts);
    case.restart(|_| ()).await.unwrap();
    assert_eq!(case.deposit(&case.hospital, deposits).await, receipts);
    for (place, (receipt, entry)) in receipts.iter().zip(&chain).enumerate() {
        assert_eq!(case.place(receipt, entry).await, place as u64);
    }
}

#[tokio::test]
async fn a_notary_starts_again_without_the_server_and_knows_what_it_logged() {
    let mut case = Case::begin().await;
    let entry = case.entry(None, "request");
    let deposit = case.endorsed(&entry).await;
    let first = case.deposit(&case.patient, vec![deposit.clone()]).await;
    let node = case.notary().member().id().clone();
    case.net.stop_server().await;
    case.restart(|_| ()).await.unwrap();
    assert_eq!(case.notary().member().id(), &node);
    assert_eq!(case.deposit(&case.hospital, vec![deposit]).await, first);
    let next = case.entry(Some(&entry.id), "result");
    let deposit = case.endorsed(&next).await;
    let answers = case.deposit(&case.hospital, vec![deposit]).await;
    assert_eq!(case.place(&answers[0], &next).await, 1);
}

#[tokio::test]
async fn as_many_deposits_as_are_allowed_fit_one_envelope() {
    let case = Case::begin().await;
    case.grow(MAX_DEPOSITS).await;
    case.grow(MAX_DEPOSITS).await;
    let entry = case.elsewhere();
    let deposit = case.endorsed(&entry).await;
    let answers = case.deposit(&case.patient, vec![deposit]).await;
    assert_eq!(case.place(&answers[0], &entry).await, 2 * MAX_DEPOSITS as u64);
}

#[tokio::test]
async fn times_never_go_back_whatever_the_clock_does() {
    let mut case = Case::begin().await;
    let now = case.net.now().seconds();
    let times = async |case: &Case| {
        let deposit = case.endorsed(&case.elsewhere()).await;
        let answers = case.deposit(&case.patient, vec![deposit]).await;
        case.receipt(&answers[0]).await.receipt().iat
    };
    assert_eq!(times(&case).await, now);
    case.net.clock.set(Timestamp(case.net.now().0 - 30_000));
    assert_eq!(times(&case).await, now);
    case.restart(|_| ()).await.unwrap();
    assert_eq!(times(&case).await, now, "after a restart too");
    case.net.clock.advance(31_000);
    assert_eq!(times(&case).await, now + 1);
}
