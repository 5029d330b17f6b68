// Generated from the worker's views and commands; see worker/src/typescript.rs.

/**
 * A refusal: a stable code for programs, and a sentence for people that says what to do.
 */
export type NodeErrorView = { 
/**
 * Such as `treatment/unknown-case`.
 */
code: string, 
/**
 * For people.
 */
sentence: string, };

/**
 * What a node is doing.
 */
export type NodeState = "absent" | "making" | "ready" | "stopped";

/**
 * How the node is. Times are milliseconds since the epoch, here and everywhere.
 */
export type NodeStatus = { 
/**
 * What it is doing.
 */
state: NodeState, 
/**
 * Its id.
 */
node: string | null, 
/**
 * How the patient is called.
 */
name: string | null, 
/**
 * The network's name.
 */
network: string | null, 
/**
 * The server's base URL.
 */
server: string | null, 
/**
 * Whether the browser has promised to keep the node's storage; only a page can ask.
 */
persistent: boolean | null, 
/**
 * How much waits to be sent.
 */
waiting: number, 
/**
 * How many messages were refused.
 */
quarantined: number, 
/**
 * How much room the browser gives the node; `null` where it does not tell.
 */
storage: Storage | null, 
/**
 * When what waits is tried again by itself while a page is open.
 */
nextAttempt: number | null, 
/**
 * When the server was last reached, also before the worker was started.
 */
lastReached: number | null, 
/**
 * How this browser is woken when something comes.
 */
push: PushState, 
/**
 * The key for subscribing to web push (VAPID, RFC 8292); `null` where the server sends none.
 */
vapid: string | null, 
/**
 * What the person should know before trusting a node of the network further.
 */
keyWarnings: Array<KeyWarningView>, 
/**
 * What is wrong, if something is. With `network/version`, `card/revoked`, `card/expired` and
 * `card/forged` nothing is sent; what comes is kept, and decisions wait.
 */
problem: NodeErrorView | null, };

/**
 * A node of the network has other keys than before, and its old key has not signed for them.
 */
export type KeyWarningView = { 
/**
 * Node id, as the Network Map lists it now.
 */
node: string, 
/**
 * How people call it.
 */
name: string, 
/**
 * Id of the node that was listed in its place before; `null` when its own keys changed.
 */
former: string | null, 
/**
 * When it was noticed.
 */
seen: number, };

/**
 * How this browser is woken, as the patient has chosen. `since` is when the server was told;
 * `null` while it does not know, or when it knows no more: it is told at the next contact.
 */
export type PushState = { "kind": "none" } | { "kind": "webpush", 
/**
 * When the server was told.
 */
since: number | null, } | { "kind": "firebase", 
/**
 * When the server was told.
 */
since: number | null, };

/**
 * The node's room on this device, in bytes.
 */
export type Storage = { 
/**
 * What this origin uses.
 */
used: number, 
/**
 * What the browser lets it use.
 */
quota: number, 
/**
 * Whether so little is left that a person should make room before something is refused.
 */
low: boolean, };

/**
 * A hospital of the Network Map.
 */
export type Hospital = { 
/**
 * Node id.
 */
id: string, 
/**
 * How people call it.
 */
name: string, 
/**
 * Base URL.
 */
endpoint: string, };

/**
 * Where a case stands.
 */
export type Phase = { "kind": "requested" } | { "kind": "approved" } | { "kind": "declined", 
/**
 * Why.
 */
reason: string, };

/**
 * What the patient answered to a request for data.
 */
export type DataAnswer = { "kind": "open" } | { "kind": "shared", 
/**
 * The records' verification keys.
 */
records: Array<string>, 
/**
 * When.
 */
at: number, } | { "kind": "refused", 
/**
 * Why.
 */
reason: string, 
/**
 * When.
 */
at: number, };

/**
 * A hospital's request for data.
 */
export type DataRequestView = { 
/**
 * Its id.
 */
id: string, 
/**
 * The case.
 */
case: string, 
/**
 * The hospital's node id.
 */
hospital: string, 
/**
 * How people call the hospital.
 */
hospitalName: string, 
/**
 * FHIR resource types that it asks for.
 */
resources: Array<string>, 
/**
 * Why.
 */
purpose: string, 
/**
 * When it came.
 */
received: number, 
/**
 * What the patient answered.
 */
answer: DataAnswer, };

/**
 * Where a medical result stands.
 */
export type ResultState = { "kind": "received" } | { "kind": "confirming" } | { "kind": "committed", 
/**
 * Since when.
 */
at: number, } | { "kind": "disputed", 
/**
 * Why.
 */
reason: string, } | { "kind": "refused", 
/**
 * The refusal's code.
 */
code: string, };

/**
 * A medical result.
 */
export type ResultView = { 
/**
 * Its ledger entry; its record's id is `case/entry`.
 */
entry: string, 
/**
 * The case.
 */
case: string, 
/**
 * What it is, for people.
 */
title: string, 
/**
 * When it came and was verified.
 */
received: number, 
/**
 * Where it stands.
 */
status: ResultState, };

/**
 * What a ledger entry is about.
 */
export type EntryKind = "request" | "result";

/**
 * A notary's receipt.
 */
export type ReceiptView = { 
/**
 * The notary's node id.
 */
notary: string, 
/**
 * How people call it.
 */
notaryName: string, 
/**
 * Place in the notary's log.
 */
index: number, 
/**
 * When the entry was logged, by the witnesses' word where there are any.
 */
time: number, 
/**
 * How people call the other notaries that have co-signed the notary's log; without any
 * nobody watches it.
 */
witnesses: Array<string>, };

/**
 * An entry of the case's ledger.
 */
export type EntryView = { 
/**
 * Its id.
 */
id: string, 
/**
 * What it is about.
 */
kind: EntryKind, 
/**
 * SHA-256 of the signed document, base64url.
 */
verificationKey: string, 
/**
 * The entry that it follows.
 */
previous: string | null, 
/**
 * The author's node id.
 */
author: string, 
/**
 * Whether the patient endorsed it.
 */
endorsedByPatient: boolean, 
/**
 * Whether the hospital endorsed it.
 */
endorsedByHospital: boolean, 
/**
 * The notary's receipt, once there is one; checked by this node each time it is shown.
 */
receipt: ReceiptView | null, 
/**
 * Why the receipt that is kept does not count, if it does not.
 */
receiptProblem: NodeErrorView | null, };

/**
 * A case in a list.
 */
export type CaseSummary = { 
/**
 * Its id.
 */
id: string, 
/**
 * The hospital's node id.
 */
hospital: string, 
/**
 * How people call the hospital.
 */
hospitalName: string, 
/**
 * Whether the Network Map lists the hospital. From one that it does not list, as it was
 * revoked, nothing is taken, and nothing goes there.
 */
hospitalListed: boolean, 
/**
 * Why the patient asked.
 */
reason: string, 
/**
 * The wished date, `YYYY-MM-DD`.
 */
date: string | null, 
/**
 * Where it stands.
 */
phase: Phase, 
/**
 * When it began.
 */
begun: number, 
/**
 * When something happened last.
 */
changed: number, 
/**
 * How many decisions wait for the patient.
 */
openDecisions: number, };

/**
 * A whole case.
 */
export type CaseView = { 
/**
 * FHIR resource types of which the hospital may ask to read records.
 */
mayRead: Array<string>, 
/**
 * The hospital's requests for data.
 */
dataRequests: Array<DataRequestView>, 
/**
 * The hospital's results.
 */
results: Array<ResultView>, 
/**
 * The case's ledger.
 */
ledger: Array<EntryView>, 
/**
 * How much of it waits to be sent.
 */
unsent: number, 
/**
 * Its id.
 */
id: string, 
/**
 * The hospital's node id.
 */
hospital: string, 
/**
 * How people call the hospital.
 */
hospitalName: string, 
/**
 * Whether the Network Map lists the hospital. From one that it does not list, as it was
 * revoked, nothing is taken, and nothing goes there.
 */
hospitalListed: boolean, 
/**
 * Why the patient asked.
 */
reason: string, 
/**
 * The wished date, `YYYY-MM-DD`.
 */
date: string | null, 
/**
 * Where it stands.
 */
phase: Phase, 
/**
 * When it began.
 */
begun: number, 
/**
 * When something happened last.
 */
changed: number, 
/**
 * How many decisions wait for the patient.
 */
openDecisions: number, };

/**
 * Where a record stands.
 */
export type RecordState = "final" | "received" | "disputed" | "own";

/**
 * A record in a list.
 */
export type RecordSummary = { 
/**
 * `case/entry`.
 */
id: string, 
/**
 * The case in which it was written.
 */
case: string, 
/**
 * What it is, for people.
 */
title: string, 
/**
 * SHA-256 of the signed document, base64url.
 */
verificationKey: string, 
/**
 * FHIR resource type.
 */
resourceType: string, 
/**
 * When what it tells of happened: a FHIR date, dateTime or instant.
 */
date: string | null, 
/**
 * The author's node id.
 */
author: string, 
/**
 * How people call the author.
 */
authorName: string, 
/**
 * Whether the patient is the author.
 */
own: boolean, 
/**
 * Node id of the notary that has logged it.
 */
notary: string | null, 
/**
 * How people call the notary.
 */
notaryName: string | null, 
/**
 * When it came and was verified; it is again whenever it is opened.
 */
verified: number | null, 
/**
 * Where it stands.
 */
state: RecordState, 
/**
 * Size of the record.
 */
bytes: number, };

/**
 * A record with its content.
 */
export type RecordView = { 
/**
 * JSON text, with the numbers and the order of its author.
 */
fhir: string, 
/**
 * The notary's receipt, once there is one; checked by this node each time it is shown.
 */
receipt: ReceiptView | null, 
/**
 * Why the receipt that is kept does not count, if it does not.
 */
receiptProblem: NodeErrorView | null, 
/**
 * `case/entry`.
 */
id: string, 
/**
 * The case in which it was written.
 */
case: string, 
/**
 * What it is, for people.
 */
title: string, 
/**
 * SHA-256 of the signed document, base64url.
 */
verificationKey: string, 
/**
 * FHIR resource type.
 */
resourceType: string, 
/**
 * When what it tells of happened: a FHIR date, dateTime or instant.
 */
date: string | null, 
/**
 * The author's node id.
 */
author: string, 
/**
 * How people call the author.
 */
authorName: string, 
/**
 * Whether the patient is the author.
 */
own: boolean, 
/**
 * Node id of the notary that has logged it.
 */
notary: string | null, 
/**
 * How people call the notary.
 */
notaryName: string | null, 
/**
 * When it came and was verified; it is again whenever it is opened.
 */
verified: number | null, 
/**
 * Where it stands.
 */
state: RecordState, 
/**
 * Size of the record.
 */
bytes: number, };

/**
 * A message that was refused.
 */
export type Quarantined = { 
/**
 * Digest of the envelope.
 */
id: string, 
/**
 * When it came.
 */
received: number, 
/**
 * Why it was refused.
 */
error: NodeErrorView, };

/**
 * Something that waits to be sent.
 */
export type Waiting = { 
/**
 * Its id.
 */
id: string, 
/**
 * The case that it belongs to.
 */
case: string, 
/**
 * To whom: how people call it.
 */
to: string, 
/**
 * The type of the message.
 */
kind: string, 
/**
 * Since when.
 */
since: number, 
/**
 * How often sending was tried.
 */
attempts: number, 
/**
 * When it is tried again; `null` for at once.
 */
nextAttempt: number | null, 
/**
 * Why it was not sent.
 */
problem: NodeErrorView | null, 
/**
 * Whether the recipient refused it for good: it is not sent again.
 */
refused: boolean, };

/**
 * What a patient asks of a hospital.
 */
export type TreatmentRequest = { 
/**
 * Why.
 */
reason: string, 
/**
 * The wished date, `YYYY-MM-DD`.
 */
date: string | null, 
/**
 * FHIR resource types of which the hospital may ask to read records.
 */
mayRead: Array<string>, };

/**
 * What opens the live stream: `GET url` with the header `HDMS-Proof`.
 */
export type StreamTicket = { 
/**
 * Where.
 */
url: string, 
/**
 * Good for one request, for two minutes.
 */
proof: string, };

/**
 * What the node tells every page.
 */
export type NodeEvent = { "kind": "changed", 
/**
 * Their ids.
 */
cases: Array<string>, } | { "kind": "status", 
/**
 * The new one.
 */
status: NodeStatus, };

/**
 * Of `make`.
 */
export type MakeOptions = { 
/**
 * How the patient is called, at most 200 bytes of UTF-8; may be empty. It stays on this
 * device, and goes sealed to the hospitals that are asked for treatment.
 */
name: string, 
/**
 * A person's word that a node whose storage is lost (`store/lost`) is to be replaced by a
 * new one.
 */
replaceLost?: boolean, };

/**
 * Of `rename`.
 */
export type RenameOptions = { 
/**
 * As of `make`.
 */
name: string, };

/**
 * Of `ask`.
 */
export type AskOptions = { 
/**
 * A UUIDv7 that the page made.
 */
case: string, 
/**
 * The hospital's node id.
 */
hospital: string, 
/**
 * What is asked for.
 */
request: TreatmentRequest, };

/**
 * Names a request for data.
 */
export type DataRequestOptions = { 
/**
 * The case.
 */
case: string, 
/**
 * The request's id.
 */
dataRequest: string, };

/**
 * Of `share`.
 */
export type ShareOptions = { 
/**
 * The case.
 */
case: string, 
/**
 * The request's id.
 */
dataRequest: string, 
/**
 * Ids of records.
 */
records: Array<string>, };

/**
 * Of `refuseData`.
 */
export type RefuseDataOptions = { 
/**
 * The case.
 */
case: string, 
/**
 * The request's id.
 */
dataRequest: string, 
/**
 * Why, for the hospital to read.
 */
reason: string, };

/**
 * Of `confirm`.
 */
export type ConfirmOptions = { 
/**
 * The case.
 */
case: string, 
/**
 * The result's entry.
 */
entry: string, };

/**
 * Of `dispute`.
 */
export type DisputeOptions = { 
/**
 * The case.
 */
case: string, 
/**
 * The result's entry.
 */
entry: string, 
/**
 * Why, for the hospital to read.
 */
reason: string, };

/**
 * Of `subscribePush`.
 */
export type PushOptions = { 
/**
 * The token of the Firebase SDK; `null` to subscribe at the browser's own push service.
 */
firebaseToken: string | null, };

/**
 * Of `addRecord`.
 */
export type AddRecordOptions = { 
/**
 * A FHIR R4 resource or Bundle, JSON.
 */
fhir: string, };

/** The node. Every method may be repeated safely. */
export interface PersonalNode {
  /** How the node is. */
  status(): Promise<NodeStatus>;
  /** First run: makes keys and becomes a member of the network. */
  make(options: MakeOptions): Promise<NodeStatus>;
  /** Opens the storage anew after a failure. */
  restart(): Promise<NodeStatus>;
  /** Changes how the patient is called in treatments asked for from now on. */
  rename(options: RenameOptions): Promise<NodeStatus>;
  /** Step 1: the hospitals of the Network Map. */
  hospitals(): Promise<Array<Hospital>>;
  /** Steps 2-3: asks a hospital for treatment. */
  ask(options: AskOptions): Promise<CaseView>;
  /** Every case. */
  cases(): Promise<Array<CaseSummary>>;
  /** The case with this id. */
  case(options: string): Promise<CaseView>;
  /** The records that may be shared in answer to a request for data and are of the types that it asks for. */
  recordsFor(options: DataRequestOptions): Promise<Array<RecordSummary>>;
  /** Step 12: shares the chosen records. */
  share(options: ShareOptions): Promise<CaseView>;
  /** Step 12: shares nothing. */
  refuseData(options: RefuseDataOptions): Promise<CaseView>;
  /** Steps 19-20: confirms a result. */
  confirm(options: ConfirmOptions): Promise<CaseView>;
  /** Step 19: disputes a result. */
  dispute(options: DisputeOptions): Promise<CaseView>;
  /** Every record: results and the patient's own. */
  records(): Promise<Array<RecordSummary>>;
  /** The record with this id, checked again. */
  record(options: string): Promise<RecordView>;
  /** Adds a record of the patient's own. */
  addRecord(options: AddRecordOptions): Promise<RecordSummary>;
  /** What was refused. */
  quarantine(): Promise<Array<Quarantined>>;
  /** What waits to be sent. */
  outbox(): Promise<Array<Waiting>>;
  /** Fetches the mailbox and sends what of the outbox may go by now: asking often sends nothing more. */
  sync(): Promise<NodeStatus>;
  /** Fetches the mailbox and sends all of the outbox once, due or not: when a person says so. */
  sendNow(): Promise<NodeStatus>;
  /** Has the server wake this browser by push. What can't be done now is done at the next contact. The client's `notifications` ask for the permission first. */
  subscribePush(options: PushOptions): Promise<NodeStatus>;
  /** Ends that. */
  unsubscribePush(): Promise<NodeStatus>;
  /** The person has seen the warning about the keys of the node with this id. */
  dismissKeyWarning(options: string): Promise<NodeStatus>;
  /** What opens the live stream. */
  streamTicket(): Promise<StreamTicket>;
}

/** The name of every method. */
export const methods = [
  "status",
  "make",
  "restart",
  "rename",
  "hospitals",
  "ask",
  "cases",
  "case",
  "recordsFor",
  "share",
  "refuseData",
  "confirm",
  "dispute",
  "records",
  "record",
  "addRecord",
  "quarantine",
  "outbox",
  "sync",
  "sendNow",
  "subscribePush",
  "unsubscribePush",
  "dismissKeyWarning",
  "streamTicket",
] as const satisfies readonly (keyof PersonalNode)[];

/** The stable code of every refusal. */
export type ErrorCode =
  | "envelope/too-large"
  | "envelope/malformed"
  | "envelope/algorithm"
  | "envelope/wrong-key"
  | "envelope/former-key"
  | "envelope/decryption"
  | "envelope/signature"
  | "envelope/wrong-audience"
  | "envelope/expired"
  | "envelope/not-yet-valid"
  | "envelope/type-not-for-role"
  | "envelope/unknown-type"
  | "envelope/body"
  | "envelope/replayed"
  | "card/malformed"
  | "card/forged"
  | "card/expired"
  | "card/revoked"
  | "card/superseded"
  | "card/unknown"
  | "card/mismatch"
  | "key/size"
  | "key/malformed"
  | "key/unknown"
  | "key/passphrase"
  | "key/file"
  | "network/forged"
  | "network/rollback"
  | "network/split"
  | "network/unwitnessed"
  | "network/stale"
  | "network/unreachable"
  | "network/answer"
  | "network/version"
  | "network/unknown-manifest"
  | "network/unknown-node"
  | "network/no-notary"
  | "doorman/malformed"
  | "doorman/possession"
  | "doorman/challenge"
  | "doorman/pending"
  | "doorman/refused"
  | "doorman/taken"
  | "doorman/endpoint"
  | "doorman/changes"
  | "doorman/uncertified"
  | "proof/invalid"
  | "record/malformed"
  | "record/signature"
  | "record/wrong-author"
  | "record/too-large"
  | "record/holder"
  | "fhir/not-json"
  | "fhir/not-fhir"
  | "ledger/malformed"
  | "ledger/endorsement"
  | "ledger/endorsement-missing"
  | "ledger/mismatch"
  | "ledger/not-participant"
  | "ledger/not-for-role"
  | "ledger/receipt"
  | "log/forged"
  | "notary/conflict"
  | "notary/witnesses"
  | "notary/not-drawn"
  | "notary/quota"
  | "notary/unknown-predecessor"
  | "treatment/former-version"
  | "treatment/outdated"
  | "treatment/unknown-case"
  | "treatment/not-allowed-now"
  | "treatment/already-decided"
  | "treatment/too-long"
  | "treatment/unknown-entry"
  | "store/failed"
  | "store/full"
  | "store/corrupt"
  | "store/busy"
  | "store/lost"
  | "store/exposed"
  | "store/newer"
  | "platform/randomness"
  | "platform/crypto"
  | "platform/unsupported"
  | "node/stopped"
  | "node/busy"
  | "node/restarted"
  | "node/not-ready"
  | "node/timed-out"
  | "api/malformed"
  | "api/unauthorised"
  | "api/method"
  | "api/not-found"
  | "api/too-large"
  | "api/too-many"
  | "api/too-slow"
  | "mailbox/full"
  | "mailbox/expired"
  | "mailbox/sender-quota"
  | "push/blocked"
  | "push/unavailable"
  | "push/subscription";

/** Refusals that the client makes itself. */
export const refusals = {
  NodeRestarted: { code: "node/restarted", sentence: "The node was restarted after an internal failure; nothing is lost, try again." },
  TimedOut: { code: "node/timed-out", sentence: "The node did not answer in time; try again, repeating is safe." },
  PlatformUnsupported: { code: "platform/unsupported", sentence: "This browser can't run a node here; use a current one, over HTTPS or on this machine." },
  PushBlocked: { code: "push/blocked", sentence: "The browser does not allow notifications here; allow them for this site in its settings, then switch them on again." },
  PushUnavailable: { code: "push/unavailable", sentence: "The browser could not subscribe at its push service; it is tried again when the server is reached." },
} as const;
