use serde::Deserialize;
use serde_json::{Value, json};

use super::Reader;

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename(deserialize = "closed"))]
struct Letter {
    number: u64,
    note: Option<String>,
    kinds: Vec<Kind>,
    #[serde(default = "seven")]
    copies: u64,
    body: Value,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Open {
    first_name: String,
}

fn seven() -> u64 {
    7
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Plain,
    Sealed(String),
    Sent { at: u64 },
}

fn read(value: Value) -> Option<Letter> {
    Letter::deserialize(Reader::of(value)).ok()
}

#[test]
fn structs_enums_and_options_are_read_as_they_are_written() {
    let body = json!({"a": [null, true, "x", {"b": 1}]});
    let letter = json!({
        "number": 7,
        "note": null,
        "kinds": ["plain", {"sealed": "x"}, {"sent": {"at": 1}}],
        "body": body,
    });
    let kinds = vec![Kind::Plain, Kind::Sealed("x".into()), Kind::Sent { at: 1 }];
    assert_eq!(read(letter), Some(Letter { number: 7, note: None, kinds, copies: 7, body }));
}

#[test]
fn only_what_has_a_default_may_be_missing() {
    let letter = json!({"body": 1, "copies": 2, "note": "x", "kinds": [], "number": 3});
    for (name, may_be_missing) in
        [("number", false), ("note", true), ("kinds", false), ("copies", true), ("body", false)]
    {
        let mut without = letter.clone();
        without.as_object_mut().unwrap().remove(name);
        assert_eq!(read(without).is_some(), may_be_missing, "{name}");
    }
    let null = json!({"body": null, "copies": null, "kinds": [], "number": 3});
    assert_eq!(read(null), None, "null is no number");
}

#[test]
fn further_members_are_left_aside_unless_a_struct_refuses_them() {
    let open = json!({"more": [1], "firstName": "Kim", "first_name": 7});
    let read = Open::deserialize(Reader::of(open)).ok();
    assert_eq!(read, Some(Open { first_name: "Kim".into() }));
}

#[test]
fn every_struct_that_refuses_further_members_is_called_closed() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("src"), root.join("worker/src")];
    let mut found = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let lines: Vec<_> = text.lines().map(str::trim).collect();
            for (at, line) in lines.iter().enumerate() {
                if line.starts_with("#[serde(") && line.contains("deny_unknown_fields") {
                    found += 1;
                    let called = r#"rename(deserialize = "closed")"#;
                    let is_called = line.contains(called) || lines[at + 1].contains(called);
                    // Enums with a tag are read by code that derives no sequence.
                    assert!(is_called || line.contains("tag = "), "{}: {line}", path.display());
                }
            }
        }
    }
    assert!(found > 20);
}

#[test]
fn a_number_text_within_free_content_is_kept() {
    for text in ["1.50", "-0", "-7", "1e+5", "12345678901234567890123"] {
        let body: Value = serde_json::from_str(text).unwrap();
        let letter = json!({"number": 1, "kinds": [], "body": body});
        assert_eq!(read(letter).unwrap().body.to_string(), text);
    }
}

#[test]
fn an_array_is_no_struct_and_no_other_form_passes_for_one() {
    for value in [
        json!([7, null, [], 1]),
        json!("letter"),
        json!({"number": "7", "kinds": [], "body": 1}),
        json!({"number": -7, "kinds": [], "body": 1}),
        json!({"number": 7, "kinds": {}, "body": 1}),
        json!({"number": 7, "kinds": ["sealed"], "body": 1}),
        json!({"number": 7, "kinds": [{"plain": 1, "sealed": "x"}], "body": 1}),
        json!({"number": 7, "kinds": [{"sent": [1]}], "body": 1}),
        json!({"number": 7, "kinds": [], "body": 1, "more": 1}),
        json!({"number": 7, "kinds": []}),
    ] {
        assert_eq!(read(value.clone()), None, "{value}");
    }
}
