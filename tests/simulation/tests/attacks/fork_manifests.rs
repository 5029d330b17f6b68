//! A server wants to write the log of manifests anew: one log for some nodes, another for the others,
//! each with numbers that nobody else has seen.

use futures_lite::future::block_on;
use hdms::Error;
use hdms::log::TlogProof;
use hdms::network::{NetworkDocuments, Trust};
use hdms::provider::Clock;
use hdms_simulation::World;

/// The world with two more manifests, the node's trust in the first of them, and documents under a
/// later number of a log that forked off before it. Everybody co-signs both: witnesses who lie.
async fn forked(seed: u64) -> (World, Trust, NetworkDocuments) {
    let mut world = World::new(seed).await.unwrap();
    world.publish().await.unwrap();
    let held = (*world.patient.trust()).clone();
    world.network.lasts += 1;
    let mut documents = world.documents.clone();
    for number in [2, 3] {
        world.network.number = number;
        documents = world.operator.publish(&world.network).await.unwrap();
    }
    (world, held, documents)
}

#[test]
fn a_log_that_forked_off_before_is_not_a_continuation() {
    block_on(async {
        let (mut world, held, documents) = forked(1).await;
        world.documents = documents;
        let taken = world.trust(Some(&held)).await.map(drop);
        assert_eq!(taken, Err(Error::NetworkForged), "with the proof of the other branch");
        assert!(world.trust(None).await.is_ok(), "who has seen nothing yet can't know");
    });
}

#[test]
fn a_bad_proof_is_no_evidence_and_a_number_that_says_two_things_is_whatever_the_proof_says() {
    block_on(async {
        let mut world = World::new(4).await.unwrap();
        let held = (*world.patient.trust()).clone();
        for _ in 0..2 {
            world.publish().await.unwrap();
        }
        let honest = world.documents.clone();
        let mut shown = world.operator.offered(&honest, held.manifest().number);
        shown.consistency[0] = hdms::log::encode(&[7; 32]);
        let take = async |world: &World, documents: &NetworkDocuments| {
            let now = world.providers.clock.now();
            let software = world.software();
            let trust = Trust::verify(documents, &world.root, Some(&held), now, &software).await;
            trust.map(drop)
        };
        assert_eq!(take(&world, &shown).await, Err(Error::NetworkForged));
        assert_eq!(
            take(&world, &world.operator.offered(&honest, held.manifest().number)).await,
            Ok(())
        );

        // The same numbers of all that the manifest binds, with another list.
        world.network.revocations.revoked.push(world.hospital.id().clone());
        world.network.number += 1;
        let forked = world.operator.publish(&world.network).await.unwrap();
        let mut shown = world.operator.offered(&forked, held.manifest().number);
        shown.consistency.clear();
        assert_eq!(take(&world, &shown).await, Err(Error::NetworkSplit));
    });
}

#[test]
fn a_proof_is_of_the_manifest_that_comes_with_it_and_of_its_last_leaf() {
    block_on(async {
        let mut world = World::new(2).await.unwrap();
        let first = world.documents.clone();
        world.publish().await.unwrap();
        let second = world.documents.clone();
        world.documents = NetworkDocuments { proof: first.proof.clone(), ..second.clone() };
        assert_eq!(world.trust(None).await.map(drop), Err(Error::NetworkForged));
        world.documents = NetworkDocuments { proof: second.proof.clone(), ..first };
        assert_eq!(world.trust(None).await.map(drop), Err(Error::NetworkForged));

        let mut unsigned = TlogProof::parse(&second.proof).unwrap();
        let mut note = unsigned.checkpoint.note().clone();
        note.signatures.retain(|line| !line.name.starts_with("hdms-manifests/"));
        unsigned.checkpoint = hdms::log::SignedCheckpoint::parse(&note.to_text()).unwrap();
        world.documents = NetworkDocuments { proof: unsigned.to_text(), ..second };
        assert_eq!(world.trust(None).await.map(drop), Err(Error::NetworkForged));
    });
}

#[test]
fn a_checkpoint_of_before_proves_nothing_about_later_manifests() {
    block_on(async {
        let mut world = World::new(3).await.unwrap();
        let old = world.documents.clone();
        for _ in 0..3 {
            world.publish().await.unwrap();
        }
        let held = world.patient.trust();
        // The newest manifest, with what everybody has co-signed long ago.
        let new = world.documents.clone();
        world.documents = NetworkDocuments { proof: old.proof.clone(), ..new };
        let taken = world.trust(Some(&held)).await.map(drop);
        assert_eq!(taken, Err(Error::NetworkForged));
        world.documents = old;
        let taken = world.trust(Some(&held)).await.map(drop);
        assert_eq!(taken, Err(Error::NetworkRollback));
    });
}
