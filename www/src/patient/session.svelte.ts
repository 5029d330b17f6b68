// The one connection of this page to the personal node, and what the pages see of it.

import { connect, type Connection, type NodeStatus, type PersonalNode, type Waiting } from "hdms-node";
import { problemOf, type Problem } from "../ui/problem";

class Session {
  /** The node's state; `null` until it answers. */
  status = $state.raw<NodeStatus | null>(null);
  /** Why the node can't be reached, if so. */
  problem = $state.raw<Problem | null>(null);
  /** Whether the browser says that it has a network. */
  online = $state(navigator.onLine);
  /** Grows with every change of a case: pages that read it fetch anew. */
  revision = $state(0);
  #connection: Promise<Connection> | null = null;

  constructor() {
    addEventListener("online", () => (this.online = true));
    addEventListener("offline", () => (this.online = false));
  }

  /** Connects to the node in the service worker. The first screen does not wait for it. */
  async start(): Promise<void> {
    this.problem = null;
    try {
      this.status = await this.ask((node) => node.status());
    } catch (thrown) {
      this.problem = problemOf(thrown);
    }
  }

  /** Asks the node. */
  async ask<T>(question: (node: PersonalNode) => Promise<T>): Promise<T> {
    return question((await this.connection()).node);
  }

  /** The connection to the node, made when it is first needed. */
  connection(): Promise<Connection> {
    return (this.#connection ??= this.#connect());
  }

  /** As `ask`, and again for every change: for `Live`. */
  watch<T>(question: (node: PersonalNode) => Promise<T>): Promise<T> {
    void this.revision;
    return this.ask(question);
  }

  /** What waits to be sent, now and whenever it has changed: for `Live`. */
  watchOutbox(): Promise<Waiting[]> {
    void this.status;
    return this.watch((node) => node.outbox());
  }

  /** Asks for something that changes the node's state. */
  async change<T>(command: (node: PersonalNode) => Promise<T>): Promise<T> {
    const answer = await this.ask(command);
    this.revision += 1;
    return answer;
  }

  async #connect(): Promise<Connection> {
    const connection = await connect({ worker: "./sw.js" }).catch((thrown: unknown) => {
      this.#connection = null;
      throw thrown;
    });
    connection.subscribe((event) => {
      if (event.kind === "status") this.status = event.status;
      else this.revision += 1;
    });
    return connection;
  }
}

/** The session of this page. */
export const session = new Session();
