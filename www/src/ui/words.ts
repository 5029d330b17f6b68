// Small words that several pages share.

/** How a badge feels. */
export type Tone = "plain" | "good" | "warn" | "bad";

/** A word for a badge, its tone, and what it means for whoever reads it. */
export type Word = { label: string; tone: Tone; meaning: string };

/** What a receipt says of its witnesses when it has none. */
export const UNWATCHED = "none: nobody watches this notary's log";

/** What is said of a receipt that is kept and does not count. */
export const VOID = "its receipt does not count: it was altered, or the notary or a witness had been revoked by then";

/** `1 record`, `2 records`. */
export function count(number: number, one: string, many = `${one}s`): string {
  return `${number} ${number === 1 ? one : many}`;
}

/** `A`, `A and B`, `A, B and C`. */
export function list(names: string[]): string {
  return new Intl.ListFormat("en-GB").format(names);
}

/** What somebody else wrote, with what would alter the text around it shown as what it is. */
export function visible(line: string): string {
  return line.replace(/[^\P{Cc}\n]|[\u202a-\u202e\u2066-\u2069]/gu, (sign) => {
    const code = sign.codePointAt(0) ?? 0;
    return `[U+${code.toString(16).toUpperCase().padStart(4, "0")}]`;
  });
}

/** The same within a sentence of ours: an island, whichever way it is written. */
export function isolated(line: string): string {
  return `\u2068${visible(line)}\u2069`;
}

/** As much of a long text as names it. */
export function beginning(text: string): string {
  const letters = [...text];
  return letters.length > 80 ? `${letters.slice(0, 80).join("")}…` : text;
}

/** The start of a long digest or id, enough to compare by eye. */
export function short(id: string): string {
  return id.length > 14 ? `${id.slice(0, 12)}…` : id;
}

/** A size in bytes for people. */
export function size(bytes: number): string {
  let [number, unit] = [bytes, "bytes"];
  for (const next of ["KB", "MB", "GB"]) {
    if (number < 1024) break;
    [number, unit] = [number / 1024, next];
  }
  return `${number.toFixed(number < 10 && unit !== "bytes" ? 1 : 0)} ${unit}`;
}
