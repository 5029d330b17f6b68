//! How a hospital takes in what its systems export: a whole-patient Bundle becomes one record for
//! each Encounter, with references that still hold once the Bundle is gone.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::resource::{entries, kind};
use crate::error::Error;

/// Bytes of compact JSON that fit into one record, and that into an envelope of 1 MB, whatever is
/// concealed in it: signing and sealing encode them in base64 three times over.
pub const MAX_BYTES: usize = 200_000;

/// Divides a resource or Bundle, as [`super::resource::parse`] answers it, into the contents of
/// records of at most `max_bytes` of compact JSON each.
///
/// What is no Bundle stays as it is, and so do documents and messages that fit, which must not be
/// torn, and Bundles without an Encounter that fit, unless they are a transaction or batch. Any
/// other Bundle becomes Bundles of type `collection`: one for each Encounter with all
/// that refers to it, and one for what belongs to none; what is larger is divided further. No
/// resource is dropped or doubled. References by `urn:uuid:` to resources of the Bundle become
/// `ResourceType/id`; `fullUrl` (where it is such a URN), `request` and `response` fall away, since
/// a collection has none. Other references, contained and conditional ones among them, stay.
///
/// [`Error::RecordTooLarge`] when a single resource is larger than `max_bytes`.
pub fn take_in(resource: Value, max_bytes: usize) -> Result<Vec<Value>, Error> {
    if kind(&resource) != Some("Bundle") || is_whole(&resource, max_bytes) {
        return if size(&resource) <= max_bytes {
            Ok(vec![resource])
        } else {
            Err(Error::RecordTooLarge)
        };
    }
    let bundle = Names::of(&resource).rewrite(resource);
    let mut records = Vec::new();
    for group in by_encounter(bundle) {
        divide(group, max_bytes, &mut records)?;
    }
    Ok(records)
}

/// Whether a Bundle stays one record: documents and messages have a first entry that the others hang
/// on, and what holds no Encounter needs no dividing. Transactions and batches are mere transport,
/// unless there is nothing else to them.
fn is_whole(bundle: &Value, max_bytes: usize) -> bool {
    let any = |kinds: fn(&str) -> bool| {
        entries(bundle).iter().filter_map(|entry| kind(entry.get("resource")?)).any(kinds)
    };
    let is_one = match bundle.get("type").and_then(Value::as_str) {
        Some("document" | "message") => true,
        Some("transaction" | "batch") => !any(|_| true),
        _ => !any(|kind| kind == "Encounter"),
    };
    is_one && size(bundle) <= max_bytes
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

/// Adds `group` to `records` in as many Bundles as it takes.
fn divide(group: Vec<Value>, max_bytes: usize, records: &mut Vec<Value>) -> Result<(), Error> {
    let frame = size(&collection(Vec::new()));
    let mut part = Vec::new();
    let mut bytes = frame;
    for entry in group {
        let entry_bytes = size(&entry) + 1;
        if frame + entry_bytes - 1 > max_bytes {
            return Err(Error::RecordTooLarge);
        }
        if bytes + entry_bytes > max_bytes + 1 {
            records.push(collection(std::mem::take(&mut part)));
            bytes = frame;
        }
        bytes += entry_bytes;
        part.push(entry);
    }
    records.push(collection(part));
    Ok(())
}

fn collection(entries: Vec<Value>) -> Value {
    json!({ "resourceType": "Bundle", "type": "collection", "entry": entries })
}

fn size(value: &Value) -> usize {
    value.to_string().len()
}
