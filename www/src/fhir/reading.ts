// A FHIR resource or Bundle as a page shows it: a heading sheet, and what it holds, by type.

import {
  conceptText,
  datatypeText,
  isAside,
  nameText,
  quantityText,
  referenceRangeText,
  type Resolve,
} from "./datatypes";
import { at, listAt, parseJson, printJson, textAt, type Json, type JsonObject } from "./json";
import { memberLabel, memberName, typeLabel, typesLabel, words } from "./labels";

/** One thing said about a resource: a text, or further facts where it has parts. */
export type Fact = { label: string; text: string } | { label: string; facts: Fact[] };

/** One resource. */
export type Sheet = {
  type: string;
  kind: string;
  title: string;
  date: string | null;
  status: string | null;
  /** What matters most, e.g. the value of an observation with its unit. */
  lead: string | null;
  /** The observation's own judgement, e.g. `High`, and the range that it is judged by. */
  judgement: string | null;
  range: string | null;
  /** Whether the author says that other content changes this one's meaning. */
  modified: boolean;
  facts: Fact[];
};

/** Resources of one type. */
export type Group = { label: string; sheets: Sheet[] };

/** A whole document: its heading, the resources inside it, and the text itself for the curious. */
export type Reading = { heading: Sheet; groups: Group[]; raw: string };

/** Reads the FHIR JSON text of a record. @throws {JsonError} when it is not JSON. */
export function readFhir(text: string): Reading {
  const document = parseJson(text);
  const inside = resourcesIn(document);
  const resolve = resolver(document);
  return {
    heading: sheetOf(document, resolve),
    groups: grouped(inside.map((resource) => sheetOf(resource, resolve))),
    raw: printJson(document),
  };
}

function resourcesIn(document: Json): Json[] {
  const entries = listAt(document, "entry").map((entry) => at(entry, "resource"));
  return [...entries, ...listAt(document, "contained")].filter((found) => found !== undefined);
}

function resolver(document: Json): Resolve {
  const known = new Map<string, Json>();
  for (const entry of listAt(document, "entry")) {
    const resource = at(entry, "resource");
    if (resource === undefined) continue;
    known.set(textAt(entry, "fullUrl") ?? "", resource);
    known.set(`${textAt(resource, "resourceType")}/${textAt(resource, "id")}`, resource);
  }
  for (const resource of listAt(document, "contained")) {
    known.set(`#${textAt(resource, "id")}`, resource);
  }
  return (reference) => {
    const target = known.get(reference);
    if (target === undefined) return undefined;
    const nothing = (): undefined => undefined;
    const value = textAt(target, "resourceType") === "Observation" && leadOf(target, nothing);
    return [titleOf(target, nothing), value].filter(Boolean).join(": ");
  };
}

function grouped(sheets: Sheet[]): Group[] {
  const groups = new Map<string, Sheet[]>();
  for (const sheet of sheets) groups.set(sheet.type, [...(groups.get(sheet.type) ?? []), sheet]);
  return [...groups].map(([type, found]) => ({ label: typesLabel(type), sheets: found }));
}

function sheetOf(resource: Json, resolve: Resolve): Sheet {
  const type = textAt(resource, "resourceType") ?? "";
  const members = resource instanceof Map ? resource : new Map<string, Json>();
  const title = titleOf(resource, resolve) ?? typeLabel(type);
  const head = {
    title,
    date: dateOf(resource),
    status: statusOf(resource),
    lead: leadOf(resource, resolve),
    judgement: textOf(listAt(resource, "interpretation").map(conceptText)),
    range: textOf(listAt(resource, "referenceRange").map(referenceRangeText)),
  };
  const shown = new Set<string | null>(Object.values(head));
  return {
    type,
    kind: type ? typeLabel(type) : "Not a FHIR resource",
    ...head,
    modified: members.has("modifierExtension"),
    facts: factsOf(members, resolve, HIDDEN).filter((fact) => !("text" in fact && shown.has(fact.text))),
  };
}

function textOf(texts: (string | undefined)[]): string | null {
  return texts.filter(Boolean).join("; ") || null;
}

// Shown elsewhere on the sheet, or of no use to a reader. The raw document has them all.
const HIDDEN = new Set(
  "resourceType id meta text contained implicitRules language modifierExtension entry link".split(" "),
);
const TITLES = ["title", "code", "vaccineCode", "medicationCodeableConcept", "type", "category"];
const DATES = [
  ..."effectiveDateTime effectiveInstant effectivePeriod performedDateTime performedPeriod".split(" "),
  ..."occurrenceDateTime authoredOn onsetDateTime onsetPeriod period started date created".split(" "),
  ..."recordedDate issued timestamp dateAsserted receivedTime".split(" "),
];

function titleOf(resource: Json, resolve: Resolve): string | undefined {
  const type = textAt(resource, "resourceType");
  if (type === "Bundle") return bundleTitle(resource, resolve);
  const medication = at(resource, "medicationReference");
  const named = [
    nameText(listAt(resource, "name")[0]) ?? textAt(resource, "name"),
    medication && datatypeText(medication, resolve),
    ...TITLES.map((name) => textAt(resource, name) ?? conceptText(listAt(resource, name)[0])),
    textAt(resource, "description"),
    type && typeLabel(type),
  ];
  return named.find(Boolean) || undefined;
}

function bundleTitle(bundle: Json, resolve: Resolve): string {
  const entries = listAt(bundle, "entry");
  const first = at(entries[0], "resource");
  const isDocument = textAt(first, "resourceType") === "Composition";
  const title = isDocument && first ? titleOf(first, resolve) : undefined;
  return title ?? `${entries.length} ${entries.length === 1 ? "record" : "records"}`;
}

function dateOf(resource: Json): string | null {
  for (const name of DATES) {
    const found = at(resource, name);
    const text = found && (datatypeText(found, () => undefined) ?? null);
    if (text) return text;
  }
  return null;
}

function statusOf(resource: Json): string | null {
  const status = textAt(resource, "status") ?? conceptText(at(resource, "clinicalStatus"));
  return status ? words(status) : null;
}

/** The value of an observation, or what takes its place in other types. */
function leadOf(resource: Json, resolve: Resolve): string | null {
  if (!(resource instanceof Map)) return null;
  const value = [...resource].find(([name]) => memberName(name) === "value")?.[1];
  if (value !== undefined) return datatypeText(value, resolve) ?? null;
  const parts = listAt(resource, "component").map((part) => {
    const [, found] = [...(part as JsonObject)].find(([name]) => memberName(name) === "value") ?? [];
    return quantityText(found);
  });
  if (parts.length && parts.every(Boolean)) return parts.join(" / ");
  const dosage = listAt(resource, "dosage")[0] ?? listAt(resource, "dosageInstruction")[0];
  const said = textAt(resource, "conclusion") ?? textAt(dosage, "text");
  const severity = conceptText(at(resource, "severity"));
  const risk = textAt(resource, "criticality");
  return said ?? severity ?? (risk ? `Risk: ${risk}` : null);
}

function factsOf(members: JsonObject, resolve: Resolve, hidden: Set<string>): Fact[] {
  return [...members]
    .filter(([name]) => !hidden.has(name) && !isAside(name))
    .flatMap(([name, value]) => factOf(name, value, resolve));
}

const PART_HIDDEN = new Set(["modifierExtension"]);

function factOf(name: string, value: Json, resolve: Resolve): Fact[] {
  const label = memberLabel(name);
  if (name === "div") return [];
  const items = Array.isArray(value) ? value : [value];
  const texts = items.map((item) => itemText(name, item, resolve));
  if (texts.every((text) => text !== undefined)) {
    return texts.length ? [{ label, text: texts.join(name === "given" ? " " : "; ") }] : [];
  }
  return items.flatMap((item, position): Fact[] => {
    const text = texts[position];
    if (text !== undefined) return [{ label, text }];
    const facts = item instanceof Map ? factsOf(item, resolve, PART_HIDDEN) : [];
    return facts.length ? [{ label, facts }] : [];
  });
}

function itemText(name: string, item: Json, resolve: Resolve): string | undefined {
  if (name === "referenceRange") return referenceRangeText(item) || undefined;
  if (typeof item === "string" && STATUS.has(name)) return words(item);
  return datatypeText(item, resolve);
}

const STATUS = new Set(["status", "intent", "gender", "criticality", "type", "category", "use"]);
