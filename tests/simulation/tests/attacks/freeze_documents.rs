//! A server wants to show a node the network as it was, for ever: a hospital that was revoked since
//! would go on getting its patients' mail.

use futures_lite::future::block_on;
use hdms::Error;
use hdms::node::Platform;
use hdms::provider::{Store, Table, Timestamp};
use hdms_simulation::{BEGIN, World};

#[test]
fn frozen_documents_end_all_of_them_at_once() {
    block_on(async {
        let mut world = World::new(1).await.unwrap();
        // A list that would count for 90 days, under a manifest that ends within the hour.
        world.network.lasts = 3600;
        world.publish().await.unwrap();
        let (trust, hospital) = (world.patient.trust(), world.hospital.id().clone());
        let at = |seconds: u64| Timestamp(BEGIN.0 + seconds * 1000);
        assert_eq!(trust.check_revocation(&hospital, at(3599)), Ok(()));
        assert_eq!(trust.check_revocation(&hospital, at(3600)), Err(Error::NetworkStale));

        // It goes on reading, and takes them again after a restart.
        world.providers.clock.set(at(3600));
        assert!(world.trust(Some(&trust)).await.is_ok());
        assert!(trust.node(&hospital).is_ok());
        assert_eq!(world.patient.card_of(&hospital).await.err(), Some(Error::NetworkStale));

        world.network.revocations.iat += 3600;
        world.network.revocations.number += 1;
        world.publish().await.unwrap();
        assert!(world.patient.card_of(&hospital).await.is_ok(), "and relies on newer ones");
    });
}

#[test]
fn documents_of_before_are_not_taken_again() {
    block_on(async {
        let mut world = World::new(2).await.unwrap();
        let before = world.documents.clone();
        world.publish().await.unwrap();
        world.documents = before;
        let held = world.patient.trust();
        let taken = world.trust(Some(&held)).await.map(drop);
        assert_eq!(taken, Err(Error::NetworkRollback), "an earlier manifest of the same documents");
        let kept = world.patient.platform().store().read(Table::Meta, "split").await.unwrap();
        assert_eq!(kept, None, "which proves nothing");
    });
}
