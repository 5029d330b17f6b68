// Plain words for FHIR's names: resource types, member names, codes.

import { visible } from "../ui/words";

const TYPES: Record<string, [one: string, many: string]> = {
  AllergyIntolerance: ["Allergy or intolerance", "Allergies and intolerances"],
  Appointment: ["Appointment", "Appointments"],
  Bundle: ["Collection of records", "Collections of records"],
  CarePlan: ["Care plan", "Care plans"],
  CareTeam: ["Care team", "Care teams"],
  Claim: ["Bill", "Bills"],
  ClinicalImpression: ["Clinical assessment", "Clinical assessments"],
  Composition: ["Summary document", "Summary documents"],
  Condition: ["Diagnosis or problem", "Diagnoses and problems"],
  Consent: ["Consent", "Consents"],
  Coverage: ["Insurance", "Insurance"],
  Device: ["Device or implant", "Devices and implants"],
  DeviceUseStatement: ["Use of a device", "Use of devices"],
  DiagnosticReport: ["Report", "Reports of tests and imaging"],
  DocumentReference: ["Document", "Documents"],
  Encounter: ["Visit or stay", "Visits and stays"],
  ExplanationOfBenefit: ["Insurance statement", "Insurance statements"],
  FamilyMemberHistory: ["Family history", "Family history"],
  Flag: ["Alert", "Alerts"],
  Goal: ["Goal", "Goals"],
  ImagingStudy: ["Imaging study", "Imaging studies"],
  Immunization: ["Vaccination", "Vaccinations"],
  Location: ["Place", "Places"],
  Media: ["Picture or recording", "Pictures and recordings"],
  Medication: ["Medicine", "Medicines"],
  MedicationAdministration: ["Medicine given", "Medicines given"],
  MedicationRequest: ["Prescription", "Prescriptions"],
  MedicationStatement: ["Medicine taken", "Medicines taken"],
  NutritionOrder: ["Diet", "Diets"],
  Observation: ["Measurement or observation", "Measurements and laboratory values"],
  Organization: ["Organisation", "Organisations"],
  Patient: ["Personal details", "Personal details"],
  Practitioner: ["Health professional", "Health professionals"],
  PractitionerRole: ["Role of a professional", "Roles of professionals"],
  Procedure: ["Operation or treatment", "Operations and treatments"],
  Provenance: ["Origin of a record", "Origins of records"],
  QuestionnaireResponse: ["Answered questionnaire", "Answered questionnaires"],
  RelatedPerson: ["Relative or carer", "Relatives and carers"],
  RiskAssessment: ["Risk assessment", "Risk assessments"],
  ServiceRequest: ["Referral or order", "Referrals and orders"],
  Specimen: ["Sample", "Samples"],
  SupplyDelivery: ["Delivery", "Deliveries"],
};

/** What a hospital may be let read, most often wanted first. */
export const SHAREABLE: readonly string[] = [
  "Condition",
  "AllergyIntolerance",
  "MedicationStatement",
  "MedicationRequest",
  "Observation",
  "DiagnosticReport",
  "Procedure",
  "Immunization",
  "ImagingStudy",
  "Encounter",
  "Patient",
  "FamilyMemberHistory",
  "CarePlan",
  "Bundle",
];

/** One record of this type, in plain words. */
export function typeLabel(type: string): string {
  return TYPES[type]?.[0] ?? words(type);
}

/** Records of this type, in plain words; what somebody else wrote in place of a type is shown as it is. */
export function typesLabel(type: string): string {
  return TYPES[type]?.[1] ?? visible(words(type));
}

/** A node's title for a record, `Observation: Hemoglobin`, as people say it: `Hemoglobin`. */
export function plainTitle(title: string): string {
  const [type = "", ...name] = title.split(": ");
  if (!Object.hasOwn(TYPES, type)) return title;
  return name.length ? name.join(": ") : typeLabel(type);
}

// Members of which FHIR has several, one for each datatype: `valueQuantity`, `onsetAge`, …
const CHOICES =
  /^(value|effective|onset|abatement|performed|occurrence|medication|deceased|multipleBirth|serviced|timing|asNeeded|dose|rate|allowed|used|product|content|start|due|scheduled|collected|reported|location|detail|item|event|subject|probability|time|born|age|target|diagnosis|procedure|identified|fastingStatus|additive|minimumVolume|indication|author|entity|question|topic|source|answer|when)(?=[A-Z])(?:DateTime|Date|Period|Timing|Instant|Quantity|CodeableConcept|String|Boolean|Integer|Decimal|Range|Ratio|SampledData|Time|Age|Reference|Attachment|Duration|Money|Uri|Address|Coding|Identifier|Annotation|Code)$/;

const MEMBERS: Record<string, string> = {
  value: "Result",
  effective: "Measured",
  performed: "Done",
  occurrence: "Given",
  onset: "Began",
  abatement: "Ended",
  code: "What",
  component: "Parts",
  referenceRange: "Normal range",
  dataAbsentReason: "Why there is no value",
  authoredOn: "Prescribed",
  recordedDate: "Recorded",
  birthDate: "Date of birth",
  clinicalStatus: "State",
  verificationStatus: "Certainty",
  dosageInstruction: "Dosage",
  bodySite: "Where in the body",
  vaccineCode: "Vaccine",
  telecom: "Contact",
  reasonCode: "Reason",
  reasonReference: "Reason",
  encounter: "Visit",
  subject: "Patient",
  system: "Code system",
  issued: "Issued",
};

/** The name of a member without its datatype: `value` of `valueQuantity`. */
export function memberName(name: string): string {
  return CHOICES.exec(name)?.[1] ?? name;
}

/** A member's name in plain words. */
export function memberLabel(name: string): string {
  const plain = memberName(name);
  return MEMBERS[plain] ?? words(plain);
}

const INTERPRETATIONS: Record<string, string> = {
  H: "High",
  HH: "Critically high",
  L: "Low",
  LL: "Critically low",
  A: "Abnormal",
  AA: "Critically abnormal",
  N: "Normal",
  POS: "Positive",
  NEG: "Negative",
};

/** Words for a code of HL7's table of interpretations, if it is one that people know. */
export function interpretationLabel(code: string): string | undefined {
  return INTERPRETATIONS[code];
}

/** `camelCase` and `kebab-case` as words with a capital at the start. */
export function words(name: string): string {
  const spaced = name
    .replace(/([a-z0-9])([A-Z])/g, "$1 $2")
    .replace(/[-_]+/g, " ")
    .toLowerCase();
  return spaced.charAt(0).toUpperCase() + spaced.slice(1);
}
