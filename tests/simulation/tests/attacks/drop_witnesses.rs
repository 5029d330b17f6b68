//! A server wants to do without its witnesses, or to choose them: then it could show each node a log
//! of its own.

use futures_lite::future::block_on;
use hdms::Error;
use hdms::base64url::digest;
use hdms::network::{Logged, NetworkDocuments, Trust};
use hdms_simulation::log::LogSigner;
use hdms_simulation::{BEGIN, Operator, World};

fn puppets() -> Vec<LogSigner> {
    let names = ["first puppet", "second puppet", "third puppet"];
    names.iter().map(|name| LogSigner::of(&digest(name).parse().unwrap()).unwrap()).collect()
}

#[test]
fn most_of_the_witnesses_that_were_named_before_have_to_co_sign() {
    block_on(async {
        let mut world = World::new(1).await.unwrap();
        let all = world.network.cosigners.clone();
        for (count, expected) in
            [(0, Err(Error::NetworkUnwitnessed)), (1, Err(Error::NetworkUnwitnessed)), (2, Ok(()))]
        {
            world.network.cosigners = all[..count].to_vec();
            assert_eq!(world.publish().await, expected, "{count} of three");
            world.network.number -= u64::from(expected.is_err());
        }
    });
}

/// Before the first manifest there is none that names witnesses: the root key's list does.
#[test]
fn most_of_the_witnesses_that_the_root_has_named_have_to_co_sign_the_first() {
    block_on(async {
        for (named, others, expected) in [
            (3, 0, Ok(1)),
            (2, 0, Ok(1)),
            (1, 0, Err(Error::NetworkUnwitnessed)),
            (0, 0, Err(Error::NetworkUnwitnessed)),
            (1, 3, Err(Error::NetworkUnwitnessed)),
        ] {
            let world = World::new(6).await.unwrap();
            let mut network = world.network.clone();
            network.cosigners.truncate(named);
            network.cosigners.extend(puppets().into_iter().take(others));
            let first = Operator::new(&world.providers).unwrap();
            let documents = first.publish(&network).await.unwrap();
            let (root, software) = (&world.root, world.software());
            let taken = Trust::verify(&documents, root, None, BEGIN, &software).await;
            let number = taken.map(|trust| trust.manifest().number);
            assert_eq!(number, expected, "{named} and {others} others");
        }
    });
}

#[test]
fn nobody_who_was_not_named_before_co_signs_in_their_place() {
    block_on(async {
        let mut world = World::new(2).await.unwrap();
        world.network.cosigners = puppets();
        world.network.witnesses = puppets().iter().map(|one| one.listed().witness()).collect();
        assert_eq!(world.publish().await, Err(Error::NetworkUnwitnessed));
        assert_eq!(
            world.trust(None).await.map(drop),
            Err(Error::NetworkUnwitnessed),
            "nor at first"
        );
    });
}

#[test]
fn others_count_only_after_the_manifest_that_names_them() {
    block_on(async {
        let mut world = World::new(3).await.unwrap();
        let held = world.patient.trust();
        let mut others = world.network.cosigners.clone();
        others.extend(puppets());
        world.network.cosigners = others;
        world.network.witnesses = puppets().iter().map(|one| one.listed().witness()).collect();
        world.publish().await.unwrap();
        let turning = world.documents.clone();
        world.network.cosigners = puppets();
        world.publish().await.unwrap();
        assert!(world.patient.trust().manifest().number == 3, "step by step");

        // Who has not seen the one that names them needs to be shown it.
        let last = world.documents.clone();
        let without = world.trust(Some(&held)).await.map(drop);
        assert_eq!(without, Err(Error::NetworkUnwitnessed));
        let before = world.operator.offered(&turning, 1);
        let NetworkDocuments { manifest, proof, consistency, .. } = before;
        let step = Logged { manifest, proof, consistency };
        let documents = NetworkDocuments {
            before: vec![step],
            consistency: world.operator.offered(&last, 2).consistency,
            ..last
        };
        let software = world.software();
        let taken = Trust::verify(&documents, &world.root, Some(&held), BEGIN, &software);
        assert_eq!(taken.await.unwrap().manifest().number, 3);
    });
}

#[test]
fn only_the_root_replaces_witnesses_that_are_lost() {
    block_on(async {
        let mut world = World::new(4).await.unwrap();
        world.network.cosigners = puppets();
        world.network.doormen.number += 1;
        let named = puppets().iter().map(|one| one.listed().witness()).collect();
        world.network.doormen.log.as_mut().unwrap().witnesses = named;
        world.publish().await.unwrap();
        assert_eq!(world.patient.trust().manifest().number, 2);
        assert!(world.trust(None).await.is_ok());
    });
}
