//! What nobody has to take on faith: receipts, conflicts, network documents, cards and changes of
//! keys, and what a node does when one of them does not hold.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails so")]

mod cards;
mod changes;
mod clocks;
mod conflicts;
mod documents;
mod logbook;
mod names;
mod queries;
mod receipts;
mod renewal;
mod sending;
mod sharing;
mod warnings;

use std::str::FromStr;

use hdms::Error;
use hdms::envelope::{self, Message, MessageType};
use hdms::ids::{CaseId, EntryId};
use hdms::node::{Node, OutboxItem, Platform, Stuck};
use hdms::treatment::request::TreatmentRequest;
use hdms_simulation::{Simulated, World};
use serde_json::{Value, json};

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

fn id<T: FromStr<Err = Error>>(number: u32) -> T {
    format!("019b7985-7400-7000-8000-{number:012}").parse().unwrap()
}

fn case() -> CaseId {
    id(1)
}

fn request() -> TreatmentRequest {
    TreatmentRequest { reason: "Cough".into(), date: None, may_read: vec!["Observation".into()] }
}

/// Without the reasons for which they can't be sent.
fn items(stuck: Vec<Stuck>) -> Vec<OutboxItem> {
    stuck.into_iter().map(|(item, _)| item).collect()
}

/// A network in which the patient's request is on its way to the hospital.
async fn asked(seed: u64) -> World {
    let mut world = World::new(seed).await.unwrap();
    world.patient.ask(&case(), world.hospital.id(), request()).await.unwrap();
    world.settle().await.unwrap();
    world
}

/// A network in which the hospital has approved, and both have the receipt.
async fn approved(seed: u64) -> World {
    let mut world = asked(seed).await;
    world.deliver_all().await.unwrap();
    world.hospital.approve(&case()).await.unwrap();
    world.deliver_all().await.unwrap();
    world
}

/// As [`approved`], and with a result that the patient has received. Its entry.
async fn with_result(seed: u64) -> (World, EntryId) {
    let mut world = approved(seed).await;
    let fhir = json!({"resourceType": "Observation", "status": "final"});
    let entry = world.hand_in(&case(), vec![fhir]).await.unwrap().remove(0);
    world.deliver_all().await.unwrap();
    (world, entry)
}

/// The first message on its way, taken off.
fn next_mail(world: &mut World) -> Vec<u8> {
    world.mail.remove(0).envelope.into_bytes()
}

/// A message of `from`'s own making in the case of all these tests.
async fn seal(
    from: &Node<Simulated>,
    to: &hdms::card::VerifiedCard,
    kind: MessageType,
    body: Value,
) -> String {
    let (case, sender, p) = (case(), from.card(), from.platform());
    let message = Message { from: &sender, to, case: &case, kind, body };
    let sealing = envelope::seal(message, p.keys(), p.primitives(), p.clock(), p.randomness());
    sealing.await.unwrap().1
}
