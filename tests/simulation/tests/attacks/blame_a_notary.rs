//! A patient wants an honest notary to look as if it had given one number twice: by one secret in two
//! cases.

use std::collections::HashSet;

use futures_lite::future::block_on;
use hdms::envelope::{Message, MessageType, seal};
use hdms::ledger::{Leaf, VerifiedEndorsement};
use hdms::node::Platform;
use hdms::notary::{Deposit, DepositAnswer, DepositBody};
use hdms_simulation::{BEGIN, World};

use crate::id;
use crate::logbook::SECRET;

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
