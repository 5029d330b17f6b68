import { describe, expect, test } from "vitest";
import { at, JsonError, parseJson, printJson, textAt } from "../src/fhir/json";

describe("the lossless JSON reader", () => {
  test("keeps the text of numbers", () => {
    const value = parseJson('{"a":105.00,"b":1E400,"c":-0,"d":0.10,"e":12345678901234567890}');
    const texts = ["a", "b", "c", "d", "e"].map((name) => textAt(value, name));
    expect(texts).toEqual(["105.00", "1E400", "-0", "0.10", "12345678901234567890"]);
  });

  test("keeps the order of members, numeric names included", () => {
    const value = parseJson('{"z":1,"10":2,"a":3,"2":4}');
    expect(value instanceof Map && [...value.keys()]).toEqual(["z", "10", "a", "2"]);
  });

  test("agrees with JSON.parse on everything but numbers", () => {
    const text = '{"s":"\\u00e9\\n\\"\\ud83d\\ude00 é","t":true,"f":false,"n":null,"l":[[],{},""]}';
    expect(JSON.parse(printJson(parseJson(text)))).toEqual(JSON.parse(text));
  });

  test("prints what it read, only spaced differently", () => {
    const text = '{"value":105.00,"list":[1.0,{"a":[]}],"empty":{}}';
    expect(printJson(parseJson(text)).replace(/\s/g, "")).toBe(text);
  });

  test.each([
    ["", 0],
    ["{", 1],
    ['{"a":1,}', 7],
    ["[1 2]", 3],
    ["01", 1],
    ["1.", 1],
    ['"\u0001"', 0],
    ['"\\x"', 0],
    ['{"a":1,"a":2}', 10],
    ["nul", 0],
    ["{} {}", 3],
    ["\u00a0{}", 0],
  ])("refuses %j and says where", (text, position) => {
    const failure = failureOf(text);
    expect(failure).toBeInstanceOf(JsonError);
    expect(failure.at).toBe(position);
  });

  test("refuses nesting that would exhaust the stack", () => {
    expect(failureOf("[".repeat(100_000)).message).toContain("nested");
  });

  test("finds by path, and nothing where the path ends", () => {
    const value = parseJson('{"code":{"coding":[{"display":"Haemoglobin"}]}}');
    expect(textAt(value, "code", "coding", 0, "display")).toBe("Haemoglobin");
    expect(at(value, "code", "text", "x")).toBeUndefined();
  });
});

function failureOf(text: string): JsonError {
  try {
    parseJson(text);
  } catch (error) {
    return error as JsonError;
  }
  throw new Error("the text was read");
}
