//! Which elements of a resource lead to a person. The rest, a laboratory value say, can be shown and sold
//! without them. What is in doubt counts as identifying: its holder may still choose to disclose it.

use serde_json::{Map, Value};

use super::reference::target;

/// Why an element leads to a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It says who somebody is: a name, an address, everything of a Patient but gender and status.
    Person,
    /// It is found again elsewhere: an id, an identifier, a reference to other resources of the
    /// same patient, the address of a copy.
    Link,
    /// A day or time: few were in that hospital on that day. A year alone stays visible.
    Time,
    /// Where somebody lives, or a point on the map.
    Place,
    /// Somebody typed it, and people write names into anything.
    FreeText,
    /// A document or picture that holds more than its metadata says.
    Document,
}

/// Resources that are persons, and their members that are not.
const PERSONS: [&str; 5] =
    ["Patient", "Person", "Practitioner", "PractitionerRole", "RelatedPerson"];
const NOT_OF_PERSONS: [&str; 4] = ["resourceType", "gender", "active", "meta"];

/// Elements that identify by their names, wherever they stand.
#[rustfmt::skip]
const NAMES: [(Reason, &[&str]); 5] = [
    (Reason::Link, &[
        "id", "identifier", "distinctIdentifier", "serialNumber", "udiCarrier", "uid", "altId",
        "subscriberId", "policyNumber", "preAuthRef", "versionId", "source", "network", "header",
        "instantiatesUri",
        // Of Bundles and their entries.
        "fullUrl", "link", "request", "response",
    ]),
    (Reason::Person, &["name", "alias", "contact", "telecom", "photo", "signature"]),
    (Reason::Place, &["address", "position"]),
    (Reason::FreeText, &[
        "note", "comment", "comments", "description", "conclusion", "summary", "title",
        "disposition", "patientInstruction", "valueMarkdown",
    ]),
    (Reason::Document, &["presentedForm", "content"]),
];

/// Targets of which a Reference may say the name without its address: products. What people
/// call all others has patients' names in it ("Roel's renal insufficiency").
const PRODUCTS: [&str; 2] = ["Medication", "Substance"];

/// Why member `name` of `object` leads to a person, or `None` when it does not. `resource` is the type of
/// the resource in which it stands, `top` whether it is one of that resource's own elements. A member
/// that leads to a person does so with all its parts; those of another are asked about in their turn.
/// `contained` and a Bundle's `entry` hold resources, each of which is asked about by itself.
pub fn reason(
    resource: &str,
    top: bool,
    object: &Map<String, Value>,
    name: &str,
    value: &Value,
) -> Option<Reason> {
    if name == "contained" || (top && resource == "Bundle" && name == "entry") {
        return None;
    }
    if top && PERSONS.contains(&resource) && !NOT_OF_PERSONS.contains(&name) {
        return Some(Reason::Person);
    }
    let element = name.strip_prefix('_').unwrap_or(name);
    NAMES
        .iter()
        .find(|(_, names)| names.contains(&element))
        .map(|(reason, _)| *reason)
        .or_else(|| by_place(resource, object, element, value))
        .or_else(|| by_form(value))
}

/// Strings that are of several words without anybody having typed them for this patient.
const LABELS: [&str; 4] = ["display", "text", "unit", "data"];

/// Elements that identify only in some places, or with some values.
fn by_place(
    resource: &str,
    object: &Map<String, Value>,
    element: &str,
    value: &Value,
) -> Option<Reason> {
    match element {
        // Of a reference to a product, of which only the display may be seen.
        "reference" if is_reference(object) => Some(Reason::Link),
        // Beside its coding it is the concept's label; alone, somebody typed it.
        "text" if !object.contains_key("coding") => Some(Reason::FreeText),
        "data" if resource == "Binary" => Some(Reason::Document),
        // onsetString, valueString: the choice of those who had no code.
        choice if choice.ends_with("String") => Some(Reason::FreeText),
        _ if !LABELS.contains(&element) && is_sentence(value) => Some(Reason::FreeText),
        _ => None,
    }
}

fn is_sentence(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains(char::is_whitespace),
        Value::Array(elements) => elements.iter().any(is_sentence),
        _ => false,
    }
}

/// Data types are known by their members, whichever element or extension holds them.
fn by_form(value: &Value) -> Option<Reason> {
    match value {
        Value::String(text) if is_day(text) => Some(Reason::Time),
        Value::String(text) if text.starts_with("urn:uuid:") => Some(Reason::Link),
        Value::Array(elements) => elements.iter().find_map(by_form),
        Value::Object(members) => by_members(members),
        _ => None,
    }
}

fn by_members(members: &Map<String, Value>) -> Option<Reason> {
    let has = |name: &str| members.contains_key(name);
    if has("resourceType") {
        return None;
    }
    if has("div") {
        return Some(Reason::FreeText); // Narrative
    }
    if has("family") || has("given") {
        return Some(Reason::Person); // HumanName
    }
    if has("line") || has("city") || has("postalCode") {
        return Some(Reason::Place); // Address
    }
    if has("contentType") && (has("data") || has("url")) {
        return Some(Reason::Document); // Attachment
    }
    if members.get("value").is_some_and(Value::is_string) {
        return Some(Reason::Link); // Identifier, ContactPoint
    }
    if is_period(members) {
        return Some(Reason::Time);
    }
    (is_reference(members) && !names_a_product(members)).then_some(Reason::Link)
}

/// A Reference, or a Coding without code, which is as free as text.
fn is_reference(members: &Map<String, Value>) -> bool {
    let text = |name: &str| members.get(name).is_some_and(Value::is_string);
    text("reference") || (text("display") && !text("code") && !text("system"))
}

fn names_a_product(reference: &Map<String, Value>) -> bool {
    reference.contains_key("display")
        && target(reference).is_some_and(|kind| PRODUCTS.contains(&kind))
}

fn is_period(members: &Map<String, Value>) -> bool {
    let is_end = |(name, value): (&String, &Value)| {
        (name == "start" || name == "end") && by_form(value) == Some(Reason::Time)
    };
    !members.is_empty() && members.iter().all(is_end)
}

/// A FHIR date, dateTime or instant that is finer than a year: `2012-05`, `2012-05-17T09:30:00Z`.
fn is_day(text: &str) -> bool {
    let digits =
        |range| text.get(range).is_some_and(|part: &str| part.bytes().all(|b| b.is_ascii_digit()));
    digits(0..4)
        && text.get(4..5) == Some("-")
        && digits(5..7)
        && matches!(text.get(7..8), None | Some("-"))
        && (text.len() == 7 || digits(8..10))
        && matches!(text.get(10..11), None | Some("T"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Reason, reason};

    /// Why `name` of this object is concealed, at the top of its resource when it is one.
    fn why(object: Value, name: &str) -> Option<Reason> {
        let members = object.as_object().unwrap();
        let resource = object["resourceType"].as_str();
        reason(resource.unwrap_or("Basic"), resource.is_some(), members, name, &members[name])
    }

    #[test]
    fn of_persons_only_gender_and_status_stay_visible() {
        let patient = json!({
            "resourceType": "Patient", "id": "p", "active": true, "gender": "other",
            "maritalStatus": { "coding": [{ "code": "M" }] }, "multipleBirthInteger": 2,
            "deceasedBoolean": true, "_gender": {},
        });
        let visible = |name: &&String| why(patient.clone(), name).is_none();
        let names: Vec<_> = patient.as_object().unwrap().keys().filter(visible).collect();
        assert_eq!(names, ["resourceType", "active", "gender"]);
    }

    #[test]
    fn of_a_laboratory_value_what_was_measured_stays_visible() {
        let observation = json!({
            "resourceType": "Observation", "id": "o", "status": "final",
            "code": { "coding": [{ "code": "4548-4" }], "text": "HbA1c" },
            "subject": { "reference": "Patient/p" }, "effectiveDateTime": "2026-05-17",
            "valueQuantity": { "value": 6.5, "unit": "%" }, "issued": "2026-05-17T09:30:00Z",
            "performer": [{ "display": "Dr Lee" }], "note": [{ "text": "well" }],
        });
        let visible = |name: &&String| why(observation.clone(), name).is_none();
        let names: Vec<_> = observation.as_object().unwrap().keys().filter(visible).collect();
        assert_eq!(names, ["resourceType", "status", "code", "valueQuantity"]);
    }

    #[test]
    fn data_types_are_known_in_whatever_element_they_stand() {
        for (value, expected) in [
            (json!({ "family": "Kim" }), Some(Reason::Person)),
            (json!({ "city": "Seoul" }), Some(Reason::Place)),
            (json!({ "system": "phone", "value": "+82 2 1234" }), Some(Reason::Link)),
            (json!([{ "system": "urn:x", "value": "880101-2" }]), Some(Reason::Link)),
            (json!({ "status": "generated", "div": "<div/>" }), Some(Reason::FreeText)),
            (json!({ "contentType": "image/png", "data": "AAAA" }), Some(Reason::Document)),
            (json!({ "start": "2026-05-17" }), Some(Reason::Time)),
            (json!("2026-05"), Some(Reason::Time)),
            (json!(["2026-05-17T10:00:00+09:00"]), Some(Reason::Time)),
            (json!("urn:uuid:8c6a"), Some(Reason::Link)),
            (json!("Ask Ms Kim"), Some(Reason::FreeText)),
            (json!({ "display": "Dr Lee" }), Some(Reason::Link)),
            (json!({ "reference": "Encounter/1" }), Some(Reason::Link)),
            (json!({ "reference": "#medication", "display": "Aspirin" }), Some(Reason::Link)),
            (json!({ "reference": "Medication/1", "display": "Aspirin" }), None),
            (json!({ "value": 6.50, "unit": "beats per minute" }), None),
            (json!({ "system": "http://loinc.org", "code": "1", "display": "a b" }), None),
            (json!({ "start": "2026", "end": "2027" }), None),
            (json!("2026"), None),
            (json!("4548-4"), None),
            (json!("final"), None),
        ] {
            assert_eq!(why(json!({ "any": value }), "any"), expected, "{value}");
        }
    }

    #[test]
    fn a_reference_to_a_product_shows_its_name_and_hides_its_address() {
        let reference =
            json!({ "reference": "https://h.example/Medication/1", "display": "Aspirin" });
        assert_eq!(why(reference.clone(), "reference"), Some(Reason::Link));
        assert_eq!(why(reference, "display"), None);
    }

    #[test]
    fn text_is_a_label_only_beside_its_coding() {
        assert_eq!(why(json!({ "text": "Cough" }), "text"), Some(Reason::FreeText));
        assert_eq!(why(json!({ "text": "Dry cough", "coding": [] }), "text"), None);
    }
}
