import type { Page } from "playwright-core";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { look, Site } from "./browser";
import { API_KEY, FakeInstitution } from "./fake-institution";
import { HEMOGLOBIN, PENICILLIN, SUMMARY } from "./fhir";

let site: Site;
let hospital: FakeInstitution;
beforeAll(async () => {
  site = await Site.open();
}, 120_000);
afterAll(() => site.close());
beforeEach(() => {
  hospital = new FakeInstitution();
});

test("a wrong API key is refused with its code, the right one is kept for the tab alone", async () => {
  const page = await visit();
  await page.getByLabel("API key").fill("wrong");
  await page.getByRole("button", { name: "Open" }).click();
  await page.getByRole("alert").filter({ hasText: "api/wrong-key" }).waitFor();
  await look(page, "console-key");
  await signIn(page);
  await page.reload();
  await page.getByRole("heading", { name: "Requests for treatment" }).waitFor();
  expect(await page.evaluate(() => localStorage.length)).toBe(0);
});

test("a key that is accepted no longer ends the session", async () => {
  const page = await visit();
  await signIn(page);
  hospital.revoked = true;
  await page.getByRole("link", { name: "Cases" }).click();
  await page.getByLabel("API key").waitFor();
});

test("a new request shows by itself and is approved", async () => {
  const page = await visit();
  await signIn(page);
  await page.getByText("No request waits for a decision.").waitFor();
  hospital.request("c1", "Knee pain since spring");
  hospital.request("c2", "Hay fever", "");
  await page.getByText("Knee pain since spring").waitFor();
  await page.getByText("Patient c1Xn3vB7").waitFor();
  await look(page, "console-requests");
  const line = page.getByRole("listitem").filter({ hasText: "Knee pain" });
  // A second click in the same place decides nothing else.
  const approve = await line.getByRole("button", { name: "Approve" }).boundingBox();
  const at = [approve!.x + 5, approve!.y + 5] as const;
  await page.mouse.click(...at);
  await line.getByText("Approved", { exact: true }).waitFor();
  await page.mouse.click(...at);
  await page.getByRole("button", { name: "Decline… “Hay fever”" }).waitFor();
  await page.getByRole("link", { name: "Cases" }).click();
  await page.getByText("Approved", { exact: true }).waitFor();
  await look(page, "console-cases");
  // Its notary is revoked.
  const closed = hospital.cases.get("c1")!;
  Object.assign(closed.summary, { notaryUntil: Date.now(), openResults: 2 });
  closed.results.push(
    ...(["waiting", "sent"] as const).map((kind) => ({
      ...{ entry: kind, handIn: null, title: null, handedIn: Date.now(), status: { kind } },
      neverFinal: { code: "treatment/not-allowed-now", sentence: "Hand the result in under a new case." },
    })),
  );
  await page.getByText("Knee pain since spring").click();
  await page.locator("header").getByText("Closed", { exact: true }).waitFor();
  await page.getByText("It was not sent. Hand the result in under a new case.").waitFor();
  await page.getByText("It was sent, and is never final. Hand").waitFor();
  await page.getByText("it takes no further results").waitFor();
  expect(await page.getByRole("heading", { name: "Hand in a result" }).count()).toBe(0);
  await look(page, "console-closed");
  await page.getByRole("link", { name: "All cases" }).click();
  const listed = page.getByRole("listitem").filter({ hasText: "Knee pain" });
  await listed.getByText("Closed", { exact: true }).waitFor();
  expect(await page.getByText("awaited from the patient").count()).toBe(0);
});

test("what a colleague decides stays in its place until it is put away", async () => {
  const one = hospital.request("c1", "Knee pain");
  hospital.request("c2", "Hay fever");
  const page = await visit();
  await signIn(page);
  const other = page.getByRole("listitem").filter({ hasText: "Hay fever" });
  const approve = other.getByRole("button", { name: "Approve" });
  const before = await approve.boundingBox();
  one.summary.phase = { kind: "approved" };
  const line = page.getByRole("listitem").filter({ hasText: "Knee pain" });
  await line.getByText("Waits no more", { exact: true }).waitFor();
  expect(await line.getByRole("button", { name: "Approve" }).isDisabled()).toBe(true);
  expect(await approve.boundingBox()).toEqual(before);
  await look(page, "console-decided-elsewhere");
  await page.getByRole("button", { name: "Put away what is decided" }).click();
  await line.waitFor({ state: "detached" });
  await other.getByText("Waits for you", { exact: true }).waitFor();
});

test("what a patient wrote alters nothing that stands beside it", async () => {
  const one = hospital.request("c1", "Knee \u2067pain", "Eve \u202elliB");
  one.summary.date = "\u202e2027-01-15";
  one.summary.mayRead = ["Condition", "\u202eAllergies"];
  one.dataRequests.push({
    ...{ id: "d1", resources: ["Condition"], purpose: "To know", sent: Date.now() },
    answer: { kind: "refused", reason: "No \u202eat all", at: Date.now() },
  });
  one.results.push({
    ...{ entry: "e2", handIn: "h1", title: "Hemoglobin", handedIn: Date.now(), neverFinal: null },
    status: { kind: "disputed", reason: "Not \u202emine" },
  });
  const page = await visit();
  await signIn(page);
  const name = page.locator("bdi", { hasText: "Eve [U+202E]lliB" });
  await name.waitFor();
  await page.getByRole("button", { name: "Decline… “Knee [U+2067]pain”, Eve [U+202E]lliB" }).waitFor();
  await page.getByRole("button", { name: "Decline…" }).click();
  await page.getByText("“\u2068Knee [U+2067]pain\u2069”, \u2068Eve [U+202E]lliB\u2069: they see").waitFor();
  await page.getByRole("button", { name: "Cancel" }).click();
  const date = page.locator("bdi", { hasText: "[U+202E]2027-01-15" });
  await date.waitFor();
  await page.getByRole("link", { name: "Knee" }).click();
  await page.getByRole("heading", { name: "The path of the ledger" }).waitFor();
  await name.waitFor();
  await date.waitFor();
  await page.locator("bdi", { hasText: "[U+202E]allergies" }).waitFor();
  await page.getByText("The patient refused: No [U+202E]at all").waitFor();
  await page.getByText("The patient disputes it: Not [U+202E]mine").waitFor();
});

test("a request is declined with a reason", async () => {
  hospital.request("c1", "Knee pain");
  const page = await visit("#/cases/c1");
  await signIn(page);
  await page.getByRole("button", { name: "Decline…" }).click();
  await page.getByRole("dialog").getByLabel("Reason").fill("We have no orthopaedist");
  await page.getByRole("dialog").getByRole("button", { name: "Decline" }).click();
  await page.getByText("Declined: We have no orthopaedist").waitFor();
});

test("data is asked for, of the kinds that the patient allowed, and what was shared is read", async () => {
  const one = hospital.request("c1", "Knee pain");
  one.summary.phase = { kind: "approved" };
  const page = await visit("#/cases/c1");
  await signIn(page);
  await page.getByRole("checkbox", { name: "Allergies and intolerances" }).check();
  expect(await page.getByRole("checkbox").count()).toBe(2);
  await page.getByLabel("What for").fill("To choose an anaesthetic");
  await page.getByRole("button", { name: "Ask the patient" }).click();
  await page.getByText("The patient has not decided yet.").waitFor();
  hospital.shared.set("c1", [{ request: "d1", records: [SHARED] }]);
  one.dataRequests[0]!.answer = { kind: "answered", records: 1, at: Date.now() };
  await page.locator("summary", { hasText: "Penicillin" }).click();
  await page.getByText("Hives").waitFor();
  await page.getByText("logged by Notary One as number 3").waitFor();
  await look(page, "console-case");
});

test("a result is previewed and handed in to the byte as it was written", async () => {
  hospital.request("c1", "Knee pain").summary.phase = { kind: "approved" };
  const page = await visit("#/cases/c1");
  await signIn(page);
  await page.getByLabel("or pasted").fill(HEMOGLOBIN);
  await page.getByText("105.00 g/L").waitFor();
  await look(page, "console-hand-in");
  await page.getByRole("button", { name: "Sign and send to the patient" }).click();
  await page.getByRole("heading", { name: "Results" }).waitFor();
  expect(hospital.handedIn).toEqual([HEMOGLOBIN]);
});

test("a result whose answer was lost is handed in once", async () => {
  hospital.request("c1", "Knee pain").summary.phase = { kind: "approved" };
  const page = await visit("#/cases/c1");
  await signIn(page);
  await page.getByLabel("Sample results").selectOption({ label: "Summary of your stay (summary.json)" });
  await page.getByText("Medicines taken (1)").waitFor();
  await hospital.loseNextAnswer(page);
  await page.getByRole("button", { name: "Sign and send to the patient" }).click();
  await page.getByRole("alert").filter({ hasText: "page/unreachable" }).waitFor();
  await page.getByRole("button", { name: "Sign and send to the patient" }).click();
  await page.getByRole("heading", { name: "Results" }).waitFor();
  expect(hospital.handedIn).toEqual([SUMMARY]);
});

test("what the node refuses as a result is shown with the code of its OperationOutcome", async () => {
  hospital.request("c1", "Knee pain").summary.phase = { kind: "approved" };
  const page = await visit("#/cases/c1");
  await signIn(page);
  await page.getByLabel("or pasted").fill("{}");
  await page.getByRole("button", { name: "Sign and send to the patient" }).click();
  await page.getByRole("alert").filter({ hasText: "fhir/no-resource" }).waitFor();
});

test("a message that waits for a patient's mailbox or was refused is visible with its reason", async () => {
  const message = { case: "c1", to: "c1Xn3vB7Qm2t5kLr8sPz", name: "Maria Fabregas", since: Date.now() };
  const full = { code: "mailbox/full", sentence: "The mailbox is full; send again later." };
  const revoked = { code: "card/revoked", sentence: "The card was revoked." };
  hospital.outbox = [
    { id: "1", kind: "treatment/result", problem: full, refused: false, ...message },
    { id: "2", kind: "treatment/approval", problem: revoked, refused: true, ...message, name: "" },
  ];
  const page = await visit("#/node");
  await signIn(page);
  const waiting = page.getByRole("region", { name: "Waiting to be sent" });
  const lines = waiting.getByRole("listitem");
  await lines.filter({ hasText: "Result to Maria Fabregas" }).getByText("mailbox/full").waitFor();
  await lines.filter({ hasText: "Approval to c1Xn3vB7Qm2t…" }).getByText("Refused", { exact: true }).waitFor();
  await look(page, "console-outbox");
});

test("a message that a patient's node refused or never fetched is visible with its reason", async () => {
  const sent = { case: "c1", to: "c1Xn3vB7Qm2t5kLr8sPz", name: "Maria Fabregas", since: Date.now(), known: Date.now() };
  const expired = { code: "mailbox/expired", sentence: "The recipient has not fetched the message." };
  hospital.undelivered = [{ id: "1", kind: "treatment/result", problem: expired, ...sent }];
  const page = await visit("#/node");
  await signIn(page);
  const lines = page.getByRole("region", { name: "Not received" }).getByRole("listitem");
  await lines.filter({ hasText: "Result to Maria Fabregas" }).getByText("mailbox/expired").waitFor();
  await look(page, "console-undelivered");
});

test("a revoked node says so with the operator's reason, on every page, until it is a member again", async () => {
  const sentence = "The card was revoked by the network's operator; ask the operator why.";
  hospital.trouble = { code: "card/revoked", sentence, reason: "The licence was withdrawn" };
  const page = await visit();
  await signIn(page);
  const notice = page.getByRole("region", { name: "This node was revoked" });
  await notice.getByText("The operator's reason: The licence was withdrawn").waitFor();
  await look(page, "console-revoked");
  await page.getByRole("link", { name: "Cases" }).click();
  await notice.waitFor();
  hospital.trouble = null;
  await notice.waitFor({ state: "detached" });
});

test("a node below the minimum version says that it must be updated", async () => {
  const sentence = "The network asks for a newer version than this node's; update it.";
  hospital.trouble = { code: "network/version", sentence, reason: null };
  const page = await visit();
  await signIn(page);
  const notice = page.getByRole("region", { name: "This node must be updated" });
  await notice.getByText("what it has to send waits").waitFor();
  expect(await notice.getByText("reason").count()).toBe(0);
});

test("a key that changed without a word of the old one is warned of until somebody has asked", async () => {
  const seen = Date.now();
  hospital.warnings = [
    { node: "n9", name: "Notary Nine", former: null, seen },
    { node: "h2", name: "Lakeside Clinic", former: "h1", seen },
  ];
  const page = await visit();
  await signIn(page);
  const clinic = page.getByRole("region", { name: "Lakeside Clinic has other keys than before" });
  await look(page, "console-warnings");
  await clinic.getByRole("button", { name: "We have asked them" }).press("Enter");
  await clinic.waitFor({ state: "detached" });
  await page.locator("main:focus").waitFor();
  await page.getByRole("region", { name: "Notary Nine has other keys than before" }).waitFor();
});

test("the notary is asked about what was shared, and what differs is shown", async () => {
  const one = hospital.request("c1", "Knee pain");
  one.summary.phase = { kind: "approved" };
  const answer = { kind: "answered", records: 2, at: Date.now() } as const;
  const asked = { id: "d1", resources: ["Condition"], purpose: "To compare", sent: Date.now() };
  one.dataRequests.push({ ...asked, answer });
  const other = { ...SHARED, verificationKey: "k2", title: "Pollen" };
  const receiptProblem = { code: "ledger/receipt", sentence: "The receipt does not prove it." };
  const voided = { ...SHARED, notary: null, notaryName: null, receiptIndex: null, receiptProblem };
  const dust = { ...voided, verificationKey: "k3", title: "Dust" };
  hospital.shared.set("c1", [{ request: "d1", records: [SHARED, other, dust] }]);
  one.ledger[0]!.receiptProblem = receiptProblem;
  const of = { request: "d1", notary: "n1", notaryName: "Notary One", problem: null };
  hospital.checked = [
    { ...of, verificationKey: "k1", outcome: "agrees" },
    { ...of, verificationKey: "k2", outcome: "differs" },
  ];
  const page = await visit("#/cases/c1");
  await signIn(page);
  await page.getByRole("button", { name: "Ask the notary" }).click();
  const lines = page.getByRole("listitem");
  await lines.filter({ hasText: "Penicillin" }).getByText("keeps the same verification key").last().waitFor();
  await lines.filter({ hasText: "Pollen" }).getByText("Do not rely on this record").last().waitFor();
  await lines.filter({ hasText: "Dust" }).getByText("its receipt does not count").waitFor();
  await page.getByRole("alert").filter({ hasText: "ledger/receipt" }).waitFor();
  await page.getByText("the notary or a witness had been revoked by then").waitFor();
  await look(page, "console-verified");
});

test("who signed a record stays named, and one that can't be opened says so alone", async () => {
  const one = hospital.request("c1", "Knee pain");
  one.summary.phase = { kind: "approved" };
  const answer = { kind: "answered", records: 4, at: Date.now() } as const;
  const asked = { id: "d1", resources: ["Condition"], purpose: "To compare", sent: Date.now() };
  one.dataRequests.push({ ...asked, answer });
  const own = { ...SHARED, verificationKey: "k2", title: "Own", author: "p1", authorName: "", part: true };
  const former = { ...SHARED, verificationKey: "k3", title: "Former", authorListed: false };
  const nameless = { ...former, verificationKey: "k4", title: null, fhir: null, authorName: "" };
  const problem = { code: "card/unknown", sentence: "No card of its author is known." };
  const records = [SHARED, own, former, { ...nameless, resourceType: null, problem }];
  hospital.shared.set("c1", [{ request: "d1", records }]);
  const page = await visit("#/cases/c1");
  await signIn(page);
  const lines = page.getByRole("listitem");
  await lines.filter({ hasText: "Own" }).getByText("signed by the patient, logged").last().waitFor();
  await lines.filter({ hasText: "Own" }).getByText("not all of this record was shown").last().waitFor();
  const gone = "signed by Lakeside Clinic (no longer in the network), logged";
  await lines.filter({ hasText: "Former" }).getByText(gone).last().waitFor();
  const closed = lines.filter({ hasText: "A record that can't be opened" });
  await closed.getByText("signed by h2 (no longer in the network)").last().waitFor();
  await page.getByRole("alert").filter({ hasText: "card/unknown" }).waitFor();
  await look(page, "console-former-author");
});

test("what was set aside is visible with its reason", async () => {
  const sentence = "The signature is wrong. Ask the sender to send it again.";
  hospital.quarantined = [{ id: "1", received: Date.now(), code: "envelope/bad-signature", sentence }];
  const page = await visit("#/node");
  await signIn(page);
  await page.getByText("envelope/bad-signature").waitFor();
  await look(page, "console-node");
});

test("an unknown case says so", async () => {
  const page = await visit("#/cases/nowhere");
  await signIn(page);
  await page.getByRole("alert").filter({ hasText: "treatment/unknown-case" }).waitFor();
});

const SHARED = {
  ...{ verificationKey: "k1", author: "h2", authorName: "Lakeside Clinic", authorListed: true },
  ...{ notary: "n1", notaryName: "Notary One", receiptIndex: 3, receiptProblem: null, witnesses: [] },
  ...{ resourceType: "AllergyIntolerance", title: "Penicillin", fhir: PENICILLIN, part: false, problem: null },
};

function visit(place = ""): Promise<Page> {
  return site.visit(`console.html${place}`, (page) => hospital.serve(page));
}

async function signIn(page: Page): Promise<void> {
  await page.getByLabel("API key").fill(API_KEY);
  await page.getByRole("button", { name: "Open" }).click();
  await page.getByRole("navigation").waitFor();
}
