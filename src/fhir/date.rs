//! When what a resource tells of happened.

use serde_json::Value;

use super::resource::{entries, kind};

/// When what this resource tells of happened, as its author wrote it: a FHIR date, dateTime or
/// instant; of a Bundle, that of what its entries tell of.
pub fn of(resource: &Value) -> Option<String> {
    let is_bundle = kind(resource) == Some("Bundle");
    let of_entries = is_bundle.then(|| of_bundle(resource)).flatten();
    of_entries.or_else(|| of_resource(resource))
}

/// When that of a Bundle happened, if one of its entries says so. A document tells how things were when it
/// was written, which its Composition says; else it is what happened at an Encounter, as intake makes
/// them; else the newest of all, so that where none is chief no order of entries decides. A Bundle among
/// them has its own date: to look into each would take the longer, the deeper they nest.
fn of_bundle(bundle: &Value) -> Option<String> {
    let resources = || entries(bundle).iter().filter_map(|entry| entry.get("resource"));
    let is_document = bundle.get("type").and_then(Value::as_str) == Some("document");
    let written = resources().next().filter(|_| is_document).and_then(of_resource);
    let encounter = || resources().find(|it| kind(it) == Some("Encounter")).and_then(of_resource);
    written.or_else(encounter).or_else(|| resources().filter_map(of_resource).max())
}

fn of_resource(resource: &Value) -> Option<String> {
    const DATES: [&str; 22] = [
        "effectiveDateTime",
        "effectiveInstant",
        "effectivePeriod",
        "performedDateTime",
        "performedPeriod",
        "occurrenceDateTime",
        "occurrencePeriod",
        "onsetDateTime",
        "onsetPeriod",
        "authoredOn",
        "period",
        "billablePeriod",
        "servicedDate",
        "started",
        "start",
        "whenHandedOver",
        "recordedDate",
        "issued",
        "sent",
        "created",
        "date",
        "timestamp",
    ];
    DATES.iter().find_map(|name| match resource.get(name)? {
        Value::String(date) => Some(date.clone()),
        period => period.get("start")?.as_str().map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::of;

    #[test]
    fn a_date_is_that_of_what_happened() {
        let observation = json!({
            "resourceType": "Observation", "issued": "2026-05-18T00:00:00Z", "effectiveDateTime": "2026-05-17",
        });
        assert_eq!(of(&observation).as_deref(), Some("2026-05-17"));
        let encounter =
            json!({ "resourceType": "Encounter", "period": { "start": "2025", "end": "2026" } });
        let bundle = json!({ "resourceType": "Bundle", "entry": [{ "request": {} }, { "resource": encounter }] });
        assert_eq!(of(&bundle).as_deref(), Some("2025"));
        assert_eq!(of(&json!({ "resourceType": "Patient" })), None);
    }

    #[test]
    fn a_date_of_a_bundle_is_that_of_what_it_is_about() {
        let resource =
            |kind: &str, date: &str| json!({ "resource": { "resourceType": kind, "date": date } });
        let bundle = |kind: &str, entries: &[Value]| json!({ "resourceType": "Bundle", "type": kind, "timestamp": "2027", "entry": entries });
        let (old, new) =
            (resource("Observation", "1999-05-01"), resource("Observation", "2026-02"));
        let encounter = resource("Encounter", "2020-01-01");
        for (kind, entries, expected) in [
            (
                "document",
                vec![resource("Composition", "2025-03-01"), new.clone(), encounter.clone()],
                "2025-03-01",
            ),
            ("collection", vec![new.clone(), encounter, old.clone()], "2020-01-01"),
            ("collection", vec![old.clone(), new.clone()], "2026-02"),
            ("searchset", vec![new, old], "2026-02"),
            ("document", vec![json!({ "resource": { "resourceType": "Composition" } })], "2027"),
            ("batch", vec![], "2027"),
        ] {
            assert_eq!(of(&bundle(kind, &entries)).as_deref(), Some(expected), "{kind}");
        }
    }

    #[test]
    fn nested_bundles_are_looked_into_once() {
        let innermost = json!({ "resourceType": "Bundle", "type": "document" });
        let nested = (0..30).fold(innermost, |within, _| {
            json!({ "resourceType": "Bundle", "type": "document", "entry": [{ "resource": within }] })
        });
        assert_eq!(of(&nested), None);
        let dated = json!({ "resourceType": "Bundle", "type": "batch", "timestamp": "2020", "entry": [
            { "resource": { "resourceType": "Observation", "issued": "2026" } },
        ] });
        let around =
            json!({ "resourceType": "Bundle", "type": "batch", "entry": [{ "resource": dated }] });
        assert_eq!(of(&around).as_deref(), Some("2020"));
    }
}
