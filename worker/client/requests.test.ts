import { afterEach, expect, test } from "vitest";
import { NodeError } from "./error.js";
import { nodeBehind, type Message, type Post } from "./requests.js";
import { sentences } from "./types.js";

/** A worker's end, in process: gets every message with the port for its answer. */
class Worker {
  readonly asked: Message["hdms"][] = [];
  readonly ports: MessagePort[] = [];

  constructor(readonly react: (port: MessagePort, times: number) => void) {}

  readonly post: Post = async (message, port) => {
    // As between page and worker: what can't be cloned does not arrive.
    this.asked.push(structuredClone(message).hdms);
    this.ports.push(port);
    this.react(port, this.asked.length);
  };

  get ids(): Set<string> {
    return new Set(this.asked.map(({ id }) => id));
  }
}

let last: Worker | undefined;
function worker(react: (port: MessagePort, times: number) => void): Worker {
  return (last = new Worker(react));
}
afterEach(() => last?.ports.forEach((port) => port.close()));

const answer = (value: unknown) => (port: MessagePort) => port.postMessage({ value });
const limits = { timeout: 300, again: 40 };

test("a request carries its name and options and gets its answer", async () => {
  const { post, asked } = worker(answer([{ id: "h" }]));
  expect(await nodeBehind(post, limits).case("c")).toEqual([{ id: "h" }]);
  expect(asked[0]?.command).toEqual({ name: "case", options: "c" });
});

test("every request has an id of its own", async () => {
  const { post, asked } = worker(answer(null));
  const node = nodeBehind(post, limits);
  await Promise.all([node.status(), node.status()]);
  expect(new Set(asked.map(({ id }) => id)).size).toBe(2);
});

test("a refusal is an error with its code and sentence", async () => {
  const error = { code: "treatment/unknown-case", sentence: sentences["treatment/unknown-case"] };
  const { post } = worker((port) => port.postMessage({ error: { code: error.code } }));
  const refused = await nodeBehind(post, limits).case("c").catch((thrown: unknown) => thrown);
  expect(refused).toBeInstanceOf(NodeError);
  expect(refused).toMatchObject(error);
});

test("a worker that dies is asked again at once, under the same id", async () => {
  const dying = worker((port, times) => (times === 1 ? port.close() : answer("done")(port)));
  const began = Date.now();
  expect(await nodeBehind(dying.post, { timeout: 5_000, again: 4_000 }).sync()).toBe("done");
  expect(Date.now() - began).toBeLessThan(2_000);
  expect(dying.ids.size).toBe(1);
  expect(dying.asked.length).toBe(2);
});

test("what stays unanswered is asked again, and a late first answer counts", async () => {
  const slow = worker((_port, times) => times === 3 && answer("late")(slow.ports[0] as MessagePort));
  expect(await nodeBehind(slow.post, limits).cases()).toBe("late");
  expect(slow.ids.size).toBe(1);
});

test("answers on every port settle a request once", async () => {
  const echo = worker((_port, times) => times === 2 && echo.ports.forEach(answer("both")));
  expect(await nodeBehind(echo.post, limits).cases()).toBe("both");
  const asked = echo.asked.length;
  await new Promise((resolve) => setTimeout(resolve, 3 * limits.again));
  expect(echo.asked.length).toBe(asked);
});

test("a request whose time is over says so", async () => {
  const { post } = worker(() => undefined);
  await expect(nodeBehind(post, limits).cases()).rejects.toMatchObject({ code: "node/timed-out" });
});

test("what asks other nodes may take three times as long", async () => {
  const { post } = worker((port, times) => times === 1 && setTimeout(() => answer("ready")(port), 600));
  expect(await nodeBehind(post, limits).make({ name: "" })).toBe("ready");
});

test("a request that met a trap is asked again", async () => {
  const { post, asked } = worker((port, times) => (times < 3 ? port.postMessage({ trapped: true }) : answer(1)(port)));
  expect(await nodeBehind(post, limits).records()).toBe(1);
  expect(asked.length).toBe(3);
});

test("a request that always traps is given up", async () => {
  const { post, asked } = worker((port) => port.postMessage({ trapped: true }));
  await expect(nodeBehind(post, limits).records()).rejects.toMatchObject({ code: "node/restarted" });
  expect(asked.length).toBe(3);
});

test("without a worker a request waits for one", async () => {
  const coming = worker(answer("here"));
  let there = false;
  setTimeout(() => (there = true), 100);
  const post: Post = async (message, port) => {
    if (!there) throw new Error("no worker");
    await coming.post(message, port);
  };
  expect(await nodeBehind(post, limits).status()).toBe("here");
});
