//! Somebody wants to keep others from becoming members.

use futures_util::{StreamExt, stream};
use hdms::Error;
use hdms::card::Role;

use crate::common::{Net, keys};

/// More than a server would remember.
const MANY: usize = 20_500;

#[tokio::test(flavor = "multi_thread")]
async fn challenges_that_nobody_answers_keep_no_honest_node_out() {
    let net = Net::start_with(|config| config.rates.admissions = u32::MAX).await;
    let honest = net.request(keys(1), Role::Personal, "");
    let begun = net.challenge(keys(1), &honest).await.unwrap();
    let flood = net.request(keys(0), Role::Personal, "").sign(keys(0)).await.unwrap();
    let asked = stream::iter(0..MANY)
        .map(|_| net.client.ask_admission(&net.url, flood.clone()))
        .buffer_unordered(16)
        .filter(|answer| std::future::ready(answer.is_ok()))
        .count();
    assert_eq!(asked.await, MANY);
    // One who began before it, and one who begins now.
    assert!(net.client.answer_challenge(&net.url, &begun).await.is_ok());
    assert!(net.ask(keys(2), &net.request(keys(2), Role::Personal, "")).await.is_ok());
}

#[tokio::test]
async fn answers_of_strangers_use_up_nothing_of_a_node() {
    let net = Net::start_with(|config| config.rates.admissions_of_node = 1).await;
    let answer = net.challenge(keys(0), &net.request(keys(0), Role::Personal, "")).await.unwrap();
    for _ in 0..10 {
        let wrong = hdms::doorman::ChallengeAnswer {
            answer: hdms::jose::digest("wrong"),
            ..answer.clone()
        };
        let refused = net.client.answer_challenge(&net.url, &wrong).await;
        assert_eq!(refused.err().map(|problem| problem.error), Some(Error::PossessionUnproven));
    }
    assert!(net.client.answer_challenge(&net.url, &answer).await.is_ok());
}
