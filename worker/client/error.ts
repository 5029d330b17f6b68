import { sentences, type ErrorCode, type NodeErrorView } from "./types.js";

/** What the refusal with this code means and what to do about it; the worker may be newer than the page. */
export function sentenceOf(code: string): string {
  return code in sentences ? sentences[code as ErrorCode] : "The node refuses this; reload the page.";
}

/** A refusal of the node: `code` for programs, the message for people. */
export class NodeError extends Error {
  override readonly name = "NodeError";
  /** Such as `treatment/unknown-case`; never changes its meaning. */
  readonly code: ErrorCode;

  constructor({ code }: NodeErrorView) {
    super(sentenceOf(code));
    this.code = code as ErrorCode;
  }

  /** What happened and what to do about it. */
  get sentence(): string {
    return this.message;
  }
}

/** The refusal that the client makes itself for this reason. */
export function refusal(code: ErrorCode): NodeError {
  return new NodeError({ code });
}
