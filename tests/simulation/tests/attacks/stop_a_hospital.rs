//! Somebody wants a hospital to do nothing but read one record, or to run out of memory over it: a
//! record is signed by whoever likes, about a case that may not exist, and says itself how its members
//! are called and ordered.

use std::time::{Duration, Instant};

use futures_lite::future::block_on;
use hdms::Error;
use hdms::jose::jws::sign_ps256;
use hdms::node::{Node, Platform};
use hdms::record::{self, MAX_BYTES, VerifiedRecord, sdjwt};
use hdms::testing::SeededRandomness;
use hdms_simulation::{Simulated, World};
use serde_json::{Map, Value, json};

/// What one record may take at most, without optimisation and beside other tests: ten times what it does;
/// what took a minute once.
const SOON: Duration = Duration::from_secs(10);

/// A record that the patient signed, whatever is in it, with this order and all that was concealed.
async fn signed(
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
    let (typ, payload) = (record::KIND.typ, sdjwt::object(claims, digests));
    let keys = patient.platform().keys();
    let jwt = sign_ps256(typ, patient.id().as_ref(), &payload, keys).await.unwrap();
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
            let mut concealer = sdjwt::Concealer::new(&randomness);
            let below = names(count).into_iter();
            let below = below.map(|name| concealer.member(&name, json!(1)).unwrap()).collect();
            let fhir = json!({ "resourceType": "Basic", name: sdjwt::object(Map::new(), below) });
            let compact = signed(&world.patient, fhir, json!({}), concealer).await;
            assert_eq!(verified(&world.patient, &compact).await.err(), answer);
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
            let concealer = sdjwt::Concealer::new(&randomness);
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
            let concealer = sdjwt::Concealer::new(&randomness);
            let compact = signed(&world.patient, fhir, json!({ "/a": order }), concealer).await;
            let record = verified(&world.patient, &compact).await.unwrap();
            assert!(record.fhir()["a"].as_object().unwrap().keys().eq(&order));
        }
    });
}
