// Requests to a worker that may die at any moment. Each carries an id and a port of its own for the
// answer; what is not answered is asked again, under the same id, of whichever worker there is then.

import { NodeError, refusal } from "./error.js";
import { methods, type NodeErrorView, type PersonalNode } from "./types.js";
import { uuidv7 } from "./uuid.js";

/** What a worker gets, with the port for its answer. */
export type Message = { hdms: { id: string; command: { name: string; options?: unknown } } };

/** Brings a message to the worker of the moment, starting it if need be. */
export type Post = (message: Message, answer: MessagePort) => Promise<void>;

type Answer = { value: unknown } | { error: NodeErrorView } | { trapped: true };

/** How long to wait before asking again, milliseconds. */
const AGAIN = 2_000;

/** How long to wait for an answer, milliseconds. */
const TIMEOUT = 30_000;

/** What may take longer than `timeout`, as it asks other nodes: so many times as long. */
const ERRANDS: Partial<Record<string, number>> = { make: 3, sync: 3, sendNow: 3, hospitals: 3, subscribePush: 3, unsubscribePush: 3 };

/** A request that trapped so often is not the victim of another one. */
const MOST_TRAPS = 3;

export type Limits = { timeout?: number | undefined; again?: number | undefined };

/** The node behind `post`. Its promises are rejected with a `NodeError`. */
export function nodeBehind(post: Post, limits: Limits = {}): PersonalNode {
  const { timeout = TIMEOUT, again = AGAIN } = limits;
  const method = (name: string) => (options?: unknown) => {
    const patience = timeout * (ERRANDS[name] ?? 1);
    return new Question(post, { id: uuidv7(), command: { name, options } }, patience, again).answer;
  };
  // The names are those of the interface's methods, by its generator.
  return Object.fromEntries(methods.map((name) => [name, method(name)])) as unknown as PersonalNode;
}

/** One request, asked until it is answered or its time is over. */
class Question {
  readonly answer: Promise<unknown>;
  readonly #post: Post;
  readonly #request: Message["hdms"];
  readonly #ports = new Set<MessagePort>();
  readonly #timers: ReturnType<typeof setTimeout>[];
  #resolve!: (value: unknown) => void;
  #reject!: (error: NodeError) => void;
  #traps = 0;
  #open = true;

  constructor(post: Post, request: Message["hdms"], timeout: number, again: number) {
    this.#post = post;
    this.#request = request;
    this.answer = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#timers = [
      setInterval(() => this.#ask(), again),
      setTimeout(() => this.#end(() => this.#reject(refusal("node/timed-out"))), timeout),
    ];
    this.#ask();
  }

  #ask(): void {
    if (!this.#open) return;
    const { port1, port2 } = new MessageChannel();
    this.#ports.add(port1);
    port1.onmessage = ({ data }: MessageEvent<Answer>) => this.#hear(data);
    // Where browsers tell: the worker is gone.
    port1.addEventListener("close", () => this.#ports.delete(port1) && this.#ask());
    // Without a worker now there may be one at the next try.
    this.#post({ hdms: this.#request }, port2).catch(() => undefined);
  }

  #hear(answer: Answer): void {
    if ("value" in answer) this.#end(() => this.#resolve(answer.value));
    else if ("error" in answer) this.#end(() => this.#reject(new NodeError(answer.error)));
    else if (++this.#traps < MOST_TRAPS) this.#ask();
    else this.#end(() => this.#reject(refusal("node/restarted")));
  }

  #end(settle: () => void): void {
    if (!this.#open) return;
    this.#open = false;
    this.#timers.forEach((timer) => clearTimeout(timer));
    const ports = [...this.#ports];
    this.#ports.clear();
    ports.forEach((port) => port.close());
    settle();
  }
}
