//! Properties over any content that FHIR's JSON may have.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use hdms::Error;
use hdms::fhir::identifying::reason;
use hdms::fhir::{intake, resource};
use hdms::record::sdjwt::{self, Concealer};
use hdms::record::{self, Selection, format_1};
use hdms::testing::SeededRandomness;
use hdms_records::WORLD;
use proptest::prelude::*;
use serde_json::{Map, Number, Value, json};

/// Names that the rules know and names that they don't.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "id",
            "identifier",
            "text",
            "div",
            "subject",
            "reference",
            "display",
            "name",
            "note",
            "effectiveDateTime",
            "coding",
            "code",
            "value",
            "extension",
            "url",
            "_birthDate",
            "entry",
            "contentType",
            "data",
            "start",
            "end",
            "gender",
            "meta",
            "status",
            "_id",
        ])
        .prop_map(str::to_owned),
        "_?[a-zA-Z][a-zA-Z0-9]{0,5}",
    ]
    .prop_filter("reserved", |name| name != "_sd" && name != "contained" && name != "resourceType")
}

fn number() -> impl Strategy<Value = Value> {
    "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?"
        .prop_map(|text| Value::Number(Number::from_string_unchecked(text)))
}

fn string() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<String>(),
        Just("\u{0}\u{1f}\"\\/~%\u{7f}\u{2028}\u{d7ff}😀한국".to_owned()),
        Just("2026-05-17".to_owned()),
        Just("urn:uuid:8c6a".to_owned()),
        Just("Patient/p1".to_owned()),
    ]
    .prop_map(Value::String)
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![number(), string(), any::<bool>().prop_map(Value::Bool)];
    leaf.prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(prop_oneof![9 => inner.clone(), 1 => Just(Value::Null)], 0..4)
                .prop_map(Value::Array),
            members(inner).prop_map(Value::Object),
        ]
    })
}

fn members(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::vec((name(), value), 0..6).prop_map(|members| members.into_iter().collect())
}

/// A resource of this type with `members` around it, its `resourceType` anywhere among them.
fn with_type(kind: &str, members: Map<String, Value>, place: usize) -> Value {
    let mut members: Vec<_> = members.into_iter().collect();
    members.insert(place.min(members.len()), ("resourceType".to_owned(), kind.into()));
    Value::Object(members.into_iter().collect())
}

fn fhir() -> impl Strategy<Value = Value> {
    let kind = || prop::sample::select(vec!["Patient", "Observation", "Practitioner", "Basic"]);
    let plain = (kind(), members(value()), 0..6_usize)
        .prop_map(|(kind, members, place)| with_type(kind, members, place));
    plain.prop_recursive(3, 12, 3, move |inner| {
        let several = prop::collection::vec(inner, 0..3);
        prop_oneof![
            (several.clone(), members(value()), kind(), 0..6_usize).prop_map(
                |(contained, mut members, kind, place)| {
                    members.insert("contained".into(), contained.into());
                    with_type(kind, members, place)
                }
            ),
            (several, members(value()), members(value()), 0..6_usize).prop_map(
                |(resources, mut members, around, place)| {
                    members.insert("type".into(), "collection".into());
                    members.insert("entry".into(), entries(&resources, &around));
                    with_type("Bundle", members, place)
                }
            ),
        ]
    })
}

fn entries(resources: &[Value], around: &Map<String, Value>) -> Value {
    let entry = |resource: &Value| {
        let mut entry = around.clone();
        entry.insert("resource".into(), resource.clone());
        Value::Object(entry)
    };
    resources.iter().map(entry).collect()
}

/// Whatever an author may say of the order of members, for the resource itself among others.
fn order() -> impl Strategy<Value = Map<String, Value>> {
    let names = || {
        let names =
            prop_oneof![9 => name(), 1 => Just("resourceType".to_owned()), 1 => any::<String>()];
        prop::collection::vec(prop_oneof![9 => names.prop_map(Value::from), 1 => number()], 0..8)
    };
    let pointer =
        "(/(entry|contained|extension|resource|[0-2]|01|~|~0|~1|[a-c]{0,2})){1,4}|[~/a]{0,3}";
    (names(), prop::collection::vec((pointer, names()), 0..6)).prop_map(|(own, others)| {
        let mut order: Map<_, _> =
            others.into_iter().map(|(at, names)| (at, names.into())).collect();
        order.insert(String::new(), own.into());
        order
    })
}

/// A record of format 1 of which all stands in the open but the order, which is not of its content.
fn ordered(fhir: &Value, order: &Map<String, Value>) -> String {
    let randomness = SeededRandomness::new(7);
    let mut concealer = Concealer::new(&randomness, record::MAX_BYTES).unwrap();
    let digest = concealer.member("order", order.clone().into()).unwrap();
    let author = WORLD.author();
    let claims = [("iss", json!(author)), ("iat", json!(1)), ("fhir", fhir.clone())];
    let claims = claims.map(|(name, value)| (name.to_owned(), value)).into_iter().collect();
    let payload = sdjwt::object(claims, vec![digest]).into();
    WORLD.sign(format_1::KIND, &payload, concealer).unwrap()
}

/// The places of all elements of a record's content.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| places(value, &format!("{at}/{name}"), found));
        }
        Value::Array(elements) => {
            let elements = elements.iter().enumerate();
            elements.for_each(|(index, value)| places(value, &format!("{at}/{index}"), found));
        }
        _ => {}
    }
}

/// Whether `shown` is `whole` with some members and elements left out, the others in their order.
fn is_part(shown: &Value, whole: &Value) -> bool {
    match (shown, whole) {
        (Value::Object(shown), Value::Object(whole)) => {
            let mut whole = whole.iter();
            shown.iter().all(|(name, value)| {
                whole.any(|(other, whole)| other == name && is_part(value, whole))
            })
        }
        (Value::Array(shown), Value::Array(whole)) => {
            let mut whole = whole.iter();
            shown.iter().all(|value| whole.any(|whole| is_part(value, whole)))
        }
        (shown, whole) => shown == whole,
    }
}

/// What is shown and what there is at a place that alone was chosen, whether it leads to a person or stands
/// in what does, and in a resource of which type it stands.
fn chosen<'a>(
    (mut shown, mut whole): (&'a Value, &'a Value),
    place: &str,
) -> (&'a Value, &'a Value, bool, &'a str) {
    let (mut leads, mut resource) = (false, "");
    for token in place.split('/').skip(2) {
        (shown, whole) = match (shown, whole) {
            (Value::Object(parts), Value::Object(members)) => {
                let own = members.get("resourceType").and_then(Value::as_str);
                resource = own.unwrap_or(resource);
                let value = &members[token];
                leads |= reason(resource, own.is_some(), members, token, value).is_some();
                (&parts[token], value)
            }
            (Value::Array(parts), Value::Array(elements)) => {
                let index: usize = token.parse().unwrap();
                assert!([1, elements.len()].contains(&parts.len()), "{place}");
                (&parts[if parts.len() == elements.len() { index } else { 0 }], &elements[index])
            }
            _ => panic!("{place} is not shown"),
        };
    }
    (shown, whole, leads, resource)
}

/// Whether `shown` is `whole` without all that leads to a person, and nothing else left out.
fn is_bare(shown: &Value, whole: &Value, resource: &str) -> bool {
    match (shown, whole) {
        (Value::Object(shown), Value::Object(whole)) => {
            let own = whole.get("resourceType").and_then(Value::as_str);
            let resource = own.unwrap_or(resource);
            whole.iter().all(|(name, value)| {
                match reason(resource, own.is_some(), whole, name, value) {
                    Some(_) => !shown.contains_key(name),
                    None => shown.get(name).is_some_and(|shown| is_bare(shown, value, resource)),
                }
            })
        }
        (Value::Array(shown), Value::Array(whole)) => {
            let both = shown.iter().zip(whole);
            shown.len() == whole.len()
                && both.into_iter().all(|(shown, whole)| is_bare(shown, whole, resource))
        }
        (shown, whole) => shown == whole,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_record_gives_back_its_authors_text(fhir in fhir()) {
        let text = fhir.to_string();
        let fhir = resource::parse(text.as_bytes()).unwrap();
        let record = WORLD.issue(&fhir).unwrap();
        let verified = WORLD.verify(record.compact()).unwrap();
        prop_assert_eq!(verified.fhir().to_string(), text);
    }

    #[test]
    fn whatever_is_chosen_is_shown_in_its_authors_order(
        fhir in fhir(),
        numbers in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let fhir = resource::parse(fhir.to_string().as_bytes()).unwrap();
        let record = WORLD.issue(&fhir).unwrap();
        let mut all = Vec::new();
        places(&fhir, "/fhir", &mut all);
        let chosen: Vec<_> = numbers.iter().map(|number| number.get(&all).clone()).collect();
        for selection in
            [Selection::Whole(&chosen), Selection::Bare(&chosen), Selection::AllBut(&chosen)]
        {
            let shown = match record.select(selection) {
                Err(Error::CommandMalformed) if matches!(selection, Selection::AllBut(_)) => continue,
                shown => shown.unwrap(),
            };
            let verified = WORLD.verify(shown.compact()).unwrap();
            if let Selection::AllBut([_, ..]) = selection {
                prop_assert_ne!(verified.fhir(), &fhir, "{:?}", chosen);
            }
            prop_assert!(is_part(verified.fhir(), &fhir), "{:?} {}", selection, verified.fhir());
            prop_assert_eq!(verified.verification_key(), record.verification_key());
            // What was shown once can be shown again.
            let again = shown.select(Selection::Whole(&["/fhir".into()])).unwrap();
            prop_assert_eq!(WORLD.verify(again.compact()).unwrap().fhir().to_string(), verified.fhir().to_string());
        }
        let whole = record.select(Selection::Whole(&["/fhir".into()])).unwrap();
        prop_assert_eq!(WORLD.verify(whole.compact()).unwrap().fhir().to_string(), fhir.to_string());
    }

    #[test]
    fn what_is_chosen_is_there_whole_or_without_what_leads_to_a_person(
        fhir in fhir(),
        number in any::<prop::sample::Index>(),
    ) {
        let fhir = resource::parse(fhir.to_string().as_bytes()).unwrap();
        let record = WORLD.issue(&fhir).unwrap();
        let mut all = Vec::new();
        places(&fhir, "/fhir", &mut all);
        let place = std::slice::from_ref(number.get(&all));
        let read = |selection| WORLD.verify(record.select(selection).unwrap().compact()).unwrap();
        let shown = read(Selection::Whole(place));
        let (shown, whole, ..) = chosen((shown.fhir(), &fhir), &place[0]);
        prop_assert_eq!(shown.to_string(), whole.to_string());
        let shown = read(Selection::Bare(place));
        let (shown, whole, leads, resource) = chosen((shown.fhir(), &fhir), &place[0]);
        prop_assert!(if leads { shown == whole } else { is_bare(shown, whole, resource) }, "{place:?} {shown}");
    }

    #[test]
    fn how_large_a_record_becomes_is_known_before(fhir in fhir()) {
        let fhir = resource::parse(fhir.to_string().as_bytes()).unwrap();
        let (size, issued) = (record::size(&fhir).unwrap(), WORLD.issue(&fhir).unwrap().compact().len());
        // A smaller key, a short name for the patient and one for the case, perhaps no age.
        prop_assert!((issued..issued + 500).contains(&size), "{} {}", size, issued);
    }

    #[test]
    fn an_order_moves_members_and_changes_nothing(fhir in fhir(), order in order()) {
        let fhir = resource::parse(fhir.to_string().as_bytes()).unwrap();
        let record = WORLD.verify(&ordered(&fhir, &order)).unwrap();
        prop_assert_eq!(record.fhir(), &fhir);
        let before = fhir.as_object().unwrap();
        let named = order[""].as_array().unwrap().iter().filter_map(Value::as_str);
        let mut expected: Vec<&str> = Vec::new();
        for name in named.chain(before.keys().map(String::as_str)) {
            if before.contains_key(name) && !expected.contains(&name) {
                expected.push(name);
            }
        }
        prop_assert!(record.fhir().as_object().unwrap().keys().eq(&expected));
    }

    #[test]
    fn what_identifies_never_shows_unless_it_was_chosen(mut observation in members(value())) {
        const SECRET: &str = "Minji Kim";
        observation.insert("subject".into(), json!({ "reference": "Patient/1", "display": SECRET }));
        observation.insert("identifier".into(), json!([{ "value": SECRET }]));
        let patient = json!({ "resourceType": "Patient", "name": [{ "text": SECRET }], "extension": [
            { "url": "u", "valueString": SECRET },
        ] });
        observation.insert("contained".into(), json!([patient]));
        let fhir = with_type("Observation", observation, 0);
        let record = WORLD.issue(&fhir).unwrap();
        let places = ["/fhir".to_owned(), "/fhir/contained/0".to_owned()];
        let shown = record.select(Selection::Bare(&places)).unwrap();
        let shown = WORLD.verify(shown.compact()).unwrap();
        prop_assert!(!shown.fhir().to_string().contains(SECRET));
        prop_assert_eq!(&shown.fhir()["contained"], &json!([{ "resourceType": "Patient" }]));
    }

    #[test]
    fn no_text_makes_the_parsers_panic(text in "\\PC*", cut in 0..2000_usize) {
        let _ = resource::parse(text.as_bytes());
        prop_assert!(WORLD.verify(&text).is_err());
        let record = WORLD.issue(&json!({ "resourceType": "Patient", "id": "p" })).unwrap();
        let cut = &record.compact()[..cut.min(record.compact().len() - 1)];
        // What ends after a disclosure is a record that says less, unless that stands in a later one.
        match WORLD.verify(cut) {
            Ok(_) => prop_assert!(cut.ends_with('~')),
            Err(error) => prop_assert!(error == Error::RecordForged || !cut.ends_with('~')),
        }
    }

    #[test]
    fn intake_keeps_every_resource_within_its_limit(
        resources in prop::collection::vec((0..4_usize, "[a-z]{0,300}"), 1..30),
        max_bytes in 600..5000_usize,
    ) {
        let entry = |(index, (encounter, text)): (usize, (usize, String))| {
            let url = format!("urn:uuid:{index}");
            match encounter {
                0 => json!({ "fullUrl": url, "resource": { "resourceType": "Encounter", "id": index.to_string() } }),
                // Mostly to an Encounter, sometimes to nothing that is in the Bundle.
                back => json!({ "fullUrl": url, "resource": {
                    "resourceType": "Observation", "id": index.to_string(), "valueString": text,
                    "encounter": { "reference": format!("urn:uuid:{}", index.saturating_sub(back)) },
                } }),
            }
        };
        let entries: Vec<_> = resources.into_iter().enumerate().map(entry).collect();
        let bundle = json!({ "resourceType": "Bundle", "type": "transaction", "entry": entries });
        let taken = intake::take_in(bundle.clone(), |it| it.to_string().len() <= max_bytes).unwrap();
        let ids = |bundles: &[Value]| {
            let mut ids: Vec<_> = bundles.iter().flat_map(resource::entries)
                .map(|entry| entry["resource"]["id"].as_str().unwrap().to_owned()).collect();
            ids.sort();
            ids
        };
        prop_assert_eq!(ids(&taken), ids(&[bundle]));
        for record in &taken {
            prop_assert!(record.to_string().len() <= max_bytes);
            resource::check(record).unwrap();
        }
    }
}
