//! Somebody wants a hospital to do nothing but read one record, or to run out of memory over it: a
//! record is signed by whoever likes, about a case that may not exist, and says itself how its members
//! are called and ordered.

use std::time::{Duration, Instant};

use futures_lite::future::block_on;
use hdms::Error;
use hdms::envelope::{self, Message, MessageType};
use hdms::ids::{EntryId, MessageId};
use hdms::jose::jws::{Kind, sign_ps256};
use hdms::node::{Node, Platform, Taken};
use hdms::provider::{Store, Table, Write};
use hdms::record::{self, MAX_BYTES, VerifiedRecord, format_1, sdjwt};
use hdms::testing::SeededRandomness;
use hdms::treatment::hospital::{HospitalCase, HospitalDataAnswer};
use hdms::treatment::message::{DataBody, DataRequestBody, MAX_TEXT, SharedRecord};
use hdms::treatment::patient::PatientCase;
use hdms::treatment::request::TreatmentRequest;
use hdms_simulation::{Simulated, World};
use serde_json::{Map, Value, json};

use crate::{case, id};

/// What one record may take at most, without optimisation and beside other tests: ten times what it does;
/// what took a minute once.
const SOON: Duration = Duration::from_secs(10);

/// A record of format 1 that the patient signed, whatever is in it, with this order and all that was
/// concealed.
pub(super) async fn signed(
    patient: &Node<Simulated>,
    fhir: Value,
    order: Value,
    mut concealer: sdjwt::Concealer<'_, SeededRandomness>,
) -> String {
    let digests = [("sub", json!(patient.id())), ("order", order)];
    let digests = digests.map(|(name, value)| concealer.member(name, value).unwrap()).into();
    let mut claims = Map::new();
    claims.insert("iss".into(), json!(patient.id()));
    claims.insert("iat".into(), 1_767_268_800.into());
    claims.insert("fhir".into(), fhir);
    sign(patient, format_1::KIND, sdjwt::object(claims, digests), concealer).await
}

/// One of format 2, of which all but its type is concealed.
async fn signed_now(
    patient: &Node<Simulated>,
    digests: Vec<String>,
    mut concealer: sdjwt::Concealer<'_, SeededRandomness>,
) -> String {
    let mut content = Map::new();
    content.insert("resourceType".into(), "Basic".into());
    let mut claims = Map::new();
    claims.insert("iss".into(), json!(patient.id()));
    claims.insert("iat".into(), 1_767_225_600.into());
    claims.insert("fhir".into(), sdjwt::object(content, digests).into());
    let mut decoys = Vec::new();
    concealer.fill_up(&mut decoys, 8);
    sign(patient, record::KIND, sdjwt::object(claims, decoys), concealer).await
}

async fn sign(
    patient: &Node<Simulated>,
    kind: Kind,
    payload: Map<String, Value>,
    concealer: sdjwt::Concealer<'_, SeededRandomness>,
) -> String {
    let keys = patient.platform().keys();
    let jwt = sign_ps256(kind.typ, patient.id().as_ref(), &payload, keys).await.unwrap();
    concealer.compact(&jwt)
}

async fn verified(patient: &Node<Simulated>, compact: &str) -> Result<VerifiedRecord, Error> {
    assert!(compact.len() <= MAX_BYTES, "{}", compact.len());
    let (begun, keys) = (Instant::now(), patient.card());
    let verified = record::verify(compact, keys.keys(), patient.platform().primitives()).await;
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    verified
}

/// Names of three letters and a number.
fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("a{number}")).collect()
}

fn object(names: &[String]) -> Value {
    names.iter().map(|name| (name.clone(), json!(1))).collect::<Map<_, _>>().into()
}

#[test]
fn no_name_is_kept_once_for_each_disclosure_below_it() {
    block_on(async {
        let (world, randomness) = (World::new(1).await.unwrap(), SeededRandomness::new(1));
        for (name, count, answer) in [
            ("a".repeat(64), 2_000, None),
            ("a".repeat(65), 1, Some(Error::RecordMalformed)),
            ("~".repeat(150_000), 2_000, Some(Error::RecordMalformed)),
        ] {
            let mut concealer = sdjwt::Concealer::new(&randomness, MAX_BYTES).unwrap();
            let below = names(count).into_iter();
            let below = below.map(|name| concealer.member(&name, json!(1)).unwrap()).collect();
            let fhir = json!({ "resourceType": "Basic", name: sdjwt::object(Map::new(), below) });
            let compact = signed(&world.patient, fhir, json!({}), concealer).await;
            assert_eq!(verified(&world.patient, &compact).await.err(), answer);
        }
    });
}

/// Authors could call them as they liked, once.
#[test]
fn what_was_taken_in_before_names_had_a_length_is_read() {
    block_on(async {
        let (world, randomness) = (World::new(9).await.unwrap(), SeededRandomness::new(9));
        for (name, answer) in
            [("a".repeat(65), None), ("~".repeat(65), Some(Error::RecordMalformed))]
        {
            let fhir = json!({ "resourceType": "Basic", name: 1 });
            let concealer = sdjwt::Concealer::new(&randomness, MAX_BYTES).unwrap();
            let compact = signed(&world.patient, fhir, json!({}), concealer).await;
            let (table, key) = (Table::Records, format!("record/{}/{}", case(), case()));
            let write = Write::Put { table, key, value: compact.into() };
            world.patient.platform().store().commit(vec![write]).await.unwrap();
            let opened = world.patient.open_record(&case(), &id(1)).await;
            assert_eq!(opened.err(), answer);
        }
    });
}

#[test]
fn no_object_is_ordered_once_for_each_way_to_write_its_name() {
    block_on(async {
        let (world, randomness) = (World::new(2).await.unwrap(), SeededRandomness::new(2));
        let tilde = |number: usize, bit: usize| if (number >> bit) & 1 == 1 { "~0" } else { "~" };
        let alias =
            |number| format!("/{}", (0..14).map(|bit| tilde(number, bit)).collect::<String>());
        let order: Map<_, _> = (0..4_000).map(|number| (alias(number), json!([]))).collect();
        for name in
            ["~".repeat(14), "~".into(), "a/b".into(), "".into(), "a b".into(), "a_b".into()]
        {
            let fhir = json!({ "resourceType": "Basic", name: object(&names(5_000)) });
            let concealer = sdjwt::Concealer::new(&randomness, MAX_BYTES).unwrap();
            let compact = signed(&world.patient, fhir, order.clone().into(), concealer).await;
            let refused = verified(&world.patient, &compact).await.err();
            assert_eq!(refused, Some(Error::RecordMalformed));
        }
    });
}

#[test]
fn as_many_members_as_a_record_holds_are_ordered_at_once() {
    block_on(async {
        let (world, randomness) = (World::new(3).await.unwrap(), SeededRandomness::new(3));
        let names = names(22_000);
        for order in [names.clone(), names.iter().rev().cloned().collect()] {
            let fhir = json!({ "resourceType": "Basic", "a": object(&names) });
            let concealer = sdjwt::Concealer::new(&randomness, MAX_BYTES).unwrap();
            let compact = signed(&world.patient, fhir, json!({ "/a": order }), concealer).await;
            let record = verified(&world.patient, &compact).await.unwrap();
            assert!(record.fhir()["a"].as_object().unwrap().keys().eq(&order));
        }
    });
}

/// As many as a record holds, in the open and concealed, and their order.
#[test]
fn nor_does_it_take_long_where_each_object_says_its_own_order() {
    block_on(async {
        let (world, randomness) = (World::new(10).await.unwrap(), SeededRandomness::new(10));
        let (open, hidden) = (names(8_000), names(1_503));
        for reversed in [false, true] {
            let mut concealer = sdjwt::Concealer::new(&randomness, MAX_BYTES).unwrap();
            let mut order: Vec<Value> = open.iter().cloned().map(Value::from).collect();
            order.push(0.into());
            let mut of_hidden: Vec<Value> = (0..hidden.len()).map(Value::from).collect();
            of_hidden.push("resourceType".into());
            if reversed {
                order.reverse();
                of_hidden.reverse();
            }
            let mut visible = object(&open);
            let last = concealer.member("last", json!(1)).unwrap();
            visible["_sd"] = json!([last, concealer.member(sdjwt::ORDER, order.into()).unwrap()]);
            let member = |name: &String| concealer.member(&format!("b{name}"), visible.take());
            let mut digests: Vec<String> = hidden.iter().map(member).map(Result::unwrap).collect();
            digests.push(concealer.member(sdjwt::ORDER, of_hidden.into()).unwrap());
            let compact = signed_now(&world.patient, digests, concealer).await;
            let record = verified(&world.patient, &compact).await.unwrap();
            let content = record.fhir().as_object().unwrap();
            assert_eq!(content.len(), hidden.len() + 1);
            let first = content.keys().next().unwrap();
            assert_eq!(first == "resourceType", reversed);
            let members = content["ba0"].as_object().unwrap();
            assert_eq!(members.keys().next().unwrap() == "last", reversed);
            assert_eq!(members.len(), open.len() + 1);
        }
    });
}

/// A hospital that has asked the patient for data, as it says in `id(2)`.
pub(super) async fn asked(seed: u64) -> World {
    let mut world = World::new(seed).await.unwrap();
    let may_read = vec!["Basic".into()];
    let request = TreatmentRequest { reason: "Cough".into(), date: None, may_read };
    world.patient.ask(&case(), world.hospital.id(), request).await.unwrap();
    world.deliver_all().await.unwrap();
    world.hospital.approve(&case()).await.unwrap();
    world.deliver_all().await.unwrap();
    let resources = vec!["Basic".into()];
    let asked = DataRequestBody { id: id(2), resources, purpose: "To see".into() };
    world.hospital.ask_for_data(&case(), asked).await.unwrap();
    world.deliver_all().await.unwrap();
    world
}

async fn sealed(
    from: &Node<Simulated>,
    to: &Node<Simulated>,
    (kind, body): (MessageType, Value),
    in_case: u32,
) -> String {
    let (me, to, case) = (from.card(), to.card(), id(in_case));
    let outbound = Message { from: &me, to: &to, case: &case, kind, body };
    let p = from.platform();
    let sealing = envelope::seal(outbound, p.keys(), p.primitives(), p.clock(), p.randomness());
    sealing.await.unwrap().1
}

pub(super) async fn send(
    world: &World,
    from: &Node<Simulated>,
    message: (MessageType, Value),
    in_case: u32,
) -> Result<Taken, Error> {
    let sealed = sealed(from, &world.hospital, message, in_case).await;
    world.hospital.receive::<HospitalCase>(sealed.as_bytes()).await
}

/// The hospital's to the patient.
pub(super) async fn answer(
    world: &World,
    message: (MessageType, Value),
    in_case: u32,
) -> Result<Taken, Error> {
    let sealed = sealed(&world.hospital, &world.patient, message, in_case).await;
    world.patient.receive::<PatientCase>(sealed.as_bytes()).await
}

pub(super) fn data(request: u32, record: &str) -> (MessageType, Value) {
    data_with_cards(request, record, 0)
}

fn data_with_cards(request: u32, record: &str, cards: usize) -> (MessageType, Value) {
    let records = vec![SharedRecord { record: record.into(), receipt: None }];
    let body = DataBody { request: id(request), records, cards: vec!["x".into(); cards] };
    (MessageType::Data, serde_json::to_value(body).unwrap())
}

/// What can't be verified shows what is looked at first.
#[test]
fn what_no_case_awaits_is_not_verified() {
    block_on(async {
        let world = asked(4).await;
        let stranger = world.other_patient().await.unwrap();
        let unsound = "x~";
        let (patient, hospital) = (&world.patient, &world.hospital);
        for (from, request, in_case, refused) in [
            (patient, 2, 9, Error::UnknownCase),
            (&stranger, 2, 1, Error::UnknownCase),
            (patient, 3, 1, Error::UnknownEntry),
            (patient, 2, 1, Error::RecordMalformed),
        ] {
            let taken = send(&world, from, data(request, unsound), in_case).await;
            assert_eq!(taken.err(), Some(refused), "{request} {in_case}");
        }
        let confirmation = json!({ "endorsement": unsound, "receipts": [unsound] });
        let confirmation = (MessageType::Confirmation, confirmation);
        for (from, in_case) in [(patient, 9), (&stranger, 1)] {
            let taken = send(&world, from, confirmation.clone(), in_case).await;
            assert_eq!(taken.err(), Some(Error::UnknownCase));
        }
        let case = hospital.case::<HospitalCase>(&case()).await.unwrap();
        assert_eq!(case.data_requests[0].answer, HospitalDataAnswer::Asked);
    });
}

#[test]
fn nor_is_what_was_decided_otherwise() {
    block_on(async {
        let mut world = asked(5).await;
        let own = world.patient.add_record(json!({ "resourceType": "Basic" })).await.unwrap();
        world.patient.share(&case(), &id(2), &[own]).await.unwrap();
        world.deliver_all().await.unwrap();
        let taken = send(&world, &world.patient, data(2, "x~"), 1).await;
        assert_eq!(taken.err(), Some(Error::AlreadyDecided));

        let resources = vec!["Basic".into()];
        let asked = DataRequestBody { id: id(3), resources, purpose: "More".into() };
        world.hospital.ask_for_data(&case(), asked).await.unwrap();
        world.deliver_all().await.unwrap();
        world.patient.refuse_data(&case(), &id(3), "No").await.unwrap();
        world.deliver_all().await.unwrap();
        let taken = send(&world, &world.patient, data(3, "x~"), 1).await;
        assert_eq!(taken.err(), Some(Error::AlreadyDecided));
    });
}

#[test]
fn a_patient_looks_into_nothing_that_its_case_does_not_await_either() {
    block_on(async {
        let mut world = World::new(6).await.unwrap();
        let request = TreatmentRequest { reason: "Cough".into(), date: None, may_read: Vec::new() };
        world.patient.ask(&case(), world.hospital.id(), request).await.unwrap();
        world.deliver_all().await.unwrap();
        world.hospital.decline(&case(), "No").await.unwrap();
        world.deliver_all().await.unwrap();
        let unsound = "x~";
        let approval = json!({ "endorsement": unsound, "receipt": unsound, "draw": {
            "signature": "", "passed": [],
        } });
        let results = json!([{ "entry": id::<EntryId>(3), "record": unsound }]);
        let result = json!({ "hand_in": id::<MessageId>(4), "of": 1, "results": results, "endorsement": unsound });
        for (kind, body, in_case, refused) in [
            (MessageType::TreatmentApproval, approval.clone(), 1, Error::AlreadyDecided),
            (MessageType::TreatmentApproval, approval, 9, Error::UnknownCase),
            (MessageType::MedicalResult, result.clone(), 1, Error::NotAllowedNow),
            (MessageType::MedicalResult, result, 9, Error::UnknownCase),
        ] {
            let taken = answer(&world, (kind, body), in_case).await;
            assert_eq!(taken.err(), Some(refused), "{}", kind.name());
        }
    });
}

#[test]
fn a_text_that_is_too_long_is_looked_at_where_its_case_is_known() {
    block_on(async {
        let world = asked(7).await;
        let long = "x".repeat(MAX_TEXT + 1);
        let refusal = json!({ "entry": id::<EntryId>(3), "reason": long });
        let dispute = json!({ "entries": [id::<EntryId>(3)], "reason": long });
        let question = json!({ "id": id::<MessageId>(3), "resources": [], "purpose": long });
        let no_data = json!({ "request": id::<MessageId>(2), "reason": long });
        for (in_case, refused) in [(9, Error::UnknownCase), (1, Error::TextTooLong)] {
            for message in [
                (MessageType::TreatmentRefusal, refusal.clone()),
                (MessageType::DataRequest, question.clone()),
            ] {
                assert_eq!(answer(&world, message, in_case).await.err(), Some(refused));
            }
            for message in [
                (MessageType::DataRefusal, no_data.clone()),
                (MessageType::Dispute, dispute.clone()),
            ] {
                let taken = send(&world, &world.patient, message, in_case).await;
                assert_eq!(taken.err(), Some(refused));
            }
        }
    });
}

#[test]
fn no_more_cards_come_along_than_there_are_records() {
    block_on(async {
        let world = asked(8).await;
        for (cards, refused) in [(1, Error::RecordMalformed), (2, Error::BodyMalformed)] {
            let taken = send(&world, &world.patient, data_with_cards(2, "x~", cards), 1).await;
            assert_eq!(taken.err(), Some(refused), "{cards}");
        }
    });
}
