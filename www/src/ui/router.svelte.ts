// Hash routing: works on any static server and inside an installed app.

class Router {
  /** The parts of the address after `#/`, decoded. */
  parts = $state.raw(partsOf(location.hash));

  constructor() {
    addEventListener("hashchange", () => {
      this.parts = partsOf(location.hash);
      scrollTo(0, 0);
    });
  }
}

/** Where the person is. */
export const route = new Router();

/** The address of a page, e.g. `#/cases/1`. */
export function href(...parts: string[]): string {
  return `#/${parts.map(encodeURIComponent).join("/")}`;
}

/** Goes to a page; `replace` leaves no way back to the present one. */
export function go(parts: string[], { replace = false } = {}): void {
  if (replace) location.replace(href(...parts));
  else location.hash = href(...parts);
}

function partsOf(hash: string): string[] {
  try {
    return hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent).filter(Boolean);
  } catch {
    return [];
  }
}
