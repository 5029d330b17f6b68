//! Somebody has a key that its node has given up, and signs with it under the card of its time.

use std::time::Duration;

use futures_util::future::join_all;
use hdms::Error;
use hdms::card::{KeyChange, LIFETIME, Role, Subkeys, VerifiedCard};
use hdms::doorman::AdmissionRequest;
use hdms::envelope::{Message, MessageType, seal};
use hdms::notary::DepositAnswer;
use hdms::proof::WINDOW;
use hdms_nodes::base::keys::{AwsKeys, AwsPrimitives};
use hdms_nodes::base::system::{NodeClock, SystemClock, SystemRandomness};
use hdms_nodes::institution::{self, Institution};
use hdms_nodes::member::MemberConfig;
use hdms_nodes::notary::Notary;
use hdms_nodes::server::trail::Act;
use rusqlite::Connection;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::common::{
    Net, Person, Signed, case_id, deposit, keys, message_id, prepare_keys, sealed,
};

const NEVER: Duration = Duration::from_secs(3600);

const DAY: u64 = 24 * 3600;

/// The patient with the keys 0 changes them to the keys 1: as the thief is, and as the patient is.
async fn given_up(net: &Net) -> (Person, Person) {
    let former = net.person(0).await;
    net.clock.advance(1000);
    let request = net.request(keys(0), Role::Personal, "").await;
    let changed = change_keys(net, &request, keys(0), keys(1)).await;
    let card = net.ask(keys(1), &changed).await.unwrap();
    let card = VerifiedCard::vouched(&card, &AwsPrimitives).await.unwrap();
    let newer = Person { keys: keys(1), id: former.id.clone(), card };
    (former, newer)
}

/// The request of the same node with the keys `newer`, for which `former` vouch.
pub async fn change_keys(
    net: &Net,
    request: &AdmissionRequest,
    former: &AwsKeys,
    newer: &AwsKeys,
) -> AdmissionRequest {
    change_keys_at(net, request, [former, newer], net.now().seconds()).await
}

/// The same with a statement of this time.
async fn change_keys_at(
    net: &Net,
    request: &AdmissionRequest,
    [former, newer]: [&AwsKeys; 2],
    iat: u64,
) -> AdmissionRequest {
    let (signing_key, encryption) = newer.public();
    let change = KeyChange {
        iss: request.iss.clone(),
        iat,
        former_signing_key: request.signing_key.clone(),
        signing_key: signing_key.clone(),
    };
    let mut changes = request.changes.clone();
    changes.push(change.sign(former).await.unwrap());
    let (iss, iat) = (request.iss.clone(), net.now().seconds());
    let stated = Subkeys { iss, iat, encryption, request: newer.request_key().clone() };
    let subkeys = stated.sign(newer).await.unwrap();
    AdmissionRequest {
        iat,
        jti: message_id(),
        signing_key: signing_key.clone(),
        subkeys,
        changes,
        ..request.clone()
    }
}

/// Else who has the former one could go on as the member.
#[tokio::test]
async fn a_member_gives_up_its_key_also_with_a_wish_that_was_refused() {
    let net = Net::start().await;
    let hospital = net.hospital(0).await;
    let before = net.request(keys(0), Role::Institution, "St. Elsewhere 0").await;
    let named = |request: &AdmissionRequest, name: &str| AdmissionRequest {
        jti: message_id(),
        name: name.into(),
        ..request.clone()
    };
    let wish = named(&before, "Royal Hospital");
    assert_eq!(net.ask(keys(0), &wish).await, Err(Error::AdmissionPending));
    net.operator().refuse(hospital.id.clone(), "not royal").await.unwrap();
    net.ask(keys(0), &named(&before, &before.name)).await.unwrap();
    let changed = change_keys(&net, &wish, keys(0), keys(1)).await;
    for _ in 0..2 {
        let again = named(&changed, &wish.name);
        let answer = net.challenge(keys(1), &again).await.unwrap();
        let refused = net.client.answer_challenge(&net.url, &answer).await.unwrap_err();
        let told = (refused.error, refused.reason.as_deref());
        assert_eq!(told, (Error::AdmissionRefused, Some("not royal")));
        let former = net.ask(keys(0), &named(&before, &before.name)).await;
        assert_eq!(former, Err(Error::PossessionUnproven));
    }
    let trail = net.operator().trail().await.unwrap().entries;
    assert_eq!(trail.iter().filter(|entry| entry.act == Act::KeysChanged).count(), 1);
    let trust = net.trust().await;
    let card = trust.node(&hospital.id).unwrap().card();
    assert_eq!((&card.signing_key, &card.name), (keys(1).public().0, &before.name));
    assert!(net.operator().pending(None).await.unwrap().is_empty());
    net.ask(keys(1), &named(&changed, &before.name)).await.unwrap();
}

async fn listening() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    (listener, endpoint)
}

/// A notary that asks for no newer documents by itself.
async fn notary(net: &Net, stop: &CancellationToken) -> (Notary, String) {
    prepare_keys(&net.dir.path().join("notary"), &[""]);
    let (listener, endpoint) = listening().await;
    let config = MemberConfig { refresh: NEVER, ..net.member_config("notary", endpoint.clone()) };
    let clock = NodeClock::new(net.clock.clone());
    let starting = Notary::start(config, listener, clock, stop.clone());
    (tokio::join!(starting, net.admit_next()).0.unwrap(), endpoint)
}

async fn hospital(net: &Net, stop: &CancellationToken) -> Institution {
    let (listener, endpoint) = listening().await;
    let member = MemberConfig {
        role: Role::Institution,
        refresh: NEVER,
        ..net.member_config("hospital", endpoint)
    };
    let config = institution::Config::new(member);
    let clock = NodeClock::new(net.clock.clone());
    let starting = Institution::start(config, clock, listener, stop.clone());
    tokio::join!(starting, net.admit_next()).0.unwrap()
}

#[tokio::test]
async fn no_change_of_keys_is_dated_ahead() {
    let net = Net::start().await;
    let first = net.request(keys(0), Role::Personal, "").await;
    net.ask(keys(0), &first).await.unwrap();
    let (now, unproven) = (net.now().seconds(), Err(Error::PossessionUnproven));
    for (iat, expected) in [(now + 3600, unproven), (now, Ok(()))] {
        let changed = change_keys_at(&net, &first, [keys(0), keys(1)], iat).await;
        assert_eq!(net.ask(keys(1), &changed).await.map(drop), expected, "{iat} at {now}");
    }
}

/// The thief asks for one card after the other, each dated as far ahead as may be.
#[tokio::test]
async fn who_dates_requests_ahead_keeps_no_owner_from_changing_the_keys() {
    let net = Net::start().await;
    let first = net.request(keys(0), Role::Personal, "").await;
    net.ask(keys(0), &first).await.unwrap();
    let steal = async |ahead: u64, of: usize| {
        let iat = net.now().seconds() + ahead;
        let (encryption, own) = (keys(of).public().1, keys(0).request_key().clone());
        let stated = Subkeys { iss: first.iss.clone(), iat, encryption, request: own };
        let subkeys = stated.sign(keys(0)).await.unwrap();
        let theft = AdmissionRequest { iat, jti: message_id(), subkeys, ..first.clone() };
        let jwt = theft.sign(keys(0)).await.unwrap();
        let challenge = net.client.ask_admission(&net.url, jwt.clone()).await?;
        let answer = challenge.answer(&theft, jwt, keys(of), &AwsPrimitives).await.unwrap();
        net.client.answer_challenge(&net.url, &answer).await.map(drop).map_err(Error::from)
    };
    assert_eq!(steal(299, 2).await, Err(Error::NotYetValid));
    let stated = net.now().seconds();
    steal(WINDOW, 2).await.unwrap();
    net.clock.advance(1000 * 3600);
    steal(WINDOW, 3).await.unwrap();
    let changed = change_keys_at(&net, &first, [keys(0), keys(1)], stated).await;
    net.ask(keys(1), &changed).await.unwrap();
    assert_eq!(steal(WINDOW, 2).await, Err(Error::PossessionUnproven));
}

/// Whoever steals a key takes back what it has signed for a week at most, whatever the card's age, and
/// whether the Doorman knows the node still.
#[tokio::test]
async fn no_change_of_keys_that_nobody_has_seen_is_older_than_a_week() {
    let net = Net::start().await;
    let first = net.request(keys(0), Role::Personal, "").await;
    let card = net.ask(keys(0), &first).await.unwrap();
    let issued = net.now().seconds();
    net.clock.advance(60 * DAY * 1000);
    let now = net.now().seconds();
    let unseen = Err(Error::CardSuperseded);
    for (iat, expected) in
        [(issued - 299, unseen), (now - 8 * DAY, unseen), (now - 6 * DAY, Ok(()))]
    {
        let changed = change_keys_at(&net, &first, [keys(0), keys(1)], iat).await;
        assert_eq!(net.ask(keys(1), &changed).await.map(drop), expected, "{iat} at {now}");
    }
    // One that was dropped long ago, or never was there: it shows a card, if it has one with the change.
    let unknown = net.request(keys(2), Role::Personal, "").await;
    for (iat, shown, expected) in
        [(1, None, unseen), (now - 8 * DAY, Some(card), unseen), (now - 6 * DAY, None, Ok(()))]
    {
        let mut changed = change_keys_at(&net, &unknown, [keys(2), keys(3)], iat).await;
        changed.card = shown;
        assert_eq!(net.ask(keys(3), &changed).await.map(drop), expected, "{iat} at {now}");
    }
}

/// The server's database was put back to before the node joined, long after the node has changed its keys.
#[tokio::test]
async fn a_card_shows_that_a_change_of_keys_was_seen_long_ago() {
    let net = Net::start().await;
    let (_, newer) = given_up(&net).await;
    net.clock.advance(30 * DAY * 1000);
    let database = Connection::open(net.data().join("server.sqlite")).unwrap();
    assert_eq!(database.execute("DELETE FROM nodes", []), Ok(1));
    let request = AdmissionRequest {
        iss: newer.id.clone(),
        subkeys: newer.card.card().subkeys.clone(),
        changes: newer.card.card().changes.clone(),
        ..net.request(keys(1), Role::Personal, "").await
    };
    assert_eq!(net.ask(keys(1), &request).await, Err(Error::CardSuperseded));
    let shown = AdmissionRequest { card: Some(newer.card.jwt().into()), ..request };
    net.ask(keys(1), &shown).await.unwrap();
}

/// Until it has seen the change the server can't tell the thief from the node, which shows that before it
/// asks anything.
#[tokio::test]
async fn a_former_request_key_asks_for_nothing_once_the_change_of_keys_was_seen() {
    let net = Net::start().await;
    let look =
        async |person: &Person| net.client.mailbox(&net.url, person.signer(), 0, 1).await.map(drop);
    assert_eq!(look(&net.person(0).await).await, Ok(()));
    let (former, newer) = given_up(&net).await;
    assert_eq!(look(&former).await, Err(Error::RequestProofInvalid));
    assert_eq!(look(&newer).await, Ok(()));
}

async fn is_known(net: &Net, former: &Person) {
    let ended = |trust: &hdms::network::Trust| {
        former.card.check_validity(trust, net.now()) == Err(Error::CardSuperseded)
    };
    net.until(ended).await;
}

#[tokio::test]
async fn a_hospital_and_a_notary_that_never_saw_the_newer_card_refuse_the_former_one() {
    let (net, stop) = (Net::start().await, CancellationToken::new());
    let (notary, endpoint) = notary(&net, &stop).await;
    let hospital = hospital(&net, &stop).await;
    let (former, newer) = given_up(&net).await;
    is_known(&net, &former).await;
    notary.member().refresh().await.unwrap();
    hospital.refresh().await.unwrap();
    let trust = net.trust().await;
    assert_eq!(newer.card.check_validity(&trust, net.now()), Ok(()));

    let to_hospital = hospital.node().card();
    let (case, kind) = (&case_id(), MessageType::TreatmentRequest);
    let body = serde_json::json!({"record": "r", "endorsement": "e"});
    let message = Message { from: &former.card, to: &to_hospital, case, kind, body };
    let forged = seal(message, keys(0), &AwsPrimitives, &SystemClock, &SystemRandomness).await;
    let refused = net.client.send_envelope(&hospital.url(), forged.unwrap().1).await;
    assert_eq!(refused.err().map(Error::from), Some(Error::CardSuperseded));

    let to_notary = notary.member().standing().card.clone();
    let other = net.person(2).await;
    let entry = deposit(&former, &other, &notary).await;
    let own = sealed([&former, &other], &to_notary, vec![entry.clone()]).await;
    let refused = net.client.deposit(&endpoint, own).await;
    assert_eq!(refused.err().map(Error::from), Some(Error::CardSuperseded));
    let others = sealed([&other, &former], &to_notary, vec![entry]).await;
    let answers = net.client.deposit(&endpoint, others).await.unwrap().answers;
    assert_eq!(answers, [DepositAnswer::Refused("card/superseded".into())]);
    stop.cancel();
}

#[tokio::test]
async fn a_notary_that_saw_the_newer_card_refuses_the_former_one_before_the_list_says_so() {
    let (net, stop) = (Net::start().await, CancellationToken::new());
    let (notary, endpoint) = notary(&net, &stop).await;
    let (former, newer) = given_up(&net).await;
    let (other, to) = (net.hospital(2).await, notary.member().standing().card.clone());
    notary.member().refresh().await.unwrap();
    let send = async |from: [&Person; 2], deposit: Signed| {
        let envelope = sealed(from, &to, vec![deposit]).await;
        net.client.deposit(&endpoint, envelope).await.map(|answers| answers.answers)
    };
    let logged = send([&newer, &other], deposit(&newer, &other, &notary).await).await.unwrap();
    assert!(matches!(logged[..], [DepositAnswer::Receipt(_)]), "{logged:?}");
    let entry = deposit(&former, &other, &notary).await;
    let refused = send([&former, &other], entry.clone()).await;
    assert_eq!(refused.err().map(Error::from), Some(Error::CardSuperseded));
    let answers = send([&other, &former], entry.clone()).await.unwrap();
    assert_eq!(answers, [DepositAnswer::Refused("card/superseded".into())]);
    stop.cancel();
}

#[tokio::test]
async fn the_list_tells_of_a_change_of_keys_until_every_former_card_has_expired() {
    let net = Net::start_with(|config| config.rules.revocation_age = 4 * LIFETIME).await;
    let (former, newer) = given_up(&net).await;
    is_known(&net, &former).await;
    net.clock.advance(LIFETIME * 1000 + 1000);
    let mut renewed = net.request(keys(1), Role::Personal, "").await;
    renewed.iss = former.id.clone();
    renewed.subkeys = newer.card.card().subkeys.clone();
    renewed.changes = newer.card.card().changes.clone();
    let card = net.ask(keys(1), &renewed).await.unwrap();
    let card = VerifiedCard::vouched(&card, &AwsPrimitives).await.unwrap();
    let forgotten = |trust: &hdms::network::Trust| {
        former.card.check_validity(trust, hdms::provider::Timestamp(0)) == Ok(())
    };
    // Somebody who comes makes the server sign its documents anew.
    net.hospital(3).await;
    let trust = net.until(forgotten).await;
    assert_eq!(former.card.check_validity(&trust, net.now()), Err(Error::CardExpired));
    assert_eq!(card.check_validity(&trust, net.now()), Ok(()));
}

#[tokio::test]
async fn what_asks_with_the_former_key_while_it_changes_gets_no_card_that_counts() {
    let (net, mut owner) = (Net::start().await, None);
    for round in 0..5 {
        // The cards are to be renewed.
        net.clock.advance(LIFETIME * 700);
        let (former, newer) = (keys(round), keys(round + 1));
        let before = match owner {
            Some(before) => before,
            None => net.request(keys(0), Role::Personal, "").await,
        };
        if round == 0 {
            net.ask(former, &before).await.unwrap();
        }
        let request = change_keys(&net, &before, former, newer).await;
        let own = net.challenge(newer, &request).await.unwrap();
        let mut thefts = Vec::new();
        for _ in 0..4 {
            let (iat, jti) = (request.iat, message_id());
            let theft = AdmissionRequest { iat, jti, ..before.clone() };
            thefts.push(net.challenge(former, &theft).await.unwrap());
        }
        let steal = thefts.iter().map(|theft| net.client.answer_challenge(&net.url, theft));
        let own = net.client.answer_challenge(&net.url, &own);
        let (stolen, own) = tokio::join!(join_all(steal), own);
        let cards = stolen.into_iter().flatten().map(|admitted| admitted.card);
        let own = own.map_err(Error::from).unwrap().card;
        let trust = net.trust().await;
        for card in cards.filter(|card| *card != own) {
            let card = VerifiedCard::vouched(&card, &AwsPrimitives).await.unwrap();
            let counts = card.check_validity(&trust, net.now());
            assert_eq!(counts, Err(Error::CardSuperseded), "in round {round}");
        }
        owner = Some(request);
    }
}
