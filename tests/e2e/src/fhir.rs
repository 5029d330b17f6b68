//! The records of these tests: examples of the International Patient Summary (npm
//! `hl7.fhir.uv.ips`, CC0).

use crate::{Result, pages};

/// A patient's own record.
pub const ALLERGY: &str = "AllergyIntolerance-allergyintolerance-with-abatement";

/// A laboratory value.
pub const OBSERVATION: &str = "Observation-hemoglobin";

/// A whole summary, which is larger than a screen.
pub const SUMMARY: &str = "Bundle-IPS-examples-Bundle-01";

/// The text of an example.
pub fn example(name: &str) -> Result<String> {
    let folder = pages::root().join("node_modules/hl7.fhir.uv.ips/example");
    let path = folder.join(format!("{name}.json"));
    Ok(std::fs::read_to_string(&path).map_err(|_| format!("{} is missing", path.display()))?)
}
