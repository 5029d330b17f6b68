//! What the notary logs, and that it answers the same again.

use hdms::Error;
use hdms::ledger::{Entry, VerificationKey, VerifiedEndorsement};
use hdms::notary::{Deposit, DepositAnswer, MAX_DEPOSITS};
use hdms::provider::Timestamp;

use crate::case::{Case, refused};
use crate::common::{SECRET, Signed, case_id};

#[tokio::test]
async fn an_entry_is_logged_once_and_every_repetition_gets_the_same_receipt() {
    let case = Case::begin().await;
    let entry = case.request("request");
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
async fn what_comes_in_one_envelope_is_numbered_in_its_order() {
    let case = Case::begin().await;
    let first = case.request("1");
    let second = case.result("2");
    let third = case.result("3");
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
async fn a_second_and_different_entry_under_one_id_gets_a_conflict_that_names_the_first() {
    let case = Case::begin().await;
    let first = case.request("request");
    let good = case.endorsed(&first).await;
    case.deposit(&case.patient, vec![good.clone()]).await;

    let changed = Entry { verification_key: VerificationKey::of("changed"), ..first.clone() };
    let answers = case.deposit(&case.hospital, vec![case.endorsed(&changed).await]).await;
    assert_eq!(case.first(&answers[0], &changed).await, first);
    let another = case.endorsed(&case.request("another request")).await;
    let next = case.result("result");
    let deposits = vec![another, case.endorsed(&next).await, good];
    let answers = case.deposit(&case.hospital, deposits).await;
    assert_eq!(answers[0], refused(Error::CaseLogged));
    assert_eq!(case.place(&answers[1], &next).await, 1);
    assert_eq!(case.place(&answers[2], &first).await, 0);
}

#[tokio::test]
async fn a_conflict_tells_nothing_to_those_who_are_no_participants() {
    let case = Case::begin().await;
    let first = case.request("request");
    let good = case.endorsed(&first).await;
    case.deposit(&case.patient, vec![good]).await;
    let stranger = case.net.person(2).await;
    let rival = Entry { author: stranger.id.clone(), ..case.request("rival") };
    let endorsements =
        vec![case.endorse(&rival, &stranger).await, case.endorse(&rival, &case.hospital).await];
    let (draw, case_secret) = (case.drawn(&rival).await, Some(SECRET));
    let deposit = Deposit { entry: rival.id, case_secret, draw };
    let deposit = Signed { endorsements, deposit };
    let cards = [&stranger, &case.hospital].map(|one| one.card.jwt().to_owned()).into();
    let envelope = case.seal_with(&stranger, cards, vec![deposit]).await;
    assert_eq!(case.send(envelope).await.unwrap(), [refused(Error::NotParticipant)]);
}

#[tokio::test]
async fn a_result_of_a_case_that_is_not_logged_is_refused() {
    let case = Case::begin().await;
    let logged = case.endorsed(&case.request("request")).await;
    let elsewhere = Entry { case: case_id(), ..case.result("other case") };
    let elsewhere = case.endorsed(&elsewhere).await;
    let early = case.endorsed(&case.result("result")).await;
    let deposits = vec![early.clone(), logged, elsewhere, early];
    let answers = case.deposit(&case.patient, deposits).await;
    let unknown = refused(Error::CaseUnlogged);
    assert_eq!([&answers[0], &answers[2]], [&unknown; 2]);
    assert!(matches!(&answers[3], DepositAnswer::Receipt(_)), "once its request is there");
}

#[tokio::test]
async fn receipts_stay_the_same_when_the_log_grows_and_when_the_notary_starts_again() {
    let mut case = Case::begin().await;
    let chain = [case.request("request"), case.elsewhere(), case.elsewhere()];
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
    let entry = case.request("request");
    let deposit = case.endorsed(&entry).await;
    let first = case.deposit(&case.patient, vec![deposit.clone()]).await;
    let node = case.notary().member().id().clone();
    case.net.stop_server().await;
    case.restart(|_| ()).await.unwrap();
    assert_eq!(case.notary().member().id(), &node);
    assert_eq!(case.deposit(&case.hospital, vec![deposit]).await, first);
    let next = case.result("result");
    let deposit = case.endorsed(&next).await;
    let answers = case.deposit(&case.hospital, vec![deposit]).await;
    assert_eq!(case.place(&answers[0], &next).await, 1);
}

#[tokio::test]
async fn as_many_deposits_as_are_allowed_fit_one_envelope() {
    let case = Case::begin().await;
    case.deposit(&case.patient, vec![case.endorsed(&case.request("request")).await]).await;
    let entries: Vec<_> = (0..MAX_DEPOSITS).map(|n| case.result(&n.to_string())).collect();
    let mut endorsements = Vec::new();
    for by in [&case.patient, &case.hospital] {
        let signed = VerifiedEndorsement::sign(&entries, &by.id, case.net.now(), by.keys).await;
        endorsements.push(signed.unwrap().jwt().to_owned());
    }
    let deposit = |entry: &Entry| Signed {
        endorsements: endorsements.clone(),
        deposit: Deposit { entry: entry.id.clone(), case_secret: None, draw: None },
    };
    let deposits: Vec<_> = entries.iter().map(deposit).collect();
    let answers = case.deposit(&case.patient, deposits).await;
    for (place, (answer, entry)) in (1..).zip(answers.iter().zip(&entries)) {
        assert_eq!(case.place(answer, entry).await, place);
    }
    assert_eq!(answers.len(), MAX_DEPOSITS);
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
