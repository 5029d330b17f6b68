// The service worker's script, `js/sw.js`, in a realm that is made of what it touches.

import { readFileSync } from "node:fs";
import { beforeEach, expect, test, vi } from "vitest";

/** The module's glue, beside which the script lies in the package. */
const wasm = { wake: vi.fn(), handle: vi.fn(), synchronise: vi.fn(), __wbg_reset_state: vi.fn() };
const init = vi.fn();

const SCOPE = "https://pages.test/app/";
const GENERAL = ["There is news for your health node", { tag: "hdms" }];

type Page = { url: string; focus: () => Promise<void>; postMessage: (message: unknown) => void };

let listeners: Map<string, (event: object) => void>;
let shown: unknown[][];
let pages: Page[];
let opened: string[];

beforeEach(() => {
  [listeners, shown, pages, opened] = [new Map(), [], [], []];
  vi.resetAllMocks();
  wasm.wake.mockResolvedValue(true);
  start({
    init,
    node: wasm,
    version: "1",
    caches: { open: async () => ({ match: async () => "module" }) },
    clients: { matchAll: async () => pages, openWindow: async (url: string) => void opened.push(url) },
    registration: { scope: SCOPE, showNotification: async (...it: unknown[]) => void shown.push(it) },
    addEventListener: (name: string, listener: (event: object) => void) => listeners.set(name, listener),
  });
});

/** Evaluates the script as a worker that starts does. */
function start(realm: Record<string, unknown>): void {
  const script = readFileSync(new URL("../js/sw.js", import.meta.url), "utf8")
    .replace(/^import .*$/gm, "")
    .replaceAll("import.meta.url", JSON.stringify(`${SCOPE}sw.js`));
  new Function(...Object.keys(realm), script)(...Object.values(realm));
}

/** Fires an event; what it waits for. */
async function fire(name: string, event: object = {}): Promise<PromiseSettledResult<unknown>[]> {
  const waited: Promise<unknown>[] = [];
  listeners.get(name)?.({ ...event, waitUntil: (promise: Promise<unknown>) => waited.push(promise) });
  return Promise.allSettled(waited);
}

const push = (text: string) => fire("push", { data: { arrayBuffer: () => new TextEncoder().encode(text).buffer } });

function click(url?: string): Promise<PromiseSettledResult<unknown>[]> {
  const notification = { close: () => undefined, ...(url && { data: { url } }) };
  return fire("notificationclick", { notification });
}

function page(url: string): Page & { told: unknown[]; focused: number } {
  const told: unknown[] = [];
  const made = { url, told, focused: 0, focus: async () => void made.focused++, postMessage: (it: unknown) => told.push(it) };
  pages.push(made);
  return made;
}

test("the node shows what a push brought, and then synchronises", async () => {
  await push("payload");
  expect(new TextDecoder().decode(wasm.wake.mock.calls[0]?.[0] as Uint8Array)).toBe("payload");
  expect(wasm.synchronise).toHaveBeenCalledOnce();
  expect(shown).toEqual([]);
});

test("a push without content wakes the node as well", async () => {
  await fire("push", { data: null });
  expect(wasm.wake).toHaveBeenCalledWith(new Uint8Array(0));
});

test.each([
  ["the node has nothing to show", () => wasm.wake.mockResolvedValue(false)],
  ["the node fails", () => wasm.wake.mockRejectedValue(new Error("failed"))],
  ["the module can't be loaded", () => init.mockRejectedValue(new TypeError("no network"))],
  ["the instance traps", () => wasm.wake.mockImplementation(trap)],
])("something general is shown when %s", async (_when, misfortune) => {
  misfortune();
  await push("payload");
  expect(shown).toEqual([GENERAL]);
});

test("something general is shown when the node does not get ready in time", async () => {
  vi.useFakeTimers();
  wasm.wake.mockReturnValue(new Promise(() => undefined));
  const done = push("payload");
  await vi.advanceTimersByTimeAsync(15_000);
  vi.useRealTimers();
  await done;
  expect(shown).toEqual([GENERAL]);
  expect(wasm.synchronise).toHaveBeenCalledOnce();
});

test("after a trap the next push meets a new instance", async () => {
  wasm.wake.mockImplementationOnce(trap);
  await push("payload");
  expect(wasm.__wbg_reset_state).toHaveBeenCalledOnce();
  await push("payload");
  expect(shown).toEqual([GENERAL]);
});

test("a module that could not be loaded is loaded by the next event", async () => {
  init.mockRejectedValue(new TypeError("no network"));
  await push("payload");
  init.mockResolvedValue(undefined);
  await push("payload");
  expect(wasm.wake).toHaveBeenCalledOnce();
});

test("a request that met a trap is told so, and one without a module is not answered", async () => {
  const port = { postMessage: vi.fn() };
  const ask = () => fire("message", { data: { hdms: {} }, ports: [port] });
  wasm.handle.mockImplementationOnce(trap);
  await ask();
  expect(port.postMessage).toHaveBeenCalledExactlyOnceWith({ trapped: true });
  await ask();
  expect(port.postMessage).toHaveBeenCalledOnce();
});

test("a click leads the open page there by a message, and shows it", async () => {
  page("https://pages.test/console.html");
  const open = page("https://pages.test/app/index.html#/new");
  await click("./#/cases/1");
  expect(open.told).toEqual([{ hdms: { kind: "open", url: `${SCOPE}#/cases/1` } }]);
  expect([open.focused, opened]).toEqual([1, []]);
});

test("a click opens a page where none is open", async () => {
  page("https://pages.test/app/console.html");
  await click("./#/cases/1");
  await click();
  expect(opened).toEqual([`${SCOPE}#/cases/1`, SCOPE]);
});

test("a subscription that the browser has changed is reconciled at once", async () => {
  await fire("pushsubscriptionchange");
  expect(wasm.synchronise).toHaveBeenCalledOnce();
});

/** As an instance does that ends: nothing is answered, the realm sees an error. */
function trap(): Promise<never> {
  queueMicrotask(() => listeners.get("error")?.({ error: new WebAssembly.RuntimeError("unreachable") }));
  return new Promise(() => undefined);
}
