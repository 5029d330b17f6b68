//! Deposits that race for one number.

use futures_util::future::join_all;
use hdms::ledger::{Drawn, Entry, VerifiedEndorsement};
use hdms::notary::{Deposit, DepositAnswer};
use hdms::provider::Randomness;
use hdms::testing::SeededRandomness;

use crate::case::Case;
use crate::common::{SECRET, Signed};

/// Cases in which two entries race for the next number, and how often: a thousand races.
const CASES: usize = 50;
const ROUNDS: usize = 20;

/// Envelopes that are on their way at once. The two of a case come in different ones.
const ENVELOPES: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_race_for_one_number_a_thousand_times_each_gets_its_own_and_none_is_left_out() {
    let case = Case::begin().await;
    let chance = SeededRandomness::new(1);
    let firsts: Vec<Entry> = (0..CASES).map(|_| case.elsewhere()).collect();
    case.deposit(&case.patient, endorsed(&case, &firsts).await).await;
    for round in 0..ROUNDS as u64 {
        let both = |first: &Entry| ["a", "b"].map(|content| next(&case, first, content));
        let racing: Vec<Entry> = firsts.iter().flat_map(both).collect();
        let answers = race(&case, &racing, &chance).await;
        for (racing, answers) in racing.chunks(2).zip(answers.chunks(2)) {
            let mut numbers = Vec::new();
            for (entry, answer) in racing.iter().zip(answers) {
                let receipt = case.receipt(answer).await;
                receipt.expect(entry, case.secret).unwrap();
                numbers.push(receipt.receipt().number.unwrap());
            }
            numbers.sort_unstable();
            assert_eq!(numbers, [2 * round + 2, 2 * round + 3]);
        }
    }
}

fn next(case: &Case, first: &Entry, content: &str) -> Entry {
    Entry { case: first.case.clone(), ..case.result(content) }
}

/// Sends all at once. What races stands side by side; so do the answers.
async fn race(case: &Case, racing: &[Entry], chance: &SeededRandomness) -> Vec<DepositAnswer> {
    let mut envelopes: [Vec<usize>; ENVELOPES] = Default::default();
    for pair in 0..racing.len() / 2 {
        let one = below(chance, ENVELOPES);
        let other = (one + 1 + below(chance, ENVELOPES - 1)) % ENVELOPES;
        envelopes[one].push(2 * pair);
        envelopes[other].push(2 * pair + 1);
    }
    let deposits = endorsed(case, racing).await;
    let filled: Vec<_> = envelopes.iter().filter(|numbers| !numbers.is_empty()).collect();
    let mut sealed = Vec::new();
    for numbers in &filled {
        let deposits = numbers.iter().map(|number| deposits[*number].clone()).collect();
        sealed.push(case.seal(&case.patient, deposits).await);
    }
    let answers = join_all(sealed.into_iter().map(|envelope| case.send(envelope))).await;
    let mut ordered = vec![None; racing.len()];
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
async fn endorsed(case: &Case, entries: &[Entry]) -> Vec<Signed> {
    let signing = entries.iter().map(|entry| {
        let both = [&case.patient, &case.hospital].map(|one| (one.id.clone(), one.keys));
        let (entry, now, hospital) = (entry.clone(), case.net.now(), case.hospital.keys);
        tokio::spawn(async move {
            let mut endorsements = Vec::new();
            for (id, keys) in both {
                let entry = std::slice::from_ref(&entry);
                let signed = VerifiedEndorsement::sign(entry, &id, now, keys).await.unwrap();
                endorsements.push(signed.jwt().to_owned());
            }
            let case_secret = entry.case_secret.map(|_| SECRET);
            let draw = Drawn::sign(&entry, hospital).await.ok();
            Signed { endorsements, deposit: Deposit { entry: entry.id, case_secret, draw } }
        })
    });
    join_all(signing.collect::<Vec<_>>()).await.into_iter().map(Result::unwrap).collect()
}
