// The doctor's session: the API key, kept for this tab alone, and a clock for polling.

import { Api, ApiProblem, type Node } from "./api";

const KEY = "hdms-api-key";
const POLL_MS = 3000;

class Session {
  /** The calls, once a key was accepted. */
  api = $state.raw<Api | null>(null);
  /** The node that answers. */
  node = $state.raw<Node | null>(null);
  /** Grows every few seconds while the page is seen, and after every command. */
  revision = $state(0);

  constructor() {
    setInterval(() => {
      if (this.api && !document.hidden) this.revision += 1;
    }, POLL_MS);
  }

  /** Goes on with the key of this tab, if there is one. */
  async resume(): Promise<void> {
    const key = sessionStorage.getItem(KEY);
    if (key) await this.open(key).catch(() => this.close());
  }

  /** Tries a key and keeps it if the node accepts it. @throws {ApiProblem} */
  async open(key: string): Promise<void> {
    const api = new Api(key);
    this.node = await api.node();
    sessionStorage.setItem(KEY, key);
    this.api = api;
  }

  close(): void {
    sessionStorage.removeItem(KEY);
    this.api = null;
    this.node = null;
  }

  /** Reads from the node, again with every tick: for `Live`. */
  watch<T>(question: (api: Api) => Promise<T>): Promise<T> {
    void this.revision;
    return this.read(question);
  }

  /** A command to the node; what is shown is fetched anew. */
  async change(command: (api: Api) => Promise<void>): Promise<void> {
    await this.read(command);
    this.revision += 1;
  }

  /** Reads from the node once. A key that is no longer accepted ends the session. */
  async read<T>(call: (api: Api) => Promise<T>): Promise<T> {
    if (!this.api) throw new ApiProblem("page/signed-out", "Enter the API key first.", 401);
    try {
      return await call(this.api);
    } catch (thrown) {
      if (thrown instanceof ApiProblem && thrown.status === 401) this.close();
      throw thrown;
    }
  }
}

/** The session of this page. */
export const session = new Session();
