// The one connection of this page to the personal node, and what the pages see of it.

import { connect, type Connection, type NodeStatus, type PersonalNode } from "hdms-node";
import { problemOf, type Problem } from "../ui/problem";

const ABSENT_FOR_MS = 60_000;

class Session {
  /** The node's state; `null` until it answers. */
  status = $state.raw<NodeStatus | null>(null);
  /** Why the node can't be reached, if so. */
  problem = $state.raw<Problem | null>(null);
  /** Whether the browser says that it has a network. */
  online = $state(navigator.onLine);
  /** Grows with every change in the node: pages that read it fetch anew. */
  revision = $state(0);
  #connection: Promise<Connection> | null = null;
  #left = 0;

  /** Connects to the node in the service worker. The first screen does not wait for it. */
  async start(): Promise<void> {
    this.problem = null;
    try {
      this.#connection ??= this.#connect();
      const { node } = await this.#connection;
      this.status = await node.status();
      if (this.status.state === "ready") void this.sync();
    } catch (thrown) {
      this.#connection = null;
      this.problem = problemOf(thrown);
    }
  }

  /** Asks the node; waits for the connection if need be. */
  async ask<T>(question: (node: PersonalNode) => Promise<T>): Promise<T> {
    if (!this.#connection) throw this.problem ?? new Error("The node is not connected.");
    const { node } = await this.#connection;
    return question(node);
  }

  /** As `ask`, and again for every change: for `Live`. */
  watch<T>(question: (node: PersonalNode) => Promise<T>): Promise<T> {
    void this.revision;
    return this.ask(question);
  }

  /** Asks for something that changes the node's state. */
  async change<T>(command: (node: PersonalNode) => Promise<T>): Promise<T> {
    const answer = await this.ask(command);
    this.revision += 1;
    return answer;
  }

  /** Fetches the mailbox and sends what waits. That it fails shows in the status. */
  async sync(): Promise<void> {
    try {
      this.status = await this.ask((node) => node.sync());
    } catch (thrown) {
      if (this.status) this.status = { ...this.status, problem: problemOf(thrown) };
    }
  }

  async #connect(): Promise<Connection> {
    const connection = await connect({ worker: "./sw.js" });
    connection.subscribe((event) => {
      if (event.kind === "status") this.status = event.status;
      this.revision += 1;
    });
    addEventListener("online", () => this.#reached(true));
    addEventListener("offline", () => this.#reached(false));
    document.addEventListener("visibilitychange", () => this.#looked());
    return connection;
  }

  #reached(online: boolean): void {
    this.online = online;
    if (online && this.status?.state === "ready") void this.sync();
  }

  #looked(): void {
    if (document.hidden) this.#left = Date.now();
    else if (Date.now() - this.#left > ABSENT_FOR_MS && this.status?.state === "ready") {
      void this.sync();
    }
  }
}

/** The session of this page. */
export const session = new Session();
