//! A patient who wants to choose among notaries: its request names what everybody draws from.

use futures_lite::future::block_on;
use hdms::Error;
use hdms::envelope::{self, Message, MessageType};
use hdms::ids::{CaseId, NodeId};
use hdms::ledger::{Draw, Entry, SILENCE, VerifiedEndorsement};
use hdms::network::{self, Manifest};
use hdms::node::Platform;
use hdms::provider::Clock;
use hdms::treatment::hospital::HospitalCase;
use hdms::treatment::message::RequestBody;
use hdms::treatment::request::TreatmentRequest;
use hdms_simulation::{World, keys};

use super::scene::network;

/// What the hospital makes of a request whose draw goes by `draw`, sent with this manifest.
pub async fn asked(world: &World, draw: Draw, manifest: &str) -> Result<(), Error> {
    let (p, card, to) = (world.patient.platform(), world.patient.card(), world.hospital.card());
    let fresh = CaseId::new(p.clock(), p.randomness()).unwrap();
    let request = TreatmentRequest { reason: "Cough".into(), date: None, may_read: vec![] };
    let state = world.patient.ask(&fresh, to.id(), request).await.unwrap();
    let entry = Entry { draw: Some(draw), ..state.entry };
    let at = p.clock().now();
    let id = entry.id.clone();
    let mine = VerifiedEndorsement::sign(&[entry], card.id(), at, p.keys()).await.unwrap();
    let body = RequestBody {
        record: world.patient.record(&fresh, &id).await.unwrap(),
        endorsement: mine.jwt().to_owned(),
        name: String::new(),
        case_secret: state.secret.unwrap(),
        manifest: manifest.to_owned(),
    };
    let (kind, body) = (MessageType::TreatmentRequest, serde_json::to_value(body).unwrap());
    let outbound = Message { from: &card, to: &to, case: &fresh, kind, body };
    let sealed =
        envelope::seal(outbound, p.keys(), p.primitives(), p.clock(), p.randomness()).await;
    let envelope = sealed.unwrap().1;
    world.hospital.receive::<HospitalCase>(envelope.as_bytes()).await.map(drop)
}

#[test]
fn a_request_goes_by_a_manifest_that_the_network_has_said_and_that_has_not_long_ended() {
    block_on(async {
        let mut world = network(1).await;
        let (key, trust) =
            (world.hospital.card().card().signing_key.thumbprint(), world.patient.trust());
        let (number, manifest) = (trust.manifest().number, trust.documents().manifest.clone());
        let by = |number, manifest: &str| {
            Draw::new(number, manifest, key.clone(), &world.providers.randomness).unwrap()
        };
        let good = by(number, &manifest);
        let another_number = by(number + 1, &manifest);
        let forged = format!("{manifest}A");
        let by_forged = by(number, &forged);
        let other = Manifest { notaries: vec![], ..trust.manifest().clone() };
        let doorman = keys("doorman", world.providers.randomness.clone()).unwrap();
        let second = network::sign(&other, &doorman).await.unwrap();
        let of_second = by(number, &second);
        let stranger = keys("hospital", world.providers.randomness.clone()).unwrap();
        let iss: NodeId = stranger.public().0.thumbprint().parse().unwrap();
        let foreign = Manifest { iss, number: 1, ..other };
        let foreign = network::sign(&foreign, &stranger).await.unwrap();
        let of_foreign = by(1, &foreign);
        assert_eq!(asked(&world, good, &manifest).await, Ok(()));
        for (draw, manifest, expected) in [
            (another_number, &manifest, Error::EntryMismatch),
            (by_forged.clone(), &manifest, Error::EntryMismatch),
            (by_forged, &forged, Error::ManifestUnknown),
            (of_second, &second, Error::ManifestUnknown),
            (of_foreign, &foreign, Error::ManifestUnknown),
        ] {
            assert_eq!(asked(&world, draw, manifest).await, Err(expected));
        }

        // An earlier one that was signed in its time goes, until it has ended for a week.
        let lasts = world.network.lasts;
        world.network.lasts = SILENCE;
        world.publish().await.unwrap();
        let trust = world.patient.trust();
        let (number, manifest) = (trust.manifest().number, &trust.documents().manifest);
        let [early, late] = [(); 2].map(|()| {
            Draw::new(number, manifest, key.clone(), &world.providers.randomness).unwrap()
        });
        world.network.lasts = lasts;
        world.publish().await.unwrap();
        world.providers.clock.advance(7 * SILENCE * 1000);
        assert_eq!(asked(&world, early, manifest).await, Ok(()));
        world.providers.clock.advance(SILENCE * 1000);
        assert_eq!(asked(&world, late, manifest).await, Err(Error::RequestOutdated));
    });
}
