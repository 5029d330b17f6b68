//! A witness is revoked, and what it co-signed since counts no more: the case's notary, a member still,
//! gives other receipts.

use std::slice;

use futures_lite::future::block_on;
use hdms::Error;
use hdms::ids::EntryId;
use hdms::network::Trust;
use hdms::node::patient::RecordName;
use hdms::node::{Outcome, Platform};
use hdms::notary::DepositAnswer;
use hdms::provider::{Store, Table, Write};
use hdms::treatment::Flow;
use hdms::treatment::hospital::{self, HospitalCase};
use hdms::treatment::patient::{PatientCase, Phase};
use hdms_simulation::{BEGIN, World};

use crate::cards::share_one;
use crate::{asked, case, with_result};

/// Has the first witness alone co-sign from now on.
fn watched_by_the_first(world: &mut World) {
    world.notary.witnesses.truncate(1);
}

/// The first witness was revoked as the network began; the other one co-signs from now on.
async fn revoke_the_first(world: &mut World) {
    world.network.map.logs[1].until = Some(BEGIN.seconds());
    world.notary.witnesses = world.operator.witnesses().unwrap().split_off(1);
    world.notary.forget_receipts();
    world.publish().await.unwrap();
}

/// A request is approved, under the first witness's eyes alone.
async fn approved_before_the_first(seed: u64) -> World {
    let mut world = asked(seed).await;
    watched_by_the_first(&mut world);
    world.deliver_all().await.unwrap();
    world.hospital.approve(&case()).await.unwrap();
    world.deliver_all().await.unwrap();
    world
}

/// Whether the receipts of patient and hospital hold.
async fn receipts(world: &World, entry: &EntryId) -> [Option<Error>; 2] {
    let patient = world.patient.receipt(&case(), entry).await;
    [patient.err(), world.hospital.receipt(&case(), entry).await.err()]
}

const VOID: Option<Error> = Some(Error::ReceiptForged);

#[test]
fn receipts_that_count_no_more_are_asked_for_again_on_both_sides() {
    block_on(async {
        let mut world = approved_before_the_first(4).await;
        let fhir = serde_json::json!({"resourceType": "Observation", "status": "final"});
        let result = world.hand_in(&case(), vec![fhir]).await.unwrap().remove(0);
        world.deliver_all().await.unwrap();
        world.patient.confirm(&case(), slice::from_ref(&result)).await.unwrap();
        world.deliver_all().await.unwrap();
        let request = world.patient.case::<PatientCase>(&case()).await.unwrap().entry.id;
        for entry in [&request, &result] {
            assert_eq!(receipts(&world, entry).await, [None, None]);
            world.patient.renew_receipt::<PatientCase>(&case(), entry).await.unwrap();
            world.hospital.renew_receipt::<HospitalCase>(&case(), entry).await.unwrap();
        }
        assert!(world.undeposited().is_empty() && world.unanswered().is_empty());

        revoke_the_first(&mut world).await;
        let before: HospitalCase = world.hospital.case(&case()).await.unwrap();
        for entry in [&request, &result] {
            assert_eq!(receipts(&world, entry).await, [VOID, VOID]);
            for _ in 0..2 {
                world.patient.renew_receipt::<PatientCase>(&case(), entry).await.unwrap();
                world.hospital.renew_receipt::<HospitalCase>(&case(), entry).await.unwrap();
            }
        }
        assert_eq!(world.patient.waiting("", 10).await.unwrap().len(), 1, "the result");
        assert_eq!(world.hospital.waiting("", 10).await.unwrap().len(), 2);
        world.deliver_all().await.unwrap();
        for entry in [&request, &result] {
            assert_eq!(receipts(&world, entry).await, [None, None]);
        }
        let after: HospitalCase = world.hospital.case(&case()).await.unwrap();
        assert_eq!(HospitalCase { changed: before.changed, ..after }, before);
        assert!(world.hospital.waiting("", 10).await.unwrap().is_empty());
        assert!(world.patient.waiting("", 10).await.unwrap().is_empty());
        assert_eq!(world.notary.log().len(), 2);
    });
}

/// A hospital may send one as often as it likes.
#[test]
fn another_receipt_of_an_approved_request_is_kept_and_is_no_news() {
    block_on(async {
        let mut world = approved_before_the_first(9).await;
        let before: PatientCase = world.patient.case(&case()).await.unwrap();
        revoke_the_first(&mut world).await;
        let request = &before.entry.id;
        world.hospital.renew_receipt::<HospitalCase>(&case(), request).await.unwrap();
        world.settle().await.unwrap();
        let approval = world.mail.remove(0);
        assert_eq!(receipts(&world, request).await, [VOID, None]);
        assert_eq!(world.deliver(&approval).await, Ok(Outcome::Renewed));
        assert_eq!(receipts(&world, request).await, [None, None]);
        assert_eq!(world.patient.case::<PatientCase>(&case()).await.unwrap(), before);
    });
}

#[test]
fn what_the_other_participant_deposits_again_is_not_looked_into() {
    block_on(async {
        let mut world = approved_before_the_first(10).await;
        revoke_the_first(&mut world).await;
        let PatientCase { entry, patient, .. } = world.patient.case(&case()).await.unwrap();
        let (table, value) = (Table::Entries, b"\xff".to_vec());
        let key = format!("{}/{}/{patient}", case(), entry.id);
        let store = world.patient.platform().store();
        store.commit(vec![Write::Put { table, key, value }]).await.unwrap();
        let renewed = world.patient.renew_receipt::<PatientCase>(&case(), &entry.id).await;
        assert_eq!(renewed, Ok(()));
    });
}

#[test]
fn an_approval_whose_receipt_counted_no_more_when_it_came_comes_again() {
    block_on(async {
        let mut world = asked(5).await;
        watched_by_the_first(&mut world);
        world.deliver_all().await.unwrap();
        world.hospital.approve(&case()).await.unwrap();
        world.settle().await.unwrap();
        revoke_the_first(&mut world).await;
        let approval = world.mail.remove(0);
        assert_eq!(world.deliver(&approval).await, Err(Error::ReceiptForged));
        let request = world.hospital.case::<HospitalCase>(&case()).await.unwrap().entry.id;
        world.hospital.renew_receipt::<HospitalCase>(&case(), &request).await.unwrap();
        world.deliver_all().await.unwrap();
        let patient: PatientCase = world.patient.case(&case()).await.unwrap();
        assert_eq!(patient.phase, Phase::Approved);
        assert_eq!(receipts(&world, &request).await, [None, None]);
    });
}

#[test]
fn a_confirmation_whose_receipt_counted_no_more_when_it_came_comes_again() {
    block_on(async {
        let (mut world, result) = with_result(6).await;
        watched_by_the_first(&mut world);
        world.patient.confirm(&case(), slice::from_ref(&result)).await.unwrap();
        world.settle().await.unwrap();
        revoke_the_first(&mut world).await;
        let confirmation = world.mail.remove(0);
        assert_eq!(world.deliver(&confirmation).await, Err(Error::ReceiptForged));
        world.patient.renew_receipt::<PatientCase>(&case(), &result).await.unwrap();
        world.settle().await.unwrap();
        let again = world.mail.remove(0);
        assert_eq!(world.deliver(&again).await, Ok(Outcome::Applied));
        assert_eq!(receipts(&world, &result).await, [None, None]);
        let hospital: HospitalCase = world.hospital.case(&case()).await.unwrap();
        let status = &hospital.results[0].status;
        assert!(matches!(status, hospital::HospitalResultStatus::Committed { .. }), "{status:?}");
    });
}

/// As with a former notary's.
#[test]
fn a_record_is_shared_before_it_has_another_receipt() {
    block_on(async {
        for patient_has_heard in [true, false] {
            let (mut world, result) = with_result(8).await;
            watched_by_the_first(&mut world);
            world.patient.confirm(&case(), slice::from_ref(&result)).await.unwrap();
            world.deliver_all().await.unwrap();
            let before = world.patient.trust();
            revoke_the_first(&mut world).await;
            if !patient_has_heard {
                world.patient.set_trust(Trust::clone(&before));
            }
            let shared =
                share_one(&mut world, case(), RecordName { case: case(), entry: result }).await;
            assert_eq!(shared.receipt.is_none(), patient_has_heard);
        }
    });
}

#[test]
fn nothing_is_asked_of_a_notary_that_is_none_any_more() {
    block_on(async {
        let (mut world, _) = with_result(7).await;
        world.network.map.logs[0].until = Some(BEGIN.seconds());
        world.publish().await.unwrap();
        let request = world.patient.case::<PatientCase>(&case()).await.unwrap().entry.id;
        assert_eq!(receipts(&world, &request).await, [VOID, VOID]);
        world.hospital.renew_receipt::<HospitalCase>(&case(), &request).await.unwrap();
        assert!(world.hospital.waiting("", 10).await.unwrap().is_empty());
    });
}

/// Else a case that is open on a page would deposit as often as the notary can answer.
#[test]
fn what_was_refused_is_asked_for_again_with_newer_documents_alone() {
    block_on(async {
        let (mut world, result) = with_result(9).await;
        watched_by_the_first(&mut world);
        world.patient.confirm(&case(), slice::from_ref(&result)).await.unwrap();
        world.deliver_all().await.unwrap();
        revoke_the_first(&mut world).await;
        world.patient.renew_receipt::<PatientCase>(&case(), &result).await.unwrap();
        let [deposit] = &world.undeposited()[..] else { panic!("one deposit") };
        let refused = [DepositAnswer::Refused(Error::CaseUnlogged.code().to_owned())];
        world.patient.deposit_answered::<PatientCase>(deposit, &refused).await.unwrap();
        assert_eq!(receipts(&world, &result).await[0], VOID);
        for _ in 0..3 {
            world.patient.renew_receipt::<PatientCase>(&case(), &result).await.unwrap();
            assert!(world.patient.waiting("", 10).await.unwrap().is_empty());
        }
        world.publish().await.unwrap();
        world.patient.renew_receipt::<PatientCase>(&case(), &result).await.unwrap();
        world.deliver_all().await.unwrap();
        assert_eq!(receipts(&world, &result).await[0], None);
    });
}

/// Its card would have to go along, and no notary takes it.
#[test]
fn nothing_is_deposited_again_for_a_participant_who_is_none_any_more() {
    block_on(async {
        let (mut world, result) = with_result(10).await;
        watched_by_the_first(&mut world);
        world.patient.confirm(&case(), slice::from_ref(&result)).await.unwrap();
        world.deliver_all().await.unwrap();
        let hospital = world.hospital.id().clone();
        world.network.revocations.revoked.push(hospital);
        revoke_the_first(&mut world).await;
        assert_eq!(receipts(&world, &result).await[0], VOID);
        world.patient.renew_receipt::<PatientCase>(&case(), &result).await.unwrap();
        assert!(world.patient.waiting("", 10).await.unwrap().is_empty());
    });
}

#[test]
fn receipts_that_have_changed_places_count_on_neither_side() {
    block_on(async {
        let (mut world, result) = with_result(9).await;
        world.patient.confirm(&case(), slice::from_ref(&result)).await.unwrap();
        world.deliver_all().await.unwrap();
        let patient: PatientCase = world.patient.case(&case()).await.unwrap();
        let hospital: HospitalCase = world.hospital.case(&case()).await.unwrap();
        for expected in [Ok(()), Err(Error::EntryMismatch)] {
            for entry in patient.entries() {
                let theirs = world.patient.ledger_entry(&patient, entry).await.unwrap();
                let ours = world.hospital.ledger_entry(&hospital, entry).await.unwrap();
                assert!(theirs.endorsed_by_patient && theirs.endorsed_by_hospital);
                assert!(ours.endorsed_by_patient && ours.endorsed_by_hospital);
                for kept in [theirs, ours] {
                    assert_eq!(kept.receipt.map(|receipt| assert!(receipt.is_some())), expected);
                }
            }
            for node in [&world.patient, &world.hospital] {
                exchange_receipts(node.platform().store()).await;
            }
        }
        assert!(world.undeposited().is_empty(), "no notary is asked: it would answer the same");
    });
}

async fn exchange_receipts(store: &impl Store) {
    let rows = store.scan(Table::Receipts, "", "", 10).await.unwrap();
    let receipts = rows.into_iter().filter(|(key, _)| !key.contains("/number/"));
    let [(one, first), (other, second)] = receipts.collect::<Vec<_>>().try_into().unwrap();
    let put = |key, value| Write::Put { table: Table::Receipts, key, value };
    store.commit(vec![put(one, second), put(other, first)]).await.unwrap();
}
