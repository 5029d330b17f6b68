//! Records over the FHIR data that lies beside the checkout: nothing lost, nothing altered, and
//! everything small enough.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use hdms::Error;
use hdms::fhir::{intake, resource};
use hdms::padding;
use hdms::record::Selection;
use hdms_records::{WORLD, sample};
use serde_json::Value;

/// Bytes of the largest record that intake may lead to, that an envelope has room for.
const LARGEST: usize = hdms::record::MAX_BYTES;

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

#[test]
fn every_example_survives_issue_and_verification_to_the_byte() {
    for folder in ["r4-examples", "ips", "synthea"] {
        let (mut files, mut content, mut records, mut padded) = (0, 0, 0, 0);
        for (path, bytes) in sample(folder) {
            let fhir = resource::parse(&bytes)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let record = WORLD.issue(&fhir).unwrap();
            let verified = WORLD.verify(record.compact()).unwrap();
            assert_eq!(verified.fhir().to_string(), text(&bytes), "{}", path.display());
            assert_eq!(verified.subject(), Some("patient-node"));
            (files, content, records) =
                (files + 1, content + text(&bytes).len(), records + record.compact().len());
            padded += padding::class(record.compact().len() + AROUND) - AROUND;
        }
        eprintln!(
            "{folder}: {files} files, {content} bytes of FHIR, {records} bytes of records, {padded} with \
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
    for max_bytes in [intake::MAX_BYTES, 20_000] {
        let (mut records, mut largest, mut largest_record) = (0, 0, 0);
        for (path, bytes) in sample("synthea") {
            let bundle = resource::parse(&bytes).unwrap();
            let taken = intake::take_in(bundle.clone(), max_bytes).unwrap();
            assert_eq!(resources(&[bundle]), resources(&taken), "{}", path.display());
            for fhir in &taken {
                let size = fhir.to_string().len();
                assert!(size <= max_bytes);
                assert!(!fhir.to_string().contains("urn:uuid:"), "{}", path.display());
                resource::check(fhir).unwrap();
                let record = WORLD.issue(fhir).unwrap();
                assert_eq!(WORLD.verify(record.compact()).unwrap().fhir(), fhir);
                assert!(record.compact().len() <= LARGEST);
                largest = largest.max(size);
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

/// The worst that intake may hand on: whole patients packed as tightly as the limit allows.
#[test]
fn the_fullest_record_that_intake_can_make_fits_an_envelope() {
    for (path, bytes) in sample("synthea") {
        let mut bundle = resource::parse(&bytes).unwrap();
        let entries = bundle["entry"].as_array().unwrap().clone();
        let mut packed = Vec::new();
        let mut size = 100;
        for entry in entries.iter().cycle() {
            let entry = serde_json::json!({ "resource": entry["resource"] });
            size += entry.to_string().len() + 1;
            if size > intake::MAX_BYTES {
                break;
            }
            packed.push(entry);
        }
        bundle["entry"] = packed.into();
        let record = WORLD.issue(&bundle).unwrap();
        let fhir = bundle.to_string().len();
        eprintln!("{fhir} bytes of FHIR, {} as record", record.compact().len());
        assert!(record.compact().len() <= LARGEST, "{}", path.display());
    }
}

#[test]
fn documents_of_the_patient_summary_stay_whole() {
    for (path, bytes) in sample("ips") {
        let fhir = resource::parse(&bytes).unwrap();
        let taken = intake::take_in(fhir.clone(), intake::MAX_BYTES).unwrap();
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
        assert_eq!(intake::take_in(bundle, 500).unwrap_err(), Error::RecordTooLarge);
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
        let mut places = Vec::new();
        for (index, entry) in resource::entries(&bundle).iter().enumerate() {
            places.push(format!("/fhir/entry/{index}"));
            let contained = entry["resource"]["contained"].as_array().map_or(0, Vec::len);
            let inside = |inside| format!("/fhir/entry/{index}/resource/contained/{inside}");
            places.extend((0..contained).map(inside));
        }
        let shown = WORLD.issue(&bundle).unwrap().select(Selection::Bare(&places)).unwrap();
        let shown = WORLD.verify(shown.compact()).unwrap().fhir().clone();
        assert_eq!(resource::entries(&shown).len(), resource::entries(&bundle).len());
        let text = shown.to_string();
        for secret in secrets(&bundle) {
            assert!(!text.contains(&secret), "{}: {secret}", path.display());
        }
        let count = |text: &str| text.matches("\"valueQuantity\":{\"value\":").count();
        assert_eq!(count(&text), count(&bundle.to_string()));
    }
}
