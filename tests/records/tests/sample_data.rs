//! Records over the FHIR data that lies beside the checkout: nothing lost, nothing altered, and
//! everything small enough.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use hdms::Error;
use hdms::base64url;
use hdms::fhir::{intake, resource};
use hdms::padding;
use hdms::record::{self, Record, Selection};
use hdms_records::{WORLD, sample};
use serde_json::Value;

const FOLDERS: [&str; 3] = ["r4-examples", "ips", "synthea"];

/// Bytes of what goes with a record in a message: claims and endorsement.
const AROUND: usize = 2_000;

/// The author's text without the space between its tokens.
fn text(bytes: &[u8]) -> String {
    let mut text = String::new();
    let (mut in_string, mut escaped) = (false, false);
    for letter in std::str::from_utf8(bytes).unwrap().chars() {
        if in_string || !letter.is_ascii_whitespace() {
            text.push(letter);
        }
        in_string = in_string != (letter == '"' && !escaped);
        escaped = in_string && letter == '\\' && !escaped;
    }
    text
}

/// What a folder's files become: contents that each fit a record.
fn contents(folder: &str) -> Vec<(String, Value)> {
    let mut contents = Vec::new();
    for (path, bytes) in sample(folder) {
        let name = path.display().to_string();
        let fhir = resource::parse(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(fhir.to_string(), text(&bytes), "{name}");
        let taken =
            if folder == "synthea" { intake::take_in(fhir, fits).unwrap() } else { vec![fhir] };
        contents.extend(taken.into_iter().map(|fhir| (name.clone(), fhir)));
    }
    contents
}

fn fits(content: &Value) -> bool {
    record::size(content).is_ok()
}

#[test]
fn every_example_survives_issue_and_verification_to_the_byte() {
    for folder in FOLDERS {
        let (mut files, mut content, mut records, mut padded) = (0, 0, 0, 0);
        for (name, fhir) in contents(folder) {
            let record = WORLD.issue(&fhir).unwrap();
            let verified = WORLD.verify(record.compact()).unwrap();
            assert_eq!(verified.fhir().to_string(), fhir.to_string(), "{name}");
            assert_eq!(verified.subject(), Some("patient-node"));
            (files, content, records) =
                (files + 1, content + fhir.to_string().len(), records + record.compact().len());
            padded += padding::class(record.compact().len() + AROUND) - AROUND;
        }
        eprintln!(
            "{folder}: {files} contents, {content} bytes of FHIR, {records} bytes of records, {padded} with \
             the padding of their envelopes"
        );
    }
}

/// Each resource with its references cut off, counted.
fn resources(records: &[Value]) -> BTreeMap<String, usize> {
    fn without_urns(value: &mut Value) {
        match value {
            Value::Array(elements) => elements.iter_mut().for_each(without_urns),
            Value::Object(members) => members.values_mut().for_each(without_urns),
            Value::String(text) => {
                if let Some(uuid) = text.strip_prefix("urn:uuid:") {
                    *text = uuid.to_owned();
                } else if let Some((_, id)) =
                    text.split_once('/').filter(|(kind, _)| resource::is_type(kind))
                {
                    *text = id.to_owned();
                }
            }
            _ => {}
        }
    }
    let mut counts = BTreeMap::new();
    for entry in records.iter().flat_map(resource::entries) {
        let mut resource = entry["resource"].clone();
        without_urns(&mut resource);
        *counts.entry(resource.to_string()).or_default() += 1;
    }
    counts
}

#[test]
fn intake_of_whole_patients_drops_and_doubles_nothing() {
    for max_bytes in [record::MAX_BYTES, 60_000] {
        let fits = |content: &Value| record::size(content).is_ok_and(|bytes| bytes <= max_bytes);
        let (mut records, mut largest, mut largest_record) = (0, 0, 0);
        for (path, bytes) in sample("synthea") {
            let bundle = resource::parse(&bytes).unwrap();
            let taken = intake::take_in(bundle.clone(), fits).unwrap();
            assert_eq!(resources(&[bundle]), resources(&taken), "{}", path.display());
            for fhir in &taken {
                assert!(!fhir.to_string().contains("urn:uuid:"), "{}", path.display());
                resource::check(fhir).unwrap();
                let record = WORLD.issue(fhir).unwrap();
                assert_eq!(WORLD.verify(record.compact()).unwrap().fhir(), fhir);
                assert!(record.compact().len() <= max_bytes);
                largest = largest.max(fhir.to_string().len());
                largest_record = largest_record.max(record.compact().len());
            }
            records += taken.len();
        }
        eprintln!(
            "at most {max_bytes}: {records} records, the largest {largest} bytes of FHIR, \
             {largest_record} as record"
        );
    }
}

/// The worst that intake may hand on: a whole patient packed as tightly as the limit allows.
#[test]
fn the_fullest_record_that_intake_can_make_fits_an_envelope() {
    let Some((_, bytes)) = sample("synthea").pop() else { return };
    let mut bundle = resource::parse(&bytes).unwrap();
    let entries = bundle["entry"].as_array().unwrap().clone();
    let mut packed = |count: usize| {
        bundle["entry"] = entries.iter().cycle().take(count).cloned().collect();
        bundle.clone()
    };
    let (mut fitting, mut too_many) = (1, 10_000);
    while too_many - fitting > 1 {
        let middle = (fitting + too_many) / 2;
        if fits(&packed(middle)) { fitting = middle } else { too_many = middle }
    }
    let fullest = packed(fitting);
    let record = WORLD.issue(&fullest).unwrap().compact().len();
    eprintln!("{} bytes of FHIR, {record} as record", fullest.to_string().len());
    assert!((record::MAX_BYTES - 10_000..=record::MAX_BYTES).contains(&record));
}

#[test]
fn documents_of_the_patient_summary_stay_whole() {
    for (path, bytes) in sample("ips") {
        let fhir = resource::parse(&bytes).unwrap();
        let taken = intake::take_in(fhir.clone(), fits).unwrap();
        assert_eq!(
            taken.iter().map(Value::to_string).collect::<Vec<_>>(),
            [fhir.to_string()],
            "{}",
            path.display()
        );
    }
}

#[test]
fn a_resource_that_can_not_be_divided_is_refused_when_it_does_not_fit() {
    for (_, bytes) in sample("synthea") {
        let bundle = resource::parse(&bytes).unwrap();
        let fits = |content: &Value| content.to_string().len() <= 500;
        assert_eq!(intake::take_in(bundle, fits).unwrap_err(), Error::RecordTooLarge);
    }
}

/// Texts that say who somebody is, of the persons in a Bundle.
fn secrets(bundle: &Value) -> Vec<String> {
    fn strings(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::String(text) => found.push(text.clone()),
            Value::Array(elements) => elements.iter().for_each(|element| strings(element, found)),
            Value::Object(members) => members.values().for_each(|value| strings(value, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    for resource in resource::entries(bundle).iter().map(|entry| &entry["resource"]) {
        found.push(resource["id"].as_str().unwrap().to_owned());
        if let Some("Patient" | "Practitioner") = resource::kind(resource) {
            for member in ["family", "given"] {
                strings(&resource["name"][0][member], &mut found);
            }
            for member in ["line", "city", "postalCode"] {
                strings(&resource["address"][0][member], &mut found);
            }
            found.extend(resource["telecom"][0]["value"].as_str().map(str::to_owned));
            found.extend(resource["identifier"][0]["value"].as_str().map(str::to_owned));
            found.extend(resource["birthDate"].as_str().map(str::to_owned));
        }
    }
    // Short ones stand in any number.
    found.retain(|text| text.len() > 3);
    found
}

#[test]
fn of_whole_patients_nothing_shows_who_they_are_unless_it_was_chosen() {
    for (path, bytes) in sample("synthea") {
        let bundle = resource::parse(&bytes).unwrap();
        let secrets = secrets(&bundle);
        for content in intake::take_in(bundle, fits).unwrap() {
            let record = WORLD.issue(&content).unwrap();
            let shown = record.select(Selection::Bare(&["/fhir".into()])).unwrap();
            let shown = WORLD.verify(shown.compact()).unwrap().fhir().clone();
            assert_eq!(resource::entries(&shown).len(), resource::entries(&content).len());
            let text = shown.to_string();
            for secret in &secrets {
                assert!(!text.contains(secret), "{}: {secret}", path.display());
            }
            let count = |text: &str| text.matches("\"valueQuantity\":{\"value\":").count();
            assert_eq!(count(&text), count(&content.to_string()));
        }
    }
}

/// What is signed of a record, without what the protocol's page says may be seen: the names that are the
/// same in all records, digests, author, key, day and the resource's type.
fn seen(record: &Record, kind: &str) -> String {
    let part = |part| base64url::decode(record.jwt().split('.').nth(part).unwrap()).unwrap();
    let header: Value = serde_json::from_slice(&part(0)).unwrap();
    let mut payload: Value = serde_json::from_slice(&part(1)).unwrap();
    for object in ["", "/fhir"] {
        payload.pointer_mut(object).unwrap().as_object_mut().unwrap().shift_remove("_sd");
    }
    let mut seen = format!("{header}{payload}");
    let [iat, cnf] = ["iat", "cnf"].map(|name| payload[name].to_string());
    let (author, kind) = (WORLD.author(), format!("\"{kind}\""));
    for known in [
        iat.as_str(),
        &cnf,
        &author,
        &kind,
        "hdms-record-2+sd-jwt",
        "PS256",
        "sha-256",
        "\"resourceType\"",
        "\"_sd_alg\"",
        "\"fhir\"",
        "\"iss\"",
        "\"iat\"",
        "\"cnf\"",
        "\"alg\"",
        "\"typ\"",
        "\"kid\"",
    ] {
        seen = seen.replace(known, "");
    }
    seen
}

/// Every string and number of some FHIR that is longer than two characters.
fn texts(value: &Value, found: &mut Vec<String>) {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Array(elements) => return elements.iter().for_each(|element| texts(element, found)),
        Value::Object(members) => return members.values().for_each(|value| texts(value, found)),
        _ => return,
    };
    found.extend(Some(text).filter(|text| text.chars().count() > 2));
}

#[test]
fn what_is_signed_says_nothing_of_what_it_is_about() {
    for (name, fhir) in FOLDERS.iter().flat_map(|folder| contents(folder)) {
        let seen = seen(&WORLD.issue(&fhir).unwrap(), resource::kind(&fhir).unwrap());
        let mut found = Vec::new();
        texts(&fhir, &mut found);
        for text in found {
            assert!(!seen.contains(&text), "{name}: {text} in {seen}");
        }
        assert!(!seen.contains(char::is_alphanumeric), "{name}: {seen}");
    }
}
