//! What a node does not send: nothing while the network asks for a newer version, nothing larger
//! than the network takes; and one thing that can't go holds up no other.

use futures_lite::future::block_on;
use hdms::Error;
use hdms::base64url::digest;
use hdms::ledger::Salt;
use hdms::network::PROTOCOL_VERSION;
use hdms::node::{OutboxItem, Parcel, Payload, Platform};
use hdms::notary::Queried;
use hdms::provider::{Store, Table, Write};
use hdms::treatment::hospital::{HospitalCase, HospitalResultStatus};
use hdms::treatment::patient::PatientCase;
use hdms_simulation::World;

use crate::{asked, case, id, next_mail};

async fn set_minimum_version(world: &mut World, version: u64) {
    world.network.parameters.minimum_version = version;
    world.network.parameters.number += 1;
    world.publish().await.unwrap();
}

async fn set_max_envelope(world: &mut World, bytes: usize) {
    world.network.parameters.max_envelope = bytes as u64;
    world.network.parameters.number += 1;
    world.publish().await.unwrap();
}

#[test]
fn below_the_minimum_version_a_node_receives_sends_nothing_and_loses_nothing() {
    block_on(async {
        let mut world = asked(1).await;
        let envelope = next_mail(&mut world);
        set_minimum_version(&mut world, PROTOCOL_VERSION + 1).await;
        assert!(world.hospital.receive::<HospitalCase>(&envelope).await.is_ok());
        world.hospital.approve(&case()).await.unwrap();
        let waiting = world.hospital.waiting("", 10).await.unwrap();
        assert_eq!(waiting.len(), 1);
        let (parcels, left) = world.hospital.parcels(waiting.clone()).await;
        assert!(parcels.is_empty() && crate::items(left) == waiting);
        let asked = vec![Queried { entry: id(77), salt: Salt([0; 16]) }];
        let notary = world.notary.card().id();
        let query = world.hospital.query(notary, &case(), asked).await;
        assert_eq!(query.err(), Some(Error::VersionTooOld));

        set_minimum_version(&mut world, PROTOCOL_VERSION).await;
        world.deliver_all().await.unwrap();
        let state: PatientCase = world.patient.case(&case()).await.unwrap();
        assert!(state.notary.is_some(), "the approval has come");
    });
}

#[test]
fn what_was_refused_for_good_is_not_among_what_waits_for_a_newer_version() {
    block_on(async {
        let mut world = World::new(2).await.unwrap();
        world.patient.ask(&case(), world.hospital.id(), crate::request()).await.unwrap();
        let waiting = world.patient.waiting("", 10).await.unwrap();
        world.patient.refused(&waiting[0], "envelope/malformed").await.unwrap();
        let waiting = world.patient.waiting("", 10).await.unwrap();
        set_minimum_version(&mut world, PROTOCOL_VERSION + 1).await;
        let (parcels, left) = world.patient.parcels(waiting).await;
        assert!(parcels.is_empty() && left.is_empty());
    });
}

#[test]
fn a_message_larger_than_the_network_takes_is_not_begun() {
    block_on(async {
        let mut world = World::new(3).await.unwrap();
        set_max_envelope(&mut world, 3000).await;
        let hospital = world.hospital.id().clone();
        let asked = world.patient.ask(&case(), &hospital, crate::request()).await;
        assert_eq!(asked.err(), Some(Error::EnvelopeTooLarge));
        assert_eq!(
            world.patient.case::<PatientCase>(&case()).await.err(),
            Some(Error::UnknownCase)
        );
        assert!(world.patient.waiting("", 10).await.unwrap().is_empty());
        set_max_envelope(&mut world, 30_000).await;
        assert!(world.patient.ask(&case(), &hospital, crate::request()).await.is_ok());
    });
}

/// A hospital with so many deposits in its outbox.
async fn with_deposits(world: &mut World, count: u32) -> Vec<OutboxItem> {
    for number in 1..=count {
        world.patient.ask(&id(number), world.hospital.id(), crate::request()).await.unwrap();
    }
    world.deliver_all().await.unwrap();
    for number in 1..=count {
        world.hospital.approve(&id(number)).await.unwrap();
    }
    world.hospital.waiting("", 100).await.unwrap()
}

fn deposits(parcels: &[Parcel]) -> Vec<(&[OutboxItem], &str)> {
    let deposits = parcels.iter().map(|parcel| match parcel {
        Parcel::Deposits { items, envelope, .. } => (&items[..], &envelope[..]),
        other => panic!("{other:?}"),
    });
    deposits.collect()
}

#[test]
fn deposits_that_do_not_fit_one_envelope_go_in_several_in_their_order() {
    block_on(async {
        let mut world = World::new(4).await.unwrap();
        let waiting = with_deposits(&mut world, 5).await;
        let (parcels, _) = world.hospital.parcels(waiting.clone()).await;
        let [(all, envelope)] = &deposits(&parcels)[..] else { panic!("one envelope") };
        assert_eq!(*all, waiting);
        let too_small = envelope.len() - 1;
        set_max_envelope(&mut world, too_small).await;
        let (parcels, stuck) = world.hospital.parcels(waiting.clone()).await;
        let sent = deposits(&parcels);
        assert!(sent.len() > 1 && stuck.is_empty());
        assert!(sent.iter().all(|(_, envelope)| envelope.len() <= too_small));
        let in_order: Vec<_> = sent.iter().flat_map(|(items, _)| items.iter().cloned()).collect();
        assert_eq!(in_order, waiting);
        world.deliver_all().await.unwrap();
        assert_eq!(world.notary.log().len(), waiting.len());

        set_max_envelope(&mut world, 3000).await;
        let (parcels, stuck) = world.hospital.parcels(waiting.clone()).await;
        assert!(parcels.is_empty());
        assert_eq!(crate::items(stuck), waiting, "one that fits no envelope at all");
    });
}

#[test]
fn a_deposit_whose_counterpartys_card_is_not_known_holds_up_no_other() {
    block_on(async {
        let mut world = World::new(5).await.unwrap();
        let mut waiting = with_deposits(&mut world, 3).await;
        let Payload::Deposit { participants, .. } = &mut waiting[1].payload else { panic!() };
        participants[0] = digest("a stranger").parse().unwrap();
        let (parcels, stuck) = world.hospital.parcels(waiting.clone()).await;
        let [(items, envelope)] = &deposits(&parcels)[..] else { panic!("one envelope") };
        assert_eq!(*items, [waiting[0].clone(), waiting[2].clone()]);
        assert_eq!(stuck, [(waiting[1].clone(), Error::CardUnknown)]);
        let answers = world.notary.receive(envelope).await.unwrap().answers;
        assert_eq!(answers.len(), 2);
    });
}

#[test]
fn a_deposit_that_is_refused_for_a_card_goes_again_once_that_is_mended() {
    block_on(async {
        let mut world = World::new(6).await.unwrap();
        let waiting = with_deposits(&mut world, 1).await;
        let (parcels, _) = world.hospital.parcels(waiting.clone()).await;
        let [(items, envelope)] = deposits(&parcels)[..] else { panic!("one envelope") };
        let patient = world.patient.id().clone();
        world.network.revocations.revoked.push(patient);
        world.publish().await.unwrap();
        let answers = world.notary.receive(envelope).await.unwrap().answers;
        let answered = world.hospital.deposit_answered::<HospitalCase>(&items[0], &answers);
        assert_eq!(answered.await.err(), Some(Error::CardRevoked));
        assert_eq!(world.hospital.waiting("", 10).await.unwrap(), waiting);

        world.network.revocations.revoked.clear();
        world.publish().await.unwrap();
        world.deliver_all().await.unwrap();
        let state: PatientCase = world.patient.case(&id(1)).await.unwrap();
        assert!(state.notary.is_some(), "the approval has come");
    });
}

#[test]
fn which_refusals_end_a_deposit() {
    for error in [Error::CardSuperseded, Error::CardUnknown, Error::CardExpired, Error::NodeUnknown]
    {
        assert!(!error.is_permanent_for_deposits(), "{error:?}");
    }
    for error in [Error::NotDrawn, Error::CaseUnlogged, Error::EntryMismatch] {
        assert!(error.is_permanent_for_deposits(), "{error:?}");
    }
    assert!(
        !Error::WitnessesMissing.is_permanent_for_deposits()
            && !Error::EntryQuota.is_permanent_for_deposits()
    );
}

#[test]
fn a_deposit_as_version_1_has_kept_it_is_sent_and_answered() {
    block_on(async {
        let (mut world, entry) = crate::with_result(8).await;
        world.patient.confirm(&case(), std::slice::from_ref(&entry)).await.unwrap();
        let [item] = &world.undeposited()[..] else { panic!("one decision") };
        let mut kept = serde_json::to_value(item).unwrap();
        kept["id"] = entry.as_ref().into();
        kept["payload"]["deposit"].as_object_mut().unwrap().remove("entries");
        let (table, value) = (Table::Outbox, serde_json::to_vec(&kept).unwrap());
        let writes = vec![
            Write::Delete { table, key: item.id.clone() },
            Write::Put { table, key: entry.to_string(), value },
        ];
        world.patient.platform().store().commit(writes).await.unwrap();

        let waiting = world.patient.waiting("", 10).await.unwrap();
        assert_eq!(waiting[0].entries(), Ok(vec![entry.clone()]));
        world.patient.platform().queued(waiting);
        world.deliver_all().await.unwrap();
        let state: HospitalCase = world.hospital.case(&case()).await.unwrap();
        let status = &state.results[0].status;
        assert!(matches!(status, HospitalResultStatus::Committed { .. }), "{status:?}");
        assert!(world.patient.waiting("", 10).await.unwrap().is_empty());
    });
}
