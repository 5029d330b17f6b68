//! What goes along with a part that is shown, so that it means what it meant.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use hdms::Error;
use hdms::record::{Record, Selection, VerifiedRecord};
use hdms_records::WORLD;
use serde_json::{Value, json};

fn issued(fhir: &Value) -> Record {
    WORLD.issue(fhir).unwrap()
}

fn selected(record: &Record, selection: Selection<'_>) -> VerifiedRecord {
    WORLD.verify(record.select(selection).unwrap().compact()).unwrap()
}

#[test]
fn what_may_turn_a_part_into_its_opposite_goes_along() {
    let warning = json!({ "url": "https://h.example/not", "valueString": "Not Ms Kim" });
    let record = issued(
        &json!({ "resourceType": "Bundle", "type": "collection", "implicitRules": "https://h.example",
            "entry": [{ "resource": {
                "resourceType": "Condition", "id": "c", "verificationStatus": { "coding": [{ "code": "refuted" }] },
                "clinicalStatus": { "coding": [{ "code": "inactive" }] }, "code": { "text": "Asthma", "coding": [] },
                "modifierExtension": [warning], "onsetString": "in her youth",
            } }],
        }),
    );
    let code = ["/fhir/entry/0/resource/code".to_owned()];
    let content = |selection| selected(&record, selection).fhir().clone();
    let shown = content(Selection::Whole(&code));
    let condition = &shown["entry"][0]["resource"];
    let names = condition.as_object().unwrap().keys().collect::<Vec<_>>();
    assert_eq!(
        names,
        ["resourceType", "verificationStatus", "clinicalStatus", "code", "modifierExtension"]
    );
    assert_eq!(condition["modifierExtension"][0]["valueString"], "Not Ms Kim");
    assert_eq!(shown["implicitRules"], "https://h.example");
    // What leads to a person stays out where that was asked for; that there is something does not.
    let condition = content(Selection::Bare(&code))["entry"][0]["resource"].clone();
    assert_eq!(condition["modifierExtension"], json!([{ "url": "https://h.example/not" }]));
    assert_eq!(condition["verificationStatus"]["coding"][0]["code"], "refuted");
    // It can't be left out of what stays, but with it.
    for (place, answer) in [
        ("/fhir/entry/0/resource/verificationStatus", Some(Error::CommandMalformed)),
        ("/fhir/entry/0/resource/modifierExtension", Some(Error::CommandMalformed)),
        ("/fhir/implicitRules", Some(Error::CommandMalformed)),
        ("/fhir/entry/0/resource/id", None),
        ("/fhir/entry/0", None),
    ] {
        assert_eq!(record.select(Selection::AllBut(&[place.into()])).err(), answer, "{place}");
    }
}

#[test]
fn an_old_name_is_shown_as_one() {
    let name = json!({ "use": "old", "family": "Kim", "given": ["Minji"] });
    let record = issued(&json!({ "resourceType": "Patient", "name": [name] }));
    let shown = selected(&record, Selection::Bare(&["/fhir/name/0/family".into()]));
    assert_eq!(shown.fhir()["name"], json!([{ "use": "old", "family": "Kim" }]));
}

#[test]
fn paired_arrays_are_shown_in_pairs() {
    let born = json!({ "extension": [{ "url": "https://h.example/at", "valueCode": "birth" }] });
    let record = issued(&json!({ "resourceType": "Patient", "name": [{
        "given": ["Minji", "Sora", "Jia"], "_given": [null, born, null],
    }] }));
    let name = |selection: Selection<'_>| selected(&record, selection).fhir()["name"][0].clone();
    let second = json!({ "given": ["Sora"], "_given": [born] });
    for place in ["given/1", "_given/1", "_given/1/extension/0"] {
        let place = [format!("/fhir/name/0/{place}")];
        assert_eq!(name(Selection::Whole(&place)), second, "{place:?}");
        assert_eq!(name(Selection::Bare(&place)), second, "{place:?}");
    }
    let places = ["/fhir/name/0/given", "/fhir/name/0/_given/1"].map(str::to_owned);
    let all = json!({ "given": ["Minji", "Sora", "Jia"], "_given": [null, born, null] });
    assert_eq!(name(Selection::Whole(&places)), all);
    assert_eq!(name(Selection::Whole(&places[..1])), json!({ "given": ["Minji", "Sora", "Jia"] }));
    for place in ["given/0", "_given/0"] {
        let without = name(Selection::AllBut(&[format!("/fhir/name/0/{place}")]));
        assert_eq!(without, json!({ "given": ["Sora", "Jia"], "_given": [born, null] }), "{place}");
    }
}
