//! Records between this implementation and the crate `sd-jwt-payload`, which others wrote.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use async_trait::async_trait;
use futures_lite::future::block_on;
use hdms::Error;
use hdms::base64url;
use hdms::fhir::resource;
use hdms::provider::NodeKeys;
use hdms::record::sdjwt::ORDER;
use hdms::record::{KIND, Selection};
use hdms_records::{DAY, WORLD, sample};
use sd_jwt_payload::{JsonObject, JwsSigner, SdJwt, SdJwtBuilder, Sha256Hasher};
use serde_json::{Value, json};

const RESOURCE: &str = r#"{"resourceType":"Observation","id":"o1","contained":[{"resourceType":"Patient","name":[{"family":"Kim"}],"gender":"female"},{"resourceType":"Specimen","id":"s"}],"code":{"coding":[{"code":"4548-4"}],"text":"HbA1c"},"subject":{"reference":"Patient/p1"},"valueQuantity":{"value":6.50},"component":[{"valueString":"x","code":{"coding":[]}}]}"#;

/// What the other reads, without what says the order of members, of which it does not know.
fn read_by_the_other(compact: &str) -> JsonObject {
    let other = SdJwt::parse(compact).unwrap();
    let mut read = other.into_disclosed_object(&Sha256Hasher::new()).unwrap();
    without_orders(&mut read["fhir"]);
    read
}

fn without_orders(value: &mut Value) {
    match value {
        Value::Array(elements) => elements.iter_mut().for_each(without_orders),
        Value::Object(members) => {
            members.shift_remove(ORDER);
            members.values_mut().for_each(without_orders);
        }
        _ => {}
    }
}

#[test]
fn the_other_reads_our_records_and_presentations() {
    let fhir = resource::parse(RESOURCE.as_bytes()).unwrap();
    let record = WORLD.issue(&fhir).unwrap();
    let read = read_by_the_other(record.compact());
    assert_eq!(read["fhir"], fhir);
    assert_eq!((&read["sub"], &read["case"]), (&json!("patient-node"), &json!("case-1")));
    assert_eq!((&read["kinds"], &read["codes"]), (&json!(["Observation"]), &json!(["|4548-4"])));

    let places = ["/fhir/contained/1".into(), "/fhir/component/0/valueString".into()];
    let shown = record.select(Selection::Bare(&places)).unwrap();
    let read = read_by_the_other(shown.compact());
    assert_eq!(read["fhir"], *WORLD.verify(shown.compact()).unwrap().fhir());
    assert_eq!(read.get("sub"), None);
}

#[test]
fn the_other_reads_our_records_over_the_patient_summaries() {
    for (path, bytes) in sample("ips") {
        let fhir = resource::parse(&bytes).unwrap();
        let record = WORLD.issue(&fhir).unwrap();
        assert_eq!(read_by_the_other(record.compact())["fhir"], fhir, "{}", path.display());
    }
}

/// The hospital's key in the other's hands.
struct Hospital;

#[async_trait]
impl JwsSigner for Hospital {
    type Error = Error;

    async fn sign(&self, header: &JsonObject, payload: &JsonObject) -> Result<Vec<u8>, Error> {
        let part =
            |members: &JsonObject| base64url::encode(Value::Object(members.clone()).to_string());
        let input = format!("{}.{}", part(header), part(payload));
        let signature = block_on(WORLD.keys.sign_ps256(input.as_bytes()))?;
        Ok(format!("{input}.{}", base64url::encode(signature)).into_bytes())
    }
}

#[test]
fn we_read_a_record_that_the_other_issued_with_decoys() {
    let fhir = resource::parse(RESOURCE.as_bytes()).unwrap();
    let claims = json!({
        "iss": WORLD.author(), "iat": DAY.seconds(), "sub": "patient-node", "case": "case-1",
        "cnf": { "jwk": WORLD.holder }, "fhir": fhir,
    });
    let mut builder = SdJwtBuilder::new(claims).unwrap();
    for place in [
        "/fhir/contained/0/name/0/family",
        "/fhir/contained/0/name",
        "/fhir/contained/0",
        "/fhir/contained/1",
        "/fhir/contained",
        "/fhir/id",
        "/fhir/code",
        "/fhir/subject",
        "/fhir/valueQuantity",
        "/fhir/component/0/valueString",
        "/fhir/component",
        "/sub",
        "/case",
    ] {
        builder = builder.make_concealable(place).unwrap();
    }
    let builder = builder
        .add_decoys("/fhir", 2)
        .unwrap()
        .add_decoys("", 6)
        .unwrap()
        .header("typ", KIND.typ)
        .header("kid", WORLD.author());
    let compact = block_on(builder.finish(&Hospital, "PS256")).unwrap().presentation();

    let record = WORLD.verify(&compact).unwrap();
    assert_eq!(*record.fhir(), fhir);
    assert_eq!((record.subject(), record.case()), (Some("patient-node"), Some("case-1")));
    assert_eq!(record.holder(), Some(&WORLD.holder));
    let shown = record.record().select(Selection::Bare(&["/fhir/contained/0".into()])).unwrap();
    let shown = WORLD.verify(shown.compact()).unwrap();
    let patient = json!({ "resourceType": "Patient", "gender": "female" });
    assert_eq!(*shown.fhir(), json!({ "resourceType": "Observation", "contained": [patient] }));
}
