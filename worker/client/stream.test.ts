import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { listen } from "./stream.js";
import type { PersonalNode } from "./types.js";

let server: Server;
let open: ServerResponse[];
let proofs: (string | string[] | undefined)[];
let end: AbortController;
let done: Promise<void>;
let waker: EventTarget;

beforeEach(async () => {
  [open, proofs, end, waker] = [[], [], new AbortController(), new EventTarget()];
  server = createServer((request: IncomingMessage, response) => {
    proofs.push(request.headers["hdms-proof"]);
    response.writeHead(200, { "content-type": "text/event-stream" }).flushHeaders();
    open.push(response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});

afterEach(async () => {
  end.abort();
  await done;
  server.closeAllConnections();
  server.close();
});

/** A node that only counts. */
function node(ticket: () => Promise<string>) {
  let tickets = 0;
  const sync = vi.fn(async () => undefined);
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
