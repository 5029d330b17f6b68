import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { look, play, Site } from "./browser";
import { HEMOGLOBIN } from "./fhir";
import { askedForData, see, withCase, withResult } from "./person";

let site: Site;
beforeAll(async () => {
  site = await Site.open();
}, 120_000);
afterAll(() => site.close());

test("the node's page shows what waits, what was set aside and whether it is cut off", async () => {
  const page = await site.visit("?node=ready#/node");
  await see(page, "My node");
  await play(page, ({ node }) => {
    const problem = { code: "network/unreachable" };
    const since = Date.now() - 60_000;
    const tried = { since, attempts: 2, nextAttempt: since + 90_000, problem, refused: false };
    node.unsent = [{ id: "1", entries: [], case: "c1", to: "Demo Hospital", kind: "treatment/request", ...tried }];
    const error = { code: "envelope/replayed" };
    node.setAside = [{ id: "2", received: since, error }];
    node.setStatus({ problem, waiting: 1, quarantined: 1 });
  }, null);
  await page.getByRole("main").getByText("Offline", { exact: true }).waitFor();
  await page.getByText("Your request for treatment to Demo Hospital").waitFor();
  await page.getByText("tried 2 times").waitFor();
  await page.getByText("envelope/replayed").waitFor();
  await page.getByText("It was damaged, came too late or twice").waitFor();
  await look(page, "node");
});

test("evidence that the server said two things is a file to be taken along", async () => {
  const page = await site.visit("?node=ready#/node");
  await see(page, "My node");
  await play(page, ({ node }) => {
    node.evidence = { seen: Date.now(), evidence: '{"held":{},"offered":{}}' };
    node.setStatus({ problem: { code: "network/split" } });
  }, null);
  const card = page.getByRole("region", { name: "The server said two different things" });
  const saving = page.waitForEvent("download");
  await card.getByRole("button", { name: "Save the file" }).click();
  const saved = await (await saving).createReadStream();
  expect(JSON.parse((await saved.toArray()).join(""))).toEqual({ held: {}, offered: {} });
  await look(page, "split");
});

test("a person changes the name under which hospitals are asked", async () => {
  const page = await site.visit("?node=ready#/node");
  const card = page.getByRole("form", { name: "Your name" });
  const keep = card.getByRole("button", { name: "Keep this name" });
  expect(await keep.isDisabled()).toBe(true);
  await card.getByLabel("Name").fill("Maria F. Kim");
  await keep.click();
  await card.getByRole("button", { name: "Keep this name", disabled: true }).waitFor();
  expect(await card.getByLabel("Name").inputValue()).toBe("Maria F. Kim");
});

test("a person is invited to notifications, and can switch them off again", async () => {
  const page = await site.visit("");
  await page.getByRole("button", { name: "Make my node" }).click();
  await see(page, "Your node is ready");
  const invitation = page.getByRole("region", { name: "Hear from the hospital" });
  await invitation.getByText("names only the kind of message").waitFor();
  await invitation.getByRole("button", { name: "Allow notifications" }).click();
  await page.getByRole("status").filter({ hasText: "Notifications are on." }).waitFor();
  await play(page, ({ node }) => node.setStatus({ push: { kind: "webpush", since: null } }), null);
  await page.getByRole("status").filter({ hasText: "Notifications are being switched on." }).waitFor();
  await play(page, ({ node }) => node.setStatus({ push: { kind: "webpush", since: 1 } }), null);
  await page.getByRole("status").filter({ hasText: "Notifications are on." }).waitFor();
  await page.getByRole("button", { name: "Go on" }).click();
  await see(page, "Treatments");
  expect(await invitation.count()).toBe(0);
  await page.getByRole("link", { name: "My node" }).click();
  const card = page.getByRole("region", { name: "Notifications" });
  await card.getByText("On", { exact: true }).waitFor();
  await look(page, "notifications-on");
  await play(page, ({ node }) => node.setStatus({ push: { kind: "webpush", since: null } }), null);
  await card.getByText("Being switched on").waitFor();
  await card.getByRole("button", { name: "Switch off notifications" }).click();
  await card.getByText("Off", { exact: true }).waitFor();
  await card.getByRole("button", { name: "Switch on notifications" }).click();
  await card.getByText("On", { exact: true }).waitFor();
});

test("by keyboard alone, the focus stays where it was or goes to the content", async () => {
  const page = await site.visit("?node=ready#/node");
  const toggle = page.getByRole("button", { name: /^Switch o(n|ff) notifications$/ });
  await toggle.focus();
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "Switch off notifications" }).waitFor();
  expect(await focused(page)).toBe("Switch off notifications");
  await play(page, ({ node }) => void node.unsubscribePush(), null);
  await page.evaluate(() => (location.hash = "#/"));
  const later = page.getByRole("button", { name: "Not now" });
  await later.focus();
  await page.keyboard.press("Enter");
  await later.waitFor({ state: "detached" });
  expect(await page.evaluate(() => document.activeElement?.localName)).toBe("main");
});

test("an invitation that was turned down does not come again", async () => {
  const page = await site.visit("?node=ready#/");
  const invitation = page.getByRole("region", { name: "Hear from the hospital" });
  await invitation.waitFor();
  await look(page, "invitation");
  await invitation.getByRole("button", { name: "Not now" }).click();
  await invitation.waitFor({ state: "detached" });
  await page.reload();
  await page.getByText("You have asked for no treatment yet").waitFor();
  expect(await invitation.count()).toBe(0);
});

test("notifications that the browser blocks or does not offer are explained, with no button", async () => {
  const page = await site.visit("?node=ready#/node");
  const card = page.getByRole("region", { name: "Notifications" });
  await card.getByRole("button").waitFor();
  await notified(page, "blocked");
  await card.getByText("Open its settings for this site").waitFor();
  await look(page, "notifications-blocked");
  await notified(page, "unsupported");
  await card.getByText("Not offered here").waitFor();
  expect(await card.getByRole("button").count()).toBe(0);
});

test("notifications refused at the click say so in place", async () => {
  const page = await site.visit("?node=ready#/");
  const invitation = page.getByRole("region", { name: "Hear from the hospital" });
  await invitation.waitFor();
  await play(page, ({ node }) => (node.permission = "blocked"), null);
  await invitation.getByRole("button", { name: "Allow notifications" }).click();
  await page.getByRole("alert").filter({ hasText: "push/blocked" }).waitFor();
});

test("what is decided offline is shown as waiting on the request, the treatment and the list", async () => {
  const page = await askedForData(site);
  await play(page, (fake) => fake.cutOff(true), null);
  await page.getByRole("status").filter({ hasText: "The server can't be reached." }).waitFor();
  await page.getByRole("checkbox", { name: "Penicillin" }).check();
  await page.getByRole("button", { name: "Share 1 record" }).click();
  const unsent = page.getByRole("region", { name: "Waiting to be sent" });
  await unsent.getByText("The records that you share to Demo Hospital").waitFor();
  await unsent.getByText("tried once, next try").waitFor();
  await unsent.getByText("network/unreachable").waitFor();
  expect(await page.getByRole("alert").count()).toBe(0);
  await look(page, "waiting-request");
  await page.getByRole("link", { name: "Back to the treatment" }).click();
  const line = page.getByRole("listitem").filter({ hasText: "asks for records" });
  await line.getByText("Waiting to be sent").waitFor();
  await look(page, "waiting-case");
  await page.getByRole("link", { name: "All treatments" }).click();
  await page.getByRole("listitem").filter({ hasText: "Knee pain" }).getByText("Waiting to be sent").waitFor();
  await look(page, "waiting-list");
});

test("what waits can be sent at once, and says how often it was tried until it is gone", async () => {
  const page = await site.visit("?node=ready#/");
  await see(page, "Treatments");
  await play(page, async (fake) => {
    fake.cutOff(true);
    await fake.node.ask({ case: "c1", hospital: "h1", request: { reason: "Knee pain", date: null, mayRead: [] } });
  }, null);
  await page.getByRole("link", { name: "Knee pain" }).click();
  const unsent = page.getByRole("region", { name: "Waiting to be sent" });
  await unsent.getByRole("button", { name: "Send now" }).click();
  await unsent.getByText("tried 2 times").waitFor();
  await play(page, (fake) => fake.cutOff(false), null);
  await unsent.getByRole("button", { name: "Send now" }).click();
  await unsent.waitFor({ state: "detached" });
  await page.getByRole("status").filter({ hasText: "What waited was sent." }).waitFor({ state: "attached" });
});

test("what was refused for good says why, and is not offered to be sent again", async () => {
  const page = await withResult(site, HEMOGLOBIN);
  await play(page, (fake) => fake.cutOff(true), null);
  await page.getByRole("button", { name: "Confirm" }).click();
  await page.getByRole("region", { name: "Waiting to be sent" }).getByText("A result that you confirmed").waitFor();
  await play(page, (fake) => {
    const problem = { code: "card/revoked" };
    fake.node.unsent = fake.node.unsent.map((item) => ({ ...item, refused: true, problem }));
    fake.cutOff(false);
  }, null);
  const refused = page.getByRole("region", { name: "Not accepted" });
  await refused.getByText("The card was revoked by the network's operator").waitFor();
  expect(await refused.getByRole("button").count()).toBe(0);
  await look(page, "refused");
});

test("a person hears that room runs out before anything is refused, and what a full device means", async () => {
  const page = await site.visit("?node=ready#/node");
  await see(page, "My node");
  await play(page, ({ node }) => {
    node.setStatus({ storage: { used: 965_000_000, quota: 1_073_741_824, low: true } });
  }, null);
  await page.getByRole("status").filter({ hasText: "Room on this device is running out" }).waitFor();
  await page.getByText("920 MB used of 1.0 GB").waitFor();
  await look(page, "storage-low");
  await play(page, ({ node }) => {
    node.setStatus({ problem: { code: "store/full" } });
  }, null);
  await page.getByRole("status").filter({ hasText: "This device has no room left" }).waitFor();
  await page.getByText("store/full").waitFor();
  await look(page, "storage-full");
});

test("a notification leads elsewhere without losing what was half filled in", async () => {
  const page = await withCase(site, "Knee pain");
  await page.evaluate(() => (location.hash = "#/new"));
  await page.getByRole("radio", { name: "Lakeside Clinic" }).check();
  await page.getByLabel("Reason").fill("Hay fever since");
  await page.evaluate(() => (location.hash = "#/cases/c1"));
  await see(page, "Knee pain");
  await page.goBack();
  await page.getByLabel("Reason").waitFor();
  expect(await page.getByLabel("Reason").inputValue()).toBe("Hay fever since");
  expect(await page.getByRole("radio", { name: "Lakeside Clinic" }).isChecked()).toBe(true);
  await page.getByRole("button", { name: "Send the request" }).click();
  await see(page, "Hay fever since");
  await page.evaluate(() => (location.hash = "#/new"));
  expect(await page.getByLabel("Reason").inputValue()).toBe("");
});

test("a stopped node says why and what to do, and goes on when started again", async () => {
  const page = await site.visit("?node=ready#/records");
  await see(page, "Records");
  await stop(page, "store/failed");
  await see(page, "Your node has stopped, so that nothing is lost");
  await page.getByText("store/failed").waitFor();
  expect(await page.getByRole("navigation").count()).toBe(0);
  await look(page, "stopped");
  await page.getByRole("button", { name: "Start again" }).click();
  await see(page, "Records");
});

test("a node whose storage is gone is replaced only on a person's clear word", async () => {
  const page = await site.visit("?node=ready#/");
  await see(page, "Treatments");
  await stop(page, "store/lost");
  await see(page, "Your records are gone from this device");
  await page.getByText("comes with a later version").waitFor();
  await page.getByRole("button", { name: "Make a new node…" }).click();
  await page.getByRole("dialog").getByText("With a new node you give up").waitFor();
  await look(page, "lost");
  await page.getByRole("dialog").getByRole("button", { name: "Make a new node" }).click();
  await see(page, "Your node is ready");
  await play(page, ({ node }) => {
    if (!node.replaced) throw new Error("the node was not told to replace the lost one");
  }, null);
});

test("a browser that can't run the node is told so", async () => {
  const page = await site.visit("?node=unreachable");
  await see(page, "Your node does not answer");
  await page.getByText("worker/unsupported").waitFor();
});

test("the pages open without a network, the ones not visited before too", async () => {
  const page = await site.visit("?node=ready#/");
  await see(page, "Treatments");
  await page.evaluate(() => navigator.serviceWorker.ready);
  await page.context().setOffline(true);
  await page.reload();
  await page.getByRole("link", { name: "Records" }).click();
  await see(page, "Records");
  await page.getByRole("status").filter({ hasText: "You are offline." }).waitFor();
});

test("the pages can be installed as an app, with icons for every system", async () => {
  const page = await site.visit("?node=ready#/");
  await see(page, "Treatments");
  await page.evaluate(() => navigator.serviceWorker.ready);
  const browser = await page.context().newCDPSession(page);
  const { errors, data } = await browser.send("Page.getAppManifest");
  expect(errors).toEqual([]);
  const { installabilityErrors } = await browser.send("Page.getInstallabilityErrors");
  // The tests' windows are private ones.
  expect(installabilityErrors.filter(({ errorId }) => errorId !== "in-incognito")).toEqual([]);
  const { icons } = JSON.parse(data ?? "{}") as { icons: { src: string; sizes: string }[] };
  const apple = await page.locator("link[rel=apple-touch-icon]").getAttribute("href");
  for (const { src, sizes } of [...icons, { src: apple ?? "", sizes: "180x180" }]) {
    expect(await page.evaluate(sizeOf, src), src).toBe(sizes);
  }
});

function notified(page: Page, state: "blocked" | "unsupported"): Promise<void> {
  return play(page, ({ node }, given) => {
    node.permission = given;
    document.dispatchEvent(new Event("visibilitychange"));
  }, state);
}

function stop(page: Page, code: string): Promise<void> {
  return play(page, ({ node }, given) => {
    return node.setStatus({ state: "stopped", problem: { code: given } });
  }, code);
}

function focused(page: Page): Promise<string | undefined> {
  return page.evaluate(() => document.activeElement?.textContent?.trim());
}

/** Run in the page. */
async function sizeOf(src: string): Promise<string> {
  const { width, height } = await createImageBitmap(await (await fetch(src)).blob());
  return `${width}x${height}`;
}
