// What belongs to this realm, whichever instance of the WASM lives in it: a trapped instance is
// thrown away, its lock stays.

let watching = false;
let full = false;
const watched = new WeakSet();

// rexie passes no options on, and browsers fire "complete" before data is on the disk unless they
// are asked to wait for it. In this realm every transaction that writes asks, and what becomes of
// it tells whether there is room. A database that is deleted or closed by the browser is said to
// the shim.
export function watch_databases() {
  if (watching) return;
  watching = true;
  const open = IDBDatabase.prototype.transaction;
  IDBDatabase.prototype.transaction = function (stores, mode, options) {
    watch(this);
    if (mode !== "readwrite") return open.call(this, stores, mode, options);
    const transaction = open.call(this, stores, mode, { durability: "strict", ...options });
    const failed = ({ target }) => (full ||= target.error?.name === "QuotaExceededError");
    transaction.addEventListener("error", failed, true);
    transaction.addEventListener("abort", failed);
    transaction.addEventListener("complete", () => (full = false));
    return transaction;
  };
}

function watch(database) {
  if (watched.has(database)) return;
  watched.add(database);
  const gone = () => dispatchEvent(new Event("hdms-storage"));
  database.addEventListener("close", gone);
  database.addEventListener("versionchange", ({ newVersion }) => {
    database.close();
    if (newVersion === null) gone();
  });
}

// Whether the last write found no room.
export const is_full = () => full;

const held = new Map();

// Answers whether this realm now holds the Web Lock of this name, which it does until it ends.
// Waits a little: when a worker replaces another, the older one is about to end.
export function hold_lock(name, patience) {
  if (!held.has(name)) {
    const holds = new Promise((resolve) => {
      const granted = () => (resolve(true), new Promise(() => {}));
      const signal = AbortSignal.timeout(patience);
      navigator.locks.request(name, { signal }, granted).catch(() => resolve(false));
    });
    held.set(name, holds);
    holds.then((holds) => holds || held.delete(name));
  }
  return held.get(name);
}

const OUTBOX = "hdms-outbox";

// Asks the browser, if it can, to wake the worker with a "sync" event once there is a network
// (Background Sync), unless it is going to: one that is asked anew while the event is under way
// fires it again at once. Browsers may refuse, as while no page is open.
export async function wake_when_online() {
  const { sync } = registration;
  try {
    const asked = await sync?.getTags();
    if (asked && !asked.includes(OUTBOX)) await sync.register(OUTBOX);
  } catch {
    // Pages ask, too.
  }
}

// The origin's storage: bytes used and allowed; rejects where the browser does not tell.
export async function storage_estimate() {
  const { usage, quota } = await navigator.storage.estimate();
  return [usage, quota];
}
