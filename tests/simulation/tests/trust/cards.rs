//! Expired and revoked cards are refused by every kind of node, also when the message was sealed
//! before; nothing is sent to a revoked node, and what its own part is done stays done.

use std::slice;

use futures_lite::future::block_on;
use hdms::Error;
use hdms::card::{Card, Subkeys, VerifiedCard};
use hdms::ids::{CaseId, MessageId, NodeId};
use hdms::ledger::VerifiedReceipt;
use hdms::memory::MemoryStore;
use hdms::network::{Renewal, Trust};
use hdms::node::patient::RecordName;
use hdms::node::{Parcel, Platform};
use hdms::notary::DepositAnswer;
use hdms::provider::{Clock, Timestamp};
use hdms::treatment::hospital::HospitalCase;
use hdms::treatment::message::{DataRequestBody, SharedRecord};
use hdms::treatment::patient::{PatientCase, ResultStatus};
use hdms_simulation::{BEGIN, World, keys};

use crate::{DAY, approved, asked, case, next_mail, with_result};

pub async fn revoke(world: &mut World, node: &NodeId) {
    world.network.revocations.revoked.push(node.clone());
    world.network.revocations.number += 1;
    world.publish().await.unwrap();
}

/// Sets everybody's clock to when all cards have just expired, with a new revocation list.
async fn expire(world: &mut World) {
    let now = Timestamp(BEGIN.0 + 90 * DAY - 1000);
    world.providers.clock.set(now);
    world.network.revocations.iat = now.seconds();
    world.publish().await.unwrap();
    world.providers.clock.advance(1000);
}

/// The hospital's deposit of the approved request, sealed and not yet sent.
async fn sealed_deposit(world: &mut World) -> String {
    world.deliver_all().await.unwrap();
    world.hospital.approve(&case()).await.unwrap();
    let waiting = world.hospital.waiting("", 10).await.unwrap();
    let (mut parcels, _) = world.hospital.parcels(waiting).await;
    let Some(Parcel::Deposits { envelope, .. }) = parcels.pop() else { panic!("a deposit") };
    envelope
}

/// The hospital's message to the patient, sealed and not yet delivered.
async fn sealed_request_for_data(world: &mut World) -> Vec<u8> {
    let asked = DataRequestBody {
        id: crate::id(2),
        resources: vec!["Observation".into()],
        purpose: "Before prescribing".into(),
    };
    world.hospital.ask_for_data(&case(), asked).await.unwrap();
    world.settle().await.unwrap();
    next_mail(world)
}

#[test]
fn a_personal_node_refuses_what_a_revoked_or_expired_node_has_sealed() {
    block_on(async {
        for (expires, error) in [(false, Error::CardRevoked), (true, Error::CardExpired)] {
            let mut world = approved(1).await;
            if expires {
                world.providers.clock.set(Timestamp(BEGIN.0 + 89 * DAY));
            }
            let envelope = sealed_request_for_data(&mut world).await;
            let hospital = world.hospital.id().clone();
            if expires {
                expire(&mut world).await
            } else {
                revoke(&mut world, &hospital).await
            }
            let taken = world.patient.receive::<PatientCase>(&envelope).await;
            assert_eq!(taken.err(), Some(error));
            let state: PatientCase = world.patient.case(&case()).await.unwrap();
            assert!(state.data_requests.is_empty());
        }
    });
}

#[test]
fn an_institution_refuses_what_a_revoked_or_expired_node_has_sealed() {
    block_on(async {
        for (expires, error) in [(false, Error::CardRevoked), (true, Error::CardExpired)] {
            let mut world = World::new(2).await.unwrap();
            if expires {
                world.providers.clock.set(Timestamp(BEGIN.0 + 89 * DAY));
            }
            let request = crate::request();
            world.patient.ask(&case(), world.hospital.id(), request).await.unwrap();
            world.settle().await.unwrap();
            let envelope = next_mail(&mut world);
            let patient = world.patient.id().clone();
            if expires {
                expire(&mut world).await
            } else {
                revoke(&mut world, &patient).await
            }
            let taken = world.hospital.receive::<HospitalCase>(&envelope).await;
            assert_eq!(taken.err(), Some(error));
            let state = world.hospital.case::<HospitalCase>(&case()).await;
            assert_eq!(state.err(), Some(Error::UnknownCase));
        }
    });
}

#[test]
fn a_notary_refuses_what_a_revoked_or_expired_node_has_sealed() {
    block_on(async {
        for (expires, error) in [(false, Error::CardRevoked), (true, Error::CardExpired)] {
            let mut world = asked(3).await;
            if expires {
                world.deliver_all().await.unwrap();
                world.providers.clock.set(Timestamp(BEGIN.0 + 89 * DAY));
            }
            let envelope = sealed_deposit(&mut world).await;
            let hospital = world.hospital.id().clone();
            if expires {
                expire(&mut world).await
            } else {
                revoke(&mut world, &hospital).await
            }
            assert_eq!(world.notary.receive(&envelope).await.err(), Some(error));
            assert!(world.notary.log().is_empty());
        }
    });
}

#[test]
fn a_notary_refuses_an_entry_of_which_one_participant_is_revoked() {
    block_on(async {
        let mut world = asked(4).await;
        let envelope = sealed_deposit(&mut world).await;
        let patient = world.patient.id().clone();
        revoke(&mut world, &patient).await;
        let answers = world.notary.receive(&envelope).await.unwrap().answers;
        assert_eq!(answers, [DepositAnswer::Refused("card/revoked".into())]);
    });
}

#[test]
fn nothing_goes_to_a_revoked_node_and_nothing_from_one_that_knows_it() {
    block_on(async {
        let mut world = World::new(5).await.unwrap();
        world.patient.ask(&case(), world.hospital.id(), crate::request()).await.unwrap();
        let waiting = world.patient.waiting("", 10).await.unwrap();
        let hospital = world.hospital.id().clone();
        revoke(&mut world, &hospital).await;
        let stuck: Vec<_> = waiting.iter().map(|item| (item.clone(), Error::CardRevoked)).collect();
        let parcels = world.patient.parcels(waiting.clone()).await;
        assert!(parcels.0.is_empty() && parcels.1 == stuck, "to a revoked node");
        world.network.revocations.revoked.clear();
        let patient = world.patient.id().clone();
        revoke(&mut world, &patient).await;
        let parcels = world.patient.parcels(waiting).await;
        assert!(parcels.0.is_empty() && parcels.1 == stuck, "from a revoked node");
    });
}

/// The patient has confirmed, the notary has logged; only then is the hospital no member any more.
#[test]
fn what_was_logged_in_time_is_final_though_the_counterparty_is_revoked_or_expired_since() {
    block_on(async {
        for expires in [false, true] {
            let (mut world, entry) = with_result(6).await;
            if expires {
                world.providers.clock.set(Timestamp(BEGIN.0 + 89 * DAY));
            }
            world.patient.confirm(&case(), slice::from_ref(&entry)).await.unwrap();
            let waiting = world.patient.waiting("", 10).await.unwrap();
            let (mut parcels, _) = world.patient.parcels(waiting).await;
            let Some(Parcel::Deposits { items, envelope, .. }) = parcels.pop() else {
                panic!("a deposit")
            };
            let answers = world.notary.receive(&envelope).await.unwrap().answers;
            let hospital = world.hospital.id().clone();
            if expires {
                expire(&mut world).await
            } else {
                revoke(&mut world, &hospital).await
            }
            let answered = world.patient.deposit_answered::<PatientCase>(&items[0], &answers);
            answered.await.ok();
            let state: PatientCase = world.patient.case(&case()).await.unwrap();
            let status = &state.results[0].status;
            assert!(matches!(status, ResultStatus::Committed { .. }), "{status:?}");
        }
    });
}

/// The case's notary, before it has logged anything.
pub async fn revoke_notary(world: &mut World) {
    let notary = world.patient.case::<PatientCase>(&case()).await.unwrap().notary;
    let logs = &mut world.network.map.logs;
    let log = logs.iter_mut().find(|log| Some(&log.notary) == notary.as_ref()).unwrap();
    log.until = Some(BEGIN.seconds());
    world.network.map.number += 1;
    world.publish().await.unwrap();
}

#[test]
fn nothing_more_is_sent_in_a_case_whose_notary_was_revoked() {
    block_on(async {
        for revoked in [false, true] {
            let (mut world, entry) = with_result(13).await;
            if revoked {
                revoke_notary(&mut world).await;
            }
            world.patient.dispute(&case(), slice::from_ref(&entry), "not mine").await.unwrap();
            world.deliver_all().await.unwrap();
            let next = serde_json::json!({"resourceType": "Basic"});
            let taken = world.hand_in(&case(), vec![next]).await.map(drop);
            assert_eq!(taken, if revoked { Err(Error::NotAllowedNow) } else { Ok(()) });
            world.deliver_all().await.unwrap();
            let results = world.patient.case::<PatientCase>(&case()).await.unwrap().results;
            assert_eq!(results.len(), if revoked { 1 } else { 2 });
        }
    });
}

/// The receipt was taken in before anybody knew: it counts no more, and what it was for is not lost.
#[test]
fn what_a_notary_logged_after_it_was_revoked_is_shared_on_its_authors_word_alone() {
    block_on(async {
        for patient_has_heard in [true, false] {
            let (mut world, entry) = with_result(12).await;
            world.patient.confirm(&case(), slice::from_ref(&entry)).await.unwrap();
            world.deliver_all().await.unwrap();
            assert!(world.patient.receipt(&case(), &entry).await.unwrap().is_some());
            let before = world.patient.trust();
            revoke_notary(&mut world).await;
            let again = world.patient.receipt(&case(), &entry).await;
            assert_eq!(again.err(), Some(Error::ReceiptForged));
            if !patient_has_heard {
                world.patient.set_trust(Trust::clone(&before));
            }
            let shared = share_one(&mut world, case(), RecordName { case: case(), entry }).await;
            assert_eq!(shared.receipt.is_none(), patient_has_heard);
            let (trust, software) = (world.hospital.trust(), world.software());
            if let Some(text) = &shared.receipt {
                let counts = VerifiedReceipt::verify(text, &trust, &software).await;
                assert_eq!(counts.err(), Some(Error::ReceiptForged));
            }
        }
    });
}

/// What the hospital has of the one record that the patient shares in a case.
pub async fn share_one(world: &mut World, case: CaseId, name: RecordName) -> SharedRecord {
    let request = ask_for_observations(world, &case).await;
    world.patient.share(&case, &request, &[name]).await.unwrap();
    world.deliver_all().await.unwrap();
    let mut shared = world.hospital.shared(&case, &request).await.unwrap();
    assert_eq!(shared.len(), 1);
    shared.remove(0)
}

pub async fn ask_for_observations(world: &mut World, case: &CaseId) -> MessageId {
    let asked = DataRequestBody {
        id: crate::id(2),
        resources: vec!["Observation".into()],
        purpose: "Before prescribing".into(),
    };
    let request = asked.id.clone();
    world.hospital.ask_for_data(case, asked).await.unwrap();
    world.deliver_all().await.unwrap();
    request
}

#[test]
fn a_list_that_is_too_old_says_nothing_about_anybody() {
    block_on(async {
        let mut world = asked(7).await;
        world.network.parameters.revocation_age = 7 * DAY / 1000;
        world.network.parameters.number += 1;
        world.publish().await.unwrap();
        let envelope = next_mail(&mut world);
        world.providers.clock.advance(7 * DAY + 1000);
        let taken = world.hospital.receive::<HospitalCase>(&envelope).await;
        assert_eq!(taken.err(), Some(Error::NetworkStale));
        assert!(world.hospital.quarantined("", 10).await.unwrap().is_empty());
        world.network.revocations.iat = world.providers.clock.now().seconds();
        world.publish().await.unwrap();
        assert!(world.hospital.receive::<HospitalCase>(&envelope).await.is_ok());
    });
}

/// As networks of before there were subkeys listed all: what their nodes have kept still tells the rest.
#[test]
fn a_listed_node_whose_card_names_no_subkeys_is_left_out() {
    block_on(async {
        let mut world = World::new(4).await.unwrap();
        let hospital = world.hospital.card();
        let former = Card { subkeys: String::new(), ..hospital.card().clone() };
        let former = world.operator.sign(&former).await.unwrap();
        let nodes = &mut world.network.map.nodes;
        let listed = nodes.iter_mut().find(|jwt| **jwt == hospital.jwt());
        *listed.unwrap() = former;
        world.publish().await.unwrap();
        let (trust, now) = (world.patient.trust(), world.providers.clock.now());
        assert_eq!(trust.node(hospital.id()).err(), Some(Error::NodeUnknown));
        assert_eq!(trust.notary(world.notary.card().id()).err(), None);
        let again =
            Trust::reopen(&world.documents, world.operator.root(), now, &world.software()).await;
        assert!(again.unwrap().node(hospital.id()).is_err());
    });
}

#[test]
fn how_old_an_encryption_key_is_the_node_says_and_no_date_of_a_card() {
    block_on(async {
        let world = World::new(3).await.unwrap();
        let (card, trust, software) =
            (world.hospital.card(), world.hospital.trust(), world.software());
        let (kid, request) =
            (card.encryption_key().unwrap().thumbprint(), card.request_key().unwrap());
        let newest = (&*kid, request);
        let after = |days| Timestamp(BEGIN.0 + days * DAY);
        let dated = async |card: &Card, days| {
            let card = Card { iat: after(days).seconds(), ..card.clone() };
            let jwt = world.operator.sign(&card).await.unwrap();
            VerifiedCard::verify_chain(&jwt, &trust, &software).await
        };
        // A node that has noted nothing yet, as after a restored backup.
        let young = dated(card.card(), 59).await.unwrap();
        let store = MemoryStore::default();
        let asked = young.renewal(newest, &store, &trust, after(60)).await;
        assert_eq!(asked, Ok(Renewal::CardAndKey));
        // The key is not made old either, so that another would be made on each look.
        let (iss, iat) = (card.id().clone(), after(61).seconds());
        let (encryption, request) = (card.encryption_key().unwrap().clone(), request.clone());
        let stated = Subkeys { iss, iat, encryption, request };
        let subkeys = stated.sign(world.hospital.platform().keys()).await.unwrap();
        let fresh = Card { subkeys, ..card.card().clone() };
        assert_eq!(dated(&fresh, 0).await.err(), Some(Error::CardMismatch));
        let fresh = dated(&fresh, 61).await.unwrap();
        let asked = fresh.renewal(newest, &MemoryStore::default(), &trust, after(61)).await;
        assert_eq!(asked, Ok(Renewal::NotDue));
    });
}

#[test]
fn a_new_encryption_key_comes_with_the_card_from_two_thirds_of_its_life_on() {
    block_on(async {
        let mut world = World::new(3).await.unwrap();
        let (card, trust) = (world.hospital.card(), world.hospital.trust());
        let newest = card.encryption_key().unwrap().thumbprint();
        let after = |days| Timestamp(BEGIN.0 + days * DAY);
        let store = MemoryStore::default();
        let at = async |card: &VerifiedCard, newest: &str, trust: &Trust, days| {
            let subkeys = (newest, card.request_key().unwrap());
            card.renewal(subkeys, &store, trust, after(days)).await.unwrap()
        };
        assert_eq!(at(&card, &newest, &trust, 0).await, Renewal::NotDue);
        assert_eq!(at(&card, &newest, &trust, 59).await, Renewal::NotDue);
        assert_eq!(at(&card, &newest, &trust, 60).await, Renewal::CardAndKey);
        // After a backup of the key file was put back that had no request key yet.
        let other = keys("stranger", world.providers.randomness.clone()).unwrap();
        let lacking = (&*newest, other.request_key());
        let asked = card.renewal(lacking, &store, &trust, after(0)).await;
        assert_eq!(asked, Ok(Renewal::Card));
        // However young a card the server gives: the key was made when it was made.
        let claims = Card { iat: after(59).seconds(), ..card.card().clone() };
        let jwt = world.operator.sign(&claims).await.unwrap();
        let young = VerifiedCard::verify(&jwt, &trust, after(1), &world.software()).await.unwrap();
        assert_eq!(at(&young, &newest, &trust, 59).await, Renewal::NotDue);
        assert_eq!(at(&young, &newest, &trust, 60).await, Renewal::CardAndKey);
        // Of a renewal that broke off the key is there already, and no other is made for a while.
        for (days, expected) in
            [(100, Renewal::Card), (159, Renewal::Card), (160, Renewal::CardAndKey)]
        {
            assert_eq!(at(&card, "another", &trust, days).await, expected);
        }
        // Nor does a clock that was ahead keep it young.
        assert_eq!(at(&young, &newest, &trust, 200).await, Renewal::CardAndKey);
        assert_eq!(at(&card, "a third", &trust, 1000).await, Renewal::Card);
        assert_eq!(at(&card, "a third", &trust, 10).await, Renewal::Card);
        assert_eq!(at(&card, "a third", &trust, 70).await, Renewal::CardAndKey);
        revoke(&mut world, card.id()).await;
        assert_eq!(at(&card, &newest, &world.hospital.trust(), 1).await, Renewal::Revoked);
    });
}
