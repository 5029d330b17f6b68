/** Asks the browser never to clear this site's storage by itself; `null` where it can't be asked. */
export async function askToKeep(): Promise<boolean | null> {
  try {
    return await navigator.storage.persist();
  } catch {
    return null;
  }
}
