import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { listen } from "./stream.js";
import type { PersonalNode, PushState } from "./types.js";

let server: Server;
let open: ServerResponse[];
let proofs: (string | string[] | undefined)[];
let resumed: (string | string[] | undefined)[];
let end: AbortController;
let done: Promise<void>;
let waker: EventTarget;

beforeEach(async () => {
  [open, proofs, resumed, end, waker] = [[], [], [], new AbortController(), new EventTarget()];
  server = createServer((request: IncomingMessage, response) => {
    proofs.push(request.headers["hdms-proof"]);
    resumed.push(request.headers["last-event-id"]);
    response.writeHead(200, { "content-type": "text/event-stream" }).flushHeaders();
    open.push(response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});

afterEach(async () => {
  end.abort();
  await done;
  vi.unstubAllGlobals();
  server.closeAllConnections();
  server.close();
});

/** A node that only counts. */
function node(ticket: () => Promise<string>, push: PushState = { kind: "none" }) {
  let tickets = 0;
  const sync = vi.fn(async () => ({ push }));
  const streamTicket = async () => ({ url: await ticket(), proof: `proof ${++tickets}` });
  // The stream uses no other method.
  return { sync, listening: { sync, streamTicket } as unknown as PersonalNode };
}

const address = () => `http://127.0.0.1:${(server.address() as AddressInfo).port}/mailbox/stream`;

test("the node synchronises when the stream opens and at every bell, not at a heartbeat", async () => {
  const { sync, listening } = node(async () => address());
  done = listen(listening, end.signal, waker);
  await vi.waitFor(() => expect(sync).toHaveBeenCalledTimes(1));
  open[0]?.write(": heartbeat\n\n");
  open[0]?.write("event: mail\nid: 1\nda");
  await vi.waitFor(() => expect(sync).toHaveBeenCalledTimes(2));
  open[0]?.write('ta: {"seq":1}\n\nevent: ma');
  open[0]?.write("il\nid: 2\n\n");
  await vi.waitFor(() => expect(sync).toHaveBeenCalledTimes(3));
});

test("a stream that ends is opened again with a new proof", async () => {
  const { sync, listening } = node(async () => address());
  done = listen(listening, end.signal, waker);
  await vi.waitFor(() => expect(open.length).toBe(1));
  open[0]?.end();
  await vi.waitFor(() => expect(open.length).toBe(2), 5_000);
  expect(proofs).toEqual(["proof 1", "proof 2"]);
  await vi.waitFor(() => expect(sync.mock.calls.length).toBeGreaterThanOrEqual(3));
});

test("a stream that is opened again resumes after its last event", async () => {
  const { sync, listening } = node(async () => address());
  done = listen(listening, end.signal, waker);
  await vi.waitFor(() => expect(open.length).toBe(1));
  open[0]?.end('event: mail\nid: 41\ndata: {"seq":41}\n\nevent: mail\nid: 42\ndata: {"seq":42}\n\n: heartbeat\n\n');
  await vi.waitFor(() => expect(open.length).toBe(2), 5_000);
  open[1]?.end();
  await vi.waitFor(() => expect(open.length).toBe(3), 5_000);
  expect(resumed).toEqual([undefined, "42", "42"]);
  expect(sync.mock.calls.length).toBeGreaterThanOrEqual(4);
}, 15_000);

test("a page that nobody sees does not poll where push wakes the node", async () => {
  vi.stubGlobal("document", { hidden: true });
  const { sync, listening } = node(() => Promise.reject(new Error("no network")), { kind: "webpush", since: 1 });
  await (done = listen(listening, end.signal, waker));
  expect(sync).toHaveBeenCalledTimes(1);
});

test("a page that nobody sees goes on where the server does not know how to wake the node", async () => {
  vi.stubGlobal("document", { hidden: true });
  const { sync, listening } = node(() => Promise.reject(new Error("no network")), { kind: "webpush", since: null });
  done = listen(listening, end.signal, waker);
  await vi.waitFor(() => expect(sync.mock.calls.length).toBeGreaterThanOrEqual(2), 5_000);
});

test("without a stream the node is still asked to synchronise", async () => {
  const { sync, listening } = node(() => Promise.reject(new Error("no network")));
  done = listen(listening, end.signal, waker);
  await vi.waitFor(() => expect(sync.mock.calls.length).toBeGreaterThanOrEqual(2), 5_000);
});

test("a node that becomes ready is listened to at once", async () => {
  let made = false;
  const { sync, listening } = node(() => (made ? Promise.resolve(address()) : Promise.reject(new Error("no node"))));
  done = listen(listening, end.signal, waker);
  await vi.waitFor(() => expect(sync.mock.calls.length).toBeGreaterThanOrEqual(3), 10_000);
  made = true;
  waker.dispatchEvent(new Event("ready"));
  await vi.waitFor(() => expect(open.length).toBe(1), 300);
}, 15_000);

test("closing ends the stream", async () => {
  const { listening } = node(async () => address());
  done = listen(listening, end.signal, waker);
  await vi.waitFor(() => expect(open.length).toBe(1));
  const closed = new Promise((resolve) => open[0]?.on("close", resolve));
  end.abort();
  await Promise.all([closed, done]);
});
