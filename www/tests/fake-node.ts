// A personal node that keeps everything in the page's memory: it stands in for `hdms-node` in the
// tests of the pages. `window.fake` plays the hospital and the misfortunes.

import type {
  CaseView,
  Connection,
  DataRequestView,
  Hospital,
  NodeEvent,
  NodeStatus,
  NotificationState,
  PersonalNode,
  Quarantined,
  SplitView,
  ReceiptView,
  RecordView,
  TreatmentRequest,
  Waiting,
} from "hdms-node";

export { uuidv7 } from "../../worker/client/uuid";
export { sentenceOf } from "../../worker/client/error";

const HOSPITAL: Hospital = { id: "h1", name: "Demo Hospital", endpoint: "http://localhost" };
const OTHER: Hospital = { id: "h2", name: "Lakeside Clinic", endpoint: "http://localhost" };
const NOTARY = "Notary Two";
const KEY = "qL8R4QIcQ_ZsRqOAbeRfcZhilN_MksRtDaErMA0yp_4";
const WAIT_MS = 20;
const UNREACHABLE = { code: "network/unreachable" };

function logged(index: number): ReceiptView {
  const witnesses = ["Notary One", "Notary Three"];
  return { notary: "n2", notaryName: NOTARY, index, time: Date.now(), witnesses };
}

class FakeNode implements PersonalNode {
  state: NodeStatus = {
    state: "absent",
    node: null,
    name: null,
    network: "HDMS demo",
    server: "http://localhost:8080",
    persistent: null,
    waiting: 0,
    quarantined: 0,
    storage: null,
    nextAttempt: null,
    lastReached: null,
    push: { kind: "none" },
    vapid: "BKey",
    keyWarnings: [],
    problem: null,
  };
  listeners = new Set<(event: NodeEvent) => void>();
  all = new Map<string, CaseView>();
  held = new Map<string, RecordView>();
  setAside: Quarantined[] = [];
  evidence: SplitView | null = null;
  unsent: Waiting[] = [];
  /** Whether no other node can be reached: what is decided waits. */
  cutOff = false;
  permission: NotificationState = "off";
  replaced = false;
  /** The next call of this name fails with this problem. */
  failing: { name: string; code: string; sentence: string } | null = null;

  async status(): Promise<NodeStatus> {
    return this.state;
  }

  async make({ name, replaceLost }: { name: string; replaceLost?: boolean }): Promise<NodeStatus> {
    this.replaced = replaceLost ?? false;
    this.setStatus({ state: "making" });
    await this.step("make", 300);
    const node = "c1Xn3vB7Qm2t5kLr8sPz0yWd4gHf6jAe9uTi1oSx2Vw";
    const made = { node, name: name || null, lastReached: Date.now(), problem: null };
    return this.setStatus({ state: "ready", ...made });
  }

  async rename({ name }: { name: string }): Promise<NodeStatus> {
    await this.step("rename");
    return this.setStatus({ name: name || null });
  }

  async hospitals(): Promise<Hospital[]> {
    await this.step("hospitals");
    return this.cutOff ? [] : [HOSPITAL, OTHER];
  }

  async ask(options: { case: string; hospital: string; request: TreatmentRequest }): Promise<CaseView> {
    await this.step("ask");
    const { reason, date, mayRead } = options.request;
    const hospitalName = [HOSPITAL, OTHER].find(({ id }) => id === options.hospital)?.name ?? "";
    const now = Date.now();
    this.all.set(options.case, {
      ...{ id: options.case, hospital: options.hospital, hospitalName, hospitalListed: true, notaryListed: true },
      ...{ former: false, passed: [] },
      ...{ reason, date, mayRead },
      ...{ phase: { kind: "requested" }, begun: now, changed: now, openDecisions: 0, unsent: 0 },
      ...{ dataRequests: [], handIns: [], results: [], ledger: [], missing: [] },
    });
    this.queue(options.case, "treatment/request");
    this.log(options.case, "request", "e1", false);
    return this.case(options.case);
  }

  async cases(): Promise<CaseView[]> {
    await this.step("cases");
    return [...this.all.values()];
  }

  async case(id: string): Promise<CaseView> {
    await this.step("case");
    const found = this.all.get(id);
    if (!found) {
      throw { code: "treatment/unknown-case", sentence: "There is no such case on this device." };
    }
    return structuredClone(found);
  }

  async recordsFor(options: { case: string; dataRequest: string }): Promise<RecordView[]> {
    await this.step("recordsFor");
    const wanted = this.request(options.case, options.dataRequest)?.resources ?? [];
    return [...this.held.values()].filter((record) => wanted.includes(record.resourceType));
  }

  async share(options: { case: string; dataRequest: string; records: string[] }): Promise<CaseView> {
    await this.step("share");
    this.queue(options.case, "treatment/data");
    const records = options.records.map((id) => this.held.get(id)?.verificationKey ?? "");
    return this.answer(options, { kind: "shared", records, at: Date.now() });
  }

  async refuseData(options: { case: string; dataRequest: string; reason: string }): Promise<CaseView> {
    await this.step("refuseData");
    this.queue(options.case, "treatment/data-refusal");
    return this.answer(options, { kind: "refused", reason: options.reason, at: Date.now() });
  }

  async confirm(options: { case: string; entries: string[] }): Promise<CaseView> {
    await this.step("confirm");
    this.queue(options.case, "notary/deposit", options.entries);
    if (this.cutOff) return this.decide(options, { kind: "confirming" });
    return this.decide(options, { kind: "committed", at: Date.now() });
  }

  async dispute(options: { case: string; entries: string[]; reason: string }): Promise<CaseView> {
    await this.step("dispute");
    this.queue(options.case, "treatment/dispute");
    return this.decide(options, { kind: "disputed", reason: options.reason });
  }

  async records(): Promise<RecordView[]> {
    await this.step("records");
    return [...this.held.values()];
  }

  async record(id: string): Promise<RecordView> {
    await this.step("record");
    const found = this.held.get(id);
    if (!found) throw { code: "record/unknown", sentence: "There is no such record on this device." };
    return found;
  }

  async addRecord({ fhir }: { fhir: string }): Promise<RecordView> {
    await this.step("addRecord");
    const record = this.recordOf("own", `r${this.held.size + 1}`, fhir);
    this.held.set(record.id, { ...record, own: true, state: "own", authorName: "you" });
    return record;
  }

  async split(): Promise<SplitView | null> {
    await this.step("split");
    return this.evidence;
  }

  async quarantine(): Promise<Quarantined[]> {
    return this.setAside;
  }

  async outbox(): Promise<Waiting[]> {
    return this.unsent;
  }

  async restart(): Promise<NodeStatus> {
    await this.step("restart");
    return this.setStatus({ state: "ready", problem: null });
  }

  async sync(): Promise<NodeStatus> {
    await this.step("sync");
    return this.state;
  }

  async sendNow(): Promise<NodeStatus> {
    await this.step("sendNow");
    if (!this.cutOff) {
      this.unsent = this.unsent.filter((item) => item.refused);
      return this.setStatus({ problem: null, waiting: this.unsent.length, lastReached: Date.now() });
    }
    const nextAttempt = Date.now() + 60_000;
    this.unsent = this.unsent.map((item) =>
      item.refused ? item : { ...item, attempts: item.attempts + 1, nextAttempt, problem: UNREACHABLE },
    );
    return this.setStatus({ problem: UNREACHABLE, waiting: this.unsent.length, nextAttempt });
  }

  async subscribePush(): Promise<NodeStatus> {
    await this.step("subscribePush");
    this.permission = "on";
    return this.setStatus({ push: { kind: "webpush", since: Date.now() } });
  }

  async unsubscribePush(): Promise<NodeStatus> {
    await this.step("unsubscribePush");
    this.permission = "off";
    return this.setStatus({ push: { kind: "none" } });
  }

  async dismissKeyWarning(of: string): Promise<NodeStatus> {
    await this.step("dismissKeyWarning");
    return this.setStatus({ keyWarnings: this.state.keyWarnings.filter((one) => one.node !== of) });
  }

  async streamTicket(): Promise<{ url: string; proof: string }> {
    return { url: "", proof: "" };
  }

  setStatus(change: Partial<NodeStatus>): NodeStatus {
    this.state = { ...this.state, ...change };
    this.tell({ kind: "status", status: this.state });
    return this.state;
  }

  tell(event: NodeEvent): void {
    for (const listener of this.listeners) listener(event);
  }

  change(id: string, change: (one: CaseView) => void): void {
    const one = this.all.get(id);
    if (!one) throw new Error(`no case ${id}`);
    change(one);
    one.changed = Date.now();
    const asked = one.dataRequests.filter(({ answer }) => answer.kind === "open").length;
    const results = one.results.filter(({ status }) => status.kind === "received").length;
    one.openDecisions = one.hospitalListed ? asked + (one.notaryListed ? results : 0) : 0;
    this.tell({ kind: "changed", cases: [id] });
  }

  log(id: string, kind: "request" | "result", entry: string, final: boolean): void {
    const receipt = final ? logged(7) : null;
    this.change(id, (one) => {
      const rest = one.ledger.filter((step) => step.id !== entry);
      const number = final ? rest.length + 1 : null;
      const author = kind === "request" ? "p1" : one.hospital;
      const signed = {
        endorsedByPatient: kind === "request" || final,
        endorsedByHospital: kind === "result" || final,
      };
      one.ledger = [...rest, { id: entry, kind, verificationKey: KEY, number, author, ...signed, receipt, receiptProblem: null }];
    });
  }

  recordOf(kase: string, entry: string, fhir: string): RecordView {
    const { resourceType, code, title } = JSON.parse(fhir) as {
      resourceType: string;
      title?: string;
      code?: { text?: string; coding?: { display?: string }[] };
    };
    return {
      ...{ id: `${kase}/${entry}`, case: kase, resourceType, fhir, bytes: fhir.length },
      title: [resourceType, title ?? code?.text ?? code?.coding?.[0]?.display].filter(Boolean).join(": "),
      ...{ date: "2026-11-02", author: "h1", authorName: HOSPITAL.name, own: false },
      ...{ notary: null, notaryName: null, verified: Date.now(), state: "received" },
      ...{ verificationKey: `${entry}-${KEY}`, receipt: null, receiptProblem: null },
    };
  }

  /** Puts what was decided in the outbox, where it stays while nobody can be reached. */
  private queue(kase: string, kind: string, entries: string[] = []): void {
    if (!this.cutOff) return;
    const { hospitalName = HOSPITAL.name } = this.all.get(kase) ?? {};
    const to = kind === "notary/deposit" ? NOTARY : hospitalName;
    const tried = { since: Date.now() + 1, attempts: 1, nextAttempt: Date.now() + 60_000 };
    const id = `m${this.unsent.length + 1}`;
    this.unsent.push({ id, entries, case: kase, to, kind, ...tried, problem: UNREACHABLE, refused: false });
    this.setStatus({ problem: UNREACHABLE, waiting: this.unsent.length });
  }

  private async answer(
    { case: id, dataRequest }: { case: string; dataRequest: string },
    answer: DataRequestView["answer"],
  ): Promise<CaseView> {
    this.change(id, () => {
      const request = this.request(id, dataRequest);
      if (request) request.answer = answer;
    });
    return this.case(id);
  }

  private async decide(
    { case: id, entries }: { case: string; entries: string[] },
    status: CaseView["results"][number]["status"],
  ): Promise<CaseView> {
    const final = status.kind === "committed";
    this.change(id, (one) => {
      for (const result of one.results) if (entries.includes(result.entry)) result.status = status;
    });
    for (const entry of entries) {
      const record = this.held.get(`${id}/${entry}`);
      if (!record) continue;
      this.held.set(record.id, {
        ...record,
        ...(final && { notary: "n2", notaryName: NOTARY, receipt: logged(8), state: "final" }),
        ...(status.kind === "disputed" && { state: "disputed" }),
      });
    }
    for (const entry of final ? entries : []) this.log(id, "result", entry, true);
    return this.case(id);
  }

  private request(id: string, dataRequest: string): DataRequestView | undefined {
    return this.all.get(id)?.dataRequests.find((found) => found.id === dataRequest);
  }

  private async step(name: string, ms = WAIT_MS): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, ms));
    if (this.failing?.name !== name) return;
    const { code, sentence } = this.failing;
    this.failing = null;
    throw { code, sentence };
  }
}

const node = new FakeNode();

/** What the hospital, the network and the browser do to the node. */
const fake = {
  node,

  approve(id: string): void {
    node.change(id, (one) => (one.phase = { kind: "approved" }));
    node.log(id, "request", "e1", true);
  },

  /** The network goes away, or comes back. */
  cutOff(is: boolean): void {
    node.cutOff = is;
    node.setStatus({ problem: is ? UNREACHABLE : null });
  },

  decline(id: string, reason: string): void {
    node.change(id, (one) => (one.phase = { kind: "declined", reason }));
  },

  askData(id: string, resources: string[], purpose: string): void {
    node.change(id, (one) => {
      const { hospital, hospitalName } = one;
      const request = { id: `d${one.dataRequests.length + 1}`, case: id, hospital, hospitalName };
      const answer = { kind: "open" } as const;
      one.dataRequests.push({ ...request, resources, purpose, received: Date.now(), answer });
    });
  },

  /** Several results that come together. */
  handIn(id: string, of: number, results: Record<string, string>): void {
    const came = Object.keys(results).length;
    const awaited = came < of;
    node.change(id, (one) => {
      one.handIns.push({ id: `h${one.handIns.length + 1}`, of, came, begun: Date.now(), awaited });
    });
    const handIn = node.all.get(id)?.handIns.at(-1)?.id ?? null;
    if (awaited) return;
    for (const [entry, fhir] of Object.entries(results)) fake.result(id, entry, fhir, handIn);
  },

  result(id: string, entry: string, fhir: string, handIn: string | null = null): void {
    const record = node.recordOf(id, entry, fhir);
    node.held.set(record.id, record);
    node.log(id, "result", entry, false);
    node.change(id, (one) => {
      const status = { kind: "received" } as const;
      one.results.push({ entry, case: id, handIn, title: record.title, received: Date.now(), status });
    });
  },
};

export type Fake = typeof fake;

/** As `connect` of `hdms-node`. */
export async function connect({ worker = "" }: { worker?: string } = {}): Promise<Connection> {
  Object.assign(window, { fake });
  await navigator.serviceWorker.register(worker, { type: "module" });
  const asked = new URLSearchParams(location.search).get("node");
  if (asked === "unreachable") {
    throw { code: "worker/unsupported", sentence: "This browser can't run a node. Use a newer one." };
  }
  if (asked === "ready") node.setStatus({ state: "ready", node: "c1Xn3v", name: "Maria", lastReached: Date.now() });
  return {
    node,
    notifications: {
      state: async () => node.permission,
      enable: async () => {
        if (node.permission === "blocked") {
          throw { code: "push/blocked", sentence: "The browser does not allow notifications here." };
        }
        return node.subscribePush();
      },
      disable: () => node.unsubscribePush(),
    },
    subscribe(listener) {
      node.listeners.add(listener);
      return () => node.listeners.delete(listener);
    },
    close() {
      node.listeners.clear();
    },
  };
}
