//! A server wants to show a node documents that were never the network's at one time, each genuine:
//! the newest map with a revocation list of before, say.

use futures_lite::future::block_on;
use hdms::Error;
use hdms::network::NetworkDocuments;
use hdms_simulation::{Network, World};

#[test]
fn documents_of_two_manifests_do_not_go_together() {
    block_on(async {
        let mut world = World::new(1).await.unwrap();
        let old = world.documents.clone();
        let Network { doormen, parameters, map, revocations, .. } = &mut world.network;
        for number in
            [&mut doormen.number, &mut parameters.number, &mut map.number, &mut revocations.number]
        {
            *number += 1;
        }
        world.publish().await.unwrap();
        let new = world.documents.clone();
        for mixed in [
            NetworkDocuments { doormen: old.doormen.clone(), ..new.clone() },
            NetworkDocuments { parameters: old.parameters.clone(), ..new.clone() },
            NetworkDocuments { map: old.map.clone(), ..new.clone() },
            NetworkDocuments { revocations: old.revocations.clone(), ..new.clone() },
            NetworkDocuments { manifest: old.manifest.clone(), ..new.clone() },
        ] {
            world.documents = mixed;
            // Not even a node that has seen nothing yet takes them.
            assert_eq!(world.trust(None).await.map(drop), Err(Error::NetworkForged));
        }
        world.documents = new;
        assert_eq!(world.trust(None).await.map(drop), Ok(()));
    });
}
