// Small words that several pages share.

/** How a badge feels. */
export type Tone = "plain" | "good" | "warn" | "bad";

/** A word for a badge, its tone, and what it means for whoever reads it. */
export type Word = { label: string; tone: Tone; meaning: string };

/** `1 record`, `2 records`. */
export function count(number: number, one: string, many = `${one}s`): string {
  return `${number} ${number === 1 ? one : many}`;
}

/** The start of a long digest or id, enough to compare by eye. */
export function short(id: string): string {
  return id.length > 14 ? `${id.slice(0, 12)}…` : id;
}

/** A size in bytes for people. */
export function size(bytes: number): string {
  return bytes < 1024 ? `${bytes} bytes` : `${(bytes / 1024).toFixed(bytes < 10240 ? 1 : 0)} KB`;
}

/** A UUIDv7 (RFC 9562 §5.7): made once per request, so that repeating it is safe. */
export function uuid(now = Date.now()): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  new DataView(bytes.buffer).setBigUint64(0, (BigInt(now) << 16n) | BigInt(random(bytes)));
  bytes[8] = 0x80 | (bytes[8]! & 0x3f);
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

function random(bytes: Uint8Array): number {
  return 0x7000 | (((bytes[6]! << 8) | bytes[7]!) & 0x0fff);
}
