//! Deposits that race for one place.

use futures_util::future::join_all;
use hdms::ledger::{Drawn, Entry, VerificationKey, VerifiedEndorsement};
use hdms::notary::{Deposit, DepositAnswer};
use hdms::provider::Randomness;
use hdms::testing::SeededRandomness;

use crate::case::Case;
use crate::common::{SECRET, entry_id};

/// Cases in which two rivals race for the next place, and how often: a thousand races.
const CASES: usize = 50;
const ROUNDS: usize = 20;

/// Envelopes that are on their way at once. The rivals of a case come in different ones.
const ENVELOPES: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_race_for_one_place_a_thousand_times_one_wins_and_the_other_is_told_so() {
    let case = Case::begin().await;
    let chance = SeededRandomness::new(1);
    let mut last: Vec<Entry> = (0..CASES).map(|_| case.elsewhere()).collect();
    let firsts = endorsed(&case, &last).await;
    case.deposit(&case.patient, firsts).await;
    for round in 0..ROUNDS {
        let rivals: Vec<Entry> =
            last.iter().flat_map(|last| [next(last, "a"), next(last, "b")]).collect();
        let answers = race(&case, &rivals, &chance).await;
        for ((rivals, answers), last) in
            rivals.chunks(2).zip(answers.chunks(2)).zip(last.iter_mut())
        {
            let is_receipt = |answer: &DepositAnswer| matches!(answer, DepositAnswer::Receipt(_));
            let winner = answers.iter().position(is_receipt).expect("one wins");
            let loser = 1 - winner;
            let index = case.place(&answers[winner], &rivals[winner]).await as usize;
            assert!((CASES * (round + 1)..CASES * (round + 2)).contains(&index));
            let first = case.first(&answers[loser], &rivals[loser]).await;
            assert_eq!(first, rivals[winner].id);
            *last = rivals[winner].clone();
        }
    }
}

fn next(entry: &Entry, content: &str) -> Entry {
    let previous = Some(entry.id.clone());
    Entry {
        id: entry_id(),
        previous,
        verification_key: VerificationKey::of(content),
        case_secret: None,
        draw: None,
        ..entry.clone()
    }
}

/// Sends all at once. Rivals stand side by side; so do the answers.
async fn race(case: &Case, rivals: &[Entry], chance: &SeededRandomness) -> Vec<DepositAnswer> {
    let mut envelopes: [Vec<usize>; ENVELOPES] = Default::default();
    for pair in 0..rivals.len() / 2 {
        let one = below(chance, ENVELOPES);
        let other = (one + 1 + below(chance, ENVELOPES - 1)) % ENVELOPES;
        envelopes[one].push(2 * pair);
        envelopes[other].push(2 * pair + 1);
    }
    let deposits = endorsed(case, rivals).await;
    let filled: Vec<_> = envelopes.iter().filter(|numbers| !numbers.is_empty()).collect();
    let mut sealed = Vec::new();
    for numbers in &filled {
        let deposits = numbers.iter().map(|number| deposits[*number].clone()).collect();
        sealed.push(case.seal(&case.patient, deposits).await);
    }
    let answers = join_all(sealed.into_iter().map(|envelope| case.send(envelope))).await;
    let mut ordered = vec![None; rivals.len()];
    for (numbers, answers) in filled.into_iter().zip(answers) {
        for (number, answer) in numbers.iter().zip(answers.unwrap()) {
            ordered[*number] = Some(answer);
        }
    }
    ordered.into_iter().map(Option::unwrap).collect()
}

fn below(chance: &SeededRandomness, end: usize) -> usize {
    let mut random = [0];
    chance.fill(&mut random).unwrap();
    usize::from(random[0]) % end
}

/// Signed on all processors: there is much of it.
async fn endorsed(case: &Case, entries: &[Entry]) -> Vec<Deposit> {
    let signing = entries.iter().map(|entry| {
        let both = [&case.patient, &case.hospital].map(|one| (one.id.clone(), one.keys));
        let (entry, now, hospital) = (entry.clone(), case.net.now(), case.hospital.keys);
        tokio::spawn(async move {
            let [one, other] = both.map(|(id, keys)| {
                let entry = &entry;
                async move {
                    let signed = VerifiedEndorsement::sign(entry, &id, now, keys).await.unwrap();
                    signed.jwt().to_owned()
                }
            });
            let case_secret = entry.case_secret.map(|_| SECRET);
            let draw = Drawn::sign(&entry, hospital).await.ok();
            Deposit { endorsements: [one.await, other.await], case_secret, draw }
        })
    });
    join_all(signing.collect::<Vec<_>>()).await.into_iter().map(Result::unwrap).collect()
}
