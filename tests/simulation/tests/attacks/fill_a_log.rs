//! Two who want to fill a notary's log for nothing: nodes of patients, of which anybody can make as
//! many as they like, deposit entries with each other.

use std::slice;

use futures_lite::future::block_on;
use hdms::Error;
use hdms::card::{Role, VerifiedCard};
use hdms::envelope::{self, Message, MessageType};
use hdms::ledger::{Drawn, Entry, EntryKind, VerifiedEndorsement};
use hdms::node::Platform;
use hdms::notary::{Deposit, DepositAnswer, DepositBody};
use hdms::software::SoftwareKeys;
use hdms::testing::SeededRandomness;
use hdms_simulation::{BEGIN, World, keys};

use crate::logbook::SECRET;
use crate::{case, id};

/// Somebody whose every signature a test can make.
struct Player {
    keys: SoftwareKeys<SeededRandomness>,
    card: VerifiedCard,
}

async fn player(world: &World, name: &str, role: Role) -> Player {
    let keys = keys(name, world.providers.randomness.clone()).unwrap();
    let card = world.operator.card(&keys, role, name).await.unwrap();
    let (trust, software) = (world.patient.trust(), world.software());
    let card = VerifiedCard::verify(&card, &trust, BEGIN, &software).await.unwrap();
    Player { keys, card }
}

/// What the notary answers to `author`, who deposits an entry with `other`.
async fn answer(
    world: &mut World,
    author: &Player,
    other: &Player,
    kind: EntryKind,
) -> DepositAnswer {
    let entry = Entry {
        kind,
        author: author.card.id().clone(),
        counterparty: other.card.id().clone(),
        ..world.first_entry(id(20), case(), SECRET).unwrap()
    };
    let mut endorsements = Vec::new();
    for by in [author, other] {
        let signed =
            VerifiedEndorsement::sign(slice::from_ref(&entry), by.card.id(), BEGIN, &by.keys).await;
        endorsements.push(signed.unwrap().jwt().to_owned());
    }
    let draw = Drawn::sign(&entry, &other.keys).await.ok();
    let deposits = vec![Deposit { entry: entry.id, case_secret: Some(SECRET), draw }];
    let cards = [author, other].map(|one| one.card.jwt().to_owned()).into();
    let body = serde_json::to_value(DepositBody { cards, endorsements, deposits }).unwrap();
    let (case, kind, to) = (case(), MessageType::Deposit, world.notary.card());
    let message = Message { from: &author.card, to, case: &case, kind, body };
    let p = world.patient.platform();
    let sealed =
        envelope::seal(message, &author.keys, p.primitives(), p.clock(), p.randomness()).await;
    let answers = world.notary.receive(&sealed.unwrap().1).await.unwrap();
    answers.answers[0].clone()
}

#[test]
fn nodes_of_patients_log_nothing_with_each_other_and_nobody_what_is_not_for_its_role() {
    block_on(async {
        let mut world = World::new(1).await.unwrap();
        let patient = player(&world, "patient", Role::Personal).await;
        let another = player(&world, "stranger", Role::Personal).await;
        let hospital = player(&world, "hospital", Role::Institution).await;
        let notary = player(&world, "notary", Role::Notary).await;
        let refused = DepositAnswer::Refused(Error::EntryNotForRole.code().into());
        for (author, other, kind) in [
            (&patient, &another, EntryKind::Request),
            (&patient, &another, EntryKind::Result),
            (&patient, &hospital, EntryKind::Result),
            (&hospital, &patient, EntryKind::Request),
            (&patient, &notary, EntryKind::Request),
            (&hospital, &notary, EntryKind::Result),
        ] {
            assert_eq!(answer(&mut world, author, other, kind).await, refused, "{kind:?}");
        }
        assert!(world.notary.log().is_empty());
        let good = answer(&mut world, &patient, &hospital, EntryKind::Request).await;
        assert!(matches!(good, DepositAnswer::Receipt(_)), "{good:?}");
    });
}
