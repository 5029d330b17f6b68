//! A hospital wants a patient to have no proof any more: it sends its approval again, with another receipt
//! of the same entry, which counts today and not tomorrow, or says something else.

use std::slice;

use futures_lite::future::block_on;
use hdms::Error;
use hdms::envelope::MessageType;
use hdms::json;
use hdms::ledger::{LeafOpening, VerifiedEndorsement, VerifiedReceipt};
use hdms::log::{SignedCheckpoint, TlogProof};
use hdms::node::{Outcome, Platform};
use hdms::provider::{Clock, Store, Table, Write};
use hdms::treatment::hospital::HospitalCase;
use hdms::treatment::message::ApprovalBody;
use hdms::treatment::patient::PatientCase;
use hdms_simulation::World;
use hdms_simulation::log::{Log, LogSigner};

use crate::case;
use crate::lose_mail::{approval, signed};

/// Five minutes, and ten years: seconds.
const SKEW: u64 = 300;
const AGES: u64 = 10 * 365 * 24 * 3600;

/// A patient with the hospital's approval.
async fn approved(seed: u64) -> World {
    let mut world = World::new(seed).await.unwrap();
    let envelope = approval(&mut world).await;
    let taken = world.patient.receive::<PatientCase>(envelope.as_bytes()).await.unwrap();
    assert_eq!(taken.outcome, Outcome::Applied);
    world
}

async fn kept(world: &World) -> VerifiedReceipt {
    let request = world.patient.case::<PatientCase>(&case()).await.unwrap().entry.id;
    world.patient.receipt(&case(), &request).await.unwrap().unwrap()
}

/// The hospital's receipt of the request.
async fn honest(world: &World) -> VerifiedReceipt {
    let request = world.hospital.case::<HospitalCase>(&case()).await.unwrap().entry.id;
    world.hospital.receipt(&case(), &request).await.unwrap().unwrap()
}

/// The hospital's approval with this receipt, and what the patient's node makes of it.
async fn approve_with(world: &World, receipt: String) -> Result<Outcome, Error> {
    let state: HospitalCase = world.hospital.case(&case()).await.unwrap();
    let (p, entry) = (world.hospital.platform(), slice::from_ref(&state.entry));
    let (at, keys) = (p.clock().now(), p.keys());
    let endorsement = VerifiedEndorsement::sign(entry, world.hospital.id(), at, keys).await;
    let endorsement = endorsement.unwrap().jwt().to_owned();
    let draw = state.ranking.unwrap().drawn;
    let body = json::value(&ApprovalBody { endorsement, receipt, draw }).unwrap();
    let envelope = signed(world, MessageType::TreatmentApproval, body).await;
    let taken = world.patient.receive::<PatientCase>(envelope.as_bytes()).await;
    taken.map(|taken| taken.outcome)
}

/// Co-signed anew, by each witness at its time.
fn cosigned(world: &World, mut checkpoint: SignedCheckpoint, times: [u64; 2]) -> SignedCheckpoint {
    for (witness, time) in world.operator.witnesses().unwrap().iter().zip(times) {
        checkpoint.add(witness.cosign(&checkpoint, time));
    }
    checkpoint
}

fn notary(world: &World) -> LogSigner {
    LogSigner::of(world.notary.card().id()).unwrap()
}

/// The same receipt, co-signed at these times.
fn redated(world: &World, receipt: &VerifiedReceipt, times: [u64; 2]) -> String {
    let proof = TlogProof::parse(receipt.text()).unwrap();
    let checkpoint = notary(world).sign(proof.checkpoint.checkpoint().clone());
    TlogProof { checkpoint: cosigned(world, checkpoint, times), ..proof }.to_text()
}

#[test]
fn the_receipt_that_counts_stays() {
    block_on(async {
        let mut world = approved(1).await;
        let first = kept(&world).await;
        let (now, begun) = (world.providers.clock.now().seconds(), first.time());
        for times in [[begun, begun], [begun, now + SKEW], [now + SKEW, now + SKEW]] {
            let again = redated(&world, &first, times);
            assert!(approve_with(&world, again).await.is_ok(), "{times:?}");
            assert_eq!(kept(&world).await.text(), first.text(), "{times:?}");
        }
        // The notary is none any more soon after: what it had logged before counts.
        world.network.map.logs[0].until = Some(begun + 1);
        world.publish().await.unwrap();
        assert_eq!(kept(&world).await.text(), first.text());
    });
}

#[test]
fn no_receipt_is_of_a_time_to_come() {
    block_on(async {
        let mut world = World::new(2).await.unwrap();
        approval(&mut world).await;
        let first = honest(&world).await;
        let now = world.providers.clock.now().seconds();
        // One witness is enough, for the later of two counts.
        let later = redated(&world, &first, [now, now + AGES]);
        assert_eq!(approve_with(&world, later.clone()).await, Err(Error::NotYetValid));
        let state: PatientCase = world.patient.case(&case()).await.unwrap();
        assert!(state.notary.is_none());
        assert_eq!(approve_with(&world, first.text().to_owned()).await, Ok(Outcome::Applied));
        assert_eq!(approve_with(&world, later).await, Err(Error::NotYetValid));
        assert_eq!(kept(&world).await.text(), first.text());
    });
}

/// Both histories are signed evidence, and the patient's half stays where it is.
#[test]
fn a_receipt_of_another_history_does_not_take_the_place_of_the_first() {
    block_on(async {
        let mut world = approved(3).await;
        let first = kept(&world).await;
        let now = world.providers.clock.now().seconds();
        let opening = LeafOpening { time: first.opening().time - 1, ..first.opening().clone() };
        let mut log = Log::default();
        log.append(opening.leaf().to_bytes());
        let checkpoint = notary(&world).sign(log.checkpoint(world.notary.card().id()));
        let proof = log.prove(0, cosigned(&world, checkpoint, [now - 1, now - 1]));
        let fork = opening.receipt(proof).unwrap();
        assert_eq!(approve_with(&world, fork.clone()).await, Err(Error::EntryMismatch));
        assert_eq!(kept(&world).await.text(), first.text());
        // Nor when the first counts no more, since its witnesses were none when they signed.
        world.network.map.logs[1].until = Some(now);
        world.network.map.logs[2].until = Some(now);
        world.publish().await.unwrap();
        let request = world.patient.case::<PatientCase>(&case()).await.unwrap().entry.id;
        let key = format!("{}/{request}", case());
        let text = async || world.patient.platform().store().read(Table::Receipts, &key).await;
        let void = world.patient.receipt(&case(), &request).await;
        assert_eq!(void.err(), Some(Error::ReceiptForged));
        assert_eq!(approve_with(&world, fork).await, Err(Error::EntryMismatch));
        assert_eq!(text().await.unwrap().unwrap(), first.text().as_bytes());
    });
}

/// What no notary has signed is no history: a damaged store is mended by the hospital's copy.
#[test]
fn a_damaged_receipt_gives_way_to_a_good_one() {
    block_on(async {
        let world = approved(4).await;
        let first = kept(&world).await;
        let key = format!("{}/{}", case(), first.receipt().entry);
        let other = LeafOpening { entry: crate::id(77), ..first.opening().clone() };
        let proof = TlogProof::parse(first.text()).unwrap();
        let moved = first.text().replacen("index 0", "index 1", 1);
        assert_ne!(moved, first.text());
        let damaged = ["no receipt".to_owned(), other.receipt(proof).unwrap(), moved];
        for damaged in damaged.map(String::into_bytes).into_iter().chain([vec![0xff]]) {
            let store = world.patient.platform().store();
            let write = Write::Put { table: Table::Receipts, key: key.clone(), value: damaged };
            store.commit(vec![write]).await.unwrap();
            assert!(approve_with(&world, first.text().to_owned()).await.is_ok());
            assert_eq!(kept(&world).await.text(), first.text());
        }
    });
}
