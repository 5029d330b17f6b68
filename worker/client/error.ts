import { refusals, type ErrorCode, type NodeErrorView } from "./types.js";

/** A refusal of the node: `code` for programs, the message for people. */
export class NodeError extends Error {
  override readonly name = "NodeError";
  /** Such as `treatment/unknown-case`; never changes its meaning. */
  readonly code: ErrorCode;

  constructor({ code, sentence }: NodeErrorView) {
    super(sentence);
    this.code = code as ErrorCode;
  }

  /** What happened and what to do about it. */
  get sentence(): string {
    return this.message;
  }
}

/** The refusal that the client makes itself for this reason. */
export function refusal(reason: keyof typeof refusals): NodeError {
  return new NodeError(refusals[reason]);
}
