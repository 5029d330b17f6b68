//! A notary wants to lose, hide or double an entry of a case, and that nobody sees it.

use std::slice;

use futures_lite::future::block_on;
use hdms::Error;
use hdms::ids::EntryId;
use hdms::ledger::{Place, VerifiedReceipt};
use hdms::node::Platform;
use hdms::provider::{Store, Table};
use hdms::treatment::hospital::{self, HospitalCase};
use hdms::treatment::patient::{PatientCase, ResultStatus};
use hdms_simulation::World;
use serde_json::json;

use crate::case;

/// A case with three results that the patient has received.
pub async fn handed_in(seed: u64) -> (World, Vec<EntryId>) {
    let result = |id| json!({"resourceType": "Observation", "id": id});
    World::with_results(seed, &case(), ["a", "b", "c"].map(result).into()).await.unwrap()
}

pub async fn confirm(world: &mut World, entry: &EntryId) -> Result<(), Error> {
    world.patient.confirm(&case(), slice::from_ref(entry)).await.unwrap();
    world.deliver_all().await
}

async fn status(world: &World, entry: &EntryId) -> ResultStatus {
    let state: PatientCase = world.patient.case(&case()).await.unwrap();
    state.result(entry).unwrap().status.clone()
}

fn place(world: &World, number: u64) -> Place {
    let Place::Numbered(secret, _) = world.notary.log()[0].place else { panic!("a secret") };
    Place::Numbered(secret, number)
}

#[test]
fn a_number_given_twice_is_refused_and_both_receipts_are_kept() {
    block_on(async {
        let (mut world, entries) = handed_in(1).await;
        confirm(&mut world, &entries[0]).await.unwrap();
        world.notary.renumbered.push_back(place(&world, 2));
        confirm(&mut world, &entries[1]).await.unwrap();
        let code = Error::NumberTaken.code().to_owned();
        assert_eq!(status(&world, &entries[1]).await, ResultStatus::Refused { code });
        let store = world.patient.platform().store();
        let key = format!("{}/{}/taken", case(), entries[1]);
        let kept = store.read(Table::Receipts, &key).await.unwrap().unwrap();
        let kept: Vec<String> = serde_json::from_slice(&kept).unwrap();
        let (trust, software) = (world.patient.trust(), world.software());
        let mut places = Vec::new();
        for (text, entry) in kept.iter().zip([&entries[1], &entries[0]]) {
            let receipt = VerifiedReceipt::verify(text, &trust, &software).await.unwrap();
            assert_eq!(receipt.receipt().entry, *entry);
            places.push(receipt.opening().place);
        }
        assert_eq!(places[0], places[1], "whoever reads the log sees it, too");
        // And the others go on.
        confirm(&mut world, &entries[2]).await.unwrap();
        assert!(matches!(status(&world, &entries[2]).await, ResultStatus::Committed { .. }));
    });
}

#[test]
fn a_number_given_twice_in_one_answer_is_seen() {
    block_on(async {
        let (mut world, entries) = handed_in(2).await;
        world.notary.renumbered.extend([place(&world, 2), place(&world, 2)]);
        world.patient.confirm(&case(), &entries[..2]).await.unwrap();
        assert_eq!(world.patient.waiting("", 10).await.unwrap().len(), 1, "one deposit of both");
        world.deliver_all().await.unwrap();
        assert!(matches!(status(&world, &entries[0]).await, ResultStatus::Committed { .. }));
        let code = Error::NumberTaken.code().to_owned();
        assert_eq!(status(&world, &entries[1]).await, ResultStatus::Refused { code });
    });
}

#[test]
fn a_number_that_is_left_out_is_shown_to_both() {
    block_on(async {
        let (mut world, entries) = handed_in(3).await;
        confirm(&mut world, &entries[0]).await.unwrap();
        world.notary.renumbered.push_back(place(&world, 5));
        confirm(&mut world, &entries[1]).await.unwrap();
        for node in [&world.patient, &world.hospital] {
            assert_eq!(node.missing_numbers(&case()).await.unwrap(), [3..=4]);
        }
        confirm(&mut world, &entries[2]).await.unwrap();
        assert_eq!(world.patient.missing_numbers(&case()).await.unwrap(), [3..=4]);
    });
}

#[test]
fn an_entry_logged_under_two_numbers_is_seen_by_whom_is_shown_the_second() {
    block_on(async {
        let (mut world, entries) = handed_in(4).await;
        world.patient.confirm(&case(), &entries[..1]).await.unwrap();
        world.settle().await.unwrap();
        let entry = world.notary.log()[1].entry.clone();
        let second = place(&world, 3);
        world.notary.append(&entry, second).unwrap();
        // The hospital gets another receipt than the patient had: it commits nothing.
        assert_eq!(world.deliver_all().await, Err(Error::EntryMismatch));
        let state: HospitalCase = world.hospital.case(&case()).await.unwrap();
        let is_confirmed =
            matches!(state.results[0].status, hospital::HospitalResultStatus::Confirmed { .. });
        assert!(is_confirmed, "{:?}", state.results[0].status);
        assert_eq!(world.hospital.waiting("", 10).await.unwrap().len(), 1);
        // And if it had got the first, the second number is missing as soon as there is a later one.
        confirm(&mut world, &entries[1]).await.unwrap();
        assert_eq!(world.patient.missing_numbers(&case()).await.unwrap(), [3..=3]);
    });
}
