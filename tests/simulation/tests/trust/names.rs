//! Nodes are called as the network says, or said last of those that it lists no more.

use futures_lite::future::block_on;
use hdms::card::Role;
use hdms::ids::NodeId;
use hdms::network;
use hdms::node::Platform;
use hdms::provider::{Store, Table, Write};
use hdms_simulation::{BEGIN, World};

use crate::documents::rotate;

async fn name_of(world: &World, id: &NodeId) -> Option<String> {
    world.patient.name_of(id).await.unwrap()
}

#[test]
fn former_nodes_are_called_as_they_were_listed_last() {
    block_on(async {
        let mut world = World::new(1).await.unwrap();
        let (hospital, notary) = (world.hospital.id().clone(), world.notary.card().id().clone());
        let before = world.patient.trust();
        world.network.map.nodes.clear();
        world.publish().await.unwrap();
        assert_eq!(name_of(&world, &hospital).await, None, "nothing is kept yet");
        let (after, store) = (world.patient.trust(), world.patient.platform().store());
        let (_, writes) = network::keep(store, &before, &after, BEGIN).await.unwrap();
        store.commit(writes).await.unwrap();
        assert_eq!(name_of(&world, &hospital).await.as_deref(), Some("Hospital"));
        assert_eq!(name_of(&world, &notary).await.as_deref(), Some("Notary"));
        assert_eq!(name_of(&world, world.patient.id()).await.as_deref(), Some(""));
        world.network.map.nodes.push(world.hospital.card().jwt().to_owned());
        world.publish().await.unwrap();
        assert_eq!(name_of(&world, &hospital).await.as_deref(), Some("Hospital"), "listed again");
    });
}

#[test]
fn a_card_of_a_dropped_doorman_names_nobody() {
    block_on(async {
        let mut world = World::new(2).await.unwrap();
        let stranger = world.stranger(Role::Institution, "Clinic").await.unwrap();
        let key = stranger.id().to_string();
        let kept = Write::Put { table: Table::Cards, key, value: stranger.card().jwt().into() };
        world.patient.platform().store().commit(vec![kept]).await.unwrap();
        let name = name_of(&world, stranger.id()).await;
        assert_eq!(name.as_deref(), Some("Clinic"));
        rotate(&mut world, BEGIN.seconds());
        world.network.doormen.doormen.remove(0);
        world.publish().await.unwrap();
        assert_eq!(name_of(&world, stranger.id()).await, None);
    });
}
