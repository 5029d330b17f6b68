//! Records at their boundary: what comes out again, what is refused, and what is shown to whom.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::LazyLock;

use futures_lite::future::block_on;
use hdms::Error;
use hdms::base64url;
use hdms::fhir::resource;
use hdms::provider::Timestamp;
use hdms::record::sdjwt::Parts;
use hdms::record::{self, Content, Record, Selection, VerifiedRecord, WINDOW};
use hdms::testing::{FixedClock, SeededRandomness};
use hdms_records::{DAY, ISSUED, WORLD, World};
use serde_json::{Value, json};

const BUNDLE: &str = r#"{"resourceType":"Bundle","id":"b1","type":"collection","timestamp":"2026-05-17T09:30:00+09:00","entry":[{"fullUrl":"https://h.example/Patient/p1","resource":{"resourceType":"Patient","id":"p1","name":[{"family":"Kim","given":["Minji"]}],"gender":"female","birthDate":"1984-03-02"}},{"resource":{"id":"o1","resourceType":"Observation","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"4548-4","display":"Hemoglobin A1c"}],"text":"HbA1c"},"subject":{"reference":"Patient/p1","display":"Minji Kim"},"effectiveDateTime":"2026-05-17","issued":"2026-05-17T09:30:00+09:00","valueQuantity":{"value":6.50,"unit":"%"},"note":[{"text":"Ask Ms Kim again in May."}],"performer":[{"reference":"Practitioner/d1","display":"Dr Lee"}]}}]}"#;

fn bundle() -> Value {
    resource::parse(BUNDLE.as_bytes()).unwrap()
}

static RECORD: LazyLock<Record> = LazyLock::new(|| WORLD.issue(&bundle()).unwrap());

fn selected(selection: Selection<'_>) -> VerifiedRecord {
    WORLD.verify(RECORD.select(selection).unwrap().compact()).unwrap()
}

#[test]
fn with_everything_disclosed_a_record_holds_what_its_author_wrote() {
    let record = WORLD.verify(RECORD.compact()).unwrap();
    assert_eq!(record.author(), WORLD.author());
    assert_eq!(record::claimed_author(RECORD.compact()).unwrap().to_string(), record.author());
    assert_eq!(record.issued(), DAY);
    assert_eq!(record.subject(), Some("patient-node"));
    assert_eq!(record.case(), Some("case-1"));
    assert_eq!(record.holder(), Some(&WORLD.holder));
    assert_eq!(record.fhir().to_string(), BUNDLE);
    assert_eq!(record.kinds(), ["Patient", "Observation"]);
    assert_eq!(record.codes(), ["http://loinc.org|4548-4"]);
    assert_eq!((record.year(), record.age()), (Some(2026), Some(42)));
}

#[test]
fn the_signed_jwt_alone_names_nobody_and_says_nothing_of_the_content() {
    let forgotten = RECORD.forget();
    assert_eq!(forgotten.verification_key(), RECORD.verification_key());
    let record = WORLD.verify(forgotten.compact()).unwrap();
    assert_eq!((record.subject(), record.case()), (None, None));
    assert_eq!((record.kinds().len(), record.codes().len()), (0, 0));
    assert_eq!((record.year(), record.age()), (None, None));
    assert_eq!(*record.fhir(), json!({ "resourceType": "Bundle" }));
}

#[test]
fn a_laboratory_value_is_disclosed_without_whose_it_is() {
    let record = selected(Selection::Bare(&["/fhir/entry/1".into()]));
    assert_eq!(record.verification_key(), RECORD.verification_key());
    assert_eq!((record.subject(), record.case()), (None, None));
    assert_eq!(
        record.fhir().to_string(),
        r#"{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Observation","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"4548-4","display":"Hemoglobin A1c"}],"text":"HbA1c"},"valueQuantity":{"value":6.50,"unit":"%"}}}]}"#
    );
}

#[test]
fn what_it_is_about_is_disclosed_without_what_it_says() {
    let places = ["/kinds", "/codes/0", "/year"].map(str::to_owned);
    let record = selected(Selection::Whole(&places));
    assert_eq!(record.kinds(), ["Patient", "Observation"]);
    assert_eq!(record.codes(), ["http://loinc.org|4548-4"]);
    assert_eq!((record.year(), record.age()), (Some(2026), None));
    assert_eq!(*record.fhir(), json!({ "resourceType": "Bundle" }));
    let record = selected(Selection::Whole(&["/kinds/1".into(), "/age".into()]));
    assert_eq!((record.kinds(), record.age()), (&["Observation".to_owned()][..], Some(42)));
}

#[test]
fn single_elements_are_disclosed_on_top_when_their_holder_wants_to() {
    let places = ["/fhir/entry/1/resource/effectiveDateTime".into(), "/fhir/entry/0".into()];
    let record = selected(Selection::Bare(&places));
    let entry = &record.fhir()["entry"];
    assert_eq!(entry[0]["resource"], json!({ "resourceType": "Patient", "gender": "female" }));
    assert_eq!(entry[1]["resource"]["effectiveDateTime"], "2026-05-17");
    assert_eq!(entry[1]["resource"].get("issued"), None);
}

#[test]
fn a_whole_place_comes_with_everything_below_it() {
    let record = selected(Selection::Whole(&["/fhir/entry/0".into(), "/sub".into()]));
    assert_eq!(record.subject(), Some("patient-node"));
    assert_eq!(record.case(), None);
    assert_eq!(record.fhir()["entry"].as_array().unwrap().len(), 1);
    assert_eq!(record.fhir()["entry"][0], bundle()["entry"][0]);
}

#[test]
fn what_is_not_in_a_record_can_not_be_chosen() {
    for place in ["/fhir/entry/2", "/fhir/none", "fhir", "/iat/0"] {
        let chosen = [place.to_owned()];
        for selection in [Selection::Whole(&chosen), Selection::Bare(&chosen)] {
            assert_eq!(RECORD.select(selection).err(), Some(Error::CommandMalformed), "{place}");
        }
    }
    let once = RECORD.select(Selection::Bare(&["/fhir/entry/1".into()])).unwrap();
    let hidden = ["/fhir/entry/0/resource/subject".to_owned()];
    assert_eq!(once.select(Selection::Bare(&hidden)).err(), Some(Error::CommandMalformed));
}

#[test]
fn two_records_of_the_same_content_have_nothing_in_common() {
    let other = WORLD.issue(&bundle()).unwrap();
    assert_ne!(other.verification_key(), RECORD.verification_key());
    let disclosures = |record: &Record| -> Vec<String> {
        Parts::parse(record.compact()).unwrap().disclosures().map(str::to_owned).collect()
    };
    let (one, another) = (disclosures(&RECORD), disclosures(&other));
    assert_eq!(one.len(), another.len());
    assert!(one.iter().all(|disclosure| !another.contains(disclosure)));
    let digests = |record: &Record| -> Vec<Value> {
        let payload = base64url::decode(record.jwt().split('.').nth(1).unwrap()).unwrap();
        let payload: Value = serde_json::from_slice(&payload).unwrap();
        let of = |object: &Value| object["_sd"].as_array().unwrap().clone();
        [of(&payload), of(&payload["fhir"])].concat()
    };
    let (one, other) = (digests(&RECORD), digests(&other));
    assert_eq!((one.len(), other.len()), (16, 16));
    assert!(one.iter().all(|digest| !other.contains(digest)));
}

#[test]
fn whatever_is_altered_is_refused() {
    let compact = RECORD.compact();
    let refused = |text: &str| WORLD.verify(text).unwrap_err();
    let (jwt, disclosures) = compact.split_once('~').unwrap();
    let (input, _) = jwt.rsplit_once('.').unwrap();
    let signature = base64url::encode([7; 256]);
    assert_eq!(refused(&format!("{input}.{signature}~{disclosures}")), Error::RecordForged);

    let mut parts: Vec<&str> = compact.split('~').collect();
    let foreign = base64url::encode(r#"["c2FsdA","sub","somebody-else"]"#);
    parts[1] = &foreign;
    assert_eq!(refused(&parts.join("~")), Error::RecordForged);
    parts[1] = parts[2];
    assert_eq!(refused(&parts.join("~")), Error::RecordForged);

    for malformed in ["", "~", "a.b.c", "a.b.c~", jwt, compact.trim_end_matches('~'), "ö~"] {
        assert_eq!(refused(malformed), Error::RecordMalformed, "{malformed}");
    }
    assert_eq!(refused(&format!("{compact}{}", "~".repeat(600_000))), Error::RecordTooLarge);
}

#[test]
fn other_algorithms_types_and_authors_are_refused_by_their_names() {
    let payload = RECORD.jwt().split('.').nth(1).unwrap();
    let with_header = |header: Value| {
        let jwt = format!(
            "{}.{payload}.{}~",
            base64url::encode(header.to_string()),
            base64url::encode([7; 256])
        );
        WORLD.verify(&jwt).unwrap_err()
    };
    let (typ, kid) = (record::KIND.typ, WORLD.author());
    for alg in ["none", "HS256", "RS256"] {
        assert_eq!(
            with_header(json!({ "alg": alg, "typ": typ, "kid": kid })),
            Error::AlgorithmRefused
        );
    }
    assert_eq!(
        with_header(json!({ "alg": "ES256", "typ": typ, "kid": kid })),
        Error::AlgorithmRefused
    );
    assert_eq!(
        with_header(json!({ "alg": "PS256", "typ": "hdms+jwt", "kid": kid })),
        Error::RecordMalformed
    );
    assert_eq!(
        with_header(json!({ "alg": "PS256", "typ": typ, "kid": "other" })),
        Error::RecordForeign
    );
    assert_eq!(with_header(json!({ "alg": "PS256", "typ": typ })), Error::RecordForeign);

    let other = World::new(2).unwrap();
    assert_eq!(other.verify(RECORD.compact()).unwrap_err(), Error::RecordForeign);
}

#[test]
fn only_sound_fhir_that_fits_is_signed() {
    for content in [
        json!({}),
        json!([]),
        json!({ "resourceType": "Spaceship" }),
        json!({ "resourceType": "Basic", "_sd": ["digest"] }),
        json!({ "resourceType": "Basic", "extension": [{ "...": "digest" }] }),
    ] {
        assert_eq!(WORLD.issue(&content).unwrap_err(), Error::NotFhir, "{content}");
    }
    let binary = |bytes| {
        let data = "A".repeat(bytes);
        WORLD.issue(&json!({ "resourceType": "Binary", "contentType": "a/b", "data": data }))
    };
    assert!(binary(420_000).is_ok());
    assert_eq!(binary(430_000).unwrap_err(), Error::RecordTooLarge);
}

mod presentation {
    use super::*;

    const HOSPITAL: &str = "hospital-2";
    const NONCE: &str = "request-7";

    fn present(selection: Selection<'_>, at: Timestamp) -> String {
        let clock = FixedClock::new(at);
        block_on(record::present(&RECORD, selection, NONCE, HOSPITAL, &WORLD.holders, &clock))
            .unwrap()
    }

    fn verify(
        compact: &str,
        audience: &str,
        nonce: &str,
        now: Timestamp,
    ) -> Result<VerifiedRecord, Error> {
        let author = &WORLD.author_keys().unwrap();
        block_on(record::verify_presentation(
            compact,
            author,
            audience,
            nonce,
            now,
            &WORLD.primitives,
        ))
    }

    #[test]
    fn its_audience_reads_what_was_chosen_and_knows_that_the_holder_sent_it() {
        let shown = present(Selection::Whole(&["/fhir/entry/1".into()]), ISSUED);
        let record = verify(&shown, HOSPITAL, NONCE, ISSUED).unwrap();
        assert_eq!(record.fhir()["entry"][0]["resource"]["performer"][0]["display"], "Dr Lee");
        assert_eq!(record.verification_key(), RECORD.verification_key());
        assert_eq!(WORLD.verify(record.record().compact()).unwrap().fhir(), record.fhir());

        let shown = present(Selection::All, ISSUED);
        assert_eq!(verify(&shown, HOSPITAL, NONCE, ISSUED).unwrap().fhir().to_string(), BUNDLE);
    }

    #[test]
    fn it_serves_for_one_audience_one_request_and_a_few_minutes() {
        let shown = present(Selection::All, ISSUED);
        let refused = |audience, nonce, now| verify(&shown, audience, nonce, now).unwrap_err();
        assert_eq!(refused("other", NONCE, ISSUED), Error::HolderUnproven);
        assert_eq!(refused(HOSPITAL, "other", ISSUED), Error::HolderUnproven);
        for seconds in [ISSUED.seconds() + WINDOW + 1, ISSUED.seconds() - WINDOW - 1] {
            let now = Timestamp::from_seconds(seconds);
            assert_eq!(refused(HOSPITAL, NONCE, now), Error::HolderUnproven);
        }
        let late = Timestamp::from_seconds(ISSUED.seconds() + WINDOW);
        assert!(verify(&shown, HOSPITAL, NONCE, late).is_ok());
    }

    #[test]
    fn without_the_holders_proof_over_just_this_it_is_refused() {
        let shown = present(Selection::All, ISSUED);
        let less = present(Selection::Bare(&["/fhir/entry/1".into()]), ISSUED);
        let (all, binding) = shown.split_at(shown.rfind('~').unwrap() + 1);
        let (few, _) = less.split_at(less.rfind('~').unwrap() + 1);
        for forged in [all.to_owned(), format!("{few}{binding}"), format!("{all}{binding}x")] {
            let error = verify(&forged, HOSPITAL, NONCE, ISSUED).unwrap_err();
            assert_eq!(error, Error::HolderUnproven);
        }
        let none = base64url::encode(r#"{"alg":"none","typ":"kb+jwt"}"#);
        let (_, claims) = binding.split_once('.').unwrap();
        let forged = format!("{all}{none}.{claims}");
        assert_eq!(verify(&forged, HOSPITAL, NONCE, ISSUED).unwrap_err(), Error::AlgorithmRefused);
        // A holder, on the other hand, takes no presentation for a record (section 7.2).
        assert_eq!(WORLD.verify(&shown).unwrap_err(), Error::RecordMalformed);
    }

    #[test]
    fn a_record_without_holder_can_not_be_presented() {
        let content = Content {
            author: &WORLD.author(),
            patient: "patient-node",
            case: "case-1",
            holder: None,
            issued: ISSUED,
            born: None,
            fhir: &bundle(),
        };
        let own =
            block_on(record::issue(&content, &WORLD.keys, &SeededRandomness::new(5))).unwrap();
        let clock = FixedClock::new(ISSUED);
        let shown = block_on(record::present(
            &own,
            Selection::All,
            NONCE,
            HOSPITAL,
            &WORLD.holders,
            &clock,
        ));
        assert_eq!(shown, Err(Error::HolderUnproven));
        let binding = present(Selection::All, ISSUED);
        let binding = binding.rsplit_once('~').unwrap().1;
        let forged = format!("{}{binding}", own.compact());
        assert_eq!(verify(&forged, HOSPITAL, NONCE, ISSUED).unwrap_err(), Error::HolderUnproven);
    }

    #[test]
    fn a_key_that_is_kept_elsewhere_signs_nothing_here() {
        let other = World::new(3).unwrap();
        let clock = FixedClock::new(ISSUED);
        let shown = block_on(record::present(
            &RECORD,
            Selection::All,
            NONCE,
            HOSPITAL,
            &other.holders,
            &clock,
        ));
        assert_eq!(shown, Err(Error::UnknownKey));
    }
}
