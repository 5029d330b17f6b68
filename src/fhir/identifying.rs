//! Which elements of a resource lead to a person. Each of them becomes a disclosure of its own in a
//! record, so that the rest, a laboratory value say, can be shown and sold without them. What is
//! in doubt counts as identifying: its holder may still choose to disclose it.

use serde_json::{Map, Value};

use super::reference::target;

/// Why an element is concealed.
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

/// Resources that are persons: only these members of them stay visible.
const PERSONS: [&str; 5] =
    ["Patient", "Person", "Practitioner", "PractitionerRole", "RelatedPerson"];
const VISIBLE_OF_PERSONS: [&str; 4] = ["resourceType", "gender", "active", "meta"];

/// Elements that identify by their names, wherever they stand.
#[rustfmt::skip]
const NAMES: [(Reason, &[&str]); 5] = [
    (Reason::Link, &[
        "id", "identifier", "distinctIdentifier", "serialNumber", "udiCarrier", "uid", "altId",
        "subscriberId", "policyNumber", "versionId", "source", "network", "instantiatesUri",
        // Of Bundles and their entries.
        "fullUrl", "link", "request", "response",
    ]),
    (Reason::Person, &["name", "alias", "contact", "telecom", "photo", "signature", "bornString"]),
    (Reason::Place, &["address", "position"]),
    (Reason::FreeText, &[
        "note", "comment", "comments", "description", "conclusion", "summary", "title",
        "disposition", "patientInstruction", "reasonString", "authorString", "contentString",
        "valueString", "valueMarkdown",
    ]),
    (Reason::Document, &["presentedForm", "content"]),
];

/// What a Reference may name beside its hidden address: matters of medicine, not of people. Every
/// other target (persons, groups, organizations, places, encounters, accounts) stays whole hidden.
const MATTERS: [&str; 16] = [
    "AllergyIntolerance",
    "BodyStructure",
    "Condition",
    "DiagnosticReport",
    "Goal",
    "Immunization",
    "Medication",
    "MedicationAdministration",
    "MedicationRequest",
    "MedicationStatement",
    "Observation",
    "Procedure",
    "ServiceRequest",
    "Specimen",
    "Substance",
    "SubstanceSpecification",
];

/// Why member `name` of `object` leads to a person, or `None` when it stays visible. `resource` is
/// the type of the resource in which it stands, `top` whether it is one of that resource's own
/// elements. The parts of a visible member are asked about in their turn; resources in `contained`
/// and in a Bundle's `entry` are no members but resources, and never asked about.
pub fn reason(
    resource: &str,
    top: bool,
    object: &Map<String, Value>,
    name: &str,
    value: &Value,
) -> Option<Reason> {
    if top && PERSONS.contains(&resource) && !VISIBLE_OF_PERSONS.contains(&name) {
        return Some(Reason::Person);
    }
    let element = name.strip_prefix('_').unwrap_or(name);
    NAMES
        .iter()
        .find(|(_, names)| names.contains(&element))
        .map(|(reason, _)| *reason)
        .or_else(|| by_place(resource, object, element))
        .or_else(|| by_form(value))
}

/// Elements whose names mean this only in some places.
fn by_place(resource: &str, object: &Map<String, Value>, element: &str) -> Option<Reason> {
    match element {
        // Of a reference to a matter of medicine, where only the display may be seen.
        "reference" if is_reference(object) => Some(Reason::Link),
        // Beside its coding it is the concept's label; alone, somebody typed it.
        "text" if !object.contains_key("coding") => Some(Reason::FreeText),
        "data" if resource == "Binary" => Some(Reason::Document),
        _ => None,
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
    (is_reference(members) && !names_a_matter(members)).then_some(Reason::Link)
}

/// A Reference, or a Coding without code, which is as free as text.
fn is_reference(members: &Map<String, Value>) -> bool {
    let text = |name: &str| members.get(name).is_some_and(Value::is_string);
    text("reference") || (text("display") && !text("code") && !text("system"))
}

fn names_a_matter(reference: &Map<String, Value>) -> bool {
    reference.contains_key("display")
        && target(reference).is_some_and(|kind| MATTERS.contains(&kind))
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
