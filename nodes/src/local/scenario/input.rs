//! The records of the scenario: FHIR files, and what must come out of each in the end.

use std::fs;
use std::path::{Path, PathBuf};

use hdms::fhir::resource;
use serde_json::Value;

use super::report::Failed;

/// A FHIR file.
#[derive(Debug)]
pub struct Input {
    /// The file's name.
    pub name: String,
    /// The file as it is.
    pub bytes: Vec<u8>,
    /// Its FHIR JSON without white space.
    text: String,
    /// Its resources, each as it must be found again when a Bundle is divided; in order.
    resources: Vec<String>,
}

impl Input {
    /// Fails unless `records`, FHIR JSON texts, hold what this file holds: every resource once,
    /// with its number texts and the order of its members. A Bundle that was divided keeps its
    /// resources, in which a reference to another one by `urn:uuid:` names it as `Type/id`.
    pub fn expect_within(&self, records: &[String]) -> Result<(), Failed> {
        if records == [self.text.as_str()] {
            return Ok(());
        }
        let mut found = Vec::new();
        for record in records {
            let record: Value = hdms::json::parse(record.as_bytes())
                .map_err(|error| Failed::refused("a record", error))?;
            found.extend(resources(&record).into_iter().map(Value::to_string));
        }
        found.sort();
        if self.resources == found {
            return Ok(());
        }
        let text = format!("{} resources went in, {} came out", self.resources.len(), found.len());
        Err(Failed::new(&format!("the records are not those of the file: {text}")))
    }

    /// `name` is for people.
    fn read(name: String, bytes: Vec<u8>) -> Result<Self, Failed> {
        let file = resource::parse(&bytes).map_err(|error| Failed::refused(&name, error))?;
        let text = file.to_string();
        if tokens(&String::from_utf8_lossy(&bytes)) != tokens(&text) {
            return Err(Failed::new(&format!("{name}: reading it changed numbers or their order")));
        }
        let mut resources = rewritten(&file);
        resources.sort();
        Ok(Self { name, bytes, text, resources })
    }
}

/// Every file under `paths`, folders walked, in the order of their names.
pub fn find(paths: &[PathBuf]) -> Result<Vec<Input>, Failed> {
    let mut files = Vec::new();
    for path in paths {
        walk(path, &mut files)?;
    }
    if files.is_empty() {
        return Err(Failed::new("there is no file under the given paths"));
    }
    files.into_iter().map(load).collect()
}

fn walk(path: &Path, files: &mut Vec<PathBuf>) -> Result<(), Failed> {
    let unreadable = |error| Failed::new(&format!("{}: {error}", path.display()));
    if !fs::metadata(path).map_err(unreadable)?.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let entries = fs::read_dir(path).map_err(unreadable)?;
    let mut within: Vec<PathBuf> = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .map_err(unreadable)?;
    within.sort();
    within.iter().try_for_each(|path| walk(path, files))
}

fn load(path: PathBuf) -> Result<Input, Failed> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let unreadable = |error| Failed::new(&format!("{}: {error}", path.display()));
    Input::read(name, fs::read(&path).map_err(unreadable)?)
}

/// The resources of a Bundle, or the one that it is.
fn resources(resource: &Value) -> Vec<&Value> {
    if resource::kind(resource) != Some("Bundle") {
        return vec![resource];
    }
    resource::entries(resource).iter().filter_map(|entry| entry.get("resource")).collect()
}

/// The texts of a Bundle's resources with its names rewritten, found by searching their text.
fn rewritten(bundle: &Value) -> Vec<String> {
    let named = |entry: &Value| {
        let (url, resource) = (entry.get("fullUrl")?.as_str()?, entry.get("resource")?);
        let kind = resource.get("resourceType")?.as_str()?;
        let id = resource.get("id").and_then(Value::as_str).or(url.strip_prefix("urn:uuid:"))?;
        let name = |to: &str| format!(r#""reference":"{to}""#);
        url.starts_with("urn:uuid:").then(|| (name(url), name(&format!("{kind}/{id}"))))
    };
    let names: Vec<_> = resource::entries(bundle).iter().filter_map(named).collect();
    let rename = |resource: &Value| {
        let mut text = resource.to_string();
        for (from, to) in &names {
            if text.contains(from) {
                text = text.replace(from, to);
            }
        }
        text
    };
    resources(bundle).into_iter().map(rename).collect()
}

/// JSON text without what does not matter: white space outside of strings, and how characters
/// within them are escaped.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start_matches('\u{feff}').trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => string_length(rest),
            '{' | '}' | '[' | ']' | ':' | ',' => 1,
            _ => rest
                .find(|c: char| "{}[]:,\"".contains(c) || c.is_whitespace())
                .unwrap_or(rest.len()),
        };
        let (token, after) = rest.split_at(length);
        let unescaped = serde_json::from_str::<String>(token);
        tokens.push(unescaped.map_or_else(|_| token.to_owned(), |string| format!("\"{string}")));
        rest = after.trim_start();
    }
    tokens
}

/// Length of the string literal that `text` begins with.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::{Input, find};

    const BUNDLE: &str = r#"{ "resourceType": "Bundle", "type": "transaction", "entry": [
        { "fullUrl": "urn:uuid:1", "resource": { "resourceType": "Patient", "id": "p", "n\u0061me": [] } },
        { "fullUrl": "urn:uuid:2", "resource": { "resourceType": "Observation", "id": "o",
          "subject": { "reference": "urn:uuid:1" }, "valueQuantity": { "value": 105.00 } } } ] }"#;

    fn input(text: &str) -> Input {
        Input::read("file".into(), text.into()).unwrap()
    }

    #[test]
    fn a_divided_bundle_is_found_again_whatever_the_order_of_its_records() {
        let records = [
            r#"{"resourceType":"Bundle","type":"collection","entry":[{"resource":{"resourceType":"Observation","id":"o","subject":{"reference":"Patient/p"},"valueQuantity":{"value":105.00}}}]}"#,
            r#"{"resourceType":"Bundle","type":"collection","entry":[{"resource":{"resourceType":"Patient","id":"p","name":[]}}]}"#,
        ];
        let records = records.map(str::to_owned);
        input(BUNDLE).expect_within(&records).unwrap();
        input(BUNDLE).expect_within(&records[..1]).unwrap_err();
        let rounded = records.clone().map(|record| record.replace("105.00", "105.0"));
        input(BUNDLE).expect_within(&rounded).unwrap_err();
        let doubled = [&records[..], &records[1..]].concat();
        input(BUNDLE).expect_within(&doubled).unwrap_err();
    }

    #[test]
    fn a_resource_must_come_out_as_it_went_in() {
        let text = r#"{"resourceType":"Basic","id":"a","language":"de"}"#;
        input(text).expect_within(&[text.to_owned()]).unwrap();
        let reordered = r#"{"resourceType":"Basic","language":"de","id":"a"}"#;
        input(text).expect_within(&[reordered.to_owned()]).unwrap_err();
    }

    #[test]
    fn folders_are_walked_in_order_and_what_is_not_fhir_is_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("b")).unwrap();
        let basic = r#"{"resourceType":"Basic"}"#;
        for name in ["b/2.json", "b/1.json", "a.json"] {
            std::fs::write(dir.path().join(name), basic).unwrap();
        }
        let paths = [dir.path().to_owned()];
        let names: Vec<_> = find(&paths).unwrap().into_iter().map(|input| input.name).collect();
        assert_eq!(names, ["a.json", "1.json", "2.json"]);
        std::fs::write(dir.path().join("b/notes.txt"), "hello").unwrap();
        let failed = find(&paths).unwrap_err().to_string();
        assert!(failed.contains("notes.txt") && failed.contains("fhir/not-json"), "{failed}");
        assert!(find(&[dir.path().join("absent")]).is_err());
    }
}
