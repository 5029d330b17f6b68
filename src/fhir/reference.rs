//! References between resources (FHIR R4, 2.3 Resource References).

use serde_json::{Map, Value};

use super::resource::is_type;

/// The resource type that a Reference points to, as its `reference` or its `type` says; `None` for
/// what it leaves open: `urn:uuid:…`, `#contained`, a search, a bare display.
pub fn target(reference: &Map<String, Value>) -> Option<&str> {
    let text = |name: &str| reference.get(name).and_then(Value::as_str);
    text("reference").and_then(target_of_url).or_else(|| text("type").filter(|kind| is_type(kind)))
}

/// The `Type` of `…/Type/id` or `…/Type/id/_history/version`.
fn target_of_url(url: &str) -> Option<&str> {
    let mut segments = url.rsplit('/');
    let (_id, kind) = (segments.next()?, segments.next()?);
    // Of a version: its id, and before that the type.
    let kind = if kind == "_history" { segments.nth(1)? } else { kind };
    Some(kind).filter(|kind| is_type(kind))
}
