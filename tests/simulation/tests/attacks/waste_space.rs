//! Somebody wants others to keep and carry much for a little: what is signed is JSON, which may be padded
//! with white space, and stands in other documents, which are kept and sent on.

use std::slice;

use futures_lite::future::block_on;
use hdms::Error;
use hdms::base64url::{decode, digest, encode};
use hdms::card::{self, Card, KeyChange, MAX_CHANGES, Role, Subkeys, VerifiedCard};
use hdms::doorman::{About, AdmissionRequest};
use hdms::envelope::{self, Message, MessageType, Opening, Sealed};
use hdms::ids::NodeId;
use hdms::jose::jws::{MAX_HEADER, MAX_STATEMENT, sign_ps256_text};
use hdms::jwk::{EcJwk, RsaJwk};
use hdms::ledger::VerifiedEndorsement;
use hdms::node::{Node, Platform};
use hdms::notary::{Deposit, DepositAnswer, DepositBody};
use hdms::provider::{Clock, NodeKeys};
use hdms::software::Software;
use hdms::testing::SeededRandomness;
use hdms::treatment::hospital::HospitalCase;
use hdms::treatment::message::RequestBody;
use hdms::treatment::request::TreatmentRequest;
use hdms_simulation::{BEGIN, Simulated, World, keys};
use serde_json::Value;

use crate::logbook::SECRET;
use crate::{case, id, request_of};

fn part(jwt: &str, number: usize) -> Vec<u8> {
    decode(jwt.split('.').nth(number).unwrap()).unwrap()
}

/// The same claims with so many spaces behind them, signed anew.
async fn padded(jwt: &str, spaces: usize, keys: &impl NodeKeys) -> String {
    let header: Value = serde_json::from_slice(&part(jwt, 0)).unwrap();
    let member = |name| header[name].as_str().unwrap();
    let text = [part(jwt, 1), vec![b' '; spaces]].concat();
    sign_ps256_text(member("typ"), member("kid"), &text, keys).await.unwrap()
}

#[test]
fn a_statement_in_a_card_is_none_that_is_longer_than_statements_are() {
    block_on(async {
        let world = World::new(1).await.unwrap();
        let (now, software) = (world.providers.clock.now(), world.software());
        let owner = keys("stranger", world.providers.randomness.clone()).unwrap();
        let claims = world.operator.claims(&owner, Role::Personal, "").await.unwrap();
        let stated = claims.subkeys.clone();
        let most = (MAX_STATEMENT - stated.len()) * 3 / 4;
        let longest = padded(&stated, most, &owner).await;
        let long = padded(&stated, most + 3, &owner).await;
        assert!(longest.len() <= MAX_STATEMENT && long.len() > MAX_STATEMENT);
        assert!(Subkeys::claimed(&longest).is_ok());
        for statement in [long, padded(&stated, 60_000, &owner).await] {
            let (iat, subkeys) = (now.seconds(), statement.clone());
            let request = AdmissionRequest { iat, subkeys, ..request_of(&claims) };
            let request = request.sign(&owner).await.unwrap();
            let asked = AdmissionRequest::verify(&request, now, &software).await;
            assert_eq!(asked.err(), Some(Error::AdmissionMalformed));
            // Nor is one taken that a Doorman has let through.
            let card = Card { subkeys: statement, ..claims.clone() };
            let card = world.operator.sign(&card).await.unwrap();
            let trust = world.hospital.trust();
            let shown = VerifiedCard::verify(&card, &trust, now, &software).await;
            assert_eq!(shown.err(), Some(Error::CardMalformed));
        }
    });
}

#[test]
fn a_statement_of_a_changed_key_is_no_longer_either() {
    block_on(async {
        let world = World::new(2).await.unwrap();
        let (now, software) = (world.providers.clock.now(), world.software());
        let former = keys("stranger", world.providers.randomness.clone()).unwrap();
        let newer = keys("patient", world.providers.randomness.clone()).unwrap();
        let claims = world.operator.claims(&former, Role::Personal, "").await.unwrap();
        let iat = now.seconds();
        let jwt = world.operator.changed_card((&claims, &former), &newer, iat).await.unwrap();
        let changed: Card = serde_json::from_slice(&part(&jwt, 1)).unwrap();
        assert!(VerifiedCard::vouched(&jwt, &software).await.is_ok());
        let changes = vec![padded(&changed.changes[0], MAX_STATEMENT, &former).await];
        assert_eq!(KeyChange::claimed(&changes[0]).err(), Some(Error::CardMalformed));
        let jwt = world.operator.sign(&Card { changes, ..changed }).await.unwrap();
        let shown = VerifiedCard::vouched(&jwt, &software).await;
        assert_eq!(shown.err(), Some(Error::CardMalformed));
    });
}

/// A signed document of these claims, as long as one that a key of 3072 bits signs.
fn as_long_as_signed(typ: &str, claims: &impl serde::Serialize) -> String {
    let header = format!(r#"{{"alg":"PS256","typ":"{typ}","kid":"{}"}}"#, digest(typ));
    let claims = serde_json::to_vec(claims).unwrap();
    [encode(header), encode(claims), encode([0; 384])].join(".")
}

fn key() -> RsaJwk {
    RsaJwk::from_modulus(vec![0xff; 384]).unwrap()
}

#[test]
fn a_card_with_all_changes_of_keys_that_nodes_make_is_not_too_long() {
    let (iss, iat): (NodeId, _) = (digest("a node").parse().unwrap(), BEGIN.seconds());
    let change = KeyChange { iss: iss.clone(), iat, former_signing_key: key(), signing_key: key() };
    let change = as_long_as_signed("hdms-key-change+jwt", &change);
    let request = EcJwk::from_coordinates([0xff; 32], [0xff; 32]);
    let stated = Subkeys { iss: iss.clone(), iat, encryption: key(), request };
    let card = Card {
        iss: iss.clone(),
        sub: iss,
        role: Role::Institution,
        name: "n".repeat(200),
        endpoint: format!("https://{}.example", ["h".repeat(60), "h".repeat(60)].join("."))
            .parse()
            .ok(),
        signing_key: key(),
        subkeys: as_long_as_signed("hdms-subkeys+jwt", &stated),
        changes: vec![change.clone(); MAX_CHANGES],
        iat,
        exp: iat,
    };
    let jwt = as_long_as_signed("hdms-card+jwt", &card);
    assert!(change.len() < MAX_STATEMENT && jwt.len() < card::MAX_BYTES - 2048, "{}", jwt.len());
    // Nor is the request of its node that shows it; one that would come of longer statements is.
    let mut request = request_for(&card);
    let longest = as_long_as_signed("hdms-admission+jwt", &request);
    assert_eq!(AdmissionRequest::claimed_node(&longest), Ok(card.sub), "{}", longest.len());
    let software = Software::new(SeededRandomness::new(5));
    for (length, error) in
        [(change.len(), Error::PossessionUnproven), (MAX_STATEMENT, Error::AdmissionMalformed)]
    {
        request.changes = vec!["x".repeat(length); MAX_CHANGES];
        let asked = as_long_as_signed("hdms-admission+jwt", &request);
        let asked = block_on(AdmissionRequest::verify(&asked, BEGIN, &software));
        assert_eq!(asked.err(), Some(error), "{length}");
    }
}

fn request_for(card: &Card) -> AdmissionRequest {
    let said = || "s".repeat(200);
    let about = Some(About { registry_number: said(), address: said(), contact: said() });
    AdmissionRequest { about, card: Some("c".repeat(card::MAX_BYTES)), ..request_of(card) }
}

#[test]
fn a_hospital_takes_no_request_whose_endorsement_is_padded() {
    block_on(async {
        let mut world = World::new(3).await.unwrap();
        let hospital = world.hospital.id().clone();
        world.patient.ask(&case(), &hospital, request()).await.unwrap();
        world.settle().await.unwrap();
        let sent = world.mail.remove(0).envelope;
        let (p, trust) = (world.hospital.platform(), world.hospital.trust());
        let me = world.hospital.card();
        let sealed = Sealed::parse(sent.as_bytes()).unwrap();
        let decrypted = sealed.decrypt(p.keys(), p.primitives()).await.unwrap();
        let opening = Opening { me: &me, trust: &trust, received: BEGIN };
        let opened = decrypted.verify(None, opening, p.primitives()).await.unwrap();
        let mut body: RequestBody = opened.body().unwrap();
        let patient = world.patient.platform();
        body.endorsement = padded(&body.endorsement, 240_000, patient.keys()).await;
        let (from, case) = (world.patient.card(), case());
        let body = serde_json::to_value(&body).unwrap();
        let kind = MessageType::TreatmentRequest;
        let outbound = Message { from: &from, to: &me, case: &case, kind, body };
        let sealing =
            envelope::seal(outbound, patient.keys(), p.primitives(), p.clock(), p.randomness());
        let sealed = sealing.await.unwrap().1;
        let taken = world.hospital.receive::<HospitalCase>(sealed.as_bytes()).await;
        assert_eq!(taken.err(), Some(Error::EntryMalformed));
        let state = world.hospital.case::<HospitalCase>(&case).await;
        assert_eq!(state.err(), Some(Error::UnknownCase));
    });
}

#[test]
fn a_notary_logs_no_entry_whose_endorsement_or_card_is_padded() {
    block_on(async {
        let mut world = World::new(4).await.unwrap();
        let entry = world.first_entry(id(2), case(), SECRET).unwrap();
        let endorse = async |node: &Node<Simulated>| {
            let keys = node.platform().keys();
            VerifiedEndorsement::sign(slice::from_ref(&entry), node.id(), BEGIN, keys)
                .await
                .unwrap()
        };
        let theirs = endorse(&world.patient).await.jwt().to_owned();
        let own = endorse(&world.hospital).await.jwt().to_owned();
        let fat = padded(&theirs, MAX_STATEMENT, world.patient.platform().keys()).await;
        let cards = [world.patient.card(), world.hospital.card()].map(|card| card.jwt().to_owned());
        let patient = world.patient.platform();
        // It need not be signed: nothing of it is looked at.
        let fat_card = padded(&cards[0], card::MAX_BYTES, patient.keys()).await;
        let from = world.hospital.card();
        for (endorsement, card, code) in
            [(&fat, &cards[0], Error::EntryMalformed), (&theirs, &fat_card, Error::CardUnknown)]
        {
            let endorsements = vec![endorsement.clone(), own.clone()];
            let draw = world.drawn(&entry).await.unwrap();
            let deposits =
                vec![Deposit { entry: entry.id.clone(), case_secret: Some(SECRET), draw }];
            let cards = vec![card.clone(), cards[1].clone()];
            let body = serde_json::to_value(DepositBody { cards, endorsements, deposits }).unwrap();
            let (case, kind, to) = (case(), MessageType::Deposit, world.notary.card());
            let outbound = Message { from: &from, to, case: &case, kind, body };
            let p = world.hospital.platform();
            let sealing =
                envelope::seal(outbound, p.keys(), p.primitives(), p.clock(), p.randomness());
            let sealed = sealing.await.unwrap().1;
            let answers = world.notary.receive(&sealed).await.unwrap().answers;
            assert_eq!(answers, [DepositAnswer::Refused(code.code().into())]);
        }
        assert!(world.notary.log().is_empty());
    });
}

#[test]
fn an_open_header_is_no_place_to_keep_things() {
    let header = |kid: usize| {
        let kid = "k".repeat(kid);
        encode(format!(r#"{{"alg":"RSA-OAEP-256","enc":"A256GCM","cty":"JWT","kid":"{kid}"}}"#))
    };
    let short = (0..).take_while(|kid| header(*kid).len() <= MAX_HEADER).last().unwrap();
    let rest = ".AAAA.AAAAAAAAAAAAAAAA.AAAA.AAAAAAAAAAAAAAAAAAAAAA";
    for (kid, answer) in [
        (short, None),
        (short + 1, Some(Error::EnvelopeMalformed)),
        (500_000, Some(Error::EnvelopeMalformed)),
    ] {
        let envelope = header(kid) + rest;
        assert_eq!(envelope::addressed_key(&envelope).err(), answer);
        assert_eq!(Sealed::parse(envelope.as_bytes()).err(), answer);
    }
}

fn request() -> TreatmentRequest {
    let (reason, may_read) = ("My knee hurts.".into(), vec!["Observation".into()]);
    TreatmentRequest { reason, date: None, may_read }
}
