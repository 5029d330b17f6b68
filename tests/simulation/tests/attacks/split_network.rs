//! A server wants to show two nodes two networks: one in which a hospital is a member, one in which
//! it was revoked.

use futures_lite::future::block_on;
use hdms::Error;
use hdms::network::{NetworkDocuments, keep_split, split};
use hdms::node::Platform;
use hdms_simulation::{BEGIN, World};

/// The next manifest of `world`, and another of the same number in which the hospital is revoked.
async fn two_manifests(world: &mut World) -> [NetworkDocuments; 2] {
    world.network.number += 1;
    let first = world.operator.publish(&world.network).await.unwrap();
    world.network.revocations.number += 1;
    world.network.revocations.revoked.push(world.hospital.id().clone());
    let second = world.operator.publish(&world.network).await.unwrap();
    [first, second]
}

#[test]
fn one_number_never_says_two_things() {
    block_on(async {
        let mut world = World::new(1).await.unwrap();
        let both = two_manifests(&mut world).await;
        for (shown, other) in [(0, 1), (1, 0)] {
            world.documents = both[shown].clone();
            let held = world.trust(Some(&world.patient.trust())).await.unwrap();
            world.documents = both[other].clone();
            let taken = world.trust(Some(&held)).await.map(drop);
            assert_eq!(taken, Err(Error::NetworkSplit));
        }
    });
}

#[test]
fn the_first_evidence_is_kept_and_no_later_one_takes_its_place() {
    block_on(async {
        let mut world = World::new(2).await.unwrap();
        let [first, second] = two_manifests(&mut world).await;
        world.documents = first.clone();
        let held = world.trust(None).await.unwrap();
        let store = world.patient.platform().store();
        assert_eq!(split(store).await, Ok(None));
        keep_split(store, &held, &second, BEGIN).await.unwrap();
        keep_split(store, &held, &first, BEGIN).await.unwrap();
        let kept = split(store).await.unwrap().unwrap();
        assert_eq!((kept.held, kept.offered, kept.seen), (first, second, BEGIN));
    });
}
