// A lossless JSON reader: numbers keep their text (105.00 stays 105.00), members their order.
//
// `JSON.parse` would make 105 of 105.00, and in medicine the difference is the measurement's
// precision. RFC 8259 throughout; repeated members are refused, as their meaning is open.

/** A number, as the text its author wrote. */
export class JsonNumber {
  constructor(readonly text: string) {}
}

/** An object: its members in the order its author wrote them. */
export type JsonObject = Map<string, Json>;

/** Any JSON value. */
export type Json = null | boolean | string | JsonNumber | Json[] | JsonObject;

/** What is wrong with a text that is not JSON, and at which character it shows. */
export class JsonError extends Error {
  constructor(problem: string, readonly at: number) {
    super(`This is not JSON: ${problem} at character ${at + 1}.`);
    this.name = "JsonError";
  }
}

const DEEPEST = 200;

/** Reads a JSON text. @throws {JsonError} */
export function parseJson(text: string): Json {
  const reader = new Reader(text);
  const value = reader.value(0);
  reader.end();
  return value;
}

/** Writes a value for people: indented by two spaces, number texts and member order unchanged. */
export function printJson(value: Json, indent = ""): string {
  const inner = indent + "  ";
  if (value instanceof JsonNumber) return value.text;
  if (Array.isArray(value)) {
    const items = value.map((item) => inner + printJson(item, inner));
    return items.length ? `[\n${items.join(",\n")}\n${indent}]` : "[]";
  }
  if (value instanceof Map) {
    const members = [...value].map(
      ([name, member]) => `${inner}${JSON.stringify(name)}: ${printJson(member, inner)}`,
    );
    return members.length ? `{\n${members.join(",\n")}\n${indent}}` : "{}";
  }
  return JSON.stringify(value);
}

/** The value at a path of member names and array positions; `undefined` where the path ends. */
export function at(value: Json | undefined, ...path: (string | number)[]): Json | undefined {
  return path.reduce<Json | undefined>((found, step) => {
    if (found instanceof Map) return found.get(String(step));
    if (Array.isArray(found) && typeof step === "number") return found[step];
    return undefined;
  }, value);
}

/** The text at a path: a string as it is, a number in its author's digits. */
export function textAt(value: Json | undefined, ...path: (string | number)[]): string | undefined {
  const found = at(value, ...path);
  if (found instanceof JsonNumber) return found.text;
  return typeof found === "string" && found.trim() !== "" ? found : undefined;
}

/** The items of an array at a path; a lone value counts as one item. */
export function listAt(value: Json | undefined, ...path: (string | number)[]): Json[] {
  const found = at(value, ...path);
  if (found === undefined || found === null) return [];
  return Array.isArray(found) ? found : [found];
}

const SPACE = /[ \t\n\r]*/y;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
// Unrolled, so that an attachment of a megabyte is read without backtracking.
const STRING =
  /"[^"\\\u0000-\u001f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\u0000-\u001f]*)*"/y;
const WORD = /true|false|null/y;

class Reader {
  private position = 0;

  constructor(private readonly text: string) {}

  value(depth: number): Json {
    if (depth > DEEPEST) this.fail(`nested more than ${DEEPEST} deep`);
    this.take(SPACE);
    switch (this.text[this.position]) {
      case "{":
        return this.object(depth);
      case "[":
        return this.array(depth);
      case '"':
        return this.string();
    }
    const number = this.take(NUMBER);
    if (number) return new JsonNumber(number);
    const word = this.take(WORD);
    if (word) return word === "null" ? null : word === "true";
    return this.fail("a value is missing");
  }

  end(): void {
    this.take(SPACE);
    if (this.position < this.text.length) this.fail("something follows the end of the document");
  }

  private object(depth: number): JsonObject {
    const members: JsonObject = new Map();
    this.items("}", () => {
      this.take(SPACE);
      const name = this.string();
      if (members.has(name)) this.fail("a member is given twice");
      if (!this.next(":")) this.fail("a colon is missing");
      members.set(name, this.value(depth + 1));
    });
    return members;
  }

  private array(depth: number): Json[] {
    const items: Json[] = [];
    this.items("]", () => items.push(this.value(depth + 1)));
    return items;
  }

  private items(close: string, item: () => void): void {
    this.position += 1;
    if (this.next(close)) return;
    do item();
    while (this.next(","));
    if (!this.next(close)) this.fail(`a comma or ${close} is missing`);
  }

  private string(): string {
    const literal = this.take(STRING);
    if (!literal) this.fail("a string is missing or broken");
    return JSON.parse(literal) as string;
  }

  private next(sign: string): boolean {
    this.take(SPACE);
    if (this.text[this.position] !== sign) return false;
    this.position += 1;
    return true;
  }

  private take(pattern: RegExp): string {
    pattern.lastIndex = this.position;
    const found = pattern.exec(this.text)?.[0] ?? "";
    this.position += found.length;
    return found;
  }

  private fail(problem: string): never {
    throw new JsonError(problem, this.position);
  }
}
