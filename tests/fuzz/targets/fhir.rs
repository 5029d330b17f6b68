//! FHIR content as a hospital's systems hand it in. What is taken in becomes records, none of it is
//! lost, and each record gives back its content to the byte.
#![no_main]

use futures_lite::future::block_on;
use hdms::Error;
use hdms::fhir::{facts, intake, resource};
use hdms::record::{self, Content};
use hdms::testing::SeededRandomness;
use hdms_fuzz::{NOW, Trusting, world};
use serde_json::Value;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Ok(fhir) = resource::parse(input) else { return };
    let resources = count(&fhir);
    if let Ok(records) = intake::take_in(fhir, |content| content.to_string().len() <= 400) {
        assert_eq!(records.iter().map(count).sum::<usize>(), resources);
        for content in records {
            assert_kept(&content);
        }
    }
});

/// Resources in a Bundle, or one.
fn count(resource: &Value) -> usize {
    match resource::kind(resource) {
        Some("Bundle") => {
            let entries = resource::entries(resource);
            entries.iter().filter(|entry| entry.get("resource").is_some()).count()
        }
        _ => 1,
    }
}

fn assert_kept(fhir: &Value) {
    let author = &world().hospital;
    let content = Content {
        author: author.id().as_ref(),
        patient: world().patient.id().as_ref(),
        case: "0199a2b1-0000-7000-8000-000000000000",
        holder: None,
        issued: NOW,
        born: facts::born([fhir]),
        fhir,
    };
    let record = match block_on(record::issue(&content, &Trusting, &SeededRandomness::new(0))) {
        Ok(record) => record,
        Err(Error::NotFhir | Error::RecordTooLarge) => return,
        Err(error) => unreachable!("{error}"),
    };
    match block_on(record::verify(record.compact(), author.keys(), &Trusting)) {
        Ok(verified) => {
            assert_eq!(verified.fhir().to_string(), content.fhir.to_string());
            assert!(record::size(fhir).is_ok_and(|size| size >= record.compact().len()));
        }
        Err(error) => unreachable!("{error}"),
    }
}
