//! A thief of a node's key, its former or its present one, wants to keep its owner from asking for cards or
//! from changing the key: he uses up what the node may.

use hdms::Error;
use hdms::card::Role;
use hdms::doorman::AdmissionRequest;

use crate::common::{Net, keys, message_id};
use crate::say_it_twice::renew;
use crate::stolen_key::change_keys;

#[tokio::test]
async fn who_has_a_former_key_uses_up_none_of_the_minute_s_requests() {
    let net = Net::start_with(|config| config.rates.admissions_of_key = 2).await;
    let first = net.request(keys(0), Role::Personal, "").await;
    net.ask(keys(0), &first).await.unwrap();
    net.clock.advance(60_000);
    let own = change_keys(&net, &first, keys(0), keys(1)).await;
    let again =
        |request: &AdmissionRequest| AdmissionRequest { jti: message_id(), ..request.clone() };
    net.ask(keys(1), &own).await.unwrap();
    for expected in [Error::PossessionUnproven, Error::PossessionUnproven, Error::TooManyRequests] {
        let theft = AdmissionRequest { iat: own.iat, ..again(&first) };
        assert_eq!(net.ask(keys(0), &theft).await, Err(expected));
    }
    net.ask(keys(1), &again(&own)).await.unwrap();
}

#[tokio::test]
async fn who_has_the_present_key_of_a_hospital_uses_up_no_change_of_it() {
    let net = Net::start().await;
    let hospital = net.hospital(0).await;
    let mut refusals = Vec::new();
    for round in 0..11 {
        refusals.extend(renew(&net, &hospital, keys(1 + round % 2)).await.err());
    }
    assert_eq!(refusals, [Error::TooManyRequests]);
    let request = net.request(keys(0), Role::Institution, &hospital.card.card().name).await;
    let answer = net.challenge(keys(0), &request).await.unwrap();
    let refused = net.client.answer_challenge(&net.url, &answer).await.unwrap_err();
    assert_eq!(refused.retry_after, Some(24 * 360), "one more in a tenth of a day");
    net.clock.advance(1000);
    let own = change_keys(&net, &request, keys(0), keys(3)).await;
    net.ask(keys(3), &own).await.unwrap();
}
