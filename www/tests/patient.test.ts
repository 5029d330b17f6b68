import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { look, play, Site } from "./browser";
import { HEMOGLOBIN, PENICILLIN, SUMMARY } from "./fhir";
import { askedForData, see, withCase, withResult } from "./person";

let site: Site;
beforeAll(async () => {
  site = await Site.open();
}, 120_000);
afterAll(() => site.close());

test("the first run explains the node, makes it and shows whether the browser keeps it", async () => {
  const page = await site.visit("");
  await see(page, "Your health records, on your own device");
  await look(page, "welcome");
  await page.getByLabel("Your name").fill("Maria Fabregas");
  await page.getByRole("button", { name: "Make my node" }).click();
  await page.getByRole("status").filter({ hasText: "Making your keys" }).waitFor();
  await see(page, "Your node is ready");
  await page.getByTestId("storage").waitFor();
  await look(page, "made");
  await page.getByRole("button", { name: "Go on" }).click();
  await see(page, "Treatments");
  await look(page, "empty");
});

test("at twice the text size nothing leaves a phone's screen", async () => {
  const page = await withCase(site, "Knee pain");
  await page.setViewportSize({ width: 360, height: 740 });
  await page.evaluate(() => (document.documentElement.style.fontSize = "200%"));
  for (const path of ["#/", "#/new", "#/records", "#/node"]) {
    await page.evaluate((to) => (location.hash = to), path);
    await page.getByRole("heading", { level: 1 }).waitFor();
    const links = page.getByRole("navigation").getByRole("link");
    const ends = await links.evaluateAll((all) => all.map((one) => one.getBoundingClientRect().right));
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    expect(Math.max(width, ...ends), path).toBeLessThanOrEqual(360);
  }
});

test("a failed first run says why and can be tried again", async () => {
  const page = await site.visit("");
  await see(page, "Your health records, on your own device");
  await fail(page, "make", "doorman/unreachable");
  await page.getByRole("button", { name: "Make my node" }).click();
  await page.getByRole("alert").filter({ hasText: "doorman/unreachable" }).waitFor();
});

test("a request is sent once all that is needed is there, and then shows its case", async () => {
  const page = await site.visit("?node=ready#/new");
  const send = page.getByRole("button", { name: "Send the request" });
  await page.getByRole("radio", { name: "Demo Hospital" }).check();
  expect(await send.isDisabled()).toBe(true);
  await page.getByLabel("Reason").fill("Knee pain since spring");
  await page.getByLabel("Wished date").fill("2027-01-15");
  await page.getByRole("checkbox", { name: "Allergies and intolerances" }).check();
  await look(page, "new");
  await send.click();
  await see(page, "Knee pain since spring");
  await page.getByText("Demo Hospital has not answered yet.").waitFor();
  await page.getByText("15 Jan 2027").waitFor();
  await page.getByText("Allergies and intolerances").waitFor();
  await look(page, "case-asked");
});

test("hospitals that the node does not know yet come by themselves when the network is back", async () => {
  const page = await site.visit("?node=ready#/");
  await see(page, "Treatments");
  await play(page, (fake) => fake.cutOff(true), null);
  await page.getByRole("link", { name: "Ask for a treatment" }).click();
  await page.getByText("It asks again once the network is back.").waitFor();
  await play(page, (fake) => fake.cutOff(false), null);
  await page.getByRole("radio", { name: "Demo Hospital" }).waitFor();
});

test("a network that lists no hospital yet can be asked again", async () => {
  const page = await site.visit("?node=ready#/");
  await see(page, "Treatments");
  await play(page, ({ node }) => (node.cutOff = true), null);
  await page.getByRole("link", { name: "Ask for a treatment" }).click();
  await page.getByText("The network lists no hospital yet.").waitFor();
  await play(page, ({ node }) => (node.cutOff = false), null);
  await page.getByRole("button", { name: "Look again" }).click();
  await page.getByRole("radio", { name: "Demo Hospital" }).waitFor();
});

test("a refused request says so in place and can be sent again", async () => {
  const page = await site.visit("?node=ready#/new");
  await page.getByRole("radio", { name: "Demo Hospital" }).check();
  await page.getByLabel("Reason").fill("Knee pain");
  await fail(page, "ask", "network/unreachable");
  await page.getByRole("button", { name: "Send the request" }).click();
  await page.getByRole("alert").filter({ hasText: "network/unreachable" }).waitFor();
  await page.getByRole("button", { name: "Send the request" }).click();
  await see(page, "Knee pain");
});

test("a data request shows who, what, why and the ledger before ticked records are shared", async () => {
  const page = await askedForData(site);
  await see(page, "Demo Hospital asks for records");
  await page.getByText("To choose an anaesthetic").waitFor();
  await page.getByText("Notary Two, log number 7").waitFor();
  await page.getByRole("button", { name: "Look at Penicillin" }).click();
  await page.getByRole("dialog").getByText("Hives").waitFor();
  await page.keyboard.press("Escape");
  expect(await page.getByRole("checkbox", { name: "Hemoglobin" }).count()).toBe(0);
  const share = page.getByRole("button", { name: /^Share/ });
  expect(await share.isDisabled()).toBe(true);
  await page.getByRole("checkbox", { name: "Penicillin" }).check();
  await look(page, "data");
  await share.click();
  await page.getByText("Records that you shared: 1.").waitFor();
  expect(await share.count()).toBe(0);
});

test("a person is warned of a hospital that asks for more than was agreed to", async () => {
  const page = await askedForData(site);
  const warning = page.getByRole("region", { name: "This is more than you agreed to" });
  await warning.getByText("Allergies and intolerances").waitFor();
  await play(page, (fake) => fake.askData("c1", ["Condition"], "For the history"), null);
  await page.evaluate(() => (location.hash = "#/cases/c1/data/d2"));
  await page.getByText("For the history").waitFor();
  expect(await warning.count()).toBe(0);
});

test("what was shared is named, and the record says who saw it, when and why", async () => {
  const page = await askedForData(site);
  await page.getByRole("checkbox", { name: "Penicillin" }).check();
  await page.getByRole("button", { name: "Share 1 record" }).click();
  await page.getByRole("heading", { name: "What you shared" }).waitFor();
  await look(page, "shared");
  await page.getByRole("link", { name: "Penicillin" }).click();
  const seen = page.getByRole("region", { name: "Whom you showed it" });
  await seen.getByText("To choose an anaesthetic").waitFor();
  await look(page, "record-shared");
  await seen.getByRole("link", { name: "Demo Hospital" }).click();
  await see(page, "Demo Hospital asks for records");
});

test("a data request can be refused with a reason, and not without one", async () => {
  const page = await askedForData(site);
  await page.getByRole("button", { name: "Refuse…" }).click();
  const dialog = page.getByRole("dialog");
  expect(await dialog.getByRole("button", { name: "Refuse" }).isDisabled()).toBe(true);
  await page.keyboard.type("You have it already");
  await look(page, "refuse");
  await dialog.getByRole("button", { name: "Refuse" }).click();
  await page.getByText("You refused: You have it already").waitFor();
});

test("a result is read in its author's digits, confirmed, and then final", async () => {
  const page = await withResult(site, HEMOGLOBIN);
  await page.getByText("105.00 g/L").waitFor();
  await page.getByText("Low", { exact: true }).waitFor();
  await page.getByText("120.0 – 160.0 g/L").waitFor();
  await page.getByRole("button", { name: "Show the original text" }).click();
  await page.getByTestId("raw").getByText('"value": 105.00,').waitFor();
  await page.getByRole("button", { name: "Hide the original text" }).click();
  await look(page, "result");
  await page.getByRole("button", { name: "Confirm" }).click();
  await page.getByText("Signed by both of you and logged by the notary.").waitFor();
  await page.getByText("you and Demo Hospital").last().waitFor();
  await look(page, "result-final");
});

test("results that came together are shown when all are here, and confirmed at once", async () => {
  const page = await withCase(site, "Knee pain");
  await play(page, (fake, text) => {
    fake.approve("c1");
    fake.handIn("c1", 3, { r1: text });
  }, HEMOGLOBIN);
  await page.getByText("1 of 3 results have come. They are shown when all are here.").waitFor();
  await play(page, (fake, text) => fake.handIn("c1", 3, { r1: text, r2: text, r3: text }), HEMOGLOBIN);
  await page.getByText("3 results came together.").waitFor();
  // A number is the notary's: what it has not logged has none.
  await page.getByRole("heading", { name: "Result", exact: true }).nth(2).waitFor();
  await look(page, "hand-in");
  await page.getByRole("button", { name: "Confirm all 3" }).click();
  await page.getByText("Signed by both of you and logged by the notary.").nth(2).waitFor();
  await page.getByRole("heading", { name: /^\d+\. Result$/ }).nth(2).waitFor();
});

test("a Bundle shows its records by type, each opening by keyboard", async () => {
  const page = await withResult(site, SUMMARY);
  await page.getByText("Medicines taken (1)").waitFor();
  const medicine = page.locator("summary", { hasText: "Anastrozole" }).last();
  await medicine.focus();
  await page.keyboard.press("Enter");
  await page.getByText("one tablet daily").last().waitFor();
  await look(page, "result-bundle");
});

test("a request that is not there yet, or was not taken, is not said to be asked", async () => {
  const page = await withCase(site, "Knee pain");
  const state = page.locator("main header");
  for (const [refused, word] of [[false, "Not sent yet"], [true, "Not accepted"]] as const) {
    await play(page, ({ node }, refused) => {
      const item = { id: "1", entries: [], case: "c1", to: "Demo Hospital", kind: "treatment/request", since: Date.now() };
      node.unsent = [{ ...item, attempts: 1, nextAttempt: null, problem: null, refused }];
      node.setStatus({ waiting: 1 });
    }, refused);
    await state.getByText(word, { exact: true }).waitFor();
  }
  await look(page, "not-accepted");
  await page.getByRole("link", { name: "All treatments" }).click();
  const line = page.getByRole("listitem").filter({ hasText: "Knee pain" });
  await line.getByText("Not accepted", { exact: true }).waitFor();
  expect(await line.getByText("Asked", { exact: true }).count()).toBe(0);
});

test("a treatment of an older version says so, and who was passed over as its notary", async () => {
  const page = await withCase(site, "Knee pain");
  await play(page, (fake) => {
    fake.approve("c1");
    const passed = [{ name: "First Notary", silent: null }, { name: "Second Notary", silent: Date.now() }];
    fake.node.change("c1", (one) => Object.assign(one, { former: true, passed }));
  }, null);
  await page.getByRole("region", { name: "This treatment is closed for new results" }).waitFor();
  await page.getByText("First Notary was drawn as notary before, but is no longer one.").waitFor();
  await page.getByText("Second Notary was drawn as notary before, but had not answered").waitFor();
  await look(page, "former");
});

test("a result whose notary was revoked is shown as never final, and nothing is asked of it", async () => {
  const page = await withResult(site, HEMOGLOBIN);
  await page.getByRole("button", { name: "Confirm" }).waitFor();
  await play(page, ({ node }) => node.change("c1", (one) => Object.assign(one, { notaryListed: false })), null);
  await page.getByText("Never final", { exact: true }).waitFor();
  await page.getByRole("region", { name: "This treatment is closed for new results" }).waitFor();
  expect(await page.getByRole("button", { name: "Confirm" }).count()).toBe(0);
  await page.getByText("none: it is not logged").waitFor();
  await look(page, "never-final");
  await page.getByRole("link", { name: "Back to the treatment" }).click();
  await page.getByText("Never final", { exact: true }).waitFor();
  await page.getByText("Closed", { exact: true }).waitFor();
  await look(page, "case-closed");
  await page.evaluate(() => (location.hash = "#/records/c1/e2"));
  await page.getByText("Never final", { exact: true }).waitFor();
  await page.getByText("none: it is not logged").waitFor();
  expect(await page.getByRole("link", { name: "Look and decide" }).count()).toBe(0);
  // What was confirmed before is not said to go out by itself.
  await play(page, ({ node }) => {
    const item = { id: "d1", case: "c1", to: "Notary", kind: "notary/deposit", entries: ["e2"] };
    node.unsent = [{ ...item, since: 0, refused: false, attempts: 5, nextAttempt: Date.now() + 600_000, problem: null }];
    node.setStatus({ waiting: 1 });
  }, null);
  await page.evaluate(() => (location.hash = "#/"));
  await page.getByText("Closed", { exact: true }).waitFor();
  expect(await page.getByText("Waiting to be sent").count()).toBe(0);
  await page.evaluate(() => (location.hash = "#/cases/c1"));
  await page.getByText("Never final", { exact: true }).waitFor();
  expect(await page.getByText("Waiting to be sent").count()).toBe(0);
  await page.getByRole("link", { name: "ask for a new one" }).click();
  await see(page, "Ask for a treatment");
});

test("of a hospital that was revoked nothing is asked of the person any more", async () => {
  const page = await withResult(site, HEMOGLOBIN);
  await page.getByRole("button", { name: "Confirm" }).waitFor();
  await play(page, (fake) => {
    fake.askData("c1", ["Condition"], "For the history");
    fake.node.change("c1", (one) => Object.assign(one, { hospitalListed: false }));
  }, null);
  await page.getByText("Never final", { exact: true }).waitFor();
  expect(await page.getByRole("button", { name: "Confirm" }).count()).toBe(0);
  await page.getByRole("link", { name: "Back to the treatment" }).click();
  await see(page, "What happened");
  expect(await page.getByRole("link", { name: "Look and decide" }).count()).toBe(0);
  await look(page, "hospital-revoked");
  await page.getByRole("link", { name: "Look", exact: true }).first().click();
  await see(page, "Demo Hospital asks for records");
  await page.getByText("nothing can be sent to it").waitFor();
  expect(await page.getByRole("button", { name: "Refuse…" }).count()).toBe(0);
  await look(page, "data-request-closed");
});

test("a notary without a name leaves a phone's screen as it is", async () => {
  const page = await withResult(site, HEMOGLOBIN);
  await page.getByRole("button", { name: "Confirm" }).click();
  await page.getByText("Final", { exact: true }).waitFor();
  await play(page, ({ node }) => {
    const name = "c1Xn3vB7Qm2t5kLr8sPz0yWd4gHf6jAe9uTi1oSx2Vw";
    for (const record of node.held.values()) {
      Object.assign(record, { notaryName: name });
      if (record.receipt) record.receipt.notaryName = name;
    }
    node.change("c1", ({ ledger }) => {
      for (const { receipt } of ledger) if (receipt) receipt.notaryName = name;
    });
  }, null);
  for (const path of ["#/records", "#/records/c1/e2", "#/cases/c1"]) {
    await page.evaluate((to) => (location.hash = to), path);
    await page.setViewportSize({ width: 360, height: 740 });
    await page.getByText("c1Xn3vB7Qm2t5kLr8sPz").first().waitFor();
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    expect(width, path).toBeLessThanOrEqual(360);
    await look(page, `nameless-${path.split("/").length}`);
  }
});

test("what a hospital wrote turns nothing around that stands beside it", async () => {
  const page = await withCase(site, "Knee pain");
  await play(page, (fake) => {
    fake.approve("c1");
    fake.askData("c1", ["Condition"], "For \u202eyrotsih");
  }, null);
  await page.getByRole("link", { name: "Look and decide" }).click();
  await page.getByText("For [U+202E]yrotsih").waitFor();
  await play(page, (fake) => fake.decline("c1", "No \u202eroom"), null);
  await page.getByRole("link", { name: "Back to the treatment" }).click();
  await page.getByText("declined: No [U+202E]room").waitFor();
});

test("a result is disputed with a reason", async () => {
  const page = await withResult(site, HEMOGLOBIN);
  await page.getByRole("button", { name: "Dispute…" }).click();
  await page.getByLabel("What is wrong").fill("This is not my blood");
  await page.getByRole("dialog").getByRole("button", { name: "Dispute" }).click();
  await page.getByText("You disputed it: This is not my blood").waitFor();
  await page.getByText("not logged", { exact: true }).waitFor();
  expect(await page.getByText("not yet logged").count()).toBe(0);
});

test("what waits for the person comes first in the list of treatments", async () => {
  const page = await withCase(site, "Knee pain");
  await play(page, (fake) => fake.approve("c1"), null);
  await play(page, (fake) => fake.askData("c1", ["Condition"], "For the history"), null);
  await play(page, (fake) => fake.node.ask({
    case: "c2", hospital: "h2", request: { reason: "Hay fever", date: null, mayRead: [] } }), null);
  await play(page, (fake) => fake.decline("c2", "We have no allergist"), null);
  await page.evaluate(() => (location.hash = "#/"));
  await see(page, "Waiting for you");
  const lines = page.getByRole("listitem");
  expect(await lines.first().textContent()).toContain("Knee pain");
  expect(await lines.last().textContent()).toContain("Declined");
  await look(page, "cases");
});

test("own records are added from a file, found and opened with what was verified", async () => {
  const page = await site.visit("?node=ready#/records/new");
  await page
    .getByLabel("Record from a file")
    .setInputFiles({ name: "a.json", mimeType: "application/json", buffer: Buffer.from(PENICILLIN) });
  await page.getByRole("region", { name: "How it reads" }).getByText("Hives").waitFor();
  await look(page, "add");
  await page.getByRole("button", { name: "Add to my records" }).click();
  await page.getByText("none: nobody but you has signed this record").waitFor();
  await look(page, "record");
  await page.getByRole("link", { name: "All records" }).click();
  await page.getByLabel("Find").fill("penicil");
  await page.getByRole("link", { name: /Penicillin/ }).waitFor();
  await look(page, "records");
  await page.getByLabel("Find").fill("aspirin");
  await page.getByText("No record matches.").waitFor();
});

test("what is no JSON is refused before it is sent, with its place", async () => {
  const page = await site.visit("?node=ready#/records/new");
  await page.getByLabel("or pasted").fill('{"resourceType": }');
  await page.getByRole("alert").filter({ hasText: "at character 18" }).waitFor();
});

function fail(page: Page, name: string, code: string): Promise<void> {
  return play(
    page,
    ({ node }, failing) => (node.failing = { ...failing, sentence: "It can't be reached. Try later." }),
    { name, code },
  );
}
