// What the states of case, request and result are called for a doctor.

import { visible, type Word } from "../ui/words";
import type { LedgerStep } from "../ui/ledger";
import type { Case, CaseSummary, Checked, DataRequest, Phase, Result, Trouble } from "./api";

/** How the patient is called: the name in the request, or the start of the node id. */
export function patientName({ patientName, patient }: CaseSummary): string {
  return visible(patientName) || `Patient ${patient.slice(0, 8)}`;
}

/** Where a case stands. */
export function caseWord({ phase, notaryUntil }: CaseSummary): Word {
  if (notaryUntil === null) return phaseWord(phase);
  return {
    label: "Closed",
    tone: "bad",
    meaning:
      "Its notary was revoked and logs nothing any more: it takes no further results. Ask the patient to begin a new case.",
  };
}

function phaseWord(phase: Phase): Word {
  switch (phase.kind) {
    case "requested":
      return { label: "Waits for you", tone: "warn", meaning: "Approve or decline it." };
    case "approving":
      return phase.refused
        ? { label: "Not logged", tone: "bad", meaning: `The notary refused it (${phase.refused}).` }
        : { label: "Approving", tone: "plain", meaning: "The notary's receipt is awaited." };
    case "approved":
      return { label: "Approved", tone: "good", meaning: "Signed by both and logged." };
    case "declined":
      return { label: "Declined", tone: "bad", meaning: `Declined: ${phase.reason}` };
  }
}

/** What the patient answered. */
export function answerWord(answer: DataRequest["answer"]): Word {
  switch (answer.kind) {
    case "asked":
      return { label: "Asked", tone: "plain", meaning: "The patient has not decided yet." };
    case "answered":
      return { label: "Answered", tone: "good", meaning: `Records shared: ${answer.records}.` };
    case "refused":
      return { label: "Refused", tone: "bad", meaning: `The patient refused: ${visible(answer.reason)}` };
  }
}

/** What became of a result. */
export function resultWord({ status, neverFinal }: Result): Word {
  if (!neverFinal) return statusWord(status);
  const sent = status.kind === "waiting" ? "It was not sent." : "It was sent, and is never final.";
  return { label: "Closed", tone: "bad", meaning: `${sent} ${neverFinal.sentence}` };
}

function statusWord(status: Result["status"]): Word {
  switch (status.kind) {
    case "waiting":
      return { label: "Waiting", tone: "plain", meaning: "It is sent after the one before it." };
    case "sent":
      return { label: "Sent", tone: "plain", meaning: "The patient has not decided yet." };
    case "confirmed":
      return status.refused
        ? { label: "Not logged", tone: "bad", meaning: `The notary refused it (${status.refused}).` }
        : { label: "Confirmed", tone: "plain", meaning: "The notary's receipt is being compared." };
    case "committed":
      return { label: "Final", tone: "good", meaning: "Signed by both and logged by the notary." };
    case "disputed":
      return { label: "Disputed", tone: "bad", meaning: `The patient disputes it: ${visible(status.reason)}` };
  }
}

/** What its notary says of a shared record. */
export function checkedWord({ outcome, notaryName, problem }: Checked): Word {
  const notary = notaryName || "The notary";
  switch (outcome) {
    case "agrees":
      return { label: "Confirmed", tone: "good", meaning: `${notary} keeps the same verification key.` };
    case "differs":
      return {
        ...{ label: "Differs", tone: "bad" },
        meaning: `${notary} keeps another verification key. Do not rely on this record: ask its author.`,
      };
    case "unknown":
      return {
        ...{ label: "Unknown", tone: "bad" },
        meaning: `${notary} knows no such entry. Do not rely on this record: ask its author.`,
      };
    case "unanswered":
      return {
        ...{ label: "No answer", tone: "warn" },
        meaning: `${notary} could not be asked. ${problem?.sentence ?? "Try again later."}`,
      };
  }
}

/** What keeps the node from taking part in its network. */
export function troubleTitle({ code }: Trouble): string {
  switch (code) {
    case "network/version":
      return "This node must be updated";
    case "card/revoked":
      return "This node was revoked";
    case "doorman/refused":
      return "The network's operator has refused this node";
    case "doorman/challenge":
      return "The network's server can't be trusted";
    default:
      return "This node's card is not renewed";
  }
}

const MESSAGES: Record<string, string> = {
  "treatment/approval": "Approval",
  "treatment/refusal": "Refusal of a request",
  "treatment/data-request": "Request for health data",
  "treatment/result": "Result",
  "notary/deposit": "Deposit of a ledger entry",
};

/** What a message that waits is called. */
export function messageName(kind: string): string {
  return MESSAGES[kind] ?? `Message (${kind})`;
}

/** The ledger of a case with names in place of ids. */
export function ledgerSteps({ ledger, summary, results }: Case, hospital: string): LedgerStep[] {
  const disputed = results.filter(({ status }) => status.kind === "disputed").map(({ entry }) => entry);
  return ledger.map(({ id, kind, number, verificationKey, receipt, receiptProblem, ...entry }) => ({
    id,
    kind,
    number,
    verificationKey,
    signers: [
      ...(entry.endorsedByPatient ? [patientName(summary)] : []),
      ...(entry.endorsedByHospital ? [hospital] : []),
    ],
    receipt: receipt && {
      notary: receipt.notaryName,
      index: receipt.index,
      time: receipt.time,
      witnesses: receipt.witnesses,
    },
    problem: receiptProblem,
    never: kind === "request" ? summary.phase.kind === "declined" : disputed.includes(id),
  }));
}
