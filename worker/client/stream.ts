// The live stream: while a page is open, the server rings when something has come. Only a bell; the
// node fetches the mailbox. Without the stream the node asks from time to time.

import type { PersonalNode } from "./types.js";

/** Between two attempts, milliseconds: at first, and at most. Doubles with each that fails. */
const PAUSE = { first: 1_000, longest: 60_000 };

/** The server is heard every 15 seconds, if only its heartbeat. After this silence it is gone. */
const SILENCE = 40_000;

/** Keeps the node in touch with its server until `signal` says stop. A `ready` event ends a pause. */
export async function listen(node: PersonalNode, signal: AbortSignal, waker: EventTarget): Promise<void> {
  let pause = PAUSE.first;
  while (!signal.aborted) {
    try {
      await ring(node, signal, () => (pause = PAUSE.first));
    } catch {
      // No node yet, no network, or the server went: the same again, later.
    }
    await node.sync().catch(() => undefined);
    const slept = await sleep(pause * (0.5 + Math.random() / 2), signal, waker);
    pause = slept ? Math.min(pause * 2, PAUSE.longest) : PAUSE.first;
  }
}

/** Opens the stream and synchronises at once and at every bell; ends when the stream does. */
async function ring(node: PersonalNode, signal: AbortSignal, opened: () => void): Promise<void> {
  const { url, proof } = await node.streamTicket();
  const silence = new AbortController();
  const either = AbortSignal.any([signal, silence.signal]);
  let heard = setTimeout(() => silence.abort(), SILENCE);
  try {
    const answer = await fetch(url, { headers: { "hdms-proof": proof }, cache: "no-store", signal: either });
    if (!answer.ok || !answer.body) return;
    opened();
    await node.sync();
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let line = "";
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      clearTimeout(heard);
      heard = setTimeout(() => silence.abort(), SILENCE);
      const lines = (line + read.value).split(/\r?\n/);
      line = lines.pop() ?? "";
      if (lines.some((line) => /^event: ?mail$/.test(line))) await node.sync();
    }
  } finally {
    clearTimeout(heard);
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
