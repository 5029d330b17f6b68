import type { Problem } from "./problem";

/** One entry of a case's ledger, as patient and hospital both see it. */
export type LedgerStep = {
  id: string;
  kind: "request" | "result";
  /** Its number in the case, by the notary's receipt; those of version 1 have none. */
  number: number | null;
  verificationKey: string;
  /** Names of those who have endorsed it. */
  signers: string[];
  /** The notary's receipt; `time` in milliseconds since 1970, `witnesses` by name. */
  receipt: { notary: string; index: number; time: number; witnesses: string[] } | null;
  /** Why the receipt that is kept does not count. */
  problem?: Problem | null;
  /** Whether it was declined or disputed, and so is never logged. */
  never: boolean;
};
