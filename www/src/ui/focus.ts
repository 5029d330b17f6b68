// Who goes by keyboard or listens to the page must not be sent back to its start when what had the
// focus goes away.

/** Gives the focus to `from` if that is still there and can take it, else to the content, unless something
 * has it. */
export function keepFocus(from: Element | null = null): void {
  if (document.activeElement !== document.body) return;
  const canTakeIt = from?.isConnected && !from.matches(":disabled");
  const next = canTakeIt ? from : document.querySelector("main");
  if (next instanceof HTMLElement) next.focus({ preventScroll: true });
}

/** An attachment: once the element is gone, the content has the focus if nothing else has. */
export function handFocusOn(): () => void {
  return () => keepFocus();
}
