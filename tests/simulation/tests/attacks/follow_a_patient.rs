//! Somebody who was shown one record of a patient wants to find the patient's next one in the public
//! log, and so when the patient was treated again.

use std::slice;

use futures_lite::future::block_on;
use hdms::ids::{CaseId, EntryId, MessageId};
use hdms::ledger::{CaseSecret, Commitment, Leaf, Place, VerifiedReceipt};
use hdms::node::patient::RecordName;
use hdms::treatment::message::DataRequestBody;
use hdms::treatment::patient::PatientCase;
use hdms::treatment::request::TreatmentRequest;
use hdms_simulation::World;
use serde_json::json;

use crate::{case, id};

/// A case of the patient at the hospital, approved.
async fn approved(world: &mut World, case: &CaseId) {
    let request = TreatmentRequest {
        reason: "Cough".into(),
        date: None,
        may_read: vec!["Observation".into()],
    };
    world.patient.ask(case, world.hospital.id(), request).await.unwrap();
    world.deliver_all().await.unwrap();
    world.hospital.approve(case).await.unwrap();
    world.deliver_all().await.unwrap();
}

async fn with_result(world: &mut World, id: &str) -> EntryId {
    let fhir = json!({"resourceType": "Observation", "status": "final", "id": id});
    let entry = world.hand_in(&case(), vec![fhir]).await.unwrap().remove(0);
    world.deliver_all().await.unwrap();
    world.patient.confirm(&case(), slice::from_ref(&entry)).await.unwrap();
    world.deliver_all().await.unwrap();
    entry
}

#[test]
fn a_shared_record_and_its_receipt_lead_to_no_other_leaf() {
    block_on(async {
        let mut world = World::new(1).await.unwrap();
        approved(&mut world, &case()).await;
        let first = with_result(&mut world, "first").await;
        let next = with_result(&mut world, "next").await;
        let (other, request): (CaseId, MessageId) = (id(5), id(6));
        approved(&mut world, &other).await;
        let asked = DataRequestBody {
            id: request.clone(),
            resources: vec!["Observation".into()],
            purpose: "To compare".into(),
        };
        world.hospital.ask_for_data(&other, asked).await.unwrap();
        world.deliver_all().await.unwrap();
        let name = RecordName { case: case(), entry: first.clone() };
        world.patient.share(&other, &request, &[name]).await.unwrap();
        world.deliver_all().await.unwrap();

        // All that is shown: the record, which does not say its case, and the opening of its leaf.
        let shared = world.hospital.shared(&other, &request).await.unwrap().remove(0);
        let record = world.hospital.open_shared(&shared).await.unwrap();
        assert_eq!(record.case(), None);
        assert!(!shared.record.contains(case().as_ref()));
        let (trust, software) = (world.hospital.trust(), world.software());
        let receipt = shared.receipt.unwrap();
        let receipt = VerifiedReceipt::verify(&receipt, &trust, &software).await.unwrap();
        let opening = receipt.opening().clone();
        let leaves: Vec<Leaf> =
            world.notary.log().iter().map(|logged| logged.opening.leaf()).collect();
        let places = |place| leaves.iter().filter(|leaf| leaf.place == place).count();
        assert_eq!(places(opening.place), 1);

        // Even with the case's id, there is nothing to compute the next place with.
        let state: PatientCase = world.patient.case(&case()).await.unwrap();
        let secret = state.secret.unwrap();
        let said = state.entry.case_secret.unwrap();
        let guesses = [[0; 32], said.0, opening.place.0, opening.parties.0];
        let guesses = guesses.map(|guess| Place::Numbered(CaseSecret(guess), 3));
        let next = &state.result(&next).unwrap().entry;
        for guess in guesses.into_iter().chain([Place::Former]) {
            assert_eq!(places(guess.commitment(next)), 0);
        }
        assert_eq!(places(Place::Numbered(secret, 3).commitment(next)), 1);
        assert_eq!(said, Commitment::to_secret(secret));
    });
}
