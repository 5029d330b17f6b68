//! A hospital wants a result to be shown twice, or to put another statement of its own in the place of the
//! one by which it has endorsed a result.

use futures_lite::future::block_on;
use hdms::Error;
use hdms::base64url::decode;
use hdms::envelope::{Message, MessageType, seal};
use hdms::jose::jwe::CompactJwe;
use hdms::ledger::VerifiedEndorsement;
use hdms::node::{Outcome, Platform};
use hdms::treatment::hospital::HospitalCase;
use hdms::treatment::patient::PatientCase;
use hdms_simulation::{Mail, World};
use serde_json::{Value, json};

use crate::case;
use crate::lie_about_numbers::handed_in;

/// Two more results on their way, and what their message says.
async fn on_the_way(world: &mut World) -> (Mail, Value) {
    let result = |id| json!({"resourceType": "Observation", "id": id});
    world.hand_in(&case(), ["d", "e"].map(result).into()).await.unwrap();
    world.settle().await.unwrap();
    let (mail, p) = (world.mail.remove(0), world.patient.platform());
    let sealed = CompactJwe::parse(&mail.envelope).unwrap();
    let signed =
        String::from_utf8(sealed.decrypt(p.keys(), p.primitives()).await.unwrap()).unwrap();
    let payload = decode(signed.split('.').nth(1).unwrap()).unwrap();
    let body = serde_json::from_slice::<Value>(&payload).unwrap()["body"].take();
    (mail, body)
}

async fn sealed(world: &World, body: Value) -> Mail {
    let (from, to, p) = (world.hospital.card(), world.patient.card(), world.hospital.platform());
    let (case, kind) = (case(), MessageType::MedicalResult);
    let message = Message { from: &from, to: &to, case: &case, kind, body };
    let sealing = seal(message, p.keys(), p.primitives(), p.clock(), p.randomness());
    let envelope = sealing.await.unwrap().1;
    Mail { to_patient: true, kind: kind.name().to_owned(), envelope }
}

async fn shown(world: &World) -> usize {
    world.patient.case::<PatientCase>(&case()).await.unwrap().results.len()
}

#[test]
fn a_result_that_stands_twice_in_one_message_is_refused() {
    block_on(async {
        let mut world = handed_in(1).await.0;
        let (genuine, mut body) = on_the_way(&mut world).await;
        body["results"][1] = body["results"][0].clone();
        let twice = sealed(&world, body).await;
        assert_eq!(world.deliver(&twice).await, Err(Error::EntryMismatch));
        assert_eq!(shown(&world).await, 3);
        world.deliver(&genuine).await.unwrap();
        assert_eq!(shown(&world).await, 5);
    });
}

#[test]
fn a_result_does_not_come_again_with_another_under_a_new_statement() {
    block_on(async {
        let mut world = handed_in(2).await.0;
        let (genuine, mut body) = on_the_way(&mut world).await;
        let first = body["results"][0].take();
        let state: HospitalCase = world.hospital.case(&case()).await.unwrap();
        let handed_in = &state.results[3];
        assert_eq!(first["entry"], handed_in.id.as_ref());
        let entry = handed_in.status.entry().unwrap().clone();
        let (by, now, keys) =
            (world.hospital.id(), hdms_simulation::BEGIN, world.hospital.platform().keys());
        let alone = VerifiedEndorsement::sign(&[entry], by, now, keys).await.unwrap();
        body["results"] = json!([first]);
        body["endorsement"] = alone.jwt().into();
        let part = sealed(&world, body).await;
        assert_eq!(world.deliver(&part).await, Ok(Outcome::Applied));
        assert_eq!(world.deliver(&genuine).await, Err(Error::EntryMismatch));
        assert_eq!(shown(&world).await, 4);
    });
}
