/**
 * The personal node, for pages.
 *
 * ```ts
 * const { node, subscribe } = await connect({ worker: "./sw.js" });
 * if ((await node.status()).state === "absent") await node.make({ name: "Kim" });
 * subscribe((event) => redraw(event));
 * ```
 */

import { refusal } from "./error.js";
import { notificationsOf, renewToken, type Notifications } from "./notifications.js";
import { nodeBehind, type Post } from "./requests.js";
import { listen, visible } from "./stream.js";
import type { NodeEvent, NodeState, NodeStatus, PersonalNode } from "./types.js";

export { NodeError, sentenceOf } from "./error.js";
export type { Notifications, NotificationState } from "./notifications.js";
export { uuidv7 } from "./uuid.js";
export * from "./types.js";

/** A page's connection to the node. It outlives the worker. */
export type Connection = {
  node: PersonalNode;
  /** Whether the node is woken when no page is open, and says so. */
  notifications: Notifications;
  /** Calls `listener` whenever the node has changed; answers what ends that. */
  subscribe(listener: (event: NodeEvent) => void): () => void;
  /** Ends the live stream and all subscriptions. */
  close(): void;
};

export type ConnectOptions = {
  /** The service worker's script, relative to the page; by default `./sw.js`. */
  worker?: string;
  /** How long a request may wait for its answer, milliseconds. */
  timeout?: number;
};

/** Of all pages of this origin one keeps the live stream. */
const STREAM = "hdms-stream";

/** What the worker tells pages: of the node, or where a person who clicked a notification wants to go. */
type Told = { hdms?: NodeEvent | { kind: "open"; url: string } };

/** Registers the service worker, if it is not, and connects to the node in it. */
export async function connect({ worker = "./sw.js", timeout }: ConnectOptions = {}): Promise<Connection> {
  const workers = navigator.serviceWorker as ServiceWorkerContainer | undefined;
  if (!workers || !globalThis.isSecureContext) throw refusal("platform/unsupported");
  const registration = await workers.register(worker, { type: "module", updateViaCache: "none" });
  const post: Post = async (message, answer) => (await active(registration)).postMessage(message, [answer]);
  const node = showingPersistence(nodeBehind(post, { timeout }));

  const closed = new AbortController();
  const { signal } = closed;
  const listeners = new Set<(event: NodeEvent) => void>();
  const waker = new EventTarget();
  let state: NodeState | undefined;
  let due: ReturnType<typeof setTimeout> | undefined;
  let since: number | null | undefined;
  const hear = ({ data }: MessageEvent<Told | null>) => {
    const event = data?.hdms;
    if (!event) return;
    // The fragment alone: the page keeps what it holds.
    if (event.kind === "open") return void (location.hash = new URL(event.url).hash);
    void tell(listeners, event);
    if (event.kind !== "status") return;
    clearTimeout(due);
    const { nextAttempt, push } = event.status;
    const told = push.kind === "firebase" ? push.since : undefined;
    // The server has dropped a token that Firebase no longer knows.
    if (told === null && since !== null) void renewToken(node, registration).catch(() => undefined);
    since = told;
    // A page's timer, so that the worker may sleep meanwhile.
    if (nextAttempt) due = setTimeout(() => void node.sync().catch(() => undefined), pause(nextAttempt));
    if (event.status.state === "ready" && state !== "ready") waker.dispatchEvent(new Event("ready"));
    state = event.status.state;
  };
  workers.addEventListener("message", hear, { signal });
  workers.startMessages();
  // What could not be sent for want of a network may go now.
  addEventListener("online", () => void node.sync().catch(() => undefined), { signal });
  void keepListening(node, signal, waker);
  void renewToken(node, registration).catch(() => undefined);
  return {
    node,
    notifications: notificationsOf(node, registration),
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close() {
      listeners.clear();
      closed.abort();
      clearTimeout(due);
    },
  };
}

async function tell(listeners: Set<(event: NodeEvent) => void>, event: NodeEvent): Promise<void> {
  const told = event.kind === "status" ? { ...event, status: await withPersistence(event.status) } : event;
  listeners.forEach((listener) => listener(told));
}

/** Milliseconds until just after then; not at once even when it has passed, so that nothing goes in circles. */
function pause(then: number): number {
  return Math.max(then - Date.now() + 100, 1_000);
}

/** The worker that takes messages now; waits for one that is being installed. */
async function active(registration: ServiceWorkerRegistration): Promise<ServiceWorker> {
  if (registration.active) return registration.active;
  const coming = registration.installing ?? registration.waiting;
  if (!coming) throw refusal("platform/unsupported");
  await new Promise<void>((resolve, reject) => {
    coming.addEventListener("statechange", () => {
      if (registration.active) resolve();
      else if (coming.state === "redundant") reject(refusal("platform/unsupported"));
    });
  });
  return active(registration);
}

async function keepListening(node: PersonalNode, signal: AbortSignal, waker: EventTarget): Promise<void> {
  try {
    while (!signal.aborted) {
      await navigator.locks.request(STREAM, { signal }, () => listen(node, signal, waker));
      await visible(signal);
    }
  } catch {
    // The page was closed while it waited for another one to end.
  }
}

/** Asks for persistent storage when a node is made, and shows the answer in every status. */
function showingPersistence(node: PersonalNode): PersonalNode {
  return {
    ...node,
    status: async () => withPersistence(await node.status()),
    restart: async () => withPersistence(await node.restart()),
    rename: async (options) => withPersistence(await node.rename(options)),
    sync: async () => withPersistence(await node.sync()),
    subscribePush: async (options) => withPersistence(await node.subscribePush(options)),
    unsubscribePush: async () => withPersistence(await node.unsubscribePush()),
    sendNow: async () => withPersistence(await node.sendNow()),
    make: async (options) => {
      // A browser may ask the person, who may take long to answer.
      void storage()?.persist().catch(() => false);
      return withPersistence(await node.make(options));
    },
  };
}

async function withPersistence(status: NodeStatus): Promise<NodeStatus> {
  const persistent = (await storage()?.persisted().catch(() => null)) ?? null;
  return { ...status, persistent };
}

/** The browser's storage manager; WebKitGTK has none. */
function storage(): StorageManager | undefined {
  return navigator.storage as StorageManager | undefined;
}
