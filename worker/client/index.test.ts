import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { connect, type Connection } from "./index.js";

let workers: EventTarget & { startMessages(): void; register(): Promise<unknown> };
let connection: Connection;

beforeEach(async () => {
  const registration = { active: { postMessage: () => undefined } };
  workers = Object.assign(new EventTarget(), { startMessages: () => undefined, register: async () => registration });
  const locks = { request: () => new Promise(() => undefined) };
  vi.stubGlobal("navigator", { serviceWorker: workers, locks });
  vi.stubGlobal("isSecureContext", true);
  vi.stubGlobal("addEventListener", () => undefined);
  vi.stubGlobal("location", { href: "https://pages.test/app/#/new", hash: "#/new" });
  connection = await connect();
});

afterEach(() => {
  connection.close();
  vi.unstubAllGlobals();
});

test("who clicked a notification is led there by the page's fragment alone", () => {
  const told = vi.fn();
  connection.subscribe(told);
  const open = { kind: "open", url: "https://pages.test/app/#/cases/1" };
  workers.dispatchEvent(new MessageEvent("message", { data: { hdms: open } }));
  expect(location).toEqual({ href: "https://pages.test/app/#/new", hash: "#/cases/1" });
  expect(told).not.toHaveBeenCalled();
});

test("what the worker tells of the node reaches who listens, until they have enough", async () => {
  const told = vi.fn();
  const enough = connection.subscribe(told);
  const changed = { kind: "changed", cases: ["1"] };
  workers.dispatchEvent(new MessageEvent("message", { data: { hdms: changed } }));
  await vi.waitFor(() => expect(told).toHaveBeenCalledExactlyOnceWith(changed));
  enough();
  workers.dispatchEvent(new MessageEvent("message", { data: { hdms: changed } }));
  await new Promise((resolve) => setTimeout(resolve));
  expect(told).toHaveBeenCalledOnce();
});
