import { expect, test } from "vitest";
import { uuidv7 } from "./uuid.js";

test("an id is a UUIDv7 that begins with the time", () => {
  const before = Date.now();
  const id = uuidv7();
  expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  const time = Number.parseInt(id.replace("-", "").slice(0, 12), 16);
  expect(time).toBeGreaterThanOrEqual(before);
  expect(time).toBeLessThanOrEqual(Date.now());
});

test("no two ids are the same", () => {
  expect(new Set(Array.from({ length: 1000 }, uuidv7)).size).toBe(1000);
});
