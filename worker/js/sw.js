// The personal node's part of a service worker: import it into yours, or use it as it is. Registers
// every listener at once; the WASM behind them is loaded when the first event needs it. All else is
// Rust.
import init, * as node from "./hdms_worker.js";
import version from "./version.js";

const MODULE = new URL("./hdms_worker_bg.wasm", import.meta.url).href;
const PREFIX = "hdms-module-";
const CACHE = PREFIX + version;

/** Ports of the requests under way, each with what ends the wait for its answer. */
const pending = new Map();
let started;

addEventListener("install", (event) => event.waitUntil(install()));
addEventListener("activate", (event) => event.waitUntil(activate()));
addEventListener("message", (event) => {
  const [port] = event.ports;
  if (event.data?.hdms && port) event.waitUntil(answer(event.data.hdms, port));
});
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

function start() {
  started ??= load().catch((error) => {
    started = undefined;
    throw error;
  });
  return started;
}

async function load() {
  const kept = await (await caches.open(CACHE)).match(MODULE);
  await init({ module_or_path: kept ?? fetch(MODULE) });
}

async function answer(request, port) {
  const trap = new Promise((resolve) => pending.set(port, resolve));
  await start();
  await Promise.race([node.handle(request, port), trap]);
  pending.delete(port);
}

// Throws the instance away and makes a new one, which begins with what is stored. Who waits for an
// answer is told to ask again.
function trapped(reason) {
  if (!(reason instanceof WebAssembly.RuntimeError)) return;
  node.__wbg_reset_state();
  for (const [port, resolve] of pending) {
    port.postMessage({ trapped: true });
    resolve();
  }
  pending.clear();
}
