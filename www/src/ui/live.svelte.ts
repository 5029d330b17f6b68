import { problemOf, type Problem } from "./problem";

/** A value that is fetched again whenever what it depends on changes. */
export class Live<T> {
  value = $state.raw<T | undefined>(undefined);
  problem = $state<Problem | null>(null);
  #turn = 0;

  /**
   * To be made while a component starts. `fetch` is called again when any state that it reads
   * before its first `await` changes; an answer that was overtaken is dropped.
   */
  constructor(fetch: () => Promise<T>) {
    $effect(() => {
      const turn = ++this.#turn;
      fetch().then(
        (value) => this.#settle(turn, value, null),
        (thrown: unknown) => this.#settle(turn, this.value, problemOf(thrown)),
      );
    });
  }

  #settle(turn: number, value: T | undefined, problem: Problem | null): void {
    if (turn !== this.#turn) return;
    this.value = value;
    this.problem = problem;
  }
}
