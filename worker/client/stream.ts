// The live stream: while a page is open, the server rings when something has come. Only a bell; the
// node fetches the mailbox. Without the stream the node asks from time to time.

import type { PersonalNode } from "./types.js";

/** Between two attempts, milliseconds: at first, and at most. Doubles with each that fails. */
const PAUSE = { first: 1_000, longest: 60_000 };

/** The server is heard every 15 seconds, if only its heartbeat. After this silence it is gone. */
const SILENCE = 40_000;

/** What was heard: how long to pause when the stream ends, and its last event. */
type Heard = { pause: number; last: string | undefined };

/**
 * Keeps the node in touch with its server until `signal` says stop, or until the stream has ended, nobody
 * sees the page and push wakes the node. A `ready` event ends a pause.
 */
export async function listen(node: PersonalNode, signal: AbortSignal, waker: EventTarget): Promise<void> {
  const heard: Heard = { pause: PAUSE.first, last: undefined };
  while (!signal.aborted) {
    try {
      await ring(node, signal, heard);
    } catch {
      // No node yet, no network, or the server went: the same again, later.
    }
    const status = await node.sync().catch(() => undefined);
    if (isHidden() && status && status.push.kind !== "none" && status.push.since) return;
    if (await sleep(heard.pause * (0.5 + Math.random() / 2), signal, waker)) {
      heard.pause = Math.min(heard.pause * 2, PAUSE.longest);
    } else {
      // Another network, or another node, whose events have other numbers.
      Object.assign(heard, { pause: PAUSE.first, last: undefined });
    }
  }
}

/** Waits until somebody sees the page, or `signal` says stop. */
export async function visible(signal: AbortSignal): Promise<void> {
  while (isHidden() && !signal.aborted) {
    const changed = new AbortController();
    await new Promise((resolve) => {
      document.addEventListener("visibilitychange", resolve, { signal: changed.signal });
      signal.addEventListener("abort", resolve, { signal: changed.signal });
    });
    changed.abort();
  }
}

function isHidden(): boolean {
  return (globalThis.document as Document | undefined)?.hidden ?? false;
}

/** Opens the stream and synchronises at once and at every bell; ends when the stream does. */
async function ring(node: PersonalNode, signal: AbortSignal, heard: Heard): Promise<void> {
  const { url, proof } = await node.streamTicket();
  const silence = new AbortController();
  const either = AbortSignal.any([signal, silence.signal]);
  let alarm = setTimeout(() => silence.abort(), SILENCE);
  try {
    const headers = { "hdms-proof": proof, ...(heard.last && { "last-event-id": heard.last }) };
    const answer = await fetch(url, { headers, cache: "no-store", signal: either });
    if (!answer.ok || !answer.body) return;
    heard.pause = PAUSE.first;
    await node.sync();
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let line = "";
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      clearTimeout(alarm);
      alarm = setTimeout(() => silence.abort(), SILENCE);
      const lines = (line + read.value).split(/\r?\n/);
      line = lines.pop() ?? "";
      heard.last = lines.findLast((line) => line.startsWith("id:"))?.slice(3).trim() ?? heard.last;
      if (lines.some((line) => /^event: ?mail$/.test(line))) await node.sync();
    }
  } finally {
    clearTimeout(alarm);
  }
}

/** Answers whether it slept all the time: it wakes when the network comes back or the node is ready. */
function sleep(milliseconds: number, signal: AbortSignal, waker: EventTarget): Promise<boolean> {
  return new Promise((resolve) => {
    const done = new AbortController();
    const end = (slept: boolean) => {
      clearTimeout(timer);
      done.abort();
      resolve(slept);
    };
    const wake = () => end(false);
    const timer = setTimeout(() => end(true), milliseconds);
    signal.addEventListener("abort", wake, { signal: done.signal });
    waker.addEventListener("ready", wake, { signal: done.signal });
    globalThis.addEventListener?.("online", wake, { signal: done.signal });
    if (signal.aborted) wake();
  });
}
