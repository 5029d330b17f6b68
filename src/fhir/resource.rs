//! Resources: their form, and the few elements that every page shows.

use serde_json::{Map, Value};

use crate::error::Error;
use crate::json;

/// Longest name of a member, octets: of FHIR's own the longest has 34.
pub const MAX_NAME: usize = 64;

/// Content nests no deeper than this, so that the record around it can be read by everyone.
const DEPTH: usize = 100;

/// The 146 concrete resource types of FHIR R4 (4.0.1), in order.
#[rustfmt::skip]
const TYPES: [&str; 146] = [
    "Account", "ActivityDefinition", "AdverseEvent", "AllergyIntolerance", "Appointment",
    "AppointmentResponse", "AuditEvent", "Basic", "Binary", "BiologicallyDerivedProduct",
    "BodyStructure", "Bundle", "CapabilityStatement", "CarePlan", "CareTeam", "CatalogEntry",
    "ChargeItem", "ChargeItemDefinition", "Claim", "ClaimResponse", "ClinicalImpression",
    "CodeSystem", "Communication", "CommunicationRequest", "CompartmentDefinition", "Composition",
    "ConceptMap", "Condition", "Consent", "Contract", "Coverage", "CoverageEligibilityRequest",
    "CoverageEligibilityResponse", "DetectedIssue", "Device", "DeviceDefinition", "DeviceMetric",
    "DeviceRequest", "DeviceUseStatement", "DiagnosticReport", "DocumentManifest",
    "DocumentReference", "EffectEvidenceSynthesis", "Encounter", "Endpoint", "EnrollmentRequest",
    "EnrollmentResponse", "EpisodeOfCare", "EventDefinition", "Evidence", "EvidenceVariable",
    "ExampleScenario", "ExplanationOfBenefit", "FamilyMemberHistory", "Flag", "Goal",
    "GraphDefinition", "Group", "GuidanceResponse", "HealthcareService", "ImagingStudy",
    "Immunization", "ImmunizationEvaluation", "ImmunizationRecommendation", "ImplementationGuide",
    "InsurancePlan", "Invoice", "Library", "Linkage", "List", "Location", "Measure",
    "MeasureReport", "Media", "Medication", "MedicationAdministration", "MedicationDispense",
    "MedicationKnowledge", "MedicationRequest", "MedicationStatement", "MedicinalProduct",
    "MedicinalProductAuthorization", "MedicinalProductContraindication",
    "MedicinalProductIndication", "MedicinalProductIngredient", "MedicinalProductInteraction",
    "MedicinalProductManufactured", "MedicinalProductPackaged", "MedicinalProductPharmaceutical",
    "MedicinalProductUndesirableEffect", "MessageDefinition", "MessageHeader", "MolecularSequence",
    "NamingSystem", "NutritionOrder", "Observation", "ObservationDefinition",
    "OperationDefinition", "OperationOutcome", "Organization", "OrganizationAffiliation",
    "Parameters", "Patient", "PaymentNotice", "PaymentReconciliation", "Person", "PlanDefinition",
    "Practitioner", "PractitionerRole", "Procedure", "Provenance", "Questionnaire",
    "QuestionnaireResponse", "RelatedPerson", "RequestGroup", "ResearchDefinition",
    "ResearchElementDefinition", "ResearchStudy", "ResearchSubject", "RiskAssessment",
    "RiskEvidenceSynthesis", "Schedule", "SearchParameter", "ServiceRequest", "Slot", "Specimen",
    "SpecimenDefinition", "StructureDefinition", "StructureMap", "Subscription", "Substance",
    "SubstanceNucleicAcid", "SubstancePolymer", "SubstanceProtein",
    "SubstanceReferenceInformation", "SubstanceSourceMaterial", "SubstanceSpecification",
    "SupplyDelivery", "SupplyRequest", "Task", "TerminologyCapabilities", "TestReport",
    "TestScript", "ValueSet", "VerificationResult", "VisionPrescription",
];

/// The codes of `Bundle.type`.
const BUNDLES: [&str; 9] = [
    "document",
    "message",
    "transaction",
    "transaction-response",
    "batch",
    "batch-response",
    "history",
    "searchset",
    "collection",
];

/// Reads a resource or Bundle of FHIR R4 JSON, number texts and member order kept.
///
/// [`Error::NotJson`], or [`Error::NotFhir`] when it or a resource within has no R4
/// `resourceType`, a Bundle no `type` or an entry with none of `resource`, `request` and
/// `response`, a member has a name that is none of FHIR's, `null` stands outside of an array, or
/// it nests deeper than 100.
pub fn parse(bytes: &[u8]) -> Result<Value, Error> {
    let resource = json::parse(bytes)?;
    check(&resource)?;
    Ok(resource)
}

/// What [`parse`] asks of JSON that was parsed already.
pub fn check(resource: &Value) -> Result<(), Error> {
    if kind(resource).is_none() {
        return Err(Error::NotFhir);
    }
    check_value(resource, DEPTH)
}

/// The `resourceType`, when it is one of R4's.
pub fn kind(resource: &Value) -> Option<&str> {
    resource.get("resourceType")?.as_str().filter(|kind| is_type(kind))
}

/// Whether this names a resource type of R4.
pub fn is_type(name: &str) -> bool {
    TYPES.binary_search(&name).is_ok()
}

/// The entries of a Bundle; none for any other resource.
pub fn entries(resource: &Value) -> &[Value] {
    match kind(resource) {
        Some("Bundle") => {
            resource.get("entry").and_then(Value::as_array).map_or(&[], Vec::as_slice)
        }
        _ => &[],
    }
}

/// What a person calls this resource: its type, and what it is about when it says so, such as
/// `Observation: Hemoglobin A1c`. Of a document, its title.
pub fn title(resource: &Value) -> String {
    let kind = kind(resource).unwrap_or("Resource");
    let about = match kind {
        "Bundle" => entries(resource)
            .first()
            .and_then(|entry| entry.get("resource"))
            .and_then(subject_matter),
        _ => subject_matter(resource),
    };
    about.map_or_else(|| kind.to_owned(), |about| format!("{kind}: {about}"))
}

fn subject_matter(resource: &Value) -> Option<String> {
    const TITLES: [&str; 2] = ["title", "description"];
    const CONCEPTS: [&str; 10] = [
        "code",
        "medicationCodeableConcept",
        "vaccineCode",
        "type",
        "category",
        "modality",
        "serviceType",
        "class",
        "substance",
        "specialty",
    ];
    let concept = || CONCEPTS.iter().find_map(|name| label(resource.get(name)?));
    let title = || TITLES.iter().find_map(|name| resource.get(name)?.as_str().map(str::to_owned));
    if kind(resource) == Some("Composition") {
        title().or_else(concept)
    } else {
        concept().or_else(title)
    }
}

/// The text of a CodeableConcept, a Coding or the first of several.
fn label(concept: &Value) -> Option<String> {
    match concept {
        Value::Array(concepts) => concepts.iter().find_map(label),
        Value::Object(members) => {
            let text = |name: &str| members.get(name)?.as_str().map(str::to_owned);
            text("text").or_else(|| text("display")).or_else(|| label(members.get("coding")?))
        }
        _ => None,
    }
}

fn check_value(value: &Value, depth: usize) -> Result<(), Error> {
    if depth == 0 {
        return Err(Error::NotFhir);
    }
    match value {
        Value::Object(members) => check_object(members, depth),
        Value::Array(elements) => {
            elements.iter().try_for_each(|element| check_value(element, depth - 1))
        }
        _ => Ok(()),
    }
}

fn check_object(members: &Map<String, Value>, depth: usize) -> Result<(), Error> {
    for (name, value) in members {
        if !is_element_name(name, MAX_NAME) || value.is_null() {
            return Err(Error::NotFhir);
        }
        match name.as_str() {
            "resourceType" if value.as_str().is_none_or(|kind| !is_type(kind)) => {
                return Err(Error::NotFhir);
            }
            "contained" if !all(value, |resource| kind(resource).is_some()) => {
                return Err(Error::NotFhir);
            }
            _ => check_value(value, depth - 1)?,
        }
    }
    match members.get("resourceType").and_then(Value::as_str) {
        Some("Bundle") => check_bundle(members),
        _ => Ok(()),
    }
}

fn check_bundle(bundle: &Map<String, Value>) -> Result<(), Error> {
    let kind = bundle.get("type").and_then(Value::as_str);
    let entries = bundle.get("entry").is_none_or(|entries| all(entries, is_entry));
    if kind.is_some_and(|kind| BUNDLES.contains(&kind)) && entries {
        Ok(())
    } else {
        Err(Error::NotFhir)
    }
}

fn is_entry(entry: &Value) -> bool {
    match entry.get("resource") {
        Some(resource) => kind(resource).is_some(),
        None => entry.get("request").is_some() || entry.get("response").is_some(),
    }
}

fn all(elements: &Value, is: impl Fn(&Value) -> bool) -> bool {
    elements.as_array().is_some_and(|elements| elements.iter().all(is))
}

/// Whether every member of `value`, at any depth, has a name that one of a resource may have, of at most
/// `longest` octets.
pub fn has_element_names(value: &Value, longest: usize) -> bool {
    match value {
        Value::Object(members) => members.iter().all(|(name, value)| {
            is_element_name(name, longest) && has_element_names(value, longest)
        }),
        Value::Array(elements) => elements.iter().all(|value| has_element_names(value, longest)),
        _ => true,
    }
}

/// An element's name, or that of a primitive's extensions: letters and digits, perhaps after `_`.
/// `_sd` is none: as records, SD-JWTs, contents have digests by that name (RFC 9901).
fn is_element_name(name: &str, longest: usize) -> bool {
    let element = name.strip_prefix('_').unwrap_or(name);
    name.len() <= longest
        && element.starts_with(|first: char| first.is_ascii_alphabetic())
        && element.chars().all(|letter| letter.is_ascii_alphanumeric())
        && name != "_sd"
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{TYPES, parse, title};
    use crate::error::Error;

    #[test]
    fn the_types_are_in_the_order_that_the_search_needs() {
        assert!(TYPES.is_sorted());
    }

    #[test]
    fn what_is_no_resource_is_refused() {
        for text in [
            r#"{}"#,
            r#"[]"#,
            r#""Patient""#,
            r#"{"resourceType":"patient"}"#,
            r#"{"resourceType":"BodySite"}"#,
            r#"{"resourceType":["Patient"]}"#,
            r#"{"resourceType":"Patient","id":null}"#,
            r#"{"resourceType":"Patient","":1}"#,
            r#"{"resourceType":"Patient","a b":1}"#,
            r#"{"resourceType":"Patient","_sd":[]}"#,
            r#"{"resourceType":"Patient","contained":[{}]}"#,
            r#"{"resourceType":"Patient","contained":{"resourceType":"Basic"}}"#,
            r#"{"resourceType":"Bundle"}"#,
            r#"{"resourceType":"Bundle","type":"heap"}"#,
            r#"{"resourceType":"Bundle","type":"batch","entry":{}}"#,
            r#"{"resourceType":"Bundle","type":"batch","entry":[{}]}"#,
            r#"{"resourceType":"Bundle","type":"batch","entry":[{"resource":{}}]}"#,
        ] {
            assert_eq!(parse(text.as_bytes()), Err(Error::NotFhir), "{text}");
        }
        let long = format!(r#"{{"resourceType":"Basic","{}":1}}"#, "a".repeat(65));
        assert_eq!(parse(long.as_bytes()), Err(Error::NotFhir));
        let deep =
            format!(r#"{{"resourceType":"Basic","a":{}1{}}}"#, "[".repeat(110), "]".repeat(110));
        assert_eq!(parse(deep.as_bytes()), Err(Error::NotFhir));
        assert_eq!(parse(b"<Patient/>"), Err(Error::NotJson));
        assert_eq!(parse(br#"{"resourceType":"Patient","id":"1","id":"2"}"#), Err(Error::NotJson));
    }

    #[test]
    fn resources_bundles_and_mere_requests_are_read() {
        for text in [
            r#"{"id":"p","resourceType":"Patient","_birthDate":{"extension":[]}}"#,
            r#"{"resourceType":"Observation","code":{},"component":[null,{"a":1.0}]}"#,
            r#"{"resourceType":"Bundle","type":"batch","entry":[{"request":{"method":"GET","url":"Patient/1"}}]}"#,
            r#"{"resourceType":"Bundle","type":"history","entry":[{"resource":{"resourceType":"Basic"}}]}"#,
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_title_says_what_it_is_and_what_it_is_about() {
        for (resource, expected) in [
            (
                json!({ "resourceType": "Observation", "code": { "text": "HbA1c" } }),
                "Observation: HbA1c",
            ),
            (
                json!({ "resourceType": "Condition", "code": { "coding": [{ "code": "1" }, { "display": "Asthma" }] } }),
                "Condition: Asthma",
            ),
            (
                json!({ "resourceType": "Encounter", "class": { "code": "AMB" }, "type": [{ "text": "Check-up" }] }),
                "Encounter: Check-up",
            ),
            (
                json!({ "resourceType": "Bundle", "entry": [
                    { "resource": { "resourceType": "Composition", "type": { "text": "t" }, "title": "Summary" } },
                ] }),
                "Bundle: Summary",
            ),
            (json!({ "resourceType": "Patient" }), "Patient"),
            (json!({}), "Resource"),
        ] {
            assert_eq!(title(&resource), expected);
        }
    }
}
