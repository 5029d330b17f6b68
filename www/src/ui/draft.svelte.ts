// Half-filled forms outlive their page: a notification may lead a person elsewhere at any moment.

const drafts = new Map<string, object>();

/**
 * What a person has filled into the form of this name; `empty` at first. It stays in this page's
 * memory, and nowhere else, until it is dropped.
 */
export function draft<T extends object>(name: string, empty: T): T {
  const kept = drafts.get(name) as T | undefined;
  if (kept) return kept;
  const made = $state(empty);
  drafts.set(name, made);
  return made;
}

/** Forgets a form that was sent or given up. */
export function dropDraft(name: string): void {
  drafts.delete(name);
}
