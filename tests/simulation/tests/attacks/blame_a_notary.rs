//! A patient wants an honest notary to look as if it had given one number twice: by one secret in two
//! cases, or by writing another number into a receipt.

use std::collections::HashSet;

use futures_lite::future::block_on;
use hdms::Error;
use hdms::base64url::decode;
use hdms::envelope::{Message, MessageType, seal};
use hdms::jose::jwe::CompactJwe;
use hdms::ledger::{Leaf, VerifiedEndorsement};
use hdms::log::TlogProof;
use hdms::node::Platform;
use hdms::notary::{Deposit, DepositAnswer, DepositBody};
use hdms::provider::{Store, Table};
use hdms_simulation::{BEGIN, Mail, World};
use serde_json::Value;

use crate::lie_about_numbers::{confirm, handed_in};
use crate::logbook::SECRET;
use crate::{case, id};

/// The patient's confirmation, as the hospital opens it.
async fn opened(world: &World, mail: &Mail) -> Value {
    let p = world.hospital.platform();
    let sealed = CompactJwe::parse(&mail.envelope).unwrap();
    let signed = sealed.decrypt(p.keys(), p.primitives()).await.unwrap();
    let signed = String::from_utf8(signed).unwrap();
    let payload = signed.split('.').nth(1).unwrap();
    serde_json::from_slice::<Value>(&decode(payload).unwrap()).unwrap()["body"].take()
}

async fn sealed(world: &World, body: Value) -> Mail {
    let (from, to, p) = (world.patient.card(), world.hospital.card(), world.patient.platform());
    let (case, kind) = (case(), MessageType::Confirmation);
    let message = Message { from: &from, to: &to, case: &case, kind, body };
    let sealing = seal(message, p.keys(), p.primitives(), p.clock(), p.randomness());
    let envelope = sealing.await.unwrap().1;
    Mail { to_patient: false, kind: kind.name().to_owned(), envelope }
}

/// The receipt with another number written into it: nothing but the place vouches for it.
fn renumbered(text: &str, number: u64) -> String {
    let mut proof = TlogProof::parse(text).unwrap();
    let mut opening: Value = serde_json::from_slice(&proof.extra.unwrap()).unwrap();
    opening["number"] = number.into();
    proof.extra = Some(opening.to_string().into_bytes());
    proof.to_text()
}

#[test]
fn a_number_written_into_a_receipt_is_no_proof_of_anything() {
    block_on(async {
        let (mut world, entries) = handed_in(6).await;
        confirm(&mut world, &entries[0]).await.unwrap();
        world.patient.confirm(&case(), &entries[1..]).await.unwrap();
        world.settle().await.unwrap();
        let genuine = world.mail.remove(0);
        let mut body = opened(&world, &genuine).await;
        let texts: Vec<_> = [0, 1].map(|nth| body["receipts"][nth].take()).into();
        let texts: Vec<_> = texts.iter().map(|text| text.as_str().unwrap()).collect();
        for forged in [
            [renumbered(texts[0], 2), texts[1].to_owned()],
            [renumbered(texts[0], 4), texts[1].to_owned()],
            [texts[0].to_owned(), renumbered(texts[1], 3)],
        ] {
            body["receipts"] = forged.to_vec().into();
            let mail = sealed(&world, body.clone()).await;
            assert_eq!(world.deliver(&mail).await, Err(Error::EntryMismatch));
        }
        for entry in &entries {
            let key = format!("{}/{entry}/taken", case());
            let kept = world.hospital.platform().store().read(Table::Receipts, &key).await;
            assert_eq!(kept.unwrap(), None, "no evidence against who has done nothing");
        }
        world.deliver(&genuine).await.unwrap();
        world.deliver_all().await.unwrap();
    });
}

#[test]
fn one_secret_in_two_cases_takes_two_places() {
    block_on(async {
        let mut world = World::new(1).await.unwrap();
        for number in 0..2 {
            let entry = world.first_entry(id(20 + number), id(30 + number), SECRET).unwrap();
            let mut endorsements = Vec::new();
            for node in [&world.patient, &world.hospital] {
                let entry = std::slice::from_ref(&entry);
                let keys = node.platform().keys();
                let signed = VerifiedEndorsement::sign(entry, node.id(), BEGIN, keys).await;
                endorsements.push(signed.unwrap().jwt().to_owned());
            }
            let draw = world.drawn(&entry).await.unwrap();
            let deposit = Deposit { entry: entry.id, case_secret: Some(SECRET), draw };
            let cards = [&world.patient, &world.hospital].map(|node| node.card());
            let cards: Vec<_> = cards.iter().map(|card| card.jwt().to_owned()).collect();
            let body = DepositBody { cards, endorsements, deposits: vec![deposit] };
            let (from, p) = (world.hospital.card(), world.hospital.platform());
            let (case, kind) = (id(30 + number), MessageType::Deposit);
            let body = serde_json::to_value(body).unwrap();
            let message = Message { from: &from, to: world.notary.card(), case: &case, kind, body };
            let sealing = seal(message, p.keys(), p.primitives(), p.clock(), p.randomness());
            let envelope = sealing.await.unwrap().1;
            let answers = world.notary.receive(&envelope).await.unwrap().answers;
            assert!(matches!(answers[..], [DepositAnswer::Receipt(_)]), "{answers:?}");
        }
        let leaves = world.notary.log().iter().map(|logged| logged.opening.leaf());
        let places: HashSet<_> = leaves.map(|leaf: Leaf| leaf.place).collect();
        assert_eq!(places.len(), 2);
    });
}
