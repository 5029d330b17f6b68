//! A hospital's records are shared with another institution, and read there, whatever became of the
//! hospital since.

use std::mem;
use std::slice;

use futures_lite::future::block_on;
use hdms::Error;
use hdms::card::Role;
use hdms::ids::CaseId;
use hdms::network::Trust;
use hdms::node::Node;
use hdms::node::patient::RecordName;
use hdms::treatment::hospital::HospitalCase;
use hdms_simulation::{Simulated, World};
use serde_json::json;

use crate::cards::{ask_for_observations, revoke, revoke_notary, share_one};
use crate::changes::change;
use crate::{case, next_mail, with_result};

/// A record of the hospital's is final; then another institution takes the hospital's place in this
/// world, and treats the patient in the next case.
async fn with_institute(seed: u64) -> (World, RecordName, Node<Simulated>) {
    let (mut world, entry) = with_result(seed).await;
    world.patient.confirm(&case(), slice::from_ref(&entry)).await.unwrap();
    world.deliver_all().await.unwrap();
    let institute = world.stranger(Role::Institution, "Institute").await.unwrap();
    world.network.map.nodes.push(institute.card().jwt().to_owned());
    let hospital = mem::replace(&mut world.hospital, institute);
    world.publish().await.unwrap();
    let next = next_case();
    world.patient.ask(&next, world.hospital.id(), crate::request()).await.unwrap();
    world.deliver_all().await.unwrap();
    world.hospital.approve(&next).await.unwrap();
    world.deliver_all().await.unwrap();
    (world, RecordName { case: case(), entry }, hospital)
}

fn next_case() -> CaseId {
    crate::id(5)
}

async fn revoke_and_delist(world: &mut World, node: &Node<Simulated>) {
    let jwt = node.card().jwt().to_owned();
    world.network.map.nodes.retain(|listed| *listed != jwt);
    revoke(world, node.id()).await;
}

#[test]
fn what_was_shared_is_read_though_its_author_was_revoked_since() {
    block_on(async {
        let (mut world, name, hospital) = with_institute(14).await;
        let shared = share_one(&mut world, next_case(), name).await;
        revoke_and_delist(&mut world, &hospital).await;
        let opened = world.hospital.open_shared(&shared).await.unwrap();
        assert_eq!(opened.author(), hospital.id().as_ref());
    });
}

#[test]
fn what_was_logged_in_time_is_shared_though_its_author_was_revoked_since() {
    block_on(async {
        let (mut world, name, hospital) = with_institute(15).await;
        revoke_and_delist(&mut world, &hospital).await;
        let shared = share_one(&mut world, next_case(), name).await;
        let opened = world.hospital.open_shared(&shared).await.unwrap();
        assert_eq!(opened.author(), hospital.id().as_ref());
    });
}

/// The hospital is treated in the place of the institute again.
async fn next_result(world: &mut World, hospital: &mut Node<Simulated>) -> RecordName {
    mem::swap(&mut world.hospital, hospital);
    let fhir = json!({"resourceType": "Observation", "status": "amended"});
    let entry = world.hand_in(&case(), vec![fhir]).await.unwrap().remove(0);
    world.deliver_all().await.unwrap();
    world.patient.confirm(&case(), slice::from_ref(&entry)).await.unwrap();
    world.deliver_all().await.unwrap();
    mem::swap(&mut world.hospital, hospital);
    RecordName { case: case(), entry }
}

#[test]
fn what_was_signed_with_changed_keys_is_checked_by_them_though_older_ones_are_known() {
    block_on(async {
        let (mut world, name, mut hospital) = with_institute(17).await;
        share_one(&mut world, next_case(), name).await;
        let listed = hospital.card().jwt().to_owned();
        change(&world, &hospital, "root").await;
        let name = next_result(&mut world, &mut hospital).await;
        world.network.map.nodes.retain(|node| *node != listed);
        revoke(&mut world, hospital.id()).await;
        let third = crate::id(6);
        world.patient.ask(&third, world.hospital.id(), crate::request()).await.unwrap();
        world.deliver_all().await.unwrap();
        world.hospital.approve(&third).await.unwrap();
        world.deliver_all().await.unwrap();
        let shared = share_one(&mut world, third, name).await;
        let opened = world.hospital.open_shared(&shared).await.unwrap();
        assert_eq!(opened.author(), hospital.id().as_ref());
    });
}

/// Nobody vouches for it then: the patient is told, and nothing is sent that would be refused.
#[test]
fn what_neither_a_member_nor_a_notary_vouches_for_is_not_shared() {
    block_on(async {
        let (mut world, name, hospital) = with_institute(16).await;
        let before = world.patient.trust();
        revoke_notary(&mut world).await;
        revoke_and_delist(&mut world, &hospital).await;
        let request = ask_for_observations(&mut world, &next_case()).await;
        let names = [name];
        let shared = world.patient.share(&next_case(), &request, &names).await;
        assert_eq!(shared.err(), Some(Error::CardRevoked));
        world.patient.set_trust(Trust::clone(&before));
        world.patient.share(&next_case(), &request, &names).await.unwrap();
        world.settle().await.unwrap();
        let envelope = next_mail(&mut world);
        let taken = world.hospital.receive::<HospitalCase>(&envelope).await;
        assert_eq!(taken.err(), Some(Error::CardRevoked));
    });
}
