// What the states of node, case, request and result are called.

import {
  sentenceOf,
  type CaseSummary,
  type CaseView,
  type DataRequestView,
  type HandInView,
  type NodeErrorView,
  type NodeStatus,
  type Phase,
  type PushState,
  type RecordSummary,
  type ResultView,
  type Waiting,
} from "hdms-node";
import { dateText } from "../fhir/datatypes";
import { plainTitle, typeLabel } from "../fhir/labels";
import type { LedgerStep } from "../ui/ledger";
import { href } from "../ui/router.svelte";
import type { Problem } from "../ui/problem";
import { visible, type Word } from "../ui/words";
import type { NotificationState } from "./notifications.svelte";
import { ofDataRequest, ofResult, waitingWord } from "./waiting";

const UNREACHABLE = "network/unreachable";
const FULL = "store/full";

/** What the node's own sentence says to those who build nodes, for patients. */
const PLAIN: Record<string, string> = {
  "treatment/outdated":
    "Too much time has passed since you asked, so the hospital can’t take this request any more. Ask it " +
    "for a new treatment.",
  "treatment/former-version":
    "This treatment began with an older version of this page, and takes no new results. Ask for a new one.",
  "network/unreachable": "There was no connection. It is tried again by itself.",
  "network/split":
    "The server has told your node of two different networks. Your node goes on with the first; ask the " +
    "operator, or your hospital, what happened.",
};

/** What the node says of a failure, as people see it. */
export function problemIn(view: NodeErrorView | null | undefined): Problem | null {
  return view ? { code: view.code, sentence: PLAIN[view.code] ?? sentenceOf(view.code) } : null;
}

/** Why a message was set aside, by the first part of its code; no patient can mend what is wrong with it. */
const SET_ASIDE: Record<string, string> = {
  card: "It is not certain who sent it: the sender’s membership in the network does not hold.",
  envelope: "It was damaged, came too late or twice, or was not meant for this node.",
  ledger: "What was signed for the ledger does not fit what the message says.",
  log: "What the notary has signed does not hold.",
  network: "It speaks of a state of the network that your node does not know yet.",
  notary: "What the notary has signed does not hold.",
  record: "The record in it was changed, or is not from whom it says.",
  treatment: "It does not fit where the treatment stands.",
};

/** Why a message was set aside. */
export function setAsideSentence(code: string): string {
  return SET_ASIDE[code.split("/")[0] ?? ""] ?? sentenceOf(code);
}

/** Whether the device has no network or the server does not answer: no fault of the node. */
export function isOffline(status: NodeStatus | null, online: boolean): boolean {
  return !online || status?.problem?.code === UNREACHABLE;
}

/** What keeps a node from taking part in its network, for a person; `help` is what the page can do. */
export type Standing = { title: string; meaning: string; help: "update" | "ask" | "none" };

const KEPT = "What comes for you is kept, and what you decide waits here until then.";

const STANDINGS: Record<string, Standing> = {
  "network/version": {
    title: "This page is out of date",
    meaning:
      `The network needs a newer version of it, and nothing is sent before you update. ${KEPT} ` +
      "If this stays after the update, try again tomorrow.",
    help: "update",
  },
  "card/revoked": {
    title: "Your node was taken out of the network",
    meaning:
      "The network's operator has revoked it, so hospitals refuse what it sends. Your records stay on " +
      "this device and can be read. Ask the operator, or your hospital, why.",
    help: "none",
  },
  "card/superseded": {
    title: "Your node's keys were changed elsewhere",
    meaning:
      "Another device, or a newer copy of this one, has changed them, and hospitals refuse what these " +
      "keys sign. Your records stay on this device and can be read. Go on there, or ask the operator.",
    help: "none",
  },
  "card/expired": {
    title: "Your node's membership has run out",
    meaning: `Nothing is sent before it is renewed, which your node asks for by itself. ${KEPT}`,
    help: "ask",
  },
  "card/forged": {
    title: "Your node needs a new membership card",
    meaning:
      "The network no longer uses the key that signed the present one. Your node asks for a new one by " +
      `itself, and sends nothing before. ${KEPT}`,
    help: "ask",
  },
  "doorman/refused": {
    title: "The network does not renew your node's membership",
    meaning: "Its operator has refused. Your records stay on this device. Ask the operator why.",
    help: "ask",
  },
  "doorman/challenge": {
    title: "The network's server can't be trusted",
    meaning:
      "It wanted your node to decrypt something that is not meant for it, as if to read what others " +
      "wrote to you. Your node has answered nothing. Don't go on here, and tell the operator.",
    help: "ask",
  },
};

/** What keeps the node from taking part, if something does; every page says it. */
export function standingOf(status: NodeStatus | null): Standing | null {
  return STANDINGS[status?.problem?.code ?? ""] ?? null;
}

/** What is wrong with the node besides what every page says: being offline, without room or standing. */
export function troubleOf(status: NodeStatus | null): Problem | null {
  const problem = status?.problem ?? null;
  const said = problem?.code === UNREACHABLE || problem?.code === FULL || standingOf(status);
  return said ? null : problemIn(problem);
}

/** Whether this browser wakes the node. */
export function notificationWord(state: NotificationState, push: PushState | undefined): Word {
  switch (state) {
    case "on":
      if (push && push.kind !== "none" && push.since === null) {
        const meaning = "They begin as soon as your node has told its server, which it tries by itself.";
        return { label: "Being switched on", tone: "plain", meaning };
      }
      return {
        label: "On",
        tone: "good",
        meaning: "Your node hears from the hospital when this page is closed, too.",
      };
    case "off":
      return {
        label: "Off",
        tone: "plain",
        meaning: "Your node hears from the hospital only while this page is open.",
      };
    case "blocked":
      return {
        label: "Blocked",
        tone: "warn",
        meaning:
          "This browser blocks them. Open its settings for this site, by the sign beside the address, " +
          "allow notifications and come back.",
      };
    case "unsupported":
      return {
        label: "Not offered here",
        tone: "plain",
        meaning: "Open this page from time to time: your node then fetches what has come.",
      };
  }
}

/** Whether the node is ready, cut off or stopped. */
export function nodeState(status: NodeStatus | null, online: boolean): Word {
  if (!status) return { label: "Waking", tone: "plain", meaning: "Your node is being started." };
  switch (status.state) {
    case "absent":
      return { label: "Not made", tone: "plain", meaning: "There is no node on this device." };
    case "making":
      return { label: "Being made", tone: "plain", meaning: "Your node is being made." };
    case "stopped":
      return { label: "Stopped", tone: "bad", meaning: "Your node has stopped. Nothing is lost." };
  }
  if (status.problem?.code === FULL) {
    return { label: "Full", tone: "warn", meaning: "Your node works, but can take in nothing new." };
  }
  if (standingOf(status)) {
    return { label: "On hold", tone: "warn", meaning: "You can read and decide; nothing is sent for now." };
  }
  if (troubleOf(status)) {
    return { label: "Trouble", tone: "warn", meaning: "Your node works, but something is wrong." };
  }
  if (isOffline(status, online)) {
    return {
      label: "Offline",
      tone: "plain",
      meaning: "You can read and decide; what you send goes out once the network is back.",
    };
  }
  return { label: "Ready", tone: "good", meaning: "Your node works and reaches the network." };
}

/** Whether nothing in a treatment becomes final any more: its hospital or its notary is gone. */
export function isOver({ hospitalListed, notaryListed }: CaseSummary): boolean {
  return !hospitalListed || !notaryListed;
}

/** How far a treatment has come. */
export function phaseWord(one: CaseSummary, unsent: Waiting[] = []): Word {
  if (isOver(one) && one.phase.kind !== "declined") {
    const gone = one.hospitalListed ? "Its notary" : one.hospitalName;
    const end = one.phase.kind === "requested" ? "it can’t answer" : "no further result can be confirmed";
    const meaning = `${gone} is no longer in the network: ${end}.`;
    return { label: "Closed", tone: "bad", meaning };
  }
  return openPhaseWord(one.phase, one.hospitalName, unsent);
}

function openPhaseWord(phase: Phase, hospital: string, unsent: Waiting[]): Word {
  switch (phase.kind) {
    case "requested": {
      const request = unsent.find(({ kind }) => kind === "treatment/request");
      if (request?.refused) {
        return { label: "Not accepted", tone: "bad", meaning: `${hospital} did not take the request.` };
      }
      if (request) {
        return { label: "Not sent yet", tone: "warn", meaning: `It is not at ${hospital} yet.` };
      }
      return { label: "Asked", tone: "plain", meaning: `${hospital} has not answered yet.` };
    }
    case "approved":
      return { label: "Approved", tone: "good", meaning: `${hospital} takes you as its patient.` };
    case "declined":
      return {
        label: "Declined",
        tone: "bad",
        meaning: `${hospital} declined: ${visible(phase.reason) || "no reason was given"}`,
      };
  }
}

/** Whether a request for data waits for the person: to a hospital that is gone nothing can be sent. */
export function isOpen({ hospitalListed }: CaseSummary, { answer }: DataRequestView): boolean {
  return hospitalListed && answer.kind === "open";
}

/** What became of a request for data. */
export function answerWord({ hospitalName, hospitalListed }: CaseSummary, { answer }: DataRequestView): Word {
  switch (answer.kind) {
    case "open":
      if (!hospitalListed) {
        const meaning = `${hospitalName} is no longer in the network: nothing can be sent to it.`;
        return { label: "Closed", tone: "plain", meaning };
      }
      return { label: "Waits for you", tone: "warn", meaning: "Nothing is shared before you decide." };
    case "shared":
      return { label: "Shared", tone: "good", meaning: `Records that you shared: ${answer.records.length}.` };
    case "refused":
      return { label: "Refused", tone: "plain", meaning: `You refused: ${visible(answer.reason)}` };
  }
}

/** Whether a result can't become final any more: it is open, and its treatment is over. */
export function isNeverFinal(one: CaseSummary, { status }: ResultView): boolean {
  return isOver(one) && ["received", "confirming"].includes(status.kind);
}

/** What became of a result of a treatment. */
export function resultWord(one: CaseSummary, result: ResultView): Word {
  if (!isNeverFinal(one, result)) return statusWord(result.status);
  const why = one.hospitalListed
    ? "No notary can log it any more."
    : `${one.hospitalName} is no longer in the network, so no notary logs it any more.`;
  return { label: "Never final", tone: "bad", meaning: `${why} It stays here to be read.` };
}

function statusWord(status: ResultView["status"]): Word {
  switch (status.kind) {
    case "received":
      return { label: "Waits for you", tone: "warn", meaning: "Read it, then confirm or dispute it." };
    case "confirming":
      return {
        label: "Being confirmed",
        tone: "plain",
        meaning: "You confirmed it. Your node is getting the notary's receipt.",
      };
    case "committed":
      return { label: "Final", tone: "good", meaning: "Signed by both of you and logged by the notary." };
    case "disputed":
      return { label: "Disputed", tone: "bad", meaning: `You disputed it: ${status.reason}` };
    case "refused":
      return {
        label: "Not accepted",
        tone: "bad",
        meaning: `The notary or the hospital refused it (${status.code}).`,
      };
  }
}

/** What a record counts as. */
export function recordWord(state: RecordSummary["state"]): Word {
  switch (state) {
    case "final":
      return { label: "Final", tone: "good", meaning: "Signed by both and logged by a notary." };
    case "received":
      return { label: "Not confirmed", tone: "warn", meaning: "You have not confirmed it yet." };
    case "disputed":
      return { label: "Disputed", tone: "bad", meaning: "You disputed it." };
    case "own":
      return { label: "My own", tone: "plain", meaning: "You added it yourself." };
  }
}

/** What a record is, from when and by whom, in a list of records that may be or were shared. */
export function recordLine({ resourceType, date, own, authorName }: RecordSummary): string {
  const author = own ? "added by you" : `from ${authorName}`;
  return [typeLabel(resourceType), dateText(date ?? undefined) ?? date, author].filter(Boolean).join(" · ");
}

/** The ledger of a case with names in place of ids. */
export function ledgerSteps({ ledger, hospitalName, phase, results }: CaseView): LedgerStep[] {
  const disputed = results.filter(({ status }) => status.kind === "disputed").map(({ entry }) => entry);
  return ledger.map(({ id, kind, number, verificationKey, receipt, receiptProblem, ...entry }) => ({
    id,
    kind,
    number,
    verificationKey,
    signers: [
      ...(entry.endorsedByPatient ? ["you"] : []),
      ...(entry.endorsedByHospital ? [hospitalName] : []),
    ],
    receipt: receipt && {
      notary: receipt.notaryName,
      index: receipt.index,
      time: receipt.time,
      witnesses: receipt.witnesses,
    },
    problem: problemIn(receiptProblem),
    never: kind === "request" ? phase.kind === "declined" : disputed.includes(id),
  }));
}

/** What was handed in together, in words. */
export function handInWord({ of, came, awaited }: HandInView): Word {
  const some = `${came} of ${of} results have come.`;
  if (awaited) return { label: `${came} of ${of}`, tone: "plain", meaning: `${some} They are shown when all are here.` };
  if (came < of) return { label: "Incomplete", tone: "warn", meaning: `${some} The hospital can send the rest again.` };
  return { label: `${of} results`, tone: "plain", meaning: `${of} results came together.` };
}

/** The entries of what was handed in together and waits for the person. */
export function openOf(one: CaseView, handIn: HandInView): string[] {
  const isOpen = (result: ResultView) => result.status.kind === "received" && !isNeverFinal(one, result);
  return one.results.filter((result) => result.handIn === handIn.id && isOpen(result)).map(({ entry }) => entry);
}

/** Something to decide, or decided, in a case. */
export type Decision = {
  href: string;
  title: string;
  at: number;
  open: boolean;
  word: Word;
  /** Whether the decision is on its way, if it is not there yet. */
  waiting: Word | null;
};

/** What a case asks of the person, the newest first; `outbox` holds what waits to be sent. */
export function decisionsOf(one: CaseView, outbox: Waiting[], online: boolean): Decision[] {
  const requests = one.dataRequests.map((request) => ({
    href: href("cases", one.id, "data", request.id),
    title: `${one.hospitalName} asks for records`,
    at: request.received,
    open: isOpen(one, request),
    word: answerWord(one, request),
    waiting: waitingWord(ofDataRequest(outbox, one, request.id), online),
  }));
  const results = one.results.map((result) => ({
    href: href("cases", one.id, "results", result.entry),
    title: `Result: ${plainTitle(result.title)}`,
    at: result.received,
    open: result.status.kind === "received" && !isNeverFinal(one, result),
    word: resultWord(one, result),
    waiting: waitingWord(ofResult(outbox, one, result.entry), online),
  }));
  return [...requests, ...results].toSorted((a, b) => b.at - a.at);
}
