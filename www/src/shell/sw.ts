// The service worker of the patient's pages: the personal node, and the pages' files for when there
// is no network. Listeners are registered on first evaluation, as service workers require.

import "hdms-node/worker";

/** Put in by the build: a digest of the pages, and the files that they need, relative to here. */
declare const __SHELL__: { version: string; files: string[] };
declare const self: ServiceWorkerGlobalScope;

const PREFIX = "hdms-shell-";
const CACHE = PREFIX + __SHELL__.version;
const START = new URL("./index.html", self.location.href).href;
const FILES = new Set(__SHELL__.files.map((file) => new URL(file, self.location.href).href));

self.addEventListener("install", (event) => event.waitUntil(keep()));
self.addEventListener("activate", (event) => event.waitUntil(dropOld()));
self.addEventListener("fetch", (event) => {
  const file = fileOf(event.request);
  if (file) event.respondWith(answer(file, event.request));
});

async function keep(): Promise<void> {
  const cache = await caches.open(CACHE);
  // Past the HTTP cache: what is kept is what this version was built with.
  await cache.addAll([...FILES].map((file) => new Request(file, { cache: "reload" })));
}

/** The version before this one stays: a page of it may still be open and load its parts late. */
async function dropOld(): Promise<void> {
  const shells = (await caches.keys()).filter((name) => name.startsWith(PREFIX));
  await Promise.all(shells.slice(0, -2).map((name) => caches.delete(name)));
}

/** The kept file that a request is for; the start page for its folder. */
function fileOf({ method, url }: Request): string | undefined {
  if (method !== "GET") return undefined;
  const { origin, pathname } = new URL(url);
  const file = origin + pathname;
  if (file === new URL("./", START).href) return FILES.has(START) ? START : undefined;
  return FILES.has(file) ? file : undefined;
}

async function answer(file: string, request: Request): Promise<Response> {
  const kept = await caches.match(file);
  return kept ?? fetch(request);
}
