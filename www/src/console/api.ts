// The institution's REST interface as this page uses it; the node describes it at /openapi.json.

import type { Problem } from "../ui/problem";

/** Where a case stands. */
export type Phase =
  | { kind: "requested" }
  | { kind: "approving"; refused: string | null }
  | { kind: "approved" }
  | { kind: "declined"; reason: string };

/** A case in a list. Times are milliseconds since 1970. */
export type CaseSummary = {
  id: string;
  patient: string;
  patientName: string;
  reason: string;
  date: string | null;
  mayRead: string[];
  phase: Phase;
  notary: string | null;
  notaryName: string | null;
  /** When the notary of an approved case ceased to be a member: the case takes no further results. */
  notaryUntil: number | null;
  begun: number;
  changed: number;
  openDataRequests: number;
  results: number;
  openResults: number;
};

/** A request for data and the patient's answer. */
export type DataRequest = {
  id: string;
  resources: string[];
  purpose: string;
  sent: number;
  answer:
    | { kind: "asked" }
    | { kind: "answered"; records: number; at: number }
    | { kind: "refused"; reason: string; at: number };
};

/** A result that was handed in. */
export type Result = {
  entry: string;
  /** With what it was handed in. */
  handIn: string | null;
  title: string | null;
  handedIn: number;
  /** Why it never becomes final, where that is so. */
  neverFinal: Problem | null;
  status:
    | { kind: "waiting" }
    | { kind: "sent" }
    | { kind: "confirmed"; refused: string | null }
    | { kind: "committed"; at: number }
    | { kind: "disputed"; reason: string };
};

/** An entry of the case's ledger. */
export type Entry = {
  id: string;
  kind: "request" | "result";
  verificationKey: string;
  number: number | null;
  author: string;
  endorsedByPatient: boolean;
  endorsedByHospital: boolean;
  receipt: { notary: string; notaryName: string; index: number; time: number; witnesses: string[] } | null;
  receiptProblem: Problem | null;
};

/** A case with everything in it. */
export type Case = {
  summary: CaseSummary;
  dataRequests: DataRequest[];
  results: Result[];
  ledger: Entry[];
  /** Numbers that the notary has given, of entries that are not here. */
  missing: { from: number; to: number }[];
};

/** A record that a patient shared. */
export type SharedRecord = {
  verificationKey: string;
  author: string;
  authorName: string;
  /** Whether the author is a member: the patient, or listed. */
  authorListed: boolean;
  notary: string | null;
  notaryName: string | null;
  receiptIndex: number | null;
  receiptProblem: Problem | null;
  witnesses: string[];
  resourceType: string | null;
  title: string | null;
  fhir: string | null;
  /** Whether not all of this record was shown. */
  part: boolean;
  /** Why it can't be opened, if so; then nothing of its content is there. */
  problem: Problem | null;
};

/** What was shared in answer to one request for data. */
export type Answered = { request: string; records: SharedRecord[] };

/** The node itself. */
export type Node = {
  id: string;
  name: string;
  endpoint: string | null;
  network: string;
  waiting: number;
  undelivered: number;
  quarantined: number;
  trouble: Trouble | null;
};

/** Why the node may not take part in its network; with the operator's reason, where one decided. */
export type Trouble = Problem & { reason: string | null };

/** A listed node with other keys than before, or in place of another, that its old key says nothing of. */
export type KeyWarning = { node: string; name: string; former: string | null; seen: number };

/** What its notary says of a shared record. */
export type Checked = {
  request: string;
  verificationKey: string;
  notary: string;
  notaryName: string;
  outcome: "agrees" | "differs" | "unknown" | "unanswered";
  problem: Problem | null;
};

/** An envelope that was refused. */
export type Quarantined = { id: string; received: number; code: string; sentence: string };

/** A message that a mailbox had accepted, and that was fetched by nobody in time, or refused. */
export type Undelivered = {
  id: string;
  case: string;
  to: string;
  name: string;
  kind: string;
  since: number;
  known: number;
  problem: Problem;
};

/** A message or deposit that its recipient has not accepted; `refused` for good. */
export type Waiting = {
  id: string;
  case: string;
  to: string;
  name: string;
  kind: string;
  since: number;
  problem: Problem | null;
  refused: boolean;
};

/** A file of sample results. */
export type Sample = { file: string; title: string };

/** A refusal of the node, or that it did not answer. */
export class ApiProblem extends Error implements Problem {
  constructor(
    readonly code: string,
    readonly sentence: string,
    readonly status: number,
  ) {
    super(sentence);
  }
}

const LIMIT_MS = 30_000;
const JSON_CONTENT: Record<string, string> = { "content-type": "application/json" };

/** The calls, each authorised by the API key. @throws {ApiProblem} */
export class Api {
  constructor(private readonly key: string) {}

  node(): Promise<Node> {
    return this.#get("node");
  }

  /** All cases, page after page; or those of one phase. */
  async cases(phase?: Phase["kind"]): Promise<CaseSummary[]> {
    const found: CaseSummary[] = [];
    let after: string | null = null;
    do {
      const query = new URLSearchParams({ ...(phase && { phase }), ...(after && { after }) });
      const page: { cases: CaseSummary[]; next: string | null } = await this.#get(`cases?${query}`);
      found.push(...page.cases);
      after = page.next;
    } while (after);
    return found;
  }

  case(id: string): Promise<Case> {
    return this.#get(`cases/${encodeURIComponent(id)}`);
  }

  async shared(id: string): Promise<Answered[]> {
    const path = `cases/${encodeURIComponent(id)}/shared`;
    const all: Answered[] = [];
    let query = "";
    for (;;) {
      const page = await this.#get<{ shared: Answered[]; next: string | null }>(path + query);
      all.push(...page.shared);
      if (page.next === null) return all;
      query = `?after=${encodeURIComponent(page.next)}`;
    }
  }

  /** What waits to be sent, the oldest hundred. */
  async outbox(): Promise<Waiting[]> {
    return (await this.#get<{ outbox: Waiting[] }>("outbox")).outbox;
  }

  /** What mailboxes had accepted and was not taken in, the oldest hundred. */
  async undelivered(): Promise<Undelivered[]> {
    return (await this.#get<{ undelivered: Undelivered[] }>("undelivered")).undelivered;
  }

  async quarantine(): Promise<Quarantined[]> {
    return (await this.#get<{ quarantined: Quarantined[] }>("quarantine")).quarantined;
  }

  /** Nodes whose keys changed without a word of their old ones, oldest first. */
  async warnings(): Promise<KeyWarning[]> {
    return (await this.#get<{ warnings: KeyWarning[] }>("warnings")).warnings;
  }

  /** Somebody has asked this node by another way. */
  async dismiss(node: string): Promise<void> {
    const path = `api/warnings/${encodeURIComponent(node)}/dismissal`;
    await this.#fetch(path, { method: "POST" });
  }

  /** Asks the notaries about what was shared in a case. */
  async verify(id: string): Promise<Checked[]> {
    const path = `api/cases/${encodeURIComponent(id)}/verification`;
    const response = await this.#fetch(path, { method: "POST" });
    return ((await response.json()) as { records: Checked[] }).records;
  }

  approve(id: string): Promise<void> {
    return this.#post(id, "approval");
  }

  refuse(id: string, reason: string): Promise<void> {
    return this.#post(id, "refusal", { reason });
  }

  /** Asks the patient for data; asking again under the same id (a UUIDv7) is the same request. */
  askData(id: string, asked: { id: string; resources: string[]; purpose: string }): Promise<void> {
    return this.#post(id, "data-requests", asked);
  }

  /** Hands in FHIR JSON to the byte as it was written; under the same key, it is done once. */
  handIn(id: string, fhir: string, key: string): Promise<void> {
    const type = "application/fhir+json";
    return this.#post(id, "results", fhir, { "content-type": type, "idempotency-key": key });
  }

  /** Sample results, where the node was started with some for a demonstration. */
  async samples(): Promise<Sample[]> {
    const response = await fetch("samples/index.json").catch(() => null);
    return response?.ok ? ((await response.json()) as Sample[]) : [];
  }

  /** The text of a sample. */
  async sample(file: string): Promise<string> {
    return (await this.#fetch(`samples/${encodeURIComponent(file)}`)).text();
  }

  async #get<T>(path: string): Promise<T> {
    const response = await this.#fetch(`api/${path}`, { cache: "no-store" });
    return (await response.json()) as T;
  }

  async #post(id: string, what: string, body?: unknown, headers = JSON_CONTENT): Promise<void> {
    const text = typeof body === "string" ? body : JSON.stringify(body);
    const content = body === undefined ? {} : { body: text, headers };
    await this.#fetch(`api/cases/${encodeURIComponent(id)}/${what}`, { method: "POST", ...content });
  }

  async #fetch(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = { ...init.headers, authorization: `Bearer ${this.key}` };
    const signal = AbortSignal.timeout(LIMIT_MS);
    const response = await fetch(path, { ...init, headers, signal }).catch(() => {
      const sentence = "The node does not answer. Check that it runs, then try again.";
      throw new ApiProblem("page/unreachable", sentence, 0);
    });
    if (!response.ok) throw await refusal(response);
    return response;
  }
}

type ProblemDocument = { code?: string; detail?: string };
type OperationOutcome = {
  issue?: { details?: { text?: string; coding?: { code?: string }[] }; diagnostics?: string }[];
};

/** From problem+json, or from an OperationOutcome on FHIR paths. */
async function refusal(response: Response): Promise<ApiProblem> {
  const body = (await response.json().catch(() => ({}))) as ProblemDocument & OperationOutcome;
  const issue = body.issue?.[0];
  const code = body.code ?? issue?.details?.coding?.[0]?.code ?? `http/${response.status}`;
  const sentence = body.detail ?? issue?.details?.text ?? issue?.diagnostics;
  return new ApiProblem(code, sentence ?? `The node answered ${response.status}.`, response.status);
}
