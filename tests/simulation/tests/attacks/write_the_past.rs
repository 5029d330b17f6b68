//! A notary that wants to write its own past: another history of its log, dated when nobody watched
//! or when it was still a member. What it says about time decides nothing.

use futures_lite::future::block_on;
use hdms::Error;
use hdms::base64url::digest;
use hdms::network::WitnessRule;
use hdms_simulation::BEGIN;
use hdms_simulation::log::LogSigner;

use crate::logbook::Logbook;

const NOW: u64 = BEGIN.0 / 1000;

/// A network with three witnesses, of which the first does what the notary wants.
async fn network(rules: &[(u64, u64)]) -> (Logbook, [LogSigner; 3]) {
    let mut book = Logbook::new().await;
    let third = LogSigner::of(&digest("third witness").parse().unwrap()).unwrap();
    let rules = rules.iter().map(|(since, needed)| WitnessRule { since: *since, needed: *needed });
    book.world.network.parameters.witnesses = rules.collect();
    book.world.network.map.logs.push(third.listed().clone());
    book.publish().await;
    let [first, second] = [book.witnesses[0].clone(), book.witnesses[1].clone()];
    (book, [first, second, third])
}

async fn refused(book: &Logbook, receipt: &str) -> bool {
    book.verify(receipt).await.err() == Some(Error::ReceiptForged)
}

#[test]
fn a_fork_dated_long_ago_needs_witnesses_like_any_other() {
    block_on(async {
        for rules in [&[(NOW, 1)][..], &[(500, 0), (NOW, 1)]] {
            let (book, [first, ..]) = network(rules).await;
            for dated in [0, 1000, NOW - 1] {
                assert!(refused(&book, &book.receipt(1, dated, &[])).await, "{dated}");
            }
            assert!(!refused(&book, &book.receipt(1, 1000, &[(&first, NOW)])).await);
        }
    });
}

#[test]
fn a_revoked_notary_that_signs_on_gains_nothing_by_old_dates() {
    block_on(async {
        let (mut book, [first, second, third]) = network(&[(NOW, 1)]).await;
        book.world.network.map.logs[0].until = Some(NOW + 10);
        book.publish().await;
        for dated in [0, NOW, NOW + 9] {
            assert!(refused(&book, &book.receipt(1, dated, &[])).await);
            let later = [(&first, NOW + 10), (&second, NOW + 11), (&third, NOW + 12)];
            for number in 1..=3 {
                let text = book.receipt(1, dated, &later[..number]);
                assert!(refused(&book, &text).await, "{dated} {number}");
            }
        }
    });
}

#[test]
fn a_leaf_dated_after_it_was_co_signed_is_none() {
    block_on(async {
        let (book, [first, second, third]) = network(&[(NOW, 1)]).await;
        let cosigners = [(&first, NOW), (&second, NOW + 5), (&third, NOW + 9)];
        assert!(!refused(&book, &book.receipt(1, NOW + 5, &cosigners)).await);
        for dated in [NOW + 6, NOW + 9, u64::MAX] {
            assert!(refused(&book, &book.receipt(1, dated, &cosigners)).await, "{dated}");
        }
    });
}

#[test]
fn an_old_rule_that_asked_for_fewer_is_not_replayed_by_an_old_date() {
    block_on(async {
        let (book, [first, second, _]) = network(&[(1000, 1), (NOW, 2)]).await;
        for dated in [0, 1000, NOW - 1] {
            let one = book.receipt(1, dated, &[(&first, NOW + 1)]);
            assert!(refused(&book, &one).await, "{dated}");
            let two = book.receipt(1, dated, &[(&first, NOW + 1), (&second, NOW + 1)]);
            assert!(!refused(&book, &two).await);
        }
    });
}

#[test]
fn one_witness_of_three_that_backdates_does_not_help() {
    block_on(async {
        let (mut book, [colluding, second, third]) = network(&[(1000, 1), (NOW, 2)]).await;
        let honest = [(&second, NOW + 20), (&third, NOW + 21)];
        let backdated = (&colluding, 1000);
        // Neither into the time of a rule that asked for fewer,
        let alone = book.receipt(1, 1000, &[backdated, honest[0]]);
        let time = book.verify(&alone).await.unwrap().time();
        assert_eq!(time, NOW + 20, "the later of two decides, and two are enough");
        // nor into a time in which the notary was a member.
        book.world.network.map.logs[0].until = Some(NOW + 10);
        book.publish().await;
        for cosigners in [&[backdated, honest[0]][..], &[backdated, honest[0], honest[1]]] {
            assert!(refused(&book, &book.receipt(1, 1000, cosigners)).await);
        }
    });
}

/// What remains, and is said in docs/threats.md: a former rule counts for what was co-signed in its time,
/// and whoever co-signs says when that was.
#[test]
fn a_witness_that_alone_was_enough_once_can_still_say_that_it_was_then() {
    block_on(async {
        let (book, [colluding, second, _]) = network(&[(1000, 1), (NOW, 2)]).await;
        let alone = book.receipt(1, 1000, &[(&colluding, 1000)]);
        assert_eq!(book.verify(&alone).await.unwrap().time(), 1000);
        assert!(refused(&book, &book.receipt(1, 1000, &[(&colluding, NOW)])).await);
        // One honest line, and it is of today.
        let honest = book.receipt(1, 1000, &[(&colluding, 1000), (&second, NOW)]);
        assert_eq!(book.verify(&honest).await.unwrap().time(), NOW);
        // Before the first rule the first counts: where it asks for two, one is never enough.
        let (strict, [colluding, ..]) = network(&[(1000, 2), (NOW, 2)]).await;
        for dated in [0, 1000, NOW] {
            assert!(refused(&strict, &strict.receipt(1, 0, &[(&colluding, dated)])).await);
        }
    });
}
