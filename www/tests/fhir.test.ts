import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { at, JsonNumber, parseJson, type Json } from "../src/fhir/json";
import { readFhir, type Fact, type Reading } from "../src/fhir/reading";

// Official examples, where the machine has them beside the checkout.
const data = join(import.meta.dirname, "../../../shared/data");
const folders = ["ips", "r4-examples"].map((name) => join(data, name)).filter(existsSync);
const examples = folders.flatMap((folder) => readdirSync(folder).map((name) => join(folder, name)));

test("an observation shows value, unit, range and judgement in its author's digits", () => {
  const { heading } = readFhir(`{"resourceType":"Observation","status":"final",
    "code":{"coding":[{"system":"http://loinc.org","code":"718-7","display":"Hemoglobin"}]},
    "effectiveDateTime":"2017-11-10T08:20:00+01:00",
    "valueQuantity":{"value":105.00,"unit":"g/L"},
    "interpretation":[{"coding":[{"code":"L",
      "system":"http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"}]}],
    "referenceRange":[{"low":{"value":120.0,"unit":"g/L"},"high":{"value":160.0,"unit":"g/L"}}]}`);
  expect(heading).toMatchObject({
    kind: "Measurement or observation",
    title: "Hemoglobin",
    date: "10 Nov 2017, 08:20 (+01:00)",
    status: "Final",
    lead: "105.00 g/L",
    judgement: "Low",
    range: "120.0 – 160.0 g/L",
  });
});

test("blood pressure shows both its parts", () => {
  const { heading } = readFhir(`{"resourceType":"Observation","code":{"text":"Blood pressure"},
    "component":[
      {"code":{"text":"Systolic"},"valueQuantity":{"value":120,"unit":"mmHg"}},
      {"code":{"text":"Diastolic"},"valueQuantity":{"value":80,"unit":"mmHg"}}]}`);
  expect(heading.lead).toBe("120 mmHg / 80 mmHg");
});

test("a reference inside a Bundle shows the name of what it points to", () => {
  const reading = readFhir(`{"resourceType":"Bundle","entry":[
    {"fullUrl":"urn:uuid:1","resource":{"resourceType":"Medication","code":{"text":"Anastrozole"}}},
    {"resource":{"resourceType":"MedicationStatement",
      "medicationReference":{"reference":"urn:uuid:1"}}}]}`);
  expect(reading.groups.map((group) => group.label)).toEqual(["Medicines", "Medicines taken"]);
  expect(reading.groups[1]?.sheets[0]?.title).toBe("Anastrozole");
});

test("a reference to what is not there reads as words, not as an address", () => {
  const read = (reference: string): unknown =>
    readFhir(`{"resourceType":"Condition","subject":{"reference":"${reference}"}}`).heading.facts;
  const patient = (text: string): unknown => [{ label: "Patient", text }];
  expect(read("Patient/66033")).toEqual(patient("Patient 66033"));
  expect(read("https://fhir.example/r4/Patient/66033/_history/2")).toEqual(patient("Patient 66033"));
  expect(read("urn:uuid:7d3f")).toEqual(patient("a record that is not included here"));
});

test("a report shows the values that it refers to", () => {
  const reading = readFhir(`{"resourceType":"Bundle","entry":[
    {"fullUrl":"urn:uuid:1","resource":{"resourceType":"Observation",
      "code":{"text":"Triglyceride"},"valueQuantity":{"value":1.70,"unit":"mmol/L"}}},
    {"resource":{"resourceType":"DiagnosticReport","code":{"text":"Lipids"},
      "result":[{"reference":"urn:uuid:1"}]}}]}`);
  const facts = reading.groups[1]?.sheets[0]?.facts;
  expect(facts).toEqual([{ label: "Result", text: "Triglyceride: 1.70 mmol/L" }]);
});

test("what is JSON but not FHIR is said to be none", () => {
  expect(readFhir("[1,2]").heading.kind).toBe("Not a FHIR resource");
});

test("a modifier extension is not passed over in silence", () => {
  const text = '{"resourceType":"Condition","modifierExtension":[{"url":"x","valueBoolean":true}]}';
  expect(readFhir(text).heading.modified).toBe(true);
});

test.each(examples)("%s reads with a title and every value in its author's digits", (file) => {
  const text = readFileSync(file, "utf8");
  const reading = readFhir(text);
  expect(reading.heading.title).not.toBe("");
  expect(JSON.parse(reading.raw)).toEqual(JSON.parse(text));
  const shown = textsOf(reading).join("\n");
  expect(shown).not.toMatch(/undefined|\[object|NaN/);
  for (const digits of quantitiesIn(parseJson(text))) expect(shown).toContain(digits);
});

function textsOf({ heading, groups }: Reading): string[] {
  const sheets = [heading, ...groups.flatMap((group) => group.sheets)];
  return sheets.flatMap((sheet) => [sheet.title, sheet.lead ?? "", sheet.range ?? "", ...sheet.facts.flatMap(texts)]);
}

function texts(fact: Fact): string[] {
  return "text" in fact ? [fact.text] : fact.facts.flatMap(texts);
}

/** The digits of every `valueQuantity` outside of extensions. */
function quantitiesIn(value: Json): string[] {
  if (Array.isArray(value)) return value.flatMap(quantitiesIn);
  if (!(value instanceof Map)) return [];
  return [...value].flatMap(([name, member]) => {
    if (/extension/i.test(name) || name === "contained") return [];
    const digits = name === "valueQuantity" ? at(member, "value") : undefined;
    const own = digits instanceof JsonNumber ? [digits.text] : [];
    return [...own, ...quantitiesIn(member)];
  });
}

