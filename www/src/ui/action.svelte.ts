import { tick } from "svelte";
import { keepFocus } from "./focus";
import { problemOf, type Problem } from "./problem";

/** Something a person started: whether it still runs, and how it failed. */
export class Action {
  busy = $state(false);
  problem = $state<Problem | null>(null);

  /** Runs `work` unless the last one still runs; answers whether it succeeded. */
  async run(work: () => Promise<unknown>): Promise<boolean> {
    if (this.busy) return false;
    const from = document.activeElement;
    this.busy = true;
    this.problem = null;
    try {
      await work();
      return true;
    } catch (thrown) {
      this.problem = problemOf(thrown);
      return false;
    } finally {
      this.busy = false;
      // A button that is disabled meanwhile loses it.
      void tick().then(() => keepFocus(from));
    }
  }
}
