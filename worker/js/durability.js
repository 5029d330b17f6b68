// rexie passes no options on, and browsers answer "complete" before data is on the disk unless
// they are asked to wait for it. In this realm every transaction that writes asks.
let asked = false;

export function ask_for_strict_durability() {
  if (asked) return;
  asked = true;
  const open = IDBDatabase.prototype.transaction;
  IDBDatabase.prototype.transaction = function (stores, mode, options) {
    const strict = mode === "readwrite" ? { durability: "strict", ...options } : options;
    return open.call(this, stores, mode, strict);
  };
}
