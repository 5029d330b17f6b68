//! What a record shows of itself before anything is disclosed, how finely it is divided, and what its
//! reader insists on.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use hdms::Error;
use hdms::base64url;
use hdms::record::sdjwt::{self, Concealer, Parts, rounded};
use hdms::record::{KIND, Record, Selection, VerifiedRecord};
use hdms::testing::SeededRandomness;
use hdms_records::{DAY, WORLD};
use serde_json::{Map, Value, json};

const ROOM: usize = 100_000;

fn issued(fhir: &Value) -> Record {
    WORLD.issue(fhir).unwrap()
}

/// What stands in the open.
fn payload(record: &Record) -> Value {
    let payload = base64url::decode(record.jwt().split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice(&payload).unwrap()
}

/// What the disclosures say, in their order.
fn disclosures(record: &Record) -> Vec<Value> {
    let disclosures = Parts::parse(record.compact()).unwrap().disclosures();
    disclosures.map(|it| serde_json::from_slice(&base64url::decode(it).unwrap()).unwrap()).collect()
}

/// The value of the first disclosure by this name.
fn disclosed(record: &Record, name: &str) -> Value {
    let named = |content: &Value| content[1] == *name && content.as_array().unwrap().len() == 3;
    disclosures(record).into_iter().find(named).unwrap()[2].take()
}

fn count(list: &Value) -> usize {
    list.as_array().unwrap().len()
}

/// A resource with so many members beside its type.
fn basic(members: usize) -> Value {
    let members = (0..members).map(|number| (format!("m{number}"), json!(number)));
    let mut resource = Map::new();
    resource.insert("resourceType".into(), "Basic".into());
    resource.extend(members);
    resource.into()
}

fn selected(record: &Record, selection: Selection<'_>) -> VerifiedRecord {
    WORLD.verify(record.select(selection).unwrap().compact()).unwrap()
}

#[test]
fn author_holder_day_and_type_stand_in_the_open_and_nothing_else() {
    let record = issued(&json!({ "resourceType": "Basic", "id": "b", "code": { "text": "x" } }));
    let shown = payload(&record);
    assert!(shown.as_object().unwrap().keys().eq(["_sd", "iss", "iat", "cnf", "fhir", "_sd_alg"]));
    assert!(shown["fhir"].as_object().unwrap().keys().eq(["_sd", "resourceType"]));
    assert_eq!(shown["iat"], DAY.seconds());
    assert_eq!(count(&shown["_sd"]), 8);
}

#[test]
fn how_many_digests_there_are_tells_a_class_and_no_number() {
    for members in 1..50 {
        let (shown, class) = (payload(&issued(&basic(members))), rounded(members + 1));
        assert_eq!(count(&shown["fhir"]["_sd"]), class, "{members}");
        let elements: Value = (0..members).collect();
        let record = issued(&json!({ "resourceType": "Basic", "list": elements }));
        assert_eq!(count(&disclosed(&record, "list")), rounded(members), "{members}");
    }
    assert_eq!([0, 1, 3, 9, 16, 17, 32, 33].map(rounded), [0, 1, 4, 16, 16, 32, 32, 48]);
    // Nothing is concealed in it, and nothing is said of order.
    let empty = issued(&json!({ "resourceType": "Basic" }));
    assert_eq!(payload(&empty)["fhir"], json!({ "resourceType": "Basic" }));
}

#[test]
fn decoys_stand_anywhere_among_elements() {
    let mut places = [0; 4];
    for _ in 0..100 {
        let record = issued(&json!({ "resourceType": "Basic", "list": ["a", "b", "c"] }));
        let list = disclosed(&record, "list");
        let known: Vec<_> =
            Parts::parse(record.compact()).unwrap().disclosures().map(base64url::digest).collect();
        let digests = list.as_array().unwrap().iter().map(|it| it["..."].as_str().unwrap());
        let decoy = digests.clone().position(|it| !known.iter().any(|known| known == it)).unwrap();
        places[decoy] += 1;
        assert_eq!(WORLD.verify(record.compact()).unwrap().fhir()["list"], json!(["a", "b", "c"]));
    }
    assert!(places.iter().all(|count| *count > 5), "{places:?}");
}

#[test]
fn the_order_names_as_many_members_as_there_are_digests() {
    let record = issued(&basic(2));
    let order = disclosed(&record, "$order");
    let slots = order.as_array().unwrap();
    assert_eq!(slots.iter().filter(|slot| **slot == "resourceType").count(), 1);
    let mut numbers: Vec<_> = slots.iter().filter_map(Value::as_u64).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [0, 1, 2]);
    // It says the same, whatever is withheld.
    let shown = selected(&record, Selection::Whole(&["/fhir/m1".into()]));
    assert_eq!(disclosed(shown.record(), "$order"), order);
    assert_eq!(shown.fhir().to_string(), r#"{"resourceType":"Basic","m1":1}"#);
    let one = json!({ "resourceType": "Basic", "name": [{ "text": "Kim" }] });
    let names = disclosures(&issued(&one)).into_iter().filter(|it| it[1] == "$order").count();
    assert_eq!(names, 1, "of the resource, and none of the name");
}

#[test]
fn no_decoy_stands_before_the_type_that_every_author_writes_first() {
    let order = |content: Value| disclosed(&issued(&content), "$order")[0].clone();
    let (mut first, mut late) = (0, 0);
    for _ in 0..40 {
        first += usize::from(order(basic(2)) == "resourceType");
        // Where it does not stand first, decoys stand anywhere.
        let other =
            json!({ "id": "b", "resourceType": "Basic", "code": { "text": "x" }, "a": 1, "b": 2 });
        let number = order(other).as_u64().unwrap();
        late += usize::from(number < 7);
    }
    assert_eq!((first, late), (40, 40));
}

#[test]
fn an_order_goes_along_with_what_it_is_of() {
    let record = issued(&json!({ "resourceType": "Patient", "id": "p", "name": [{
        "use": "official", "family": "Kim", "given": ["Minji"],
    }] }));
    for (place, orders) in [("/sub", 0), ("/fhir/id", 1), ("/fhir/name/0/family", 2)] {
        let shown = record.select(Selection::Whole(&[place.into()])).unwrap();
        let shown = disclosures(&shown).into_iter().filter(|it| it[1] == "$order").count();
        assert_eq!(shown, orders, "{place}");
    }
}

#[test]
fn of_who_and_where_a_person_is_each_part_is_shown_by_itself() {
    let record = issued(&json!({
        "resourceType": "Patient", "gender": "female",
        "name": [{ "family": "Kim", "given": ["Minji", "Sora"], "text": "Kim Minji" }],
        "address": [{ "line": ["1 Harbour Road"], "city": "Seoul", "country": "KR" }],
        "telecom": [{ "system": "phone", "value": "+82 2 1234" }],
    }));
    for (place, shown) in [
        ("/fhir/name/0/given/1", json!({ "name": [{ "given": ["Sora"] }] })),
        ("/fhir/address/0/country", json!({ "address": [{ "country": "KR" }] })),
        ("/fhir/telecom/0/system", json!({ "telecom": [{ "system": "phone" }] })),
        ("/fhir/gender", json!({ "gender": "female" })),
    ] {
        let mut content = selected(&record, Selection::Whole(&[place.into()])).fhir().clone();
        assert_eq!(
            content.as_object_mut().unwrap().shift_remove("resourceType").unwrap(),
            "Patient"
        );
        assert_eq!(content, shown);
    }
}

#[test]
fn each_element_of_a_resource_and_what_leads_to_a_person_in_it_is_shown_by_itself() {
    let component = |code: &str, text: &str| json!({ "code": { "coding": [{ "code": code }] }, "valueString": text });
    let record = issued(&json!({
        "resourceType": "Observation", "status": "final",
        "component": [component("8480-6", "Ask Ms Kim"), component("8462-4", "too")],
        "contained": [{ "resourceType": "Device", "udiCarrier": [{ "deviceIdentifier": "1" }], "status": "active" }],
    }));
    let shown = |selection: Selection<'_>| selected(&record, selection).fhir().to_string();
    let of = r#"{"resourceType":"Observation","status":"final""#;
    let code = r#""component":[{"code":{"coding":[{"code":"8462-4"}]}"#;
    let device = r#""contained":[{"resourceType":"Device","status":"active"}]"#;
    assert_eq!(shown(Selection::Bare(&["/fhir/component/1".into()])), format!("{of},{code}}}]}}"));
    assert_eq!(
        shown(Selection::Whole(&["/fhir/component/1/valueString".into()])),
        format!(r#"{of},{code},"valueString":"too"}}]}}"#)
    );
    assert_eq!(shown(Selection::Bare(&["/fhir/contained".into()])), format!("{of},{device}}}"));
    assert_eq!(
        shown(Selection::Bare(&["/fhir/contained/0/udiCarrier".into()])),
        format!(
            r#"{of},"contained":[{{"resourceType":"Device","udiCarrier":[{{"deviceIdentifier":"1"}}],"status":"active"}}]}}"#
        )
    );
    let everything = shown(Selection::Bare(&[String::new()]));
    assert!(!everything.contains("Kim") && !everything.contains("udiCarrier"), "{everything}");
    let root = selected(&record, Selection::Bare(&[String::new()]));
    assert_eq!((root.subject(), root.case(), root.kinds().len()), (None, None, 1));
}

/// A record with these claims in the open and these disclosed.
fn read(open: Value, hidden: &[(&str, Value)]) -> Result<VerifiedRecord, Error> {
    let randomness = SeededRandomness::new(5);
    let mut concealer = Concealer::new(&randomness, ROOM).unwrap();
    let digests = hidden.iter().map(|(name, value)| concealer.member(name, value.clone()));
    let mut digests = digests.collect::<Result<_, _>>().unwrap();
    concealer.fill_up(&mut digests, 8);
    let Value::Object(open) = open else { panic!("claims are an object") };
    let payload = sdjwt::object(open, digests).into();
    WORLD.verify(&WORLD.sign(KIND, &payload, concealer).unwrap())
}

#[test]
fn what_stands_in_the_open_beside_the_structure_is_refused() {
    let sound = json!({
        "iss": WORLD.author(), "iat": DAY.seconds(), "cnf": { "jwk": WORLD.holder }, "_sd_alg": "sha-256",
        "fhir": { "resourceType": "Basic", "_sd": [base64url::digest("decoy")] },
    });
    let hidden = [
        ("sub", json!("p")),
        ("kinds", json!([])),
        ("codes", json!(["|x"])),
        ("year", json!(2026)),
    ];
    assert_eq!(read(sound.clone(), &hidden).unwrap().codes(), ["|x"]);
    for (pointer, name, value) in [
        ("", "sub", json!("p")),
        ("", "case", json!("c")),
        ("", "kinds", json!(["Basic"])),
        ("", "note", json!("Ms Kim")),
        ("", "order", json!({})),
        ("", "iat", json!(DAY.seconds() + 1)),
        ("", "iat", json!("today")),
        ("", "fhir", json!([])),
        ("", "cnf", json!({ "_sd": [base64url::digest("jwk")] })),
        ("/cnf", "kid", json!("Ms Kim")),
        ("/cnf/jwk", "_sd", json!([])),
        ("/cnf/jwk", "kid", json!("Ms Kim")),
        ("/fhir", "resourceType", json!("Ms Kim")),
        ("/fhir", "resourceType", json!({ "name": "Ms Kim" })),
        ("/fhir", "id", json!("b")),
        ("/fhir", "code", json!({ "_sd": [] })),
    ] {
        let mut open = sound.clone();
        open.pointer_mut(pointer).unwrap()[name] = value;
        assert_eq!(read(open, &[]).err(), Some(Error::RecordMalformed), "{pointer} {name}");
    }
    let mut typeless = sound.clone();
    typeless["fhir"].as_object_mut().unwrap().shift_remove("resourceType");
    assert_eq!(read(typeless, &[]).err(), Some(Error::RecordMalformed));
    let mut without = sound.clone();
    without.as_object_mut().unwrap().shift_remove("fhir");
    assert_eq!(read(without.clone(), &[]).err(), Some(Error::RecordMalformed));
    for (name, value) in [
        ("fhir", json!({ "resourceType": "Basic" })),
        ("order", json!({})),
        ("$order", json!([])),
        ("other", json!(1)),
        ("kinds", json!("Basic")),
        ("codes", json!([1])),
        ("year", json!("2026")),
        ("age", json!(-1)),
        ("age", json!(41.5)),
    ] {
        let open = if name == "fhir" { without.clone() } else { sound.clone() };
        assert_eq!(read(open, &[(name, value)]).err(), Some(Error::RecordMalformed), "{name}");
    }
}

/// The content `{"resourceType": "Basic", "a": 1, "b": 2}`, of which the members `a` and `b` are concealed
/// with a decoy, with this order, in which `A` and `B` stand for their numbers and `C` for that of the
/// decoy.
fn ordered(order: &str) -> Result<VerifiedRecord, Error> {
    let randomness = SeededRandomness::new(6);
    let mut concealer = Concealer::new(&randomness, ROOM).unwrap();
    let mut digests: Vec<_> = ["a", "b"]
        .iter()
        .zip(1..)
        .map(|(name, n)| concealer.member(name, json!(n)).unwrap())
        .collect();
    digests.push(base64url::digest("c"));
    let number = |digest: &String| digests.iter().filter(|it| *it < digest).count().to_string();
    let order = digests
        .iter()
        .zip(["A", "B", "C"])
        .fold(order.to_owned(), |order, (digest, letter)| order.replace(letter, &number(digest)));
    let order = concealer.member(sdjwt::ORDER, serde_json::from_str(&order).unwrap()).unwrap();
    digests.push(order);
    let mut open = Map::new();
    open.insert("resourceType".into(), "Basic".into());
    let fhir = sdjwt::object(open, digests);
    WORLD.verify(&WORLD.sign(KIND, &claims(fhir.into()), concealer).unwrap())
}

/// Claims of which none is disclosed, with this content.
fn claims(fhir: Value) -> Value {
    let decoys: Vec<_> = (0..8).map(|number| base64url::digest([number])).collect();
    json!({ "_sd": decoys, "iss": WORLD.author(), "iat": DAY.seconds(), "fhir": fhir })
}

#[test]
fn an_order_that_does_not_name_each_member_once_is_refused() {
    let sound = |order| ordered(order).unwrap().fhir().to_string();
    assert_eq!(sound(r#"["resourceType",A,C,B]"#), r#"{"resourceType":"Basic","a":1,"b":2}"#);
    assert_eq!(sound(r#"[B,C,"resourceType",A]"#), r#"{"b":2,"resourceType":"Basic","a":1}"#);
    for order in [
        r#"[]"#,
        r#"[A,B,C]"#,
        r#"["resourceType",A,B]"#,
        r#"["resourceType",A,B,B]"#,
        r#"["resourceType",A,B,3]"#,
        r#"["resourceType",A,B,-1]"#,
        r#"["resourceType",A,B,0.0]"#,
        r#"["resourceType",A,B,"C"]"#,
        r#"["resourceType",A,B,[C]]"#,
        r#"["a",A,B,C]"#,
        r#"["resourceType","resourceType",A,B,C]"#,
        r#"["resourceType",A,B,C,3]"#,
        r#"{"resourceType":A}"#,
        r#""resourceType""#,
        r#"1"#,
    ] {
        assert_eq!(ordered(order).err(), Some(Error::RecordMalformed), "{order}");
    }
}

#[test]
fn two_orders_of_an_object_and_one_in_the_open_are_refused() {
    let randomness = SeededRandomness::new(7);
    let read = |digests: Vec<String>, concealer| {
        let fhir = json!({ "resourceType": "Basic", "_sd": digests });
        WORLD.verify(&WORLD.sign(KIND, &claims(fhir), concealer).unwrap()).err()
    };
    let mut concealer = Concealer::new(&randomness, ROOM).unwrap();
    let orders = [json!(["resourceType", 0]), json!([0, "resourceType"])];
    let orders = orders.map(|order| concealer.member(sdjwt::ORDER, order).unwrap());
    assert_eq!(read(orders.into(), concealer), Some(Error::RecordMalformed));
    let mut concealer = Concealer::new(&randomness, ROOM).unwrap();
    let inside = concealer.member("a", json!({ "$order": [] })).unwrap();
    assert_eq!(read(vec![inside], concealer), Some(Error::RecordMalformed));
}
