declare module "hdms-node" {

export type NodeErrorView = { code: string; sentence: string };           // e.g. "treatment/unknown-case"

export type NodeStatus = {
  state: "absent" | "making" | "ready" | "stopped";   // absent: no node on this device yet
  node: string | null;          // node id
  name: string | null;
  network: string | null;       // network's name
  server: string | null;        // server base URL
  persistent: boolean | null;   // filled in by the page client (navigator.storage.persisted)
  waiting: number;              // outbox items not yet sent
  quarantined: number;
  lastReached: number | null;   // ms since epoch of last successful contact with the server
  problem: NodeErrorView | null;
};
export type Hospital = { id: string; name: string; endpoint: string };
export type Phase =
  | { kind: "requested" } | { kind: "approved" } | { kind: "declined"; reason: string };
export type DataRequestView = {
  id: string; case: string; hospital: string; hospitalName: string; resources: string[]; purpose: string; received: number;
  answer: { kind: "open" } | { kind: "shared"; records: number; at: number } | { kind: "refused"; reason: string; at: number };
};
export type ResultView = {
  entry: string; case: string; title: string; received: number;
  status: { kind: "received" } | { kind: "confirming" } | { kind: "committed"; at: number }
        | { kind: "disputed"; reason: string } | { kind: "refused"; code: string };
};
export type EntryView = { id: string; kind: "request" | "result"; verificationKey: string; previous: string | null;
  author: string; endorsedByPatient: boolean; endorsedByHospital: boolean;
  receipt: { notary: string; notaryName: string; index: number; time: number } | null };
export type CaseSummary = { id: string; hospital: string; hospitalName: string; reason: string; date: string | null;
  phase: Phase; begun: number; changed: number; openDecisions: number };
export type CaseView = CaseSummary & { mayRead: string[]; dataRequests: DataRequestView[]; results: ResultView[]; ledger: EntryView[];
  unsent: number };
export type RecordSummary = { id: string /* case/entry */; case: string; title: string; resourceType: string; date: string | null;
  author: string; authorName: string; own: boolean; notary: string | null; notaryName: string | null; verified: number; state: "final" | "received" | "disputed" | "own"; bytes: number };
export type RecordView = RecordSummary & { fhir: string /* JSON text, exactly as its author wrote it */;
  verificationKey: string; receiptIndex: number | null; receiptTime: number | null };
export type Quarantined = { id: string; received: number; error: NodeErrorView };
export type Waiting = { id: string; to: string; kind: string; since: number; attempts: number; problem: NodeErrorView | null };

export type TreatmentRequest = { reason: string; date: string | null; mayRead: string[] };

export interface PersonalNode {
  status(): Promise<NodeStatus>;
  make(options: { name: string }): Promise<NodeStatus>;               // first run: keys, admission, card
  hospitals(): Promise<Hospital[]>;                                    // step 1
  ask(options: { case: string /* UUIDv7 made by the client */; hospital: string; request: TreatmentRequest }): Promise<CaseView>; // steps 2-3
  cases(): Promise<CaseSummary[]>;
  case(id: string): Promise<CaseView>;
  recordsFor(options: { case: string; dataRequest: string }): Promise<RecordSummary[]>;  // own records that answer what is asked
  share(options: { case: string; dataRequest: string; records: string[] }): Promise<CaseView>;  // step 12
  refuseData(options: { case: string; dataRequest: string; reason: string }): Promise<CaseView>;
  confirm(options: { case: string; entry: string }): Promise<CaseView>;                 // steps 19-20
  dispute(options: { case: string; entry: string; reason: string }): Promise<CaseView>;
  records(): Promise<RecordSummary[]>;
  record(id: string): Promise<RecordView>;
  addRecord(options: { fhir: string }): Promise<RecordSummary>;         // the patient's own record (self-signed)
  quarantine(): Promise<Quarantined[]>;
  outbox(): Promise<Waiting[]>;
  sync(): Promise<NodeStatus>;                                          // fetch the mailbox, send the outbox
  streamTicket(): Promise<{ url: string; proof: string }>;              // for the page's live stream (client does it itself)
}
declare module "hdms-node/worker" {}
export type NodeEvent =
  | { kind: "changed"; cases: string[] }     // cases whose state changed
  | { kind: "status"; status: NodeStatus };
export type Connection = { node: PersonalNode; subscribe(listener: (event: NodeEvent) => void): () => void; close(): void };
export function connect(options?: { worker?: string; timeout?: number }): Promise<Connection>;
}
declare module "hdms-node/worker" {}
