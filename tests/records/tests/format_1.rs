//! Records of format 1 as the last version issued them that knew no other: a hospital's result, and what a
//! patient wrote. Whatever becomes of the format, these open, and are shown and forgotten, for ever.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::LazyLock;

use futures_lite::future::block_on;
use hdms::base64url;
use hdms::card::SigningKeys;
use hdms::provider::Timestamp;
use hdms::record::{self, Record, Selection, VerifiedRecord};
use hdms::software::SoftwareHolders;
use hdms::testing::{FixedClock, SeededRandomness};
use hdms_records::WORLD;
use serde_json::{Value, json};

static FIXTURE: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../vectors/format_1.json")).unwrap());

/// One of the two, with the key of its author.
struct Former {
    author: SigningKeys,
    record: Record,
    text: &'static str,
}

impl Former {
    fn of(name: &str) -> Self {
        let text = |member: &str| FIXTURE[name][member].as_str().unwrap();
        let author = serde_json::from_value(FIXTURE[name]["author"].clone()).unwrap();
        Self {
            author: SigningKeys::first(&author).unwrap(),
            record: Record::parse(text("compact")).unwrap(),
            text: text("content"),
        }
    }

    fn verify(&self, compact: &str) -> VerifiedRecord {
        block_on(record::verify(compact, &self.author, &WORLD.primitives)).unwrap()
    }

    fn selected(&self, selection: Selection<'_>) -> VerifiedRecord {
        self.verify(self.record.select(selection).unwrap().compact())
    }
}

#[test]
fn they_give_back_what_their_authors_wrote() {
    for name in ["result", "own"] {
        let former = Former::of(name);
        let verified = former.verify(former.record.compact());
        assert_eq!(verified.fhir().to_string(), former.text);
        let author = record::claimed_author(former.record.compact()).unwrap();
        assert_eq!(author, *former.author.node());
        assert_eq!(verified.verification_key(), FIXTURE[name]["verification_key"]);
        assert_eq!(verified.subject(), FIXTURE[name]["patient"].as_str());
        assert_eq!(verified.case(), FIXTURE[name]["case"].as_str());
        assert_eq!(verified.holder().is_some(), name == "result");
        assert_eq!(verified.issued(), Timestamp::from_seconds(1_790_000_000));
    }
}

#[test]
fn parts_of_them_are_shown() {
    let former = Former::of("result");
    let bare = former.selected(Selection::Bare(&["/fhir/entry/1".into()]));
    assert_eq!((bare.subject(), bare.case()), (None, None));
    assert_eq!(
        bare.fhir()["entry"].to_string(),
        r#"[{"resource":{"resourceType":"Observation","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"4548-4"}]},"valueQuantity":{"value":6.50,"unit":"%"}}}]"#
    );
    let whole = former.selected(Selection::Whole(&["/fhir/entry/0".into(), "/sub".into()]));
    let content: Value = serde_json::from_str(former.text).unwrap();
    assert_eq!(whole.subject(), FIXTURE["result"]["patient"].as_str());
    assert_eq!(whole.fhir()["entry"], json!([content["entry"][0]]));
    let without = Former::of("own").selected(Selection::AllBut(&["/case".into()]));
    assert_eq!(without.case(), None);
    assert_eq!(without.fhir().to_string(), Former::of("own").text);
}

#[test]
fn their_holder_presents_them() {
    let former = Former::of("result");
    let secret = base64url::decode(FIXTURE["result"]["holder"].as_str().unwrap()).unwrap();
    let secret = <[u8; 32]>::try_from(secret).unwrap().into();
    let holders = SoftwareHolders::from_secrets([secret], SeededRandomness::new(1)).unwrap();
    let now = Timestamp::from_seconds(1_800_000_000);
    let clock = FixedClock::new(now);
    let without = ["/case".into()];
    let selection = Selection::AllBut(&without);
    let shown = block_on(record::present(&former.record, selection, "n", "a", &holders, &clock));
    let shown = shown.unwrap();
    let (author, primitives) = (&former.author, &WORLD.primitives);
    let verified = record::verify_presentation(&shown, author, "a", "n", now, primitives);
    assert_eq!(block_on(verified).unwrap().fhir().to_string(), former.text);
}

#[test]
fn forgotten_they_keep_their_proof_and_say_nothing_of_the_person() {
    for (name, left) in [
        ("result", json!({ "resourceType": "Bundle", "type": "collection", "entry": [] })),
        (
            "own",
            json!({ "resourceType": "AllergyIntolerance", "code": {
            "coding": [{ "system": "http://snomed.info/sct", "code": "91936005" }],
            "text": "Penicillin makes me itch",
        } }),
        ),
    ] {
        let former = Former::of(name);
        let forgotten = former.verify(former.record.forget().compact());
        assert_eq!(forgotten.verification_key(), FIXTURE[name]["verification_key"]);
        assert_eq!((forgotten.subject(), forgotten.case()), (None, None));
        assert_eq!(*forgotten.fhir(), left);
    }
}
