//! The Doorman and the Network Map over HTTP.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Net, PASSPHRASE, id, keys, message_id};
use hdms::Error;
use hdms::card::{LIFETIME, Role, VerifiedCard};
use hdms::doorman::{About, AdmissionRequest, ChallengeAnswer, PATIENCE};
use hdms::envelope::{Message, MessageType, seal};
use hdms::network::Trust;
use hdms::proof::WINDOW;
use hdms_nodes::base::http::problem::Problem;
use hdms_nodes::base::keys::{AwsPrimitives, Passphrase};
use hdms_nodes::base::system::{NodeClock, SystemClock, SystemRandomness};
use hdms_nodes::institution::{self, Institution};
use hdms_nodes::member::MemberConfig;
use hdms_nodes::server::{Server, ServerConfig};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn a_personal_node_is_admitted_at_once_and_listed_nowhere() {
    let net = Net::start().await;
    let request = net.request(keys(0), Role::Personal, "").await;
    let card = net.ask(keys(0), &request).await.unwrap();
    let trust = net.trust().await;
    let verified = VerifiedCard::verify(&card, &trust, net.now(), &AwsPrimitives).await.unwrap();
    assert_eq!(verified.id(), &id(keys(0)));
    assert_eq!(verified.card().role, Role::Personal);
    assert!(trust.nodes().is_empty());

    let again = net.ask(keys(0), &net.request(keys(0), Role::Personal, "").await).await;
    assert_eq!(again, Ok(card), "asking again gets the same card");
}

#[tokio::test]
async fn a_card_is_renewed_in_the_last_third_of_its_life() {
    let net = Net::start_with(|config| config.rules.revocation_age = 2 * LIFETIME).await;
    let first = net.person(0).await;
    net.clock.advance(LIFETIME * 1000 / 2);
    assert_eq!(net.person(0).await.card, first.card);
    net.clock.advance(LIFETIME * 1000 / 4);
    let renewed = net.person(0).await.card;
    assert_eq!(renewed.card().exp, net.now().seconds() + LIFETIME);
}

#[tokio::test]
async fn without_both_keys_nobody_is_admitted() {
    let net = Net::start().await;
    let answer =
        net.challenge(keys(0), &net.request(keys(0), Role::Personal, "").await).await.unwrap();
    let refused = async |what, answer| {
        let answer = net.client.answer_challenge(&net.url, &answer).await;
        let error = answer.err().map(|problem| problem.error);
        assert_eq!(error, Some(Error::PossessionUnproven), "{what}");
    };
    let other = net.request(keys(0), Role::Personal, "").await.sign(keys(0)).await.unwrap();
    let foreign = net.request(keys(1), Role::Personal, "").await.sign(keys(1)).await.unwrap();
    let digest = hdms::base64url::digest;
    for (what, wrong) in [
        ("a guess", ChallengeAnswer { answer: digest("guess"), ..answer.clone() }),
        ("nothing", ChallengeAnswer { answer: String::new(), ..answer.clone() }),
        ("for another request", ChallengeAnswer { request: other, ..answer.clone() }),
        ("for another node", ChallengeAnswer { request: foreign, ..answer.clone() }),
        ("for later", ChallengeAnswer { expires: answer.expires + 1, ..answer.clone() }),
        ("for ever", ChallengeAnswer { expires: u64::MAX, ..answer.clone() }),
        ("for never", ChallengeAnswer { expires: 0, ..answer.clone() }),
        ("no request", ChallengeAnswer { request: "e30.e30.e30".into(), ..answer.clone() }),
    ] {
        refused(what, wrong).await;
    }
    let card = net.client.answer_challenge(&net.url, &answer).await.unwrap();
    let again = net.client.answer_challenge(&net.url, &answer).await.unwrap();
    assert_eq!(again, card, "the first answer may have been lost");
    net.clock.advance(PATIENCE * 1000);
    refused("too late", answer).await;
}

#[tokio::test]
async fn a_challenge_of_before_a_restart_may_be_answered_after_it() {
    let mut net = Net::start().await;
    let answer =
        net.challenge(keys(0), &net.request(keys(0), Role::Personal, "").await).await.unwrap();
    net.restart().await;
    assert!(net.client.answer_challenge(&net.url, &answer).await.is_ok());
}

#[tokio::test]
async fn nobody_brings_back_what_a_node_asked_for_before() {
    let mut net = Net::start().await;
    let hospital = net.hospital(1).await;
    let before = net.request(keys(1), Role::Institution, "St. Elsewhere 1").await;
    let before = net.challenge(keys(1), &before).await.unwrap();
    let renamed = net.request(keys(1), Role::Institution, "Royal Hospital").await;
    assert_eq!(net.ask(keys(1), &renamed).await, Err(Error::AdmissionPending));
    net.restart().await;
    let replayed = net.client.answer_challenge(&net.url, &before).await;
    assert_eq!(replayed.err().map(|problem| problem.error), Some(Error::Replayed));
    let pending = net.operator().pending(None).await.unwrap();
    assert_eq!((&pending[0].id, &*pending[0].claims.name), (&hospital.id, "Royal Hospital"));
}

#[tokio::test]
async fn a_request_that_is_old_forged_or_malformed_is_refused() {
    let net = Net::start().await;
    let good = net.request(keys(0), Role::Personal, "").await;
    let ask = async |jwt: String| {
        let asked = net.client.ask_admission(&net.url, jwt).await;
        asked.err().map(|problem| problem.error)
    };

    let jwt = good.sign(keys(0)).await.unwrap();
    assert_eq!(ask(jwt.clone()).await, None);

    let mut other = good.clone();
    other.jti = message_id();
    let foreign = other.sign(keys(1)).await.unwrap();
    assert_eq!(ask(foreign).await, Some(Error::PossessionUnproven));

    other.iat = net.now().seconds() - PATIENCE - 1;
    assert_eq!(ask(other.sign(keys(0)).await.unwrap()).await, Some(Error::Expired));
    other.iat = net.now().seconds() + WINDOW + 1;
    assert_eq!(ask(other.sign(keys(0)).await.unwrap()).await, Some(Error::NotYetValid));

    for (role, endpoint) in [(Role::Personal, Some("https://example.org")), (Role::Notary, None)] {
        let mut odd = net.request(keys(0), role, "name").await;
        odd.endpoint = endpoint.map(|endpoint| endpoint.parse().unwrap());
        assert_eq!(ask(odd.sign(keys(0)).await.unwrap()).await, Some(Error::AdmissionMalformed));
    }
    // What would move about in the operator's terminal.
    let (turned, moved) = ("Evil \u{202e}latipsoH", "Evil\n\u{1b}[2KUniversity Hospital");
    // And what nobody sees there: it would be the name of another.
    for text in [moved, turned, "a\u{7}", "University\u{200b} Hospital", "a\u{307}\u{307}"] {
        let said = net.request(keys(0), Role::Institution, "name").await;
        let contact = About { contact: text.into(), ..said.about.clone().unwrap() };
        let named = AdmissionRequest { name: text.into(), ..said.clone() };
        for odd in [named, AdmissionRequest { about: Some(contact), ..said }] {
            let refused = ask(odd.sign(keys(0)).await.unwrap()).await;
            assert_eq!(refused, Some(Error::AdmissionMalformed), "{text:?}");
        }
    }
    for text in ["", "a.b.c", "{}", "\u{0}", &jwt[..jwt.len() / 2]] {
        assert_eq!(ask(text.into()).await, Some(Error::AdmissionMalformed), "{text}");
    }
    let none =
        format!("{}.", hdms::base64url::encode(r#"{"alg":"none","typ":"hdms-admission+jwt"}"#));
    assert_eq!(ask(format!("{none}e30.")).await, Some(Error::AlgorithmRefused));
    assert_eq!(ask("x".repeat(200_000)).await, Some(Error::BodyTooLarge));
}

#[tokio::test]
async fn an_institution_waits_for_the_operator_and_is_listed_then() {
    let net = Net::start().await;
    let request = net.request(keys(1), Role::Institution, "St. Elsewhere").await;
    assert_eq!(net.ask(keys(1), &request).await, Err(Error::AdmissionPending));
    assert!(net.trust().await.nodes().is_empty());

    let pending = net.operator().pending(None).await.unwrap();
    assert_eq!(pending.len(), 1);
    assert_eq!(pending[0].id, request.iss);
    assert_eq!(pending[0].claims.name, "St. Elsewhere");
    assert_eq!(net.operator().admit(id(keys(2))).await, Err(Error::NodeUnknown));
    net.operator().admit(request.iss.clone()).await.unwrap();

    let trust = net.until(|trust| trust.node(&request.iss).is_ok()).await;
    let again = net.request(keys(1), Role::Institution, "St. Elsewhere").await;
    let card = net.ask(keys(1), &again).await.unwrap();
    assert_eq!(trust.node(&request.iss).unwrap().jwt(), card);
    assert!(net.operator().pending(None).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_institution_moves_within_its_host_and_all_else_is_for_the_operator() {
    let net = Net::start().await;
    let hospital = net.hospital(1).await;
    let mut moved = net.request(keys(1), Role::Institution, "St. Elsewhere 1").await;
    moved.endpoint = Some("http://127.0.0.1:2/moved".parse().unwrap());
    net.ask(keys(1), &moved).await.unwrap();
    let endpoint = |trust: &Trust| trust.node(&hospital.id).unwrap().card().endpoint.clone();
    assert_eq!(endpoint(&net.trust().await), moved.endpoint);

    let elsewhere = Some("https://new.example".parse().unwrap());
    let mut leaving = net.request(keys(1), Role::Institution, "St. Elsewhere 1").await;
    leaving.endpoint.clone_from(&elsewhere);
    assert_eq!(net.ask(keys(1), &leaving).await, Err(Error::AdmissionPending));
    assert_eq!(endpoint(&net.trust().await), moved.endpoint);
    net.operator().admit(hospital.id.clone()).await.unwrap();
    net.until(|trust| endpoint(trust) == elsewhere).await;
    moved.endpoint = elsewhere;

    let mut renamed = net.request(keys(1), Role::Institution, "Royal Hospital").await;
    renamed.endpoint = moved.endpoint.clone();
    assert_eq!(net.ask(keys(1), &renamed).await, Err(Error::AdmissionPending));
    assert_eq!(net.trust().await.node(&hospital.id).unwrap().card().name, "St. Elsewhere 1");
    net.operator().admit(hospital.id.clone()).await.unwrap();
    let name = |trust: &Trust| trust.node(&hospital.id).unwrap().card().name.clone();
    net.until(|trust| name(trust) == "Royal Hospital").await;

    let personal = net.request(keys(1), Role::Personal, "").await;
    assert_eq!(net.ask(keys(1), &personal).await, Err(Error::AdmissionMalformed));
}

#[tokio::test]
async fn a_revoked_node_is_said_to_be_unlisted_and_refused() {
    let net = Net::start().await;
    let hospital = net.hospital(1).await;
    let person = net.person(0).await;
    net.operator().revoke(hospital.id.clone(), "closed").await.unwrap();
    net.operator().revoke(person.id.clone(), "closed").await.unwrap();
    let revoked = Err(Error::CardRevoked);
    let trust = net.until(|trust| trust.check_revocation(&person.id, net.now()) == revoked).await;
    assert_eq!(trust.check_revocation(&hospital.id, net.now()), revoked);
    assert!(trust.node(&hospital.id).is_err());
    let request = net.request(keys(0), Role::Personal, "").await;
    assert_eq!(net.ask(keys(0), &request).await, Err(Error::CardRevoked));
}

#[tokio::test]
async fn documents_are_offered_once_and_numbered_and_the_revocation_list_stays_young() {
    let net = Net::start_with(|config| config.rules.revocation_age = 400).await;
    let before = net.client.network(&net.url, None, 0).await.unwrap().unwrap();
    let etag = before.etag.as_deref();
    assert!(etag.is_some());
    assert!(net.client.network(&net.url, etag, 0).await.unwrap().is_none());

    let trust = net.trust().await;
    net.clock.advance(101_000);
    let person = net.person(0).await;
    net.operator().revoke(person.id.clone(), "closed").await.unwrap();
    let revoked = Err(Error::CardRevoked);
    net.until(|trust| trust.check_revocation(&person.id, net.now()) == revoked).await;
    let seen = trust.manifest().number;
    let after = net.client.network(&net.url, etag, seen).await.unwrap().unwrap();
    assert_eq!(
        after.documents.map, before.documents.map,
        "what did not change is not signed again"
    );
    assert_ne!(after.documents.revocations, before.documents.revocations);
    let now = net.now();
    let newer = hdms::network::Trust::verify(
        &after.documents,
        &net.root,
        Some(&trust),
        now,
        &AwsPrimitives,
    )
    .await
    .unwrap();
    let rollback = hdms::network::Trust::verify(
        &before.documents,
        &net.root,
        Some(&newer),
        now,
        &AwsPrimitives,
    )
    .await;
    assert_eq!(rollback.err(), Some(Error::NetworkRollback));
}

#[tokio::test]
async fn everything_survives_a_restart() {
    let mut net = Net::start().await;
    let hospital = net.hospital(1).await;
    let person = net.person(0).await;
    net.restart().await;
    assert_eq!(net.client.root(&net.url).await.unwrap(), net.root);
    assert_eq!(net.trust().await.node(&hospital.id).unwrap(), &hospital.card);
    assert_eq!(net.person(0).await.card, person.card);
}

#[tokio::test]
async fn one_address_can_not_ask_without_end() {
    let net = Net::start_with(|config| config.rates.admissions = 3).await;
    let ask = async || {
        let Problem { error, retry_after, .. } =
            net.client.ask_admission(&net.url, "x".into()).await.unwrap_err();
        (error, retry_after)
    };
    for _ in 0..3 {
        assert_eq!(ask().await, (Error::AdmissionMalformed, None));
    }
    assert_eq!(ask().await, (Error::TooManyRequests, Some(60)), "and learns how long to wait");
    net.clock.advance(60_000);
    assert_eq!(ask().await, (Error::AdmissionMalformed, None));
}

#[tokio::test]
async fn one_node_can_not_ask_without_end_from_wherever_and_others_still_can() {
    let net = Net::start_with(|config| config.rates.admissions_of_key = 2).await;
    let ask = async |number: usize| {
        let request = net.request(keys(number), Role::Personal, "").await;
        net.ask(keys(number), &request).await.map(drop)
    };
    assert_eq!(ask(0).await, Ok(()));
    // Somebody else who says that it was this node uses up nothing.
    let forged = net.request(keys(0), Role::Personal, "").await.sign(keys(1)).await.unwrap();
    let forged = net.client.ask_admission(&net.url, forged).await.unwrap_err();
    assert_eq!(forged.error, Error::PossessionUnproven);
    assert_eq!(ask(0).await, Ok(()));
    assert_eq!(ask(0).await, Err(Error::TooManyRequests));
    assert_eq!(ask(1).await, Ok(()));
    net.clock.advance(60_000);
    assert_eq!(ask(0).await, Ok(()));
}

#[tokio::test]
async fn a_revocation_reaches_institutions_and_notaries_that_run() {
    let net = Net::start().await;
    let person = net.person(0).await;
    let notary = net.notary("notary").await;
    let stop = CancellationToken::new();
    let hospital = running_hospital(&net, &stop).await;
    let (to_notary, to_hospital) =
        (notary.member().standing().card.clone(), hospital.node().card());
    net.operator().revoke(person.id.clone(), "stolen telephone").await.unwrap();
    net.until(|trust| trust.check_revocation(&person.id, net.now()) == Err(Error::CardRevoked))
        .await;
    notary.member().refresh().await.unwrap();
    hospital.refresh().await.unwrap();

    let deposits = vec![common::deposit(&person, &person, &notary).await];
    let envelope = common::sealed([&person, &person], &to_notary, deposits).await;
    let endpoint = format!("http://{}", notary.address());
    let refused = net.client.deposit(&endpoint, envelope).await;
    assert_eq!(refused.err().map(Error::from), Some(Error::CardRevoked));
    let asked = serde_json::json!({"reason": "Cough", "may_read": []});
    let (case, kind) = (&common::case_id(), MessageType::TreatmentRequest);
    let message = Message { from: &person.card, to: &to_hospital, case, kind, body: asked };
    let sealed = seal(message, person.keys, &AwsPrimitives, &SystemClock, &SystemRandomness).await;
    let refused = net.client.send_envelope(&hospital.url(), sealed.unwrap().1).await;
    assert_eq!(refused.err().map(Error::from), Some(Error::CardRevoked));
    stop.cancel();
}

async fn running_hospital(net: &Net, stop: &CancellationToken) -> Institution {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let member = net.member_config("hospital", endpoint);
    let member = MemberConfig { role: Role::Institution, ..member };
    let config = institution::Config::new(member);
    let clock = NodeClock::new(net.clock.clone());
    let starting = Institution::start(config, clock, listener, stop.clone());
    let (started, ()) = tokio::join!(starting, net.admit_next());
    started.unwrap()
}

#[tokio::test]
async fn a_second_server_or_a_wrong_passphrase_is_refused() {
    let mut net = Net::start().await;
    assert_eq!(start_another(&net, PASSPHRASE).await, Some(Error::StoreBusy));
    net.stop_server().await;
    assert_eq!(start_another(&net, "wrong horse").await, Some(Error::PassphraseWrong));
}

async fn start_another(net: &Net, passphrase: &str) -> Option<Error> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let passphrase = Passphrase::of_no_secret(passphrase);
    let config = ServerConfig::new(net.data(), passphrase, "http://127.0.0.1".into());
    Server::start(config, listener, NodeClock::default(), CancellationToken::new()).await.err()
}
