// FHIR's datatypes as one line of text each, for people. Numbers stay in their author's digits.

import { at, JsonNumber, listAt, textAt, type Json, type JsonObject } from "./json";
import { interpretationLabel, words } from "./labels";

/** Finds the words for a reference (`Organization/1`, `urn:uuid:…`, `#contained`), if it can. */
export type Resolve = (reference: string) => string | undefined;

/** A value as one line; `undefined` when it is no datatype but a structure of its own. */
export function datatypeText(value: Json, resolve: Resolve): string | undefined {
  if (value === null) return undefined;
  if (value instanceof JsonNumber) return value.text;
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "string") return dateText(value) ?? value;
  if (Array.isArray(value)) return undefined;
  for (const { members, read } of SHAPES) {
    const text = isOf(value, members) ? read(value, resolve) : undefined;
    if (text) return text;
  }
  return undefined;
}

/** A CodeableConcept or Coding by the best words that it has. */
export function conceptText(value: Json | undefined): string | undefined {
  const codings = listAt(value, "coding");
  const displayed = codings.find((coding) => textAt(coding, "display"));
  return textAt(value, "text") ?? codingText(displayed ?? codings[0] ?? value);
}

/** A Quantity: comparator, the author's digits, unit. */
export function quantityText(value: Json | undefined): string | undefined {
  const number = at(value, "value");
  if (!(number instanceof JsonNumber)) return undefined;
  const unit = textAt(value, "unit") ?? textAt(value, "code") ?? textAt(value, "currency");
  return [textAt(value, "comparator"), number.text, unit].filter(Boolean).join(" ");
}

/** A reference range of an observation: `12.0 – 16.0 g/dL`. */
export function referenceRangeText(value: Json): string | undefined {
  const range = rangeText(at(value, "low"), at(value, "high"));
  return [range ?? textAt(value, "text"), conceptText(at(value, "type"))]
    .filter(Boolean)
    .join(", ");
}

/** A HumanName, as its owner writes it. */
export function nameText(value: Json | undefined): string | undefined {
  const parts = [
    ...listAt(value, "prefix"),
    ...listAt(value, "given"),
    textAt(value, "family"),
    ...listAt(value, "suffix"),
  ].filter((part): part is string => typeof part === "string");
  return textAt(value, "text") ?? (parts.length ? parts.join(" ") : undefined);
}

const DATE =
  /^(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d:\d\d)(?::\d\d(?:\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?)?)?$/;
const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

/**
 * A FHIR date, dateTime or instant at its own precision: `10 Nov 2017, 08:20 (+01:00)`;
 * `undefined` when the text is none. A year alone is no date here: it may be any number.
 */
export function dateText(text: string | undefined): string | undefined {
  const parts = text ? DATE.exec(text) : null;
  const month = MONTHS[Number(parts?.[2]) - 1];
  if (!parts || !month) return undefined;
  const [, year, , day, time, zone] = parts;
  const date = [day && String(Number(day)), month, year].filter(Boolean).join(" ");
  if (!time) return date;
  return `${date}, ${time}${zone ? ` (${zone === "Z" ? "UTC" : zone})` : ""}`;
}

type Read = (value: JsonObject, resolve: Resolve) => string | undefined;

// A value is of a datatype when all its members are that datatype's; the first that yields text.
const DATATYPES: [members: string, read: Read][] = [
  ["coding text", conceptText],
  ["system version code display userSelected", codingText],
  ["reference type identifier display", referenceText],
  ["value comparator unit system code currency", quantityText],
  ["low high", (value) => rangeText(value.get("low"), value.get("high"))],
  ["numerator denominator", ratioText],
  ["start end", periodText],
  ["use text family given prefix suffix period", nameText],
  ["use type text line city district state postalCode country period", addressText],
  ["system value use rank period type assigner", pairText],
  ["contentType language data url size hash title creation", attachmentText],
  ["authorReference authorString time text", annotationText],
];

const SHAPES = DATATYPES.map(([members, read]) => ({ members: new Set(members.split(" ")), read }));

function isOf(value: JsonObject, members: Set<string>): boolean {
  return [...value.keys()].every((name) => members.has(name) || isAside(name));
}

/** Whether a member says nothing of its own about a value: its id, extensions, `_name`. */
export function isAside(name: string): boolean {
  return name === "id" || name === "extension" || name.startsWith("_");
}

function codingText(coding: Json | undefined): string | undefined {
  const code = textAt(coding, "code");
  const known = textAt(coding, "system")?.endsWith("ObservationInterpretation")
    ? interpretationLabel(code ?? "")
    : undefined;
  const plain = code && /^[a-z-]+$/.test(code) ? words(code) : code;
  return known ?? textAt(coding, "display") ?? plain;
}

function referenceText(value: JsonObject, resolve: Resolve): string | undefined {
  const reference = textAt(value, "reference");
  return textAt(value, "display") ?? (reference && (resolve(reference) ?? plainReference(reference)));
}

const POINTER = /(?:^|\/)([A-Z][A-Za-z]+)\/([A-Za-z0-9.-]{1,64})(?:\/_history\/[^/]+)?$/;

/** `Patient/66033`, here or on a server, as `Patient 66033`; what names nothing people know as such. */
function plainReference(reference: string): string {
  const [, type, id] = POINTER.exec(reference) ?? [];
  if (type && id) return `${words(type)} ${id}`;
  return /^(urn:|#)/.test(reference) ? "a record that is not included here" : reference;
}

function ratioText(value: JsonObject): string | undefined {
  const parts = [value.get("numerator"), value.get("denominator")].map(quantityText);
  return parts.every(Boolean) ? parts.join(" per ") : undefined;
}

function annotationText(value: JsonObject): string | undefined {
  const time = dateText(textAt(value, "time"));
  const text = textAt(value, "text");
  return text && (time ? `${text} (${time})` : text);
}

function rangeText(low: Json | undefined, high: Json | undefined): string | undefined {
  const [from, to] = [quantityText(low), quantityText(high)];
  if (from && to) {
    const unit = to.slice(to.indexOf(" "));
    return `${from.endsWith(unit) ? from.slice(0, -unit.length) : from} – ${to}`;
  }
  if (from) return `at least ${from}`;
  return to && `at most ${to}`;
}

function periodText(value: JsonObject): string | undefined {
  const start = textAt(value, "start");
  const end = textAt(value, "end");
  const [from, to] = [dateText(start) ?? start, dateText(end) ?? end];
  if (from && to) return from === to ? from : `${from} to ${to}`;
  if (from) return `since ${from}`;
  return to && `until ${to}`;
}

function addressText(value: JsonObject): string | undefined {
  const lines = listAt(value, "line").filter((line): line is string => typeof line === "string");
  const parts = ["city", "state", "postalCode", "country"].map((name) => textAt(value, name));
  return textAt(value, "text") ?? [...lines, ...parts].filter(Boolean).join(", ");
}

function attachmentText(value: JsonObject): string | undefined {
  const kind = textAt(value, "contentType");
  const bytes = textAt(value, "data")?.length;
  const size = bytes ? `${Math.ceil((bytes * 3) / 4 / 1024)} KB` : textAt(value, "url");
  return [textAt(value, "title"), kind, size].filter(Boolean).join(", ");
}

function pairText(value: JsonObject): string | undefined {
  const system = textAt(value, "system") ?? "";
  const content = textAt(value, "value");
  return /^[a-z]+$/.test(system) ? `${content} (${system})` : content;
}
