//! What a record that claims to be whole may withhold: nothing, so that nobody signs one and shows each
//! reader another content; and the forms that keep its digests from telling or hiding more than they should.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use futures_lite::future::block_on;
use hdms::Error;
use hdms::base64url;
use hdms::card::SigningKeys;
use hdms::record::sdjwt::{Concealer, DecoySeed, Parts};
use hdms::record::{self, Content, KIND, Record, Selection, VerifiedRecord};
use hdms::testing::SeededRandomness;
use hdms_records::{DAY, ISSUED, WORLD};
use serde_json::{Value, json};

const SEED: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A record by hand, of which the tests alter parts before it is signed.
struct Draft {
    /// Digests of the content's members and decoys.
    content: Vec<String>,
    /// Digests of the claims and decoys.
    claims: Vec<String>,
    disclosures: Vec<String>,
    decoys: usize,
}

impl Draft {
    /// Of the content `{"resourceType": "Basic"}` with these members.
    fn of(members: &[(&str, Value)], claims: &[(&str, Value)]) -> Self {
        let mut draft = Self { content: vec![], claims: vec![], disclosures: vec![], decoys: 0 };
        for (name, value) in members {
            let digest = draft.disclose(json!([draft.salt(), name, value]));
            draft.content.push(digest);
        }
        for (name, value) in claims {
            let digest = draft.disclose(json!([draft.salt(), name, value]));
            draft.claims.push(digest);
        }
        while draft.content.len() < 4 {
            let decoy = draft.decoy();
            draft.content.push(decoy);
        }
        while draft.claims.len() < 8 {
            let decoy = draft.decoy();
            draft.claims.push(decoy);
        }
        draft
    }

    fn sound() -> Self {
        Self::of(&[("id", json!("b"))], &claims("Basic", &[]))
    }

    fn salt(&self) -> String {
        format!("{:022}", self.disclosures.len())
    }

    fn disclose(&mut self, content: Value) -> String {
        self.disclosures.push(base64url::encode(content.to_string()));
        base64url::digest(self.disclosures.last().unwrap())
    }

    fn decoy(&mut self) -> String {
        self.decoys += 1;
        DecoySeed::parse(SEED).unwrap().decoy(self.decoys - 1)
    }

    /// What is read of it once it is signed, without the disclosures of these numbers.
    fn read_without(&self, withheld: &[usize]) -> Result<VerifiedRecord, Error> {
        let payload = json!({
            "_sd": self.claims, "iss": WORLD.author(), "iat": DAY.seconds(),
            "fhir": { "resourceType": "Basic", "_sd": self.content },
        });
        let randomness = SeededRandomness::new(1);
        let mut compact =
            WORLD.sign(KIND, &payload, Concealer::new(&randomness, 0).unwrap()).unwrap();
        for (number, disclosure) in self.disclosures.iter().enumerate() {
            if !withheld.contains(&number) {
                compact = format!("{compact}{disclosure}~");
            }
        }
        WORLD.verify(&compact)
    }

    fn read(&self) -> Result<VerifiedRecord, Error> {
        self.read_without(&[])
    }
}

fn claims(kind: &str, codes: &[&str]) -> Vec<(&'static str, Value)> {
    vec![
        ("sub", json!("patient-node")),
        ("case", json!("case-1")),
        ("kinds", json!([kind])),
        ("codes", json!(codes)),
        ("decoys", json!(SEED)),
    ]
}

fn bundle() -> Value {
    json!({ "resourceType": "Bundle", "type": "collection", "entry": [
        { "resource": { "resourceType": "Patient", "birthDate": "1984-03-02", "name": [{ "family": "Kim" }] } },
        { "resource": { "resourceType": "Observation", "status": "final", "effectiveDateTime": "2026-05-17",
            "code": { "coding": [{ "code": "4548-4" }] }, "valueQuantity": { "value": 6.5 } } },
    ] })
}

#[test]
fn as_it_was_issued_a_record_is_whole_and_so_it_is_without_its_case() {
    let record = WORLD.issue(&bundle()).unwrap();
    let without = ["/case".to_owned()];
    for selection in [Selection::All, Selection::AllBut(&without)] {
        let shown = WORLD.verify(record.select(selection).unwrap().compact()).unwrap();
        assert!(shown.is_whole());
        assert_eq!(shown.expect_new(), Ok(()));
    }
}

#[test]
fn a_part_does_not_claim_to_be_the_whole() {
    let record = WORLD.issue(&bundle()).unwrap();
    let [content, sub, id] = ["/fhir", "/sub", "/fhir/entry/0"].map(|place| [place.to_owned()]);
    for selection in [
        Selection::Whole(&content),
        Selection::Bare(&content),
        Selection::Bare(&[String::new()]),
        Selection::AllBut(&sub),
        Selection::AllBut(&id),
        Selection::Whole(&[]),
    ] {
        let shown = WORLD.verify(record.select(selection).unwrap().compact()).unwrap();
        assert!(!shown.is_whole(), "{selection:?}");
        assert_eq!(shown.expect_new(), Err(Error::RecordIncomplete));
    }
    let forgotten = WORLD.verify(record.forget().compact()).unwrap();
    assert!(!forgotten.is_whole());
}

#[test]
fn nothing_can_be_withheld_from_what_claims_to_be_whole() {
    let record = WORLD.issue(&bundle()).unwrap();
    let all: Vec<_> = Parts::parse(record.compact()).unwrap().disclosures().collect();
    for withheld in 0..all.len() {
        let content: Value =
            serde_json::from_slice(&base64url::decode(all[withheld]).unwrap()).unwrap();
        let others = all.iter().enumerate().filter(|(number, _)| *number != withheld);
        let others = others.map(|(_, disclosure)| *disclosure).collect::<Vec<_>>().join("~");
        let answer = WORLD.verify(&format!("{}~{others}~", record.jwt()));
        match content[1].as_str() {
            Some("case") => assert!(answer.unwrap().is_whole()),
            Some("decoys") => assert!(!answer.unwrap().is_whole()),
            // What stood in it belongs to no digest any more.
            _ => assert!(matches!(
                answer.unwrap_err(),
                Error::RecordIncomplete | Error::RecordForged
            )),
        }
    }
}

/// The kind: one signature, two contents. Each reader is shown the other one.
#[test]
fn one_signature_over_two_contents_is_refused() {
    let two = [("status", json!("final")), ("status", json!("cancelled")), ("id", json!("b"))];
    let draft = Draft::of(&two, &claims("Basic", &[]));
    for withheld in [0, 1] {
        assert_eq!(draft.read_without(&[withheld]).err(), Some(Error::RecordIncomplete));
    }
    assert_eq!(draft.read().err(), Some(Error::RecordMalformed));
    // Without the seed it is a part, and shown as such.
    assert!(!draft.read_without(&[0, 7]).unwrap().is_whole());
    // Nor can it be of two patients, or say two things of itself.
    for (name, other) in [("sub", json!("other-node")), ("kinds", json!(["Patient"]))] {
        let mut claims = claims("Basic", &[]);
        claims.push((name, other));
        let draft = Draft::of(&[("id", json!("b"))], &claims);
        assert_eq!(draft.read_without(&[6]).err(), Some(Error::RecordIncomplete), "{name}");
    }
}

#[test]
fn a_digest_that_is_no_decoy_of_the_seed_is_something_withheld() {
    let mut draft = Draft::sound();
    assert!(draft.read().unwrap().is_whole());
    draft.content[3] = base64url::digest("something");
    assert_eq!(draft.read().err(), Some(Error::RecordIncomplete));
    let mut draft = Draft::sound();
    draft.content[3] = DecoySeed::parse(SEED).unwrap().decoy(1_000_000);
    assert_eq!(draft.read().err(), Some(Error::RecordIncomplete));
    for seed in [json!("A"), json!(1), json!("B".repeat(43)), json!("A".repeat(44))] {
        let mut claims = claims("Basic", &[]);
        claims[4].1 = seed;
        assert_eq!(Draft::of(&[], &claims).read().err(), Some(Error::RecordMalformed));
    }
}

#[test]
fn what_its_author_says_of_it_is_what_its_content_gives() {
    let members = [("code", json!({ "coding": [{ "code": "x" }] })), ("created", json!("2026"))];
    let with = |name: &str, value: Value| {
        let mut claims = claims("Basic", &["|x"]);
        claims.push(("year", json!(2026)));
        claims.retain(|(known, _)| *known != name);
        if !value.is_null() {
            claims.push((
                ["kinds", "codes", "year", "sub"].into_iter().find(|it| *it == name).unwrap(),
                value,
            ));
        }
        Draft::of(&members, &claims)
    };
    assert!(with("sub", json!("p")).read().unwrap().is_whole());
    for (name, value) in [
        ("kinds", json!(["Observation"])),
        ("kinds", json!(["Basic", "Observation"])),
        ("kinds", Value::Null),
        ("codes", json!(["|y"])),
        ("codes", json!([])),
        ("codes", Value::Null),
        ("year", json!(2027)),
        ("year", Value::Null),
    ] {
        let draft = with(name, value.clone());
        assert_eq!(draft.read().err(), Some(Error::FactsMismatch), "{name} {value}");
    }
    // Of a part nobody can tell.
    let draft = with("codes", json!(["|y"]));
    let seed =
        draft.disclosures.iter().position(|it| base64url::decode(it).unwrap().ends_with(b"AA\"]"));
    assert_eq!(draft.read_without(&[seed.unwrap()]).unwrap().codes(), ["|y"]);
}

#[test]
fn an_age_is_not_another_than_the_content_gives() {
    let issue = |born, fhir: &Value| {
        let content = Content {
            author: &WORLD.author(),
            patient: "patient-node",
            case: "case-1",
            holder: None,
            issued: ISSUED,
            born,
            fhir,
        };
        let randomness = SeededRandomness::new(9);
        let record = block_on(record::issue(&content, &WORLD.keys, &randomness)).unwrap();
        WORLD.verify(record.compact())
    };
    assert_eq!(issue(Some("1984-03-02"), &bundle()).unwrap().age(), Some(42));
    assert_eq!(issue(None, &bundle()).unwrap().age(), None);
    assert_eq!(issue(Some("1950-01-01"), &bundle()).err(), Some(Error::FactsMismatch));
    // Where the content does not say it, the author may know.
    let alone = &bundle()["entry"][1]["resource"];
    assert_eq!(issue(Some("1950-01-01"), alone).unwrap().age(), Some(76));
}

#[test]
fn a_digest_has_one_form() {
    for wrong in [
        SEED[1..].to_owned(),
        format!("{SEED}A"),
        // Bits that belong to no octet.
        format!("{}B", &SEED[1..]),
        format!("{}+", &SEED[1..]),
        format!("{SEED}="),
        String::new(),
    ] {
        let mut draft = Draft::sound();
        draft.content[3] = wrong.clone();
        assert_eq!(draft.read().err(), Some(Error::RecordMalformed), "{wrong}");
        let mut draft = Draft::sound();
        draft.claims[7] = wrong.clone();
        assert_eq!(draft.read().err(), Some(Error::RecordMalformed), "{wrong}");
        let mut draft = Draft::sound();
        let salt = draft.salt();
        draft.content[3] = draft.disclose(json!([salt, "a", [{ "...": wrong }]]));
        assert_eq!(draft.read().err(), Some(Error::RecordMalformed), "{wrong}");
    }
}

#[test]
fn there_are_as_many_digests_as_tell_a_class() {
    for count in [3, 5, 17, 24] {
        let decoys = |draft: &mut Draft| (0..count).map(|_| draft.decoy()).collect::<Vec<_>>();
        let mut draft = Draft::sound();
        draft.content = decoys(&mut draft);
        assert_eq!(draft.read_without(&[0]).err(), Some(Error::RecordMalformed), "{count}");
        let mut draft = Draft::sound();
        let (salt, decoys) = (draft.salt(), decoys(&mut draft));
        let list: Value = decoys.into_iter().map(|decoy| json!({ "...": decoy })).collect();
        draft.content[3] = draft.disclose(json!([salt, "a", list]));
        assert_eq!(draft.read().err(), Some(Error::RecordMalformed), "{count}");
    }
    for count in [7, 16] {
        let mut draft = Draft::sound();
        draft.claims.resize_with(count, || base64url::digest("decoy"));
        assert_eq!(draft.read().err(), Some(Error::RecordMalformed), "{count}");
    }
}

#[test]
fn each_salt_is_long_and_used_once() {
    let salted = |salts: [&str; 2]| {
        let mut draft = Draft::sound();
        for (number, salt) in salts.into_iter().enumerate() {
            draft.content[2 + number] = draft.disclose(json!([salt, format!("a{number}"), 1]));
        }
        // Its decoys have no numbers in a row any more, so it does not claim to be whole.
        draft.read_without(&[5])
    };
    let [one, other] = ["a", "b"].map(|letter| letter.repeat(22));
    assert!(salted([&one, &other]).is_ok());
    assert_eq!(salted([&one, &one]).err(), Some(Error::RecordMalformed));
    assert_eq!(salted([&one, &other[1..]]).err(), Some(Error::RecordMalformed));
    assert_eq!(salted([&one, ""]).err(), Some(Error::RecordMalformed));
}

#[test]
fn a_record_of_format_1_is_no_new_one() {
    let fixture: Value = serde_json::from_str(include_str!("../vectors/format_1.json")).unwrap();
    for name in ["result", "own"] {
        let author = serde_json::from_value(fixture[name]["author"].clone()).unwrap();
        let record = Record::parse(fixture[name]["compact"].as_str().unwrap()).unwrap();
        let read = |record: &Record| {
            let author = SigningKeys::first(&author).unwrap();
            block_on(record::verify(record.compact(), &author, &WORLD.primitives)).unwrap()
        };
        assert!(read(&record).is_whole());
        assert_eq!(read(&record).expect_new(), Err(Error::RecordFormer));
        assert!(!read(&record.forget()).is_whole());
    }
}
