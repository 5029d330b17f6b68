// Generated from the worker's views and commands; see worker/src/typescript.rs.

/**
 * A refusal: a stable code, of which `sentenceOf` makes what people read.
 */
export type NodeErrorView = { 
/**
 * Such as `treatment/unknown-case`.
 */
code: string, };

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
 * How much storage the browser gives the node; `null` where it does not tell.
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
 * The node's storage on this device, in bytes.
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
 * That the server has shown this node two networks.
 */
export type SplitView = { 
/**
 * When.
 */
seen: number, 
/**
 * JSON text with the documents of both, as they were signed: for the operator, who has to
 * explain them.
 */
evidence: string, };

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
 * Of a deposit: the results' entries that the notary has not yet logged.
 */
entries: Array<string>, 
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
 * With what it was handed in; of before version 2 results came one by one.
 */
handIn: string | null, 
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
 * What a hospital handed in together.
 */
export type HandInView = { 
/**
 * Its id.
 */
id: string, 
/**
 * How many results it is.
 */
of: number, 
/**
 * How many of them have come.
 */
came: number, 
/**
 * When the first of them came.
 */
begun: number, 
/**
 * Whether the rest is waited for: its results are shown once all have come, or after a day.
 */
awaited: boolean, };

/**
 * Numbers in a row.
 */
export type NumbersView = { 
/**
 * The first.
 */
from: number, 
/**
 * The last.
 */
to: number, };

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
 * Its number in the case, by the notary's receipt; entries of before version 2 have none.
 */
number: number | null, 
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
 * Whether the case's notary is a member, or none is known yet. One that was revoked logs nothing
 * more, so nothing becomes final in the case any more.
 */
notaryListed: boolean, 
/**
 * Whether it began under version 1 of the protocol: it can be read and verified, and takes no
 * new entries.
 */
former: boolean, 
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
 * A notary that came before the case's in rank when that was drawn, and was passed over.
 */
export type PassedView = { 
/**
 * How people call it.
 */
name: string, 
/**
 * Since when it had not answered; `null` when it was a notary no more.
 */
silent: number | null, };

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
 * What the hospital handed in together.
 */
handIns: Array<HandInView>, 
/**
 * The hospital's results, without those of which the rest is still waited for.
 */
results: Array<ResultView>, 
/**
 * The case's ledger, by number; what has none yet comes last.
 */
ledger: Array<EntryView>, 
/**
 * Numbers that the notary has given, of entries that are not here: under way, or kept back.
 */
missing: Array<NumbersView>, 
/**
 * The notaries that were passed over for the case's, in rank.
 */
passed: Array<PassedView>, 
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
 * Whether the case's notary is a member, or none is known yet. One that was revoked logs nothing
 * more, so nothing becomes final in the case any more.
 */
notaryListed: boolean, 
/**
 * Whether it began under version 1 of the protocol: it can be read and verified, and takes no
 * new entries.
 */
former: boolean, 
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
 * The results' entries.
 */
entries: Array<string>, };

/**
 * Of `dispute`.
 */
export type DisputeOptions = { 
/**
 * The case.
 */
case: string, 
/**
 * The results' entries.
 */
entries: Array<string>, 
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
  /** Steps 19-20: confirms results, 1 to 256 of a case at once. */
  confirm(options: ConfirmOptions): Promise<CaseView>;
  /** Step 19: disputes results, 1 to 256 of a case at once. */
  dispute(options: DisputeOptions): Promise<CaseView>;
  /** Every record: results and the patient's own. */
  records(): Promise<Array<RecordSummary>>;
  /** The record with this id, checked again. */
  record(options: string): Promise<RecordView>;
  /** Adds a record of the patient's own. */
  addRecord(options: AddRecordOptions): Promise<RecordSummary>;
  /** What was refused. */
  quarantine(): Promise<Array<Quarantined>>;
  /** The evidence that the server has shown this node two networks, if it ever has. */
  split(): Promise<SplitView | null>;
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
  "split",
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
  | "envelope/takes-too-long"
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
  | "record/incomplete"
  | "record/facts"
  | "record/former-format"
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
  | "ledger/number-taken"
  | "log/forged"
  | "notary/conflict"
  | "notary/witnesses"
  | "notary/not-drawn"
  | "notary/quota"
  | "notary/unknown-case"
  | "notary/known-case"
  | "treatment/quota"
  | "treatment/former-version"
  | "treatment/outdated"
  | "treatment/unknown-case"
  | "treatment/not-allowed-now"
  | "treatment/type-not-allowed"
  | "treatment/already-decided"
  | "treatment/too-long"
  | "treatment/count"
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
  | "api/idempotency-key"
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

/** What happened and what to do about it. */
export const sentences: Record<ErrorCode, string> = {
  "envelope/too-large": "The envelope is larger than 1 MB; divide its content.",
  "envelope/malformed": "The envelope is not a compact JWE around a compact JWS with the claims of the protocol; build it as docs/protocol.md says.",
  "envelope/algorithm": "Only RSA-OAEP-256 with A256GCM, PS256 and ES256 are accepted; seal or sign again with these.",
  "envelope/wrong-key": "The envelope names another encryption key than this node's; fetch this node's current card and seal it again.",
  "envelope/former-key": "The envelope is sealed to a key that the node has given up; seal the same signed message to its newest card, which comes with this answer.",
  "envelope/decryption": "The envelope can't be decrypted: it was altered or sealed to another key; seal it again to this node's card.",
  "envelope/signature": "The signature does not fit the content and the sender's key; sign again.",
  "envelope/wrong-audience": "The envelope is addressed to another node; send it there.",
  "envelope/expired": "The envelope has expired; make a new one.",
  "envelope/not-yet-valid": "The envelope was issued in the future; set the sender's clock and make a new one.",
  "envelope/type-not-for-role": "A node of this role may not send this type of message.",
  "envelope/unknown-type": "This type of message is not known here; use one that docs/protocol.md lists.",
  "envelope/body": "The message's body lacks a field or has one of the wrong form; see its table in docs/protocol.md.",
  "envelope/replayed": "Another message with this id was taken in before; give every new message an id of its own.",
  "envelope/takes-too-long": "The node was stopped each time it began to take the envelope in, and has set it aside unopened; divide its content.",
  "card/malformed": "The card is not a signed hdms-card+jwt with the claims of the protocol; ask the Doorman for one.",
  "card/forged": "The card is not signed by a Doorman that this network's root key certifies; ask the Doorman for one.",
  "card/expired": "The card has expired; renew it at the Doorman.",
  "card/revoked": "The card was revoked by the network's operator; ask the operator why.",
  "card/superseded": "The node has changed its keys since this card was issued; send its newest card, and sign with its present key.",
  "card/unknown": "The sender's card is not known here; send it with the first message of the case.",
  "card/mismatch": "The card belongs to another node than the one that signed; send your own card.",
  "key/size": "RSA keys must have 2048 to 4096 bits and the exponent 65537; make a new key pair.",
  "key/malformed": "The key is not a JWK of the expected type; see docs/protocol.md for its members.",
  "key/unknown": "This node does not hold that private key; restore the node, or begin a new case.",
  "key/passphrase": "The passphrase does not open the node's key file; start the node with the one it was made with.",
  "key/file": "The node's key file is not one, or was damaged; restore it from a backup, it is never replaced.",
  "network/forged": "The network's documents are not signed under the pinned root key; check the server's address, and don't go on.",
  "network/rollback": "The server offers older network documents than those seen before; ask the operator, the newer ones stay in use.",
  "network/split": "The server has signed two states of the network under one number; ask the operator, the first stays in use and both are kept as evidence.",
  "network/unwitnessed": "Too few witnesses have co-signed the network's newest manifest; the one before stays in use, ask the operator if this lasts.",
  "network/stale": "The network's documents have ended or are older than the network allows; connect to the server and fetch new ones.",
  "network/unreachable": "The other node can't be reached; it is tried again by itself.",
  "network/answer": "The other node's answer is larger than any of the protocol; it is tried again by itself, tell its operator if that stays so.",
  "network/version": "The network asks for a newer version than this node's; update it: what is to be sent waits until then.",
  "network/unknown-manifest": "The draw of the case's notary goes by a manifest that is not known here; fetch the network's documents again.",
  "network/unknown-node": "The Network Map lists no such node; fetch the map again.",
  "network/no-notary": "The Network Map lists no notary; ask the operator to admit one.",
  "doorman/malformed": "The admission request lacks a part or is not signed with the key it names; see docs/protocol.md.",
  "doorman/possession": "Possession of both keys is not proven, or they were changed since; answer in time, with the node's newest keys.",
  "doorman/challenge": "The server's challenge is not one for this node and purpose, and was not answered; check the server's address, and don't go on.",
  "doorman/pending": "The operator has not yet admitted this node; ask again later.",
  "doorman/refused": "The operator has refused this node; ask the operator, and apply again once the cause is gone.",
  "doorman/taken": "Another node has this name, address or log key; choose another, or have the operator revoke that node first.",
  "doorman/endpoint": "The endpoint is not an https URL of a host that all others reach, with at most a port and a path; correct it, see docs/protocol.md.",
  "doorman/changes": "So many nodes have changed their keys lately that this change has to wait; it is tried again by itself.",
  "doorman/uncertified": "The network's root key has not certified this server's key; have it certified as docs/operator.md says, then start the server again.",
  "proof/invalid": "The request's proof is missing, old, used before or not for this request; sign a new one for each request.",
  "record/malformed": "The record is not an SD-JWT of this protocol; issue it again.",
  "record/signature": "The record's signature or a disclosure does not fit; ask its author for it again.",
  "record/wrong-author": "The record was issued by another node or for another case than it claims; ask its author.",
  "record/incomplete": "Something that the record's author signed is withheld, though the record has to be whole; ask for all of it.",
  "record/facts": "What the record's author says that it is about is not what its content gives; have the author issue it again.",
  "record/former-format": "New records of this format are not taken any more; have the author update and issue it again.",
  "record/too-large": "The record is larger than 570,000 bytes; divide it.",
  "record/holder": "The presentation does not prove that its sender holds the record for this request; present it again.",
  "fhir/not-json": "The content is not JSON (RFC 8259) with unique member names; correct it.",
  "fhir/not-fhir": "The content is not a FHIR R4 resource or Bundle; set resourceType and, in a Bundle, entry.resource.",
  "ledger/malformed": "The ledger entry lacks a field or has one of the wrong form; see docs/protocol.md.",
  "ledger/endorsement": "The endorsement is not a participant's signature over this entry; endorse it again.",
  "ledger/endorsement-missing": "An entry needs the endorsements of both participants; add the missing one.",
  "ledger/mismatch": "The endorsements, the receipt and the document speak of different entries; send those that belong together.",
  "ledger/not-participant": "Only the participants of an entry may deposit it.",
  "ledger/not-for-role": "A request is by a patient's node to an institution, and a result by an institution; no other nodes may log an entry.",
  "ledger/receipt": "The receipt does not prove that the case's notary logged this entry before enough witnesses; fetch it again from the notary.",
  "ledger/number-taken": "The receipt gives this entry a number that another entry of the case has; both receipts are kept and prove their notary false, tell the network's operator.",
  "log/forged": "The log's checkpoint, signature or proof does not hold; fetch it again, and keep this one as evidence if that stays so.",
  "notary/conflict": "The notary has already logged another entry under this id; make a new one under an id of its own.",
  "notary/witnesses": "Too few witnesses have co-signed the notary's log just now; it is tried again by itself.",
  "notary/not-drawn": "This is not the case's notary, or its draw does not hold; deposit the request where the draw leads, and say who was passed over and why.",
  "notary/quota": "This node or these two have had as many entries logged as they may for now; what is refused is deposited again by itself.",
  "notary/unknown-case": "The notary has not logged the request of this case; deposit that one first.",
  "notary/known-case": "The notary has already logged another request of this case; ask again in a new case.",
  "treatment/quota": "This institution takes no more requests for treatment from here just now; it is sent again by itself.",
  "treatment/former-version": "This case began under version 1 of the protocol: it can be read and verified, and takes no new entries; begin a new case.",
  "treatment/outdated": "The request goes by a manifest that has ended, or by a key that this hospital no longer has; ask again in a new case.",
  "treatment/unknown-case": "No such case is known here; begin with a treatment request.",
  "treatment/not-allowed-now": "The state of the case does not allow this; look at the case and do what it waits for.",
  "treatment/type-not-allowed": "The patient has not allowed to be asked for records of these types; ask only for those that the case's request names.",
  "treatment/already-decided": "This was decided before, and differently; the first decision stands.",
  "treatment/too-long": "A text is longer than 4,000 bytes, a list longer than 100, or the request larger than 64 KB; shorten it.",
  "treatment/count": "One to 256 results are handed in, or decided on, at once; divide them.",
  "treatment/unknown-entry": "The case has no such entry or data request; look at the case for their ids.",
  "store/failed": "The node's storage failed and nothing was changed; free space or restore it, then start the node again.",
  "store/full": "The node's storage is full and nothing was changed; free space on this device, it goes on by itself then.",
  "store/corrupt": "A stored value does not have the form it was written in; restore the node from its counterparts.",
  "store/busy": "Another instance of this node has the storage open; close it, then start this one again.",
  "store/lost": "This device had a node, and its storage was removed; restore the node, or make a new one.",
  "store/exposed": "Others on this machine may read or exchange the node's files; give it a folder of its own, owned by the user that it runs as.",
  "store/newer": "The storage was written by a newer version; update this node.",
  "platform/randomness": "The platform gives no randomness; restart it.",
  "platform/crypto": "The platform's cryptography failed; restart it, and report it if it happens again.",
  "platform/unsupported": "This browser can't run a node here; use a current one, over HTTPS or on this machine.",
  "node/stopped": "The node has stopped after a failure of its storage; restart it once the cause is gone.",
  "node/busy": "The node has more to do than it can; it is tried again by itself.",
  "node/restarted": "The node was restarted after an internal failure; nothing is lost, try again.",
  "node/not-ready": "This device has no node yet; make one first.",
  "node/timed-out": "The node did not answer in time; try again, repeating is safe.",
  "api/malformed": "The request lacks a field or has one of the wrong form; see the interface's description.",
  "api/idempotency-key": "Something else was handed in under this Idempotency-Key; choose a new key for each hand-in.",
  "api/unauthorised": "The API key is missing or wrong; send the institution's key in the Authorization header.",
  "api/method": "This address does not have that method; see the interface's description.",
  "api/not-found": "There is nothing at this address; see the interface's description.",
  "api/too-large": "The request is larger than this address accepts; divide it.",
  "api/too-many": "Too many requests came from this address or node; send again later.",
  "api/too-slow": "The request's body did not come in time; send it again over a better connection.",
  "mailbox/full": "The mailbox is full; send again later.",
  "mailbox/expired": "The recipient has not fetched the message within 30 days, and it is gone; send its content anew once they are back.",
  "mailbox/sender-quota": "Too much from this sender waits to be fetched; send again later.",
  "push/blocked": "The browser does not allow notifications here; allow them for this site in its settings, then switch them on again.",
  "push/unavailable": "The browser could not subscribe at its push service; it is tried again when the server is reached.",
  "push/subscription": "This server does not send to such a push subscription; subscribe with the key that its network parameters name.",
};
