//! The examples of RFC 9901 itself: issuers' and holders' signatures, and what must come out.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use futures_lite::future::block_on;
use hdms::Error;
use hdms::jose::jws::{Kind, Unverified};
use hdms::jwk::EcJwk;
use hdms::record::sdjwt::{self, Parts, Profile};
use hdms::record::{KeyBinding, MAX_BYTES};
use hdms::software::Software;
use hdms::testing::SeededRandomness;
use serde_json::{Map, Value, json};

fn examples() -> Value {
    serde_json::from_str(include_str!("../vectors/rfc9901.json")).unwrap()
}

fn primitives() -> Software<SeededRandomness> {
    Software::new(SeededRandomness::new(0))
}

fn process(payload: Value, disclosures: &[String]) -> Result<Value, Error> {
    let Value::Object(payload) = payload else { panic!("no object") };
    sdjwt::process(payload, disclosures.iter().map(String::as_str), Profile::Plain)
        .map(|processed| Value::Object(processed.claims))
}

const EXAMPLE: Kind = Kind { typ: "example+sd-jwt", longest: MAX_BYTES };

#[test]
fn every_signed_example_verifies_and_gives_the_payload_that_the_rfc_prints() {
    let examples = examples();
    let issuer: EcJwk = serde_json::from_value(examples["issuer"].clone()).unwrap();
    let mut count = 0;
    for example in examples["signed"].as_array().unwrap() {
        let parts = Parts::parse(example["sd_jwt"].as_str().unwrap()).unwrap();
        let signed = Unverified::parse(parts.jwt, &EXAMPLE, Error::RecordMalformed).unwrap();
        let payload = block_on(signed.verify_es256(&issuer, &primitives())).unwrap();
        let disclosures: Vec<_> = parts.disclosures().map(str::to_owned).collect();
        assert_eq!(
            process(payload, &disclosures).unwrap(),
            example["processed"],
            "{}",
            example["name"]
        );
        count += 1;
    }
    assert_eq!(count, 4);
}

#[test]
fn the_holder_of_section_5_is_proven_and_nobody_else() {
    let examples = examples();
    let example = &examples["signed"][1];
    let compact = example["sd_jwt"].as_str().unwrap();
    let holder: EcJwk = serde_json::from_value(example["processed"]["cnf"]["jwk"].clone()).unwrap();
    let issuer: EcJwk = serde_json::from_value(examples["issuer"].clone()).unwrap();
    let verify = |compact: &str, key: &EcJwk| {
        block_on(KeyBinding::verify(&Parts::parse(compact).unwrap(), key, &primitives()))
    };
    let binding = verify(compact, &holder).unwrap();
    assert_eq!(serde_json::to_value(&binding).unwrap(), example["key_binding"]);
    assert_eq!(verify(compact, &issuer), Err(Error::HolderUnproven));
    let (first, rest) = compact.split_once('~').unwrap();
    let (_, fewer) = rest.split_once('~').unwrap();
    assert_eq!(verify(&format!("{first}~{fewer}"), &holder), Err(Error::HolderUnproven));
    let without = Parts::parse(compact).unwrap().presented;
    assert_eq!(verify(without, &holder), Err(Error::HolderUnproven));
}

#[test]
fn recursive_disclosures_of_section_6_3_reveal_step_by_step() {
    let recursive = examples()["recursive"].clone();
    let all: Vec<String> = serde_json::from_value(recursive["disclosures"].clone()).unwrap();
    let payload = recursive["payload"].clone();
    assert_eq!(process(payload.clone(), &all).unwrap(), recursive["processed"]);

    let address = all.last().cloned().unwrap();
    let outer = process(payload.clone(), std::slice::from_ref(&address)).unwrap();
    assert_eq!(outer["address"], json!({}));
    let some = process(payload.clone(), &[address, all[1].clone()]).unwrap();
    assert_eq!(some["address"], json!({ "locality": "Schulpforta" }));
    // Its parent is missing: section 4.2.6 calls this illegal.
    assert_eq!(process(payload, &all[..1]), Err(Error::RecordForged));
}

/// A disclosure of `content`, and its digest.
fn disclosure(content: &Value) -> (String, String) {
    let encoded = hdms::base64url::encode(content.to_string());
    let digest = hdms::base64url::digest(&encoded);
    (encoded, digest)
}

#[test]
fn each_rule_of_section_7_1_is_kept() {
    let (name, name_digest) = disclosure(&json!(["salt", "name", "Erika"]));
    let (element, element_digest) = disclosure(&json!(["salt", "DE"]));
    let reserved = |name: &str| disclosure(&json!(["salt", name, ["x"]]));
    let malformed = Err(Error::RecordMalformed);

    let sound = json!({ "_sd": [name_digest], "list": [1, { "...": element_digest }, 3] });
    assert_eq!(
        process(sound.clone(), &[name.clone(), element.clone()]).unwrap(),
        json!({ "list": [1, "DE", 3], "name": "Erika" })
    );
    assert_eq!(process(sound.clone(), &[]).unwrap(), json!({ "list": [1, 3] }));
    assert_eq!(process(json!({ "_sd": [], "a": {"_sd": ["decoy"]} }), &[]), Ok(json!({ "a": {} })));

    // Step 5: a disclosure without digest, or given twice.
    let (stray, _) = disclosure(&json!(["salt", "stray", 1]));
    assert_eq!(process(sound.clone(), &[stray]), Err(Error::RecordForged));
    assert_eq!(process(sound, &[name.clone(), name.clone()]), Err(Error::RecordForged));
    // Step 4: a digest met twice, though nobody discloses it.
    for payload in [
        json!({ "_sd": ["decoy", "decoy"] }),
        json!({ "_sd": ["decoy"], "list": [{ "...": "decoy" }] }),
    ] {
        assert_eq!(process(payload, &[]), malformed);
    }
    // Step 3: forms, names and places.
    let as_member = json!({ "_sd": [element_digest] });
    assert_eq!(process(as_member, std::slice::from_ref(&element)), malformed);
    let as_element = json!({ "list": [{ "...": name_digest }] });
    assert_eq!(process(as_element, std::slice::from_ref(&name)), malformed);
    let taken = json!({ "_sd": [name_digest], "name": "Max" });
    assert_eq!(process(taken, std::slice::from_ref(&name)), malformed);
    for (encoded, digest) in [reserved("_sd"), reserved("...")] {
        assert_eq!(process(json!({ "_sd": [digest] }), &[encoded]), malformed);
    }
    for payload in [
        json!({ "_sd": "digest" }),
        json!({ "_sd": [1] }),
        json!({ "list": [{ "...": 1 }] }),
        json!({ "list": [{ "...": "digest", "more": 1 }] }),
        json!({ "...": "digest" }),
        json!({ "_sd_alg": "sha-512" }),
        json!({ "_sd_alg": null }),
    ] {
        assert_eq!(process(payload.clone(), &[]), malformed, "{payload}");
    }
    for content in [
        json!({}),
        json!(["salt"]),
        json!(["salt", "a", 1, 2]),
        json!([1, "a", 1]),
        json!(["salt", 1, 1]),
    ] {
        let (encoded, digest) = disclosure(&content);
        assert_eq!(process(json!({ "_sd": [digest] }), &[encoded]), malformed, "{content}");
    }
    let padded = format!("{name}==");
    let digest = hdms::base64url::digest(&padded);
    assert_eq!(process(json!({ "_sd": [digest] }), &[padded]), malformed);
}

#[test]
fn disclosures_can_not_build_a_tree_deeper_than_json_may_be() {
    let mut disclosures = Vec::new();
    let mut digest = None::<String>;
    for _ in 0..10_000 {
        let value = digest.map_or(json!(1), |digest| json!({ "_sd": [digest] }));
        let (encoded, next) = disclosure(&json!(["salt", "a", value]));
        disclosures.push(encoded);
        digest = Some(next);
    }
    let mut payload = Map::new();
    payload.insert("_sd".into(), json!([digest]));
    assert_eq!(process(Value::Object(payload), &disclosures), Err(Error::RecordMalformed));
}
