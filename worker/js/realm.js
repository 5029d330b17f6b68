// What belongs to this realm, whichever instance of the WASM lives in it: a trapped instance is
// thrown away, its lock stays.

let strict = false;

// rexie passes no options on, and browsers fire "complete" before data is on the disk unless they
// are asked to wait for it. In this realm every transaction that writes asks.
export function ask_for_strict_durability() {
  if (strict) return;
  strict = true;
  const open = IDBDatabase.prototype.transaction;
  IDBDatabase.prototype.transaction = function (stores, mode, options) {
    const asking = mode === "readwrite" ? { durability: "strict", ...options } : options;
    return open.call(this, stores, mode, asking);
  };
}

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
