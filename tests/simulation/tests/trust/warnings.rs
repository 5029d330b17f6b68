//! Keys that changed without a word of the key before are told to the user, and nothing else is.

use futures_lite::future::block_on;
use hdms::card::{Card, Role, Subkeys};
use hdms::memory::MemoryStore;
use hdms::network::{KeyWarning, Trust, dismiss, keep, warnings};
use hdms::node::Platform;
use hdms::provider::Store;
use hdms::software::SoftwareKeys;
use hdms::testing::SeededRandomness;
use hdms_simulation::{BEGIN, World, keys};

use crate::changes::{changed, statement};

const NOW: u64 = BEGIN.0 / 1000;

type Keys = SoftwareKeys<SeededRandomness>;

fn named(world: &World, name: &str) -> Keys {
    keys(name, world.providers.randomness.clone()).unwrap()
}

/// What a node trusts when the hospital's place on the map holds these cards.
async fn listing(world: &mut World, cards: &[&Card]) -> Trust {
    let notary = world.network.map.nodes.pop().unwrap();
    world.network.map.nodes.clear();
    for card in cards {
        world.network.map.nodes.push(world.operator.sign(card).await.unwrap());
    }
    world.network.map.nodes.push(notary);
    world.documents = world.operator.publish(&world.network).await.unwrap();
    world.trust(None).await.unwrap()
}

/// `card` with the encryption key of `new` from now on.
async fn renewed(card: &Card, new: &Keys, signer: &Keys) -> Card {
    let (iss, iat) = (card.sub.clone(), NOW + 1);
    let (encryption, request) = (new.public().1.clone(), signer.request_key().clone());
    let stated = Subkeys { iss, iat, encryption, request };
    Card { subkeys: stated.sign(signer).await.unwrap(), ..card.clone() }
}

async fn told(world: &mut World, before: &[&Card], after: &[&Card]) -> Vec<KeyWarning> {
    let (before, after) = (listing(world, before).await, listing(world, after).await);
    KeyWarning::between(&before, &after, BEGIN)
}

#[test]
fn a_change_that_the_former_key_states_and_a_new_address_are_no_reason_to_warn() {
    block_on(async {
        let mut world = World::new(1).await.unwrap();
        let old = world.hospital.card().card().clone();
        let [first, second, third] =
            ["hospital", "stranger", "root"].map(|name| named(&world, name));
        let once = changed(&old, (&statement(&old, &second, NOW), &second), &first).await;
        let twice = changed(&once, (&statement(&once, &third, NOW), &third), &second).await;
        let endpoint = Some("https://moved.example".parse().unwrap());
        let moved = Card { endpoint, name: "Clinic".into(), iat: NOW + 1, ..old.clone() };
        let other = world.operator.claims(&third, Role::Institution, "Other").await.unwrap();
        let later = renewed(&old, &third, &first).await;
        for (what, before, after) in [
            ("nothing", vec![&old], vec![&old]),
            ("explained", vec![&old], vec![&once]),
            ("explained twice", vec![&old], vec![&twice]),
            ("explained again", vec![&once], vec![&twice]),
            ("moved", vec![&old], vec![&moved]),
            ("encryption key renewed", vec![&old], vec![&later]),
            ("another came", vec![&old], vec![&old, &other]),
            ("one left", vec![&old, &other], vec![&old]),
            ("one left, another came", vec![&old], vec![&other]),
        ] {
            assert_eq!(told(&mut world, &before, &after).await, [], "{what}");
        }
    });
}

#[test]
fn other_keys_without_a_statement_of_the_key_before_are_told() {
    block_on(async {
        let mut world = World::new(2).await.unwrap();
        let old = world.hospital.card().card().clone();
        let [first, second, third] =
            ["hospital", "stranger", "root"].map(|name| named(&world, name));
        let once = changed(&old, (&statement(&old, &second, NOW), &second), &first).await;
        let later = renewed(&old, &third, &first).await;
        // Whoever has the first key, which was given up, goes another way from there.
        let thiefs = changed(&old, (&statement(&old, &third, NOW), &third), &first).await;
        let fourth = named(&world, "doorman");
        let thiefs_longer =
            changed(&thiefs, (&statement(&thiefs, &fourth, NOW), &fourth), &third).await;
        for (what, before, after) in [
            ("the encryption key before again", &later, &old),
            ("the key before again", &once, &old),
            ("a former key's other way", &once, &thiefs),
            ("a longer other way", &once, &thiefs_longer),
        ] {
            let told = told(&mut world, &[before], &[after]).await;
            let [KeyWarning { node, former: None, .. }] = &told[..] else {
                panic!("{what}: {told:?}")
            };
            assert_eq!(*node, old.sub, "{what}");
        }
    });
}

#[test]
fn a_node_in_the_place_of_another_is_told() {
    block_on(async {
        let mut world = World::new(3).await.unwrap();
        let old = world.hospital.card().card().clone();
        let keys = named(&world, "stranger");
        let same_name = world.operator.claims(&keys, Role::Institution, "Hospital").await.unwrap();
        let same_address = Card { name: "Clinic".into(), ..same_name.clone() };
        let same_name =
            Card { endpoint: Some("https://moved.example".parse().unwrap()), ..same_name };
        for new in [&same_name, &same_address] {
            let told = told(&mut world, &[&old], &[new]).await;
            let [warning] = &told[..] else { panic!("{told:?}") };
            assert_eq!((&warning.node, &warning.former), (&new.sub, &Some(old.sub.clone())));
        }
        assert_eq!(told(&mut world, &[&old], &[&old, &same_name]).await, [], "beside it");
    });
}

#[test]
fn warnings_are_kept_until_they_were_seen() {
    block_on(async {
        let mut world = World::new(4).await.unwrap();
        let [old, new] = successors(&world).await;
        let (before, after) =
            (listing(&mut world, &[&old]).await, listing(&mut world, &[&new]).await);
        let store: &MemoryStore = world.patient.platform().store();
        let (told, writes) = keep(store, &before, &before, BEGIN).await.unwrap();
        assert!(told.is_empty() && writes.is_empty());
        let (told, writes) = keep(store, &before, &after, BEGIN).await.unwrap();
        assert_eq!(told, KeyWarning::between(&before, &after, BEGIN));
        store.commit(writes).await.unwrap();
        assert_eq!(warnings(store).await.unwrap(), told);
        dismiss(store, &old.sub).await.unwrap();
        assert_eq!(warnings(store).await.unwrap(), told, "another was dismissed");
        dismiss(store, &new.sub).await.unwrap();
        assert!(warnings(store).await.unwrap().is_empty());
    });
}

#[test]
fn a_node_in_the_place_of_one_that_left_some_time_ago_is_told() {
    block_on(async {
        let mut world = World::new(5).await.unwrap();
        let [old, new] = successors(&world).await;
        let mut before = listing(&mut world, &[&old]).await;
        let mut told = Vec::new();
        for listed in [vec![], vec![], vec![&new]] {
            assert!(told.is_empty());
            let after = listing(&mut world, &listed).await;
            let store: &MemoryStore = world.patient.platform().store();
            let writes;
            (told, writes) = keep(store, &before, &after, BEGIN).await.unwrap();
            store.commit(writes).await.unwrap();
            before = after;
        }
        let [KeyWarning { node, former, .. }] = &told[..] else { panic!("{told:?}") };
        assert_eq!((node, former), (&new.sub, &Some(old.sub)));
    });
}

/// The hospital's card, and that of another of its name.
async fn successors(world: &World) -> [Card; 2] {
    let keys = named(world, "stranger");
    let new = world.operator.claims(&keys, Role::Institution, "Hospital").await.unwrap();
    [world.hospital.card().card().clone(), new]
}
