//! What a resource is about in the few words that a search needs, computed from it. They are part of the
//! format of records, whose readers compute them again: to change what they are takes a new format.

use std::cmp::Ordering;

use serde_json::Value;

use super::date;
use super::resource::{entries, kind};

/// Most codes that are named.
const MAX_CODES: usize = 64;

/// Codes of a status by which a resource says that it does not hold, or that what it tells of was not done.
const NEGATING: [&str; 6] =
    ["entered-in-error", "cancelled", "declined", "not-done", "not-taken", "refuted"];

/// What a resource or Bundle is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Its resource type; of a Bundle, those of its entries, each once.
    pub kinds: Vec<String>,
    /// What was measured, found or given, as FHIR search tokens `system|code`: the codings of `code`,
    /// `medicationCodeableConcept`, `vaccineCode` and of its components' `code`, each once, the first 64.
    /// A resource that says that it is not so, or was not done, adds none.
    pub codes: Vec<String>,
    /// The year of which it tells, if it says one ([`date::of`]).
    pub year: Option<u32>,
    /// How old the person was then, in whole years, if that is certain.
    pub age: Option<u32>,
}

impl Facts {
    /// Those of a resource or Bundle whose person was `born` then, a FHIR date, if that is known.
    pub fn of(resource: &Value, born: Option<&str>) -> Self {
        let mut facts = Self { kinds: Vec::new(), codes: Vec::new(), year: None, age: None };
        for resource in resources(resource) {
            let kind = kind(resource).unwrap_or_default();
            if !facts.kinds.iter().any(|known| known == kind) {
                facts.kinds.push(kind.to_owned());
            }
            if !is_negated(resource) {
                facts.add_codes(resource);
            }
        }
        let date = date::of(resource);
        facts.year = date.as_deref().and_then(|date| Some(Date::parse(date)?.year));
        facts.age = born.zip(date.as_deref()).and_then(|(born, date)| age(born, date));
        facts
    }

    fn add_codes(&mut self, resource: &Value) {
        let own = ["code", "medicationCodeableConcept", "vaccineCode"];
        let own = own.iter().filter_map(|name| resource.get(name));
        let components = resource.get("component").and_then(Value::as_array).into_iter().flatten();
        let codings = own
            .chain(components.filter_map(|component| component.get("code")))
            .filter_map(|concept| concept.get("coding")?.as_array())
            .flatten();
        for token in codings.filter_map(token) {
            if self.codes.len() < MAX_CODES && !self.codes.contains(&token) {
                self.codes.push(token);
            }
        }
    }
}

/// When the person was born, as the Patient resources among `contents` say, if they agree.
pub fn born<'a>(contents: impl IntoIterator<Item = &'a Value>) -> Option<&'a str> {
    let patients =
        contents.into_iter().flat_map(resources).filter(|it| kind(it) == Some("Patient"));
    let mut dates = patients.map(|patient| patient.get("birthDate").and_then(Value::as_str));
    let born = dates.next()??;
    // Of a mother and her child only one may say it.
    dates.all(|other| other == Some(born)).then_some(born)
}

/// The resource, or those in a Bundle's entries.
fn resources(resource: &Value) -> impl Iterator<Item = &Value> {
    let own = Some(resource).filter(|resource| kind(resource) != Some("Bundle"));
    own.into_iter().chain(entries(resource).iter().filter_map(|entry| entry.get("resource")))
}

/// Whether a resource says that it does not hold, or that what it tells of was not or is not to be done.
fn is_negated(resource: &Value) -> bool {
    let negates = |code: &Value| code.as_str().is_some_and(|code| NEGATING.contains(&code));
    let verification = resource.get("verificationStatus").and_then(|concept| concept.get("coding"));
    let mut codings = verification.and_then(Value::as_array).into_iter().flatten();
    resource.get("status").is_some_and(negates)
        || codings.any(|coding| coding.get("code").is_some_and(negates))
        || resource.get("doNotPerform") == Some(&Value::Bool(true))
}

/// `system|code` of a Coding.
fn token(coding: &Value) -> Option<String> {
    let code = coding.get("code")?.as_str()?;
    Some(format!("{}|{code}", coding.get("system").and_then(Value::as_str).unwrap_or_default()))
}

/// Whole years from one FHIR date to another; `None` when it is before it, or one of them is too coarse
/// to tell.
fn age(born: &str, date: &str) -> Option<u32> {
    let (born, date) = (Date::parse(born)?, Date::parse(date)?);
    let years = date.year.checked_sub(born.year)?;
    let had_birthday = match date.month?.cmp(born.month?) {
        Ordering::Equal => date.day? >= born.day?,
        other => other == Ordering::Greater,
    };
    if had_birthday { Some(years) } else { years.checked_sub(1) }
}

/// A FHIR date, dateTime or instant as far as it goes: `2012`, `2012-05`, `2012-05-17T09:30:00Z`.
struct Date<'a> {
    year: u32,
    month: Option<&'a str>,
    day: Option<&'a str>,
}

impl<'a> Date<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split('T').next()?.splitn(3, '-');
        let mut digits = |length| {
            let is_number = |part: &&str| part.bytes().all(|byte| byte.is_ascii_digit());
            parts.next().filter(|part| part.len() == length).filter(is_number)
        };
        let year = digits(4)?.parse().ok()?;
        Some(Self { year, month: digits(2), day: digits(2) })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Facts, age, born};

    fn concept(code: &str) -> Value {
        json!({ "coding": [{ "system": "http://loinc.org", "code": code }], "text": "HbA1c" })
    }

    #[test]
    fn a_resource_says_its_own() {
        let observation = json!({
            "resourceType": "Observation", "effectiveDateTime": "2026-05-17T09:30:00+09:00",
            "code": concept("85354-9"), "category": [concept("vital-signs")],
            "component": [{ "code": concept("8480-6") }, { "code": concept("8480-6") }, {}],
            "bodySite": concept("368209003"),
        });
        let codes = ["http://loinc.org|85354-9", "http://loinc.org|8480-6"].map(str::to_owned);
        let facts = Facts::of(&observation, Some("1984-03-02"));
        let kinds = vec!["Observation".to_owned()];
        assert_eq!(facts, Facts { kinds, codes: codes.into(), year: Some(2026), age: Some(42) });
    }

    #[test]
    fn a_bundle_says_those_of_its_entries_each_once() {
        let entry = |resource: Value| json!({ "resource": resource });
        let bundle = json!({ "resourceType": "Bundle", "type": "collection", "entry": [
            entry(json!({ "resourceType": "Patient", "birthDate": "1984-03-02" })),
            entry(json!({ "resourceType": "MedicationRequest", "authoredOn": "2026",
                "medicationCodeableConcept": { "coding": [{ "code": "N02BE01" }, { "display": "x" }] } })),
            entry(json!({ "resourceType": "Immunization", "vaccineCode": concept("88") })),
            entry(json!({ "resourceType": "Immunization", "vaccineCode": concept("88") })),
            { "request": { "method": "GET", "url": "Patient/1" } },
        ] });
        let facts = Facts::of(&bundle, born([&bundle]));
        assert_eq!(facts.kinds, ["Patient", "MedicationRequest", "Immunization"]);
        assert_eq!(facts.codes, ["|N02BE01", "http://loinc.org|88"]);
        assert_eq!((facts.year, facts.age), (Some(2026), None));
        let many: Vec<_> = (0..200)
            .map(|code| {
                entry(json!({ "code": concept(&code.to_string()),
            "resourceType": "Condition" }))
            })
            .collect();
        let many = json!({ "resourceType": "Bundle", "type": "collection", "entry": many });
        assert_eq!(Facts::of(&many, None).codes.len(), 64);
    }

    #[test]
    fn of_what_is_not_so_no_code_is_named() {
        let is = |member: &str, value: Value| {
            let mut resource = json!({ "resourceType": "Condition", "code": concept("1"), "recordedDate": "2026" });
            resource[member] = value;
            Facts::of(&resource, None)
        };
        let status = |code: &str| json!({ "coding": [{ "display": "x" }, { "code": code }] });
        for (member, value) in [
            ("status", json!("entered-in-error")),
            ("status", json!("not-done")),
            ("status", json!("not-taken")),
            ("status", json!("cancelled")),
            ("verificationStatus", status("refuted")),
            ("verificationStatus", status("entered-in-error")),
            ("doNotPerform", json!(true)),
        ] {
            let facts = is(member, value);
            assert_eq!(
                (facts.kinds.len(), facts.codes.len(), facts.year),
                (1, 0, Some(2026)),
                "{member}"
            );
        }
        for (member, value) in [
            ("status", json!("final")),
            ("status", json!({ "coding": [{ "code": "refuted" }] })),
            ("verificationStatus", status("confirmed")),
            ("verificationStatus", json!("refuted")),
            ("doNotPerform", json!(false)),
        ] {
            assert_eq!(is(member, value).codes.len(), 1, "{member}");
        }
    }

    #[test]
    fn what_is_not_said_is_none() {
        let facts =
            Facts::of(&json!({ "resourceType": "Basic", "code": "x", "created": "soon" }), None);
        assert_eq!(facts.codes, [""; 0]);
        assert_eq!((facts.year, facts.age), (None, None));
    }

    #[test]
    fn an_age_is_told_where_the_dates_decide_it() {
        for (born, date, expected) in [
            ("1984-03-02", "2026-03-02", Some(42)),
            ("1984-03-02", "2026-03-01T23:59:00Z", Some(41)),
            ("1984-03", "2026-05", Some(42)),
            ("1984-03", "2026-02-17", Some(41)),
            ("1984-03", "2026-03-17", None),
            ("1984-03-02", "2026-03", None),
            ("1984", "2026-12-31", None),
            ("1984-03-02", "2026", None),
            ("2026-05-17", "2026-05-17", Some(0)),
            ("2026-05-18", "2026-05-17", None),
            ("2027-01-01", "2026-05-17", None),
            ("84", "2026-05-17", None),
            ("1984-3-2", "2026-05-17", None),
        ] {
            assert_eq!(age(born, date), expected, "{born} {date}");
        }
    }

    #[test]
    fn patients_who_disagree_say_no_birth_date() {
        let patient = |date: &str| json!({ "resourceType": "Patient", "birthDate": date });
        let (one, other) = (patient("1984-03-02"), patient("1984-03-03"));
        let mother = json!({ "resourceType": "RelatedPerson", "birthDate": "1950-01-01" });
        assert_eq!(born([&one, &mother, &one]), Some("1984-03-02"));
        assert_eq!(born([&one, &other]), None);
        let undated = json!({ "resourceType": "Patient" });
        assert_eq!((born([&one, &undated]), born([&undated, &one])), (None, None));
        assert_eq!(born([&mother]), None);
    }
}
