// Notifications: the permission, which only a page can ask for, and the subscription behind it, which
// the node keeps. Where the deployment names a Firebase project, the page fetches its token.

import { refusal } from "./error.js";
import { tokenOf, type FirebaseProject } from "./firebase.js";
import type { NodeStatus, PersonalNode } from "./types.js";

/**
 * `unsupported`: this browser has no push, or the server sends none. `blocked`: the person has refused
 * them, which only the browser's settings can undo.
 */
export type NotificationState = "unsupported" | "blocked" | "off" | "on";

/** Whether the node is woken when no page is open, and says so. */
export type Notifications = {
  state(): Promise<NotificationState>;
  /**
   * Asks for the permission, which has to be in answer to a click, and subscribes. Rejected with a
   * `NodeError`: `push/blocked` when the person refuses, `push/unavailable`, `platform/unsupported`.
   */
  enable(): Promise<NodeStatus>;
  disable(): Promise<NodeStatus>;
};

/** Of this origin: where `firebase` may be named. */
const CONFIGURATION = "/network.json";

export function notificationsOf(node: PersonalNode, registration: ServiceWorkerRegistration): Notifications {
  return {
    async state() {
      if (!isSupported(registration)) return "unsupported";
      if (Notification.permission === "denied") return "blocked";
      const { state, push, vapid } = await node.status();
      if (push.kind !== "none") return Notification.permission === "granted" ? "on" : "off";
      const offered = state !== "ready" || vapid !== null || (await project().catch(() => null)) !== null;
      return offered ? "off" : "unsupported";
    },
    async enable() {
      if (!isSupported(registration)) throw refusal("platform/unsupported");
      // First of all: browsers ask only in answer to a click.
      if ((await Notification.requestPermission()) !== "granted") throw refusal("push/blocked");
      return subscribe(node, registration, false);
    },
    disable: () => node.unsubscribePush(),
  };
}

/** Renews Firebase's token if that is how the node is woken: its SDK works in pages only. */
export async function renewToken(node: PersonalNode, registration: ServiceWorkerRegistration): Promise<void> {
  if (!isSupported(registration) || Notification.permission !== "granted") return;
  const { push } = await node.status();
  if (push.kind === "firebase") await subscribe(node, registration, push.since === null);
}

async function subscribe(node: PersonalNode, registration: ServiceWorkerRegistration, anew: boolean): Promise<NodeStatus> {
  let firebaseToken: string | null = null;
  try {
    const firebase = await project();
    if (firebase) firebaseToken = await tokenOf(firebase, registration, anew);
  } catch {
    throw refusal("push/unavailable");
  }
  return node.subscribePush({ firebaseToken });
}

/** WebKitGTK has neither. */
function isSupported(registration: ServiceWorkerRegistration): boolean {
  return "Notification" in globalThis && "pushManager" in registration;
}

async function project(): Promise<FirebaseProject | null> {
  const answer = await fetch(CONFIGURATION, { cache: "no-store" });
  if (!answer.ok) throw refusal("push/unavailable");
  const { firebase } = (await answer.json()) as { firebase?: FirebaseProject };
  return firebase ?? null;
}
