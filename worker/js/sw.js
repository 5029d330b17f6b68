// The personal node's part of a service worker: import it into yours, or use it as it is. Registers
// every listener at once; the WASM behind them is loaded when the first event needs it. All else is
// Rust.
import init, * as node from "./hdms_worker.js";
import version from "./version.js";

const MODULE = new URL("./hdms_worker_bg.wasm", import.meta.url).href;
const PREFIX = "hdms-module-";
const CACHE = PREFIX + version;

/** How long the node may take to show what a push brought, milliseconds. */
const PATIENCE = 15_000;
/** What ends the wait for each call under way: that instance trapped. */
const pending = new Set();
const TRAPPED = Symbol("trapped");
let started;

addEventListener("install", (event) => event.waitUntil(install()));
addEventListener("activate", (event) => event.waitUntil(activate()));
addEventListener("message", (event) => {
  const [port] = event.ports;
  if (event.data?.hdms && port) event.waitUntil(answer(event.data.hdms, port));
});
addEventListener("push", (event) => event.waitUntil(wake(event.data)));
addEventListener("pushsubscriptionchange", (event) => event.waitUntil(run(() => node.synchronise())));
addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(lead(event.notification.data?.url));
});
addEventListener("sync", (event) => {
  if (event.tag === "hdms-outbox") event.waitUntil(run(() => node.send_waiting()));
});
// The node's database is gone, by somebody's will or the browser's.
addEventListener("hdms-storage", () => run(() => node.reopen()));
// A trap in the WASM surfaces in whatever called into it.
addEventListener("error", (event) => trapped(event.error));
addEventListener("unhandledrejection", (event) => trapped(event.reason));

async function install() {
  const cache = await caches.open(CACHE);
  await cache.add(new Request(MODULE, { cache: "reload" }));
  // Two workers can't write one database: the new one takes over as soon as it can.
  await skipWaiting();
}

async function activate() {
  const names = await caches.keys();
  const old = names.filter((name) => name.startsWith(PREFIX) && name !== CACHE);
  await Promise.all(old.map((name) => caches.delete(name)));
  await clients.claim();
}

async function load() {
  const kept = await (await caches.open(CACHE)).match(MODULE);
  await init({ module_or_path: kept ?? fetch(MODULE) });
}

// Calls into the WASM, loaded by then. What failed to load is tried again by the next.
async function run(call) {
  await (started ??= load().catch((error) => ((started = undefined), Promise.reject(error))));
  let end;
  const trap = new Promise((_, reject) => pending.add((end = () => reject(TRAPPED))));
  return Promise.race([call(), trap]).finally(() => pending.delete(end));
}

async function answer(request, port) {
  await run(() => node.handle(request, port)).catch((reason) => {
    if (reason !== TRAPPED) throw reason;
    port.postMessage({ trapped: true });
  });
}

// Whatever befalls the node, something is shown: browsers end a subscription whose pushes show nothing.
async function wake(data) {
  const payload = new Uint8Array(data?.arrayBuffer() ?? 0);
  const late = new Promise((resolve) => setTimeout(resolve, PATIENCE));
  const shown = await Promise.race([run(() => node.wake(payload)), late]).catch(() => false);
  if (!shown) await registration.showNotification("There is news for your health node", { tag: "hdms" }).catch(() => {});
  await run(() => node.synchronise());
}

// An open page is led there by its fragment alone: what it holds unsaved stays.
async function lead(path = "./") {
  const url = new URL(path, registration.scope);
  const folder = ({ pathname }) => pathname.replace(/index\.html$/, "");
  const pages = await clients.matchAll({ type: "window", includeUncontrolled: true });
  const page = pages.find((page) => folder(new URL(page.url)) === folder(url));
  page?.postMessage({ hdms: { kind: "open", url: url.href } });
  await (page ? page.focus() : clients.openWindow(url.href));
}

// Throws the instance away and makes a new one, which begins with what is stored. Who waits for an
// answer is told to ask again.
function trapped(reason) {
  if (!(reason instanceof WebAssembly.RuntimeError)) return;
  node.__wbg_reset_state();
  pending.forEach((end) => end());
}
