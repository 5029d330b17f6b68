// What went wrong, as people and support see it: a stable code and a sentence that says what to do.

/** A failure: its stable code, e.g. `treatment/unknown-case`, and a sentence. */
export type Problem = { code: string; sentence: string };

/** The problem in whatever was thrown. */
export function problemOf(thrown: unknown): Problem {
  const found = thrown as { code?: unknown; sentence?: unknown; message?: unknown } | null;
  const code = typeof found?.code === "string" ? found.code : "page/unexpected";
  const sentence = [found?.sentence, found?.message].find((text) => typeof text === "string");
  return { code, sentence: (sentence as string | undefined) ?? "Reload the page and try again." };
}
