// What waits to be sent, in words, and which decisions of a case it holds up.

import type { CaseSummary, CaseView, Waiting } from "hdms-node";
import type { Word } from "../ui/words";

const NAMES: Record<string, string> = {
  "treatment/request": "Your request for treatment",
  "treatment/data": "The records that you share",
  "treatment/data-refusal": "Your refusal to share records",
  "treatment/confirmation": "Your confirmation of a result",
  "treatment/dispute": "Your dispute of a result",
  "notary/deposit": "A result that you confirmed",
};

/** What a waiting item is to the person who made it. */
export function waitingName(kind: string): string {
  return NAMES[kind] ?? `A message (${kind})`;
}

/** How the first try of what was just decided is told from what has to wait, milliseconds. */
const FIRST_TRY = 20_000;

/** Whether it is `sending` for the first time, `waiting` after that failed, or `refused` for good. */
export function waitingState(items: Waiting[], online: boolean): "sending" | "waiting" | "refused" {
  if (items.every((item) => item.refused)) return "refused";
  const now = Date.now();
  const fresh = ({ attempts, since }: Waiting): boolean => attempts === 0 && now - since < FIRST_TRY;
  return online && items.every(fresh) ? "sending" : "waiting";
}

/** The badge of what waits; `null` when nothing does. */
export function waitingWord(items: Waiting[], online: boolean): Word | null {
  return items.length === 0 ? null : WORDS[waitingState(items, online)];
}

const WORDS: Record<ReturnType<typeof waitingState>, Word> = {
  sending: { label: "Being sent", tone: "plain", meaning: "Your node is sending it." },
  waiting: {
    label: "Waiting to be sent",
    tone: "warn",
    meaning: "It is kept on this device and goes out by itself once the recipient can be reached.",
  },
  refused: {
    label: "Not accepted",
    tone: "bad",
    meaning: "The recipient did not accept it, for good. It is not sent again.",
  },
};

/** What waits of a case, but for what a notary that is gone will never log. */
export function ofCase(items: Waiting[], { id, notaryListed }: CaseSummary): Waiting[] {
  return items.filter((item) => item.case === id && (notaryListed || item.kind !== "notary/deposit"));
}

const ANSWERS = ["treatment/data", "treatment/data-refusal"];

/** What waits of the answer to a request for data: the message that was made right after it. */
export function ofDataRequest(items: Waiting[], one: CaseView, id: string): Waiting[] {
  const decided = one.dataRequests.flatMap(({ id, answer }) => (answer.kind === "open" ? [] : [{ id, at: answer.at }]));
  const answered = (since: number) =>
    decided.filter(({ at }) => at <= since).toSorted((a, b) => b.at - a.at)[0]?.id;
  return ofCase(items, one).filter(({ kind, since }) => ANSWERS.includes(kind) && answered(since) === id);
}

/** What waits of the decision about a result. */
export function ofResult(items: Waiting[], one: CaseView, entry: string): Waiting[] {
  const status = one.results.find((result) => result.entry === entry)?.status.kind;
  return ofCase(items, one).filter(
    ({ entries, kind }) => entries.includes(entry) || (kind === "treatment/dispute" && status === "disputed"),
  );
}
