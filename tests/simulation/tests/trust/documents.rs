//! The network's documents: an older number never replaces a newer one, and the Doorman's keys
//! change without touching a node.

use futures_lite::future::block_on;
use hdms::Error;
use hdms::card::{Role, VerifiedCard};
use hdms::network::MAX_MANIFEST;
use hdms::network::{self, DoormanKey, Manifest, NetworkDocuments, Trust};
use hdms::provider::{Clock, Timestamp};
use hdms_simulation::{BEGIN, Network, Operator, World, id, keys};

use crate::DAY;

const NOW: u64 = BEGIN.0 / 1000;

/// The Doorman's key changes at `until`, seconds, to that of the stranger, in the root's list.
pub fn rotate(world: &mut World, until: u64) {
    let keys = keys("stranger", world.providers.randomness.clone()).unwrap();
    let (key, iss) = (keys.public().0.clone(), id(&keys).unwrap());
    let Network { doormen, parameters, map, revocations, .. } = &mut world.network;
    doormen.number += 1;
    doormen.doormen[0].until = Some(until);
    doormen.doormen.push(DoormanKey { key, until: None });
    for (issuer, number) in [
        (&mut parameters.iss, &mut parameters.number),
        (&mut map.iss, &mut map.number),
        (&mut revocations.iss, &mut revocations.number),
    ] {
        *issuer = iss.clone();
        *number += 1;
    }
    let operator = Operator::new(&world.providers).unwrap();
    world.operator = operator.with_doorman(keys, &world.operator);
}

/// What is said of the patient's card if it was issued at `iat`, seconds, by that operator.
async fn card_of(world: &World, operator: &Operator, iat: u64) -> Result<VerifiedCard, Error> {
    let keys = keys("patient", world.providers.randomness.clone()).unwrap();
    let mut card = operator.claims(&keys, Role::Personal, "").await.unwrap();
    card.iat = iat;
    let jwt = operator.sign(&card).await.unwrap();
    let now = world.providers.clock.now();
    VerifiedCard::verify(&jwt, &world.patient.trust(), now, &world.software()).await
}

#[test]
fn a_replayed_document_of_any_kind_is_a_rollback_whatever_binds_it() {
    block_on(async {
        let mut world = World::new(1).await.unwrap();
        let first = world.network.clone();
        let old = world.documents.clone();
        let Network { doormen, parameters, map, revocations, .. } = &mut world.network;
        for number in
            [&mut doormen.number, &mut parameters.number, &mut map.number, &mut revocations.number]
        {
            *number += 1;
        }
        world.publish().await.unwrap();
        let (trust, new) = (world.patient.trust(), world.documents.clone());
        assert_eq!(trust.map_number(), first.map.number + 1);
        let next = Network { number: world.network.number + 1, ..world.network.clone() };
        for replayed in [
            NetworkDocuments { doormen: old.doormen.clone(), ..new.clone() },
            NetworkDocuments { parameters: old.parameters.clone(), ..new.clone() },
            NetworkDocuments { map: old.map.clone(), ..new.clone() },
            NetworkDocuments { revocations: old.revocations.clone(), ..new.clone() },
        ] {
            world.documents = world.operator.bind(replayed, &next).await.unwrap();
            let taken = world.trust(Some(&trust)).await.map(drop);
            assert_eq!(taken, Err(Error::NetworkRollback));
            assert_eq!(world.trust(None).await.map(drop), Ok(()), "each is genuine");
        }
        world.documents = old;
        let all = world.trust(Some(&trust)).await.map(drop);
        assert_eq!(all, Err(Error::NetworkRollback));
        world.documents = new;
        assert_eq!(world.trust(Some(&trust)).await.map(drop), Ok(()));
    });
}

#[test]
fn of_a_retired_doorman_the_cards_of_its_time_count_and_nothing_else() {
    block_on(async {
        let mut world = World::new(2).await.unwrap();
        let former = Operator::new(&world.providers).unwrap();
        let before = world.documents.clone();
        rotate(&mut world, NOW + 10);
        world.publish().await.unwrap();
        assert!(card_of(&world, &former, NOW).await.is_ok());
        assert!(card_of(&world, &former, NOW + 9).await.is_ok());
        let later = card_of(&world, &former, NOW + 10).await;
        assert_eq!(later.err(), Some(Error::CardForged));
        assert!(card_of(&world, &world.operator, NOW + 10).await.is_ok());

        let new = world.documents.clone();
        for by_former in [
            NetworkDocuments { parameters: before.parameters, ..new.clone() },
            NetworkDocuments { map: before.map, ..new.clone() },
            NetworkDocuments { revocations: before.revocations, ..new.clone() },
        ] {
            world.documents = world.operator.bind(by_former, &world.network).await.unwrap();
            assert_eq!(world.trust(None).await.map(drop), Err(Error::NetworkForged));
        }
    });
}

#[test]
fn the_cards_of_a_dropped_doorman_are_forged_whenever_they_were_issued() {
    block_on(async {
        let mut world = World::new(3).await.unwrap();
        let thief = Operator::new(&world.providers).unwrap();
        let own = world.patient.card().jwt().to_owned();
        assert!(card_of(&world, &thief, NOW).await.is_ok());
        rotate(&mut world, NOW);
        world.network.doormen.doormen.remove(0);
        world.publish().await.unwrap();
        for iat in [NOW - 1000, NOW, NOW + 1000] {
            assert_eq!(card_of(&world, &thief, iat).await.err(), Some(Error::CardForged));
        }
        let (trust, software) = (world.patient.trust(), world.software());
        let seen_before = VerifiedCard::verify(&own, &trust, BEGIN, &software).await;
        assert_eq!(seen_before.err(), Some(Error::CardForged), "also one that was good before");
        assert!(trust.notary(world.notary.card().id()).is_ok(), "the map vouches for its own");
    });
}

#[test]
fn an_expired_list_of_doormen_is_worth_nothing() {
    block_on(async {
        let world = World::new(4).await.unwrap();
        let at = async |seconds: u64| {
            let (documents, root) = (&world.documents, &world.root);
            let now = Timestamp::from_seconds(seconds);
            Trust::verify(documents, root, None, now, &world.software()).await.map(drop)
        };
        let expires = world.network.doormen.exp;
        assert_eq!(at(expires - 1).await, Ok(()));
        assert_eq!(at(expires).await, Err(Error::NetworkForged));
    });
}

#[test]
fn only_the_root_says_which_keys_are_the_doormans() {
    block_on(async {
        let mut world = World::new(5).await.unwrap();
        let doorman = keys("doorman", world.providers.randomness.clone()).unwrap();
        world.network.doormen.iss = id(&doorman).unwrap();
        let own = hdms::network::sign(&world.network.doormen, &doorman).await.unwrap();
        let documents = NetworkDocuments { doormen: own, ..world.documents.clone() };
        world.documents = world.operator.bind(documents, &world.network).await.unwrap();
        assert_eq!(world.trust(None).await.map(drop), Err(Error::NetworkForged));
        let mut world = World::new(5).await.unwrap();
        world.network.parameters.root = id(&doorman).unwrap();
        let another_networks = world.publish().await;
        assert_eq!(another_networks, Err(Error::NetworkForged));
    });
}

#[test]
fn an_outage_leaves_the_last_documents_in_use_until_the_revocation_list_is_too_old() {
    block_on(async {
        let world = World::new(6).await.unwrap();
        let notary = world.notary.card().id().clone();
        world.providers.clock.set(Timestamp(BEGIN.0 + 89 * DAY));
        assert!(world.patient.card_of(&notary).await.is_ok());
        let trust = world.trust(Some(&world.patient.trust())).await.unwrap();
        let late = Timestamp(BEGIN.0 + 90 * DAY + 1000);
        assert_eq!(trust.check_revocation(&notary, late), Err(Error::NetworkStale));
        assert!(trust.node(&notary).is_ok(), "the map is not forgotten");
    });
}

#[test]
fn a_manifest_that_is_too_long_for_those_who_keep_it_is_none() {
    block_on(async {
        let world = World::new(1).await.unwrap();
        let doorman = keys("doorman", world.providers.randomness.clone()).unwrap();
        for (notaries, counts) in [(1, true), (MAX_MANIFEST / 46, false)] {
            let notaries = vec![world.notary.card().id().clone(); notaries];
            let manifest = Manifest { notaries, ..world.patient.trust().manifest().clone() };
            let jwt = network::sign(&manifest, &doorman).await.unwrap();
            let key = &[doorman.public().0];
            let read = network::verify_by::<Manifest>(&jwt, key, &world.software()).await;
            assert_eq!((read.is_ok(), jwt.len() <= MAX_MANIFEST), (counts, counts));
        }
    });
}
