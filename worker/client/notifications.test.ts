import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { notificationsOf, renewToken } from "./notifications.js";
import type { NodeState, PersonalNode, PushState } from "./types.js";

const sdk = vi.hoisted(() => ({
  initializeApp: vi.fn((_options: object, name: string) => ({ name })),
  getApps: () => [],
  getMessaging: vi.fn((app: object) => ({ app })),
  getToken: vi.fn(),
  deleteToken: vi.fn(),
}));
vi.mock("firebase/app", () => sdk);
vi.mock("firebase/messaging", () => sdk);

const PROJECT = { apiKey: "a", appId: "i", projectId: "p", messagingSenderId: "s", vapidKey: "v" };
// What a browser has beside it is not looked at.
const registration = { pushManager: {} } as ServiceWorkerRegistration;

/** What `/network.json` answers; `null` when there is no network. */
let configuration: object | null;
let asked: string[];
let tokens: string[];

beforeEach(() => {
  [configuration, asked, tokens] = [{}, [], ["first", "second"]];
  sdk.getToken.mockImplementation(async () => tokens.shift());
  vi.stubGlobal("fetch", async (url: string) => {
    asked.push(url);
    if (!configuration) throw new TypeError("no network");
    return Response.json(configuration);
  });
  permission("default", "granted");
});

afterEach(() => {
  vi.unstubAllGlobals();
  vi.clearAllMocks();
});

/** A person who gives this answer when asked. */
function permission(now: NotificationPermission, then = now): void {
  const page = { permission: now, requestPermission: async () => (page.permission = then) };
  vi.stubGlobal("Notification", page);
}

function nodeWith(push: PushState = { kind: "none" }, vapid: string | null = "key", state: NodeState = "ready") {
  const status = { state, push, vapid };
  const subscribePush = vi.fn(async () => status);
  const unsubscribePush = vi.fn(async () => status);
  // Notifications use no other method.
  const node = { status: async () => status, subscribePush, unsubscribePush } as unknown as PersonalNode;
  return { node, subscribePush, unsubscribePush };
}

test("what a person has said and what the node is subscribed with decide the state", async () => {
  const state = (...node: Parameters<typeof nodeWith>) => notificationsOf(nodeWith(...node).node, registration).state();
  expect(await state()).toBe("off");
  expect(await state(undefined, null)).toBe("unsupported");
  expect(await state(undefined, null, "absent")).toBe("off");
  configuration = { firebase: PROJECT };
  expect(await state(undefined, null)).toBe("off");
  permission("granted");
  expect(await state({ kind: "webpush", since: null })).toBe("on");
  permission("default");
  expect(await state({ kind: "webpush", since: 1 })).toBe("off");
  permission("denied");
  expect(await state({ kind: "webpush", since: 1 })).toBe("blocked");
});

test("a browser without push is not asked for it", async () => {
  const { node, subscribePush } = nodeWith();
  const notifications = notificationsOf(node, {} as ServiceWorkerRegistration);
  expect(await notifications.state()).toBe("unsupported");
  await expect(notifications.enable()).rejects.toMatchObject({ code: "platform/unsupported" });
  expect(subscribePush).not.toHaveBeenCalled();
});

test("the permission is asked for before anything else is waited for, as a click demands", async () => {
  const order: string[] = [];
  vi.stubGlobal("Notification", { requestPermission: () => (order.push("asked"), Promise.resolve("granted")) });
  const enabling = notificationsOf(nodeWith().node, registration).enable();
  order.push("returned");
  await enabling;
  expect(order).toEqual(["asked", "returned"]);
});

test("who refuses is not subscribed", async () => {
  permission("default", "denied");
  const { node, subscribePush } = nodeWith();
  await expect(notificationsOf(node, registration).enable()).rejects.toMatchObject({ code: "push/blocked" });
  expect([asked, subscribePush.mock.calls]).toEqual([[], []]);
});

test("without a Firebase project the node subscribes by itself, and its SDK is left alone", async () => {
  const { node, subscribePush } = nodeWith();
  await notificationsOf(node, registration).enable();
  expect(asked).toEqual(["/network.json"]);
  expect(subscribePush).toHaveBeenCalledExactlyOnceWith({ firebaseToken: null });
  expect(sdk.initializeApp).not.toHaveBeenCalled();
});

test("with a Firebase project the node gets the token of its own worker", async () => {
  configuration = { firebase: PROJECT };
  const { node, subscribePush } = nodeWith();
  await notificationsOf(node, registration).enable();
  const { vapidKey, ...options } = PROJECT;
  expect(sdk.initializeApp).toHaveBeenCalledWith(options, "hdms");
  const [, how] = sdk.getToken.mock.calls[0] as unknown[];
  expect(how).toEqual({ vapidKey, serviceWorkerRegistration: registration });
  expect(subscribePush).toHaveBeenCalledExactlyOnceWith({ firebaseToken: "first" });
});

test("a push service that does not answer is said", async () => {
  configuration = null;
  const { node, subscribePush } = nodeWith();
  await expect(notificationsOf(node, registration).enable()).rejects.toMatchObject({ code: "push/unavailable" });
  expect(subscribePush).not.toHaveBeenCalled();
});

test("switching off is the node's", async () => {
  const { node, unsubscribePush } = nodeWith({ kind: "webpush", since: 1 });
  await notificationsOf(node, registration).disable();
  expect(unsubscribePush).toHaveBeenCalledOnce();
});

test("a token is reconciled whenever a page connects, and replaced when the server dropped it", async () => {
  configuration = { firebase: PROJECT };
  permission("granted");
  const kept = nodeWith({ kind: "firebase", since: 1 });
  await renewToken(kept.node, registration);
  expect(kept.subscribePush).toHaveBeenCalledExactlyOnceWith({ firebaseToken: "first" });
  expect(sdk.deleteToken).not.toHaveBeenCalled();

  tokens = ["dropped", "new"];
  const dropped = nodeWith({ kind: "firebase", since: null });
  await renewToken(dropped.node, registration);
  expect(sdk.deleteToken).toHaveBeenCalledOnce();
  expect(dropped.subscribePush).toHaveBeenCalledExactlyOnceWith({ firebaseToken: "new" });
});

test("nothing is renewed for who is woken otherwise, or not at all", async () => {
  permission("granted");
  for (const push of [{ kind: "none" }, { kind: "webpush", since: null }] as const) {
    const { node, subscribePush } = nodeWith(push);
    await renewToken(node, registration);
    expect(subscribePush).not.toHaveBeenCalled();
  }
  expect(asked).toEqual([]);
});
