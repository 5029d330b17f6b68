//! How a hospital takes in what its systems export: a whole-patient Bundle becomes one record for
//! each Encounter, with references that still hold once the Bundle is gone.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::resource::{entries, kind};
use crate::error::Error;

/// Divides a resource or Bundle, as [`super::resource::parse`] answers it, into the contents of
/// records each of which fits, as `fits` says.
///
/// What is no Bundle stays as it is, and so do documents and messages that fit, which must not be
/// torn, and Bundles without an Encounter that fit, unless they are a transaction or batch. Any
/// other Bundle becomes Bundles of type `collection`: one for each Encounter with all
/// that refers to it, and one for what belongs to none; what does not fit is halved. No resource is
/// dropped or doubled. References by `urn:uuid:` to resources of the Bundle become
/// `ResourceType/id`; `fullUrl` (where it is such a URN), `request` and `response` fall away, since
/// a collection has none. Other references, contained and conditional ones among them, stay.
///
/// [`Error::RecordTooLarge`] when a single resource does not fit.
pub fn take_in(resource: Value, fits: impl Fn(&Value) -> bool) -> Result<Vec<Value>, Error> {
    let is_bundle = kind(&resource) == Some("Bundle");
    if (!is_bundle || stays_whole(&resource)) && fits(&resource) {
        return Ok(vec![resource]);
    }
    if !is_bundle {
        return Err(Error::RecordTooLarge);
    }
    let bundle = Names::of(&resource).rewrite(resource);
    let mut records = Vec::new();
    for group in by_encounter(bundle) {
        divide(group, &fits, &mut records)?;
    }
    Ok(records)
}

/// Whether a Bundle that fits stays one record: documents and messages have a first entry that the others
/// hang on, and what holds no Encounter needs no dividing. Transactions and batches are mere transport,
/// unless there is nothing else to them.
fn stays_whole(bundle: &Value) -> bool {
    let any = |kinds: fn(&str) -> bool| {
        entries(bundle).iter().filter_map(|entry| kind(entry.get("resource")?)).any(kinds)
    };
    match bundle.get("type").and_then(Value::as_str) {
        Some("document" | "message") => true,
        Some("transaction" | "batch") => !any(|_| true),
        _ => !any(|kind| kind == "Encounter"),
    }
}

/// The name `ResourceType/id` of every resource of a Bundle that is named by `urn:uuid:` in it.
struct Names(HashMap<String, (String, String)>);

impl Names {
    fn of(bundle: &Value) -> Self {
        let name = |entry: &Value| {
            let url = entry.get("fullUrl")?.as_str()?;
            let uuid = url.strip_prefix("urn:uuid:")?;
            let resource = entry.get("resource")?;
            let id = resource.get("id").and_then(Value::as_str).unwrap_or(uuid);
            Some((url.to_owned(), (kind(resource)?.to_owned(), id.to_owned())))
        };
        Self(entries(bundle).iter().filter_map(name).collect())
    }

    /// The Bundle's entries with every name rewritten.
    fn rewrite(&self, mut bundle: Value) -> Vec<Value> {
        let Some(Value::Array(mut entries)) = bundle.get_mut("entry").map(Value::take) else {
            return Vec::new();
        };
        for entry in &mut entries {
            self.rewrite_entry(entry);
        }
        entries
    }

    fn rewrite_entry(&self, entry: &mut Value) {
        let Some(members) = entry.as_object_mut() else { return };
        if !members.contains_key("resource") {
            return;
        }
        members.shift_remove("request");
        members.shift_remove("response");
        let name = members.get("fullUrl").and_then(Value::as_str).and_then(|url| self.0.get(url));
        if name.is_some() {
            members.shift_remove("fullUrl");
        }
        if let Some(resource) = members.get_mut("resource") {
            if let (Some((_, id)), Some(resource)) = (name, resource.as_object_mut())
                && !resource.contains_key("id")
            {
                resource.insert("id".into(), id.as_str().into());
            }
            self.rewrite_references(resource);
        }
    }

    fn rewrite_references(&self, value: &mut Value) {
        match value {
            Value::Array(elements) => {
                elements.iter_mut().for_each(|element| self.rewrite_references(element));
            }
            Value::Object(members) => {
                for (name, value) in members {
                    match value {
                        Value::String(url) if name == "reference" => {
                            if let Some((kind, id)) = self.0.get(url) {
                                *url = format!("{kind}/{id}");
                            }
                        }
                        _ => self.rewrite_references(value),
                    }
                }
            }
            _ => {}
        }
    }
}

/// The entries by the Encounter that they are or refer to, in the order of the Encounters; last
/// those that refer to none.
fn by_encounter(bundle: Vec<Value>) -> Vec<Vec<Value>> {
    let mut encounters = HashMap::new();
    for entry in &bundle {
        if let Some(name) = encounter(entry) {
            let next = encounters.len();
            encounters.entry(name).or_insert(next);
        }
    }
    let mut groups = vec![Vec::new(); encounters.len() + 1];
    let none = encounters.len();
    for entry in bundle {
        let place = match encounter(&entry) {
            Some(name) => encounters.get(&name).copied(),
            None => reference_to(&entry, &encounters),
        };
        if let Some(group) = groups.get_mut(place.unwrap_or(none)) {
            group.push(entry);
        }
    }
    groups.retain(|group| !group.is_empty());
    groups
}

/// `Encounter/id` when the entry holds one, or its absolute address.
fn encounter(entry: &Value) -> Option<String> {
    let resource = entry.get("resource").filter(|resource| kind(resource) == Some("Encounter"))?;
    let id = resource.get("id").and_then(Value::as_str).map(|id| format!("Encounter/{id}"));
    id.or_else(|| entry.get("fullUrl").and_then(Value::as_str).map(str::to_owned))
}

/// The first Encounter that is referred to, however deep.
fn reference_to(value: &Value, encounters: &HashMap<String, usize>) -> Option<usize> {
    match value {
        Value::Array(elements) => {
            elements.iter().find_map(|element| reference_to(element, encounters))
        }
        Value::Object(members) => {
            let own = members.get("reference").and_then(Value::as_str);
            own.and_then(|url| {
                encounters.get(relative(url)).or_else(|| encounters.get(url)).copied()
            })
            .or_else(|| members.values().find_map(|value| reference_to(value, encounters)))
        }
        _ => None,
    }
}

/// `Encounter/id` of `https://…/Encounter/id/_history/2`.
fn relative(url: &str) -> &str {
    let url = url.split_once("/_history/").map_or(url, |(url, _)| url);
    url.rfind("Encounter/").and_then(|start| url.get(start..)).unwrap_or(url)
}

/// Adds a group of entries to `records` in as many Bundles as it takes.
fn divide(
    group: Vec<Value>,
    fits: &impl Fn(&Value) -> bool,
    records: &mut Vec<Value>,
) -> Result<(), Error> {
    let mut bundle = json!({ "resourceType": "Bundle", "type": "collection" });
    bundle["entry"] = group.into();
    if fits(&bundle) {
        records.push(bundle);
        return Ok(());
    }
    let Value::Array(mut group) = bundle["entry"].take() else { return Ok(()) };
    if group.len() < 2 {
        return Err(Error::RecordTooLarge);
    }
    let rest = group.split_off(group.len() / 2);
    divide(group, fits, records)?;
    divide(rest, fits, records)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::take_in;
    use crate::error::Error;

    /// Whether there is room for so many bytes of it.
    fn within(max_bytes: usize) -> impl Fn(&Value) -> bool {
        move |content| content.to_string().len() <= max_bytes
    }

    const ALL: usize = usize::MAX;

    fn transaction() -> Value {
        let entry = |url: &str, resource: Value| json!({ "fullUrl": url, "resource": resource, "request": { "method": "POST" } });
        let at = |encounter: &str| json!({ "reference": encounter });
        json!({ "resourceType": "Bundle", "type": "transaction", "entry": [
            entry("urn:uuid:p", json!({ "resourceType": "Patient", "id": "p" })),
            entry("urn:uuid:e1", json!({ "resourceType": "Encounter", "id": "e1",
                "subject": { "reference": "urn:uuid:p" } })),
            entry("urn:uuid:e2", json!({ "resourceType": "Encounter",
                "partOf": { "reference": "urn:uuid:e1" } })),
            entry("urn:uuid:o", json!({ "resourceType": "Observation", "id": "o",
                "encounter": at("urn:uuid:e2"), "subject": { "reference": "Patient?identifier=7" },
                "hasMember": [at("#inside"), at("urn:uuid:elsewhere")] })),
            entry("https://h.example/Claim/c", json!({ "resourceType": "Claim", "id": "c",
                "item": [{ "encounter": [at("https://h.example/Encounter/e1/_history/2")] }] })),
        ] })
    }

    #[test]
    fn each_encounter_becomes_a_record_with_all_that_refers_to_it() {
        let records = take_in(transaction(), within(ALL)).unwrap();
        let expected = [
            json!([
                { "resource": { "resourceType": "Encounter", "id": "e1",
                    "subject": { "reference": "Patient/p" } } },
                { "fullUrl": "https://h.example/Claim/c", "resource": { "resourceType": "Claim",
                    "id": "c", "item": [{ "encounter": [
                        { "reference": "https://h.example/Encounter/e1/_history/2" },
                    ] }] } },
            ]),
            json!([
                { "resource": { "resourceType": "Encounter", "id": "e2",
                    "partOf": { "reference": "Encounter/e1" } } },
                { "resource": { "resourceType": "Observation", "id": "o",
                    "encounter": { "reference": "Encounter/e2" },
                    "subject": { "reference": "Patient?identifier=7" }, "hasMember": [
                        { "reference": "#inside" }, { "reference": "urn:uuid:elsewhere" },
                    ] } },
            ]),
            json!([{ "resource": { "resourceType": "Patient", "id": "p" } }]),
        ];
        for (record, entries) in records.iter().zip(&expected) {
            assert_eq!(
                *record,
                json!({ "resourceType": "Bundle", "type": "collection", "entry": entries })
            );
        }
        assert_eq!(records.len(), expected.len());
    }

    #[test]
    fn what_does_not_fit_is_divided_further_and_in_the_end_refused() {
        let whole: usize = take_in(transaction(), within(ALL)).unwrap().len();
        let divided = take_in(transaction(), within(330)).unwrap();
        assert!(divided.len() > whole);
        assert!(divided.iter().all(|record| record.to_string().len() <= 330));
        assert_eq!(take_in(transaction(), within(100)), Err(Error::RecordTooLarge));
        let patient = json!({ "resourceType": "Patient", "id": "x".repeat(100) });
        assert_eq!(take_in(patient, within(100)), Err(Error::RecordTooLarge));
    }

    #[test]
    fn numbers_stay_as_their_author_wrote_them() {
        let text = r#"{"resourceType":"Bundle","type":"batch","entry":[{"resource":{"resourceType":"Encounter","length":{"value":1E5}}},{"resource":{"resourceType":"Observation","valueQuantity":{"value":6.50}}}]}"#;
        let bundle = crate::json::parse(text.as_bytes()).unwrap();
        let records: String =
            take_in(bundle, within(150)).unwrap().iter().map(Value::to_string).collect();
        assert!(records.contains("1E5") && records.contains("6.50"), "{records}");
    }

    #[test]
    fn what_needs_no_dividing_stays_as_its_author_wrote_it() {
        let mut document = transaction();
        document["type"] = "document".into();
        let searchset = json!({ "resourceType": "Bundle", "type": "searchset", "total": 0 });
        let request = json!({ "request": { "method": "GET", "url": "Patient" } });
        let batch = json!({ "resourceType": "Bundle", "type": "batch", "entry": [request] });
        let patient = json!({ "resourceType": "Patient", "id": "p" });
        for whole in [document, searchset, batch, patient] {
            assert_eq!(take_in(whole.clone(), within(ALL)), Ok(vec![whole]));
        }
    }
}
