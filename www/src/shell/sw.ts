// The service worker of the patient's pages: the personal node, and the pages' files for when there
// is no network. Listeners are registered on first evaluation, as service workers require.

import "hdms-node/worker";

/** Put in by the build: a digest of the pages, and the files that they need, relative to here. */
declare const __SHELL__: { version: string; files: string[] };
declare const self: ServiceWorkerGlobalScope;

const PREFIX = "hdms-shell-";
const CACHE = PREFIX + __SHELL__.version;
const START = new URL("./index.html", self.location.href).href;
const FOLDER = new URL("./", self.location.href).href;
const FILES = new Set(__SHELL__.files.map((file) => new URL(file, self.location.href).href));

self.addEventListener("install", (event) => event.waitUntil(keep()));
self.addEventListener("activate", (event) => event.waitUntil(dropOld()));
self.addEventListener("fetch", (event) => {
  const { method, url } = event.request;
  const { origin, pathname } = new URL(url);
  const file = origin + pathname === FOLDER ? START : origin + pathname;
  if (method === "GET" && FILES.has(file)) event.respondWith(answer(event.request, file));
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

/** The start page from the network if there is one, so that nobody is held at an old version. */
async function answer(request: Request, file: string): Promise<Response> {
  if (file !== START) return (await kept(file)) ?? fetch(request);
  try {
    return await fetch(request);
  } catch (failure) {
    const page = await kept(file);
    if (page) return page;
    throw failure;
  }
}

async function kept(file: string): Promise<Response | undefined> {
  const cache = await caches.open(CACHE);
  return (await cache.match(file)) ?? caches.match(file);
}
