import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "vite";
import { afterAll, beforeAll, expect, test } from "vitest";

const root = join(import.meta.dirname, "..");
let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "hdms-shell-"));
  await build({ root, logLevel: "error", build: { outDir: folder, emptyOutDir: true } });
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true }));

test("every part of the patient's page is kept for when there is no network, Firebase's SDK is not", () => {
  const worker = readFileSync(join(folder, "sw.js"), "utf8");
  const scripts = readdirSync(join(folder, "assets")).filter((name) => name.endsWith(".js"));
  const of = (mark: string): string[] =>
    scripts.filter((name) => readFileSync(join(folder, "assets", name), "utf8").includes(mark));
  const sdk = of("firebaseinstallations.googleapis.com");
  expect(sdk).not.toEqual([]);
  expect(sdk.filter((name) => worker.includes(name))).toEqual([]);
  const page = of("Ask for a treatment");
  expect(page).not.toEqual([]);
  expect(page.filter((name) => !worker.includes(name))).toEqual([]);
});
