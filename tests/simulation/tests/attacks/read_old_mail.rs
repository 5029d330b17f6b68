//! Somebody has recorded what travels, and gets hold of a device or of keys later; or gets a node to
//! seal to keys that are not its counterparty's.

use futures_lite::future::block_on;
use hdms::Error;
use hdms::card::{Card, Role, Subkeys, VerifiedCard};
use hdms::envelope::Sealed;
use hdms::ids::NodeId;
use hdms::node::{OutboxItem, Platform};
use hdms::provider::Clock;
use hdms::software::SoftwareKeys;
use hdms::testing::SeededRandomness;
use hdms::treatment::hospital::HospitalCase;
use hdms::treatment::request::TreatmentRequest;
use hdms_simulation::{World, keys};

use crate::case;

type Keys = SoftwareKeys<SeededRandomness>;

fn named(world: &World, name: &str) -> Keys {
    keys(name, world.providers.randomness.clone()).unwrap()
}

/// What `signer` states of the node's subkeys: the encryption key is that of `of`.
async fn stated(node: &NodeId, of: &Keys, signer: &Keys, iat: u64) -> String {
    let (encryption, request) = (of.public().1.clone(), signer.request_key().clone());
    let stated = Subkeys { iss: node.clone(), iat, encryption, request };
    stated.sign(signer).await.unwrap()
}

/// The hospital's card of `later` seconds after the present one, with the encryption key of `of`, which
/// `signer` states to be the hospital's.
async fn card(world: &World, of: &Keys, signer: &Keys, later: u64) -> String {
    let card = world.hospital.card().card().clone();
    let iat = card.iat + later;
    let subkeys = stated(&card.sub, of, signer, iat).await;
    world.operator.sign(&Card { subkeys, iat, ..card }).await.unwrap()
}

async fn verified(world: &World, jwt: &str) -> Result<VerifiedCard, Error> {
    let (trust, now) = (world.patient.trust(), world.providers.clock.now());
    VerifiedCard::verify(jwt, &trust, now, &world.software()).await
}

/// A patient's request, still in its outbox.
async fn asked(world: &World) -> OutboxItem {
    let asked = TreatmentRequest { reason: "Cough".into(), date: None, may_read: Vec::new() };
    world.patient.ask(&case(), world.hospital.id(), asked).await.unwrap();
    waiting(world).await
}

async fn waiting(world: &World) -> OutboxItem {
    world.patient.waiting("", 10).await.unwrap().remove(0)
}

#[test]
fn what_was_recorded_before_opens_for_nobody_once_its_key_is_deleted() {
    block_on(async {
        let mut world = World::new(1).await.unwrap();
        let request = TreatmentRequest { reason: "X".into(), date: None, may_read: Vec::new() };
        world.patient.ask(&case(), world.hospital.id(), request).await.unwrap();
        world.settle().await.unwrap();
        let recorded = world.mail[0].envelope.clone();
        let (own, other) = (named(&world, "hospital"), named(&world, "stranger"));
        let renewed = card(&world, &other, &own, 1).await;
        let device = world.hospital.platform().keys();
        device.renew(other);
        world.hospital.set_card(verified(&world, &renewed).await.unwrap()).unwrap();
        // As long as the key is kept, what is under way arrives.
        let taken = world.hospital.receive::<HospitalCase>(recorded.as_bytes()).await;
        assert!(taken.is_ok(), "{taken:?}");
        device.forget_former();
        let sealed = Sealed::parse(recorded.as_bytes()).unwrap();
        let stolen = sealed.decrypt(device, &world.software()).await;
        assert_eq!(stolen.err(), Some(Error::WrongRecipientKey));
    });
}

#[test]
fn a_doorman_cant_give_a_node_somebody_elses_key() {
    block_on(async {
        let world = World::new(2).await.unwrap();
        let (own, other) = (named(&world, "hospital"), named(&world, "stranger"));
        let hospital = world.hospital.card().card().clone();
        let others = world.operator.claims(&other, Role::Institution, "Other").await.unwrap();
        let of_others = Card { subkeys: others.subkeys, ..hospital.clone() };
        let (encryption, request) = (hospital.signing_key.clone(), own.request_key().clone());
        let signing = Subkeys { iss: hospital.sub.clone(), iat: 0, encryption, request };
        let signing = Card { subkeys: signing.sign(&own).await.unwrap(), ..hospital.clone() };
        for (what, jwt) in [
            ("by its own word", card(&world, &other, &other, 1).await),
            ("of another card", world.operator.sign(&of_others).await.unwrap()),
            ("the signing key", world.operator.sign(&signing).await.unwrap()),
        ] {
            assert_eq!(verified(&world, &jwt).await.err(), Some(Error::CardMismatch), "{what}");
        }
        // The thief of a signing key would have the last word for ever.
        for (ahead, error) in [(300, None), (301, Some(Error::CardMismatch))] {
            let subkeys = stated(&hospital.sub, &other, &own, hospital.iat + ahead).await;
            let jwt = world.operator.sign(&Card { subkeys, ..hospital.clone() }).await.unwrap();
            assert_eq!(verified(&world, &jwt).await.err(), error, "{ahead} s");
        }
        for subkeys in [String::new(), hospital.changes.join(""), world.documents.map.clone()] {
            let jwt = world.operator.sign(&Card { subkeys, ..hospital.clone() }).await.unwrap();
            assert_eq!(verified(&world, &jwt).await.err(), Some(Error::CardMalformed));
        }
        assert!(verified(&world, &card(&world, &other, &own, 1).await).await.is_ok());
    });
}

/// Who answers at the hospital's address says that the key has changed.
#[test]
fn nothing_is_sealed_anew_to_a_card_that_is_not_the_recipients_newer_one() {
    block_on(async {
        let world = World::new(3).await.unwrap();
        let item = asked(&world).await;
        let (own, other) = (named(&world, "hospital"), named(&world, "stranger"));
        let theirs = world.operator.card(&other, Role::Institution, "Other").await.unwrap();
        let iat = world.hospital.card().card().iat + 9;
        let claims = Card { iat, ..world.hospital.card().card().clone() };
        let forged = hdms::card::issue(&claims, &other).await.unwrap();
        // A Doorman whom the thief of a former key has bribed.
        let subkeys = stated(&claims.sub, &other, &own, 0).await;
        let former = world.operator.sign(&Card { subkeys, ..claims }).await.unwrap();
        let unchanged = world.hospital.card().jwt().to_owned();
        for (what, card, error) in [
            ("another's", Some(theirs), Error::CardMismatch),
            ("signed by no Doorman", Some(forged), Error::CardForged),
            ("by another's word", Some(card(&world, &other, &other, 9).await), Error::CardMismatch),
            ("a key of before", Some(former), Error::FormerKey),
            ("the known one", Some(unchanged), Error::FormerKey),
            ("no card", Some("card".into()), Error::CardMalformed),
            ("none", None, Error::FormerKey),
        ] {
            let answer =
                world.patient.former_key(std::slice::from_ref(&item), card.as_deref()).await;
            assert_eq!(answer.err(), Some(error), "{what}");
            assert_eq!(waiting(&world).await, item, "{what}");
        }
        let newer = card(&world, &other, &own, 9).await;
        let anew =
            world.patient.former_key(std::slice::from_ref(&item), Some(&newer)).await.unwrap();
        assert_ne!(anew[0].payload, item.payload);
    });
}
