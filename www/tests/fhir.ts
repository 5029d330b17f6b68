// Small FHIR records for the tests of the pages.

/** A haemoglobin value whose digits a JSON number would lose. */
export const HEMOGLOBIN = `{
  "resourceType": "Observation",
  "status": "final",
  "code": {"coding": [{"system": "http://loinc.org", "code": "718-7", "display": "Hemoglobin"}]},
  "effectiveDateTime": "2026-11-02T08:20:00+01:00",
  "valueQuantity": {"value": 105.00, "unit": "g/L"},
  "interpretation": [{"coding": [{
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation", "code": "L"}]}],
  "referenceRange": [{
    "low": {"value": 120.0, "unit": "g/L"}, "high": {"value": 160.0, "unit": "g/L"}}],
  "note": [{"text": "Repeat in four weeks."}]
}`;

/** An allergy. */
export const PENICILLIN = `{
  "resourceType": "AllergyIntolerance",
  "clinicalStatus": {"coding": [{"code": "active"}]},
  "code": {"text": "Penicillin"},
  "criticality": "high",
  "recordedDate": "2019-04-01",
  "reaction": [{"manifestation": [{"text": "Hives"}], "severity": "severe"}]
}`;

/** A summary of three records that point to each other. */
export const SUMMARY = `{
  "resourceType": "Bundle",
  "type": "document",
  "timestamp": "2026-11-02T10:00:00Z",
  "entry": [
    {"fullUrl": "urn:uuid:0", "resource": {"resourceType": "Composition", "status": "final",
      "title": "Summary of your stay", "date": "2026-11-02"}},
    {"fullUrl": "urn:uuid:1", "resource": {"resourceType": "Medication",
      "code": {"text": "Anastrozole"}}},
    {"fullUrl": "urn:uuid:2", "resource": {"resourceType": "MedicationStatement",
      "status": "active", "medicationReference": {"reference": "urn:uuid:1"},
      "dosage": [{"text": "one tablet daily"}]}},
    {"fullUrl": "urn:uuid:3", "resource": ${HEMOGLOBIN}}
  ]
}`;
