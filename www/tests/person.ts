// A patient before the pages, somewhere in a treatment.

import type { Page } from "playwright-core";
import { look, play, type Site } from "./browser";
import { HEMOGLOBIN, PENICILLIN } from "./fhir";

/** Waits for a heading. */
export async function see(page: Page, heading: string): Promise<void> {
  await page.getByRole("heading", { name: heading, exact: true }).waitFor();
}

/** A patient who has asked for treatment, at the case. */
export async function withCase(site: Site, reason: string): Promise<Page> {
  const page = await site.visit("?node=ready#/");
  await see(page, "Treatments");
  await play(page, ({ node }, given) => node.ask({
    case: "c1", hospital: "h1", request: { reason: given, date: null, mayRead: ["Condition"] } }), reason);
  await page.getByRole("link", { name: reason }).click();
  await see(page, reason);
  return page;
}

/** A patient of whom records are asked for, at that request. */
export async function askedForData(site: Site): Promise<Page> {
  const page = await withCase(site, "Knee pain");
  await play(page, (fake, [penicillin, hemoglobin]) => {
    void fake.node.addRecord({ fhir: penicillin! });
    void fake.node.addRecord({ fhir: hemoglobin! });
    fake.approve("c1");
    fake.askData("c1", ["AllergyIntolerance"], "To choose an anaesthetic");
  }, [PENICILLIN, HEMOGLOBIN]);
  await page.getByRole("link", { name: "Look and decide" }).waitFor();
  await look(page, "case-open");
  await page.getByRole("link", { name: "Look and decide" }).click();
  return page;
}

/** A patient whom a result has reached, at it. */
export async function withResult(site: Site, fhir: string): Promise<Page> {
  const page = await withCase(site, "Knee pain");
  await play(page, (fake, given) => {
    fake.approve("c1");
    fake.result("c1", "e2", given);
  }, fhir);
  await page.getByRole("link", { name: "Look and decide" }).click();
  await see(page, "Result from Demo Hospital");
  return page;
}
