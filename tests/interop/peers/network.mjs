// The simulated network of `hdms-interop`, as a peer sees it: commands in, answers out.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

const root = new URL('../../../', import.meta.url);

/** Private JWKs by the participant's name, `{signing, encryption}`. */
export const KEYS = JSON.parse(
  readFileSync(new URL('tests/simulation/vectors/keys.json', root), 'utf8'),
);

/** Starts a network; `stop` ends it. */
export async function start() {
  const command = process.env.HDMS_INTEROP ?? new URL('target/debug/hdms-interop', root).pathname;
  const child = spawn(command, { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();

  /** The whole answer: `{ok}` or `{refused}`. */
  async function answer(command) {
    child.stdin.write(`${JSON.stringify(command)}\n`);
    return JSON.parse((await lines.next()).value);
  }

  /** The answer to a command that must not be refused. */
  async function ask(command) {
    const { ok, refused } = await answer(command);
    assert.equal(refused, undefined, Object.keys(command)[0]);
    return ok;
  }

  /** The only message sent since the last time: its envelope, which must be of this type. */
  async function mail(type) {
    const sent = await ask('mail');
    assert.deepEqual(sent.map((message) => message.type), [type]);
    return sent[0].envelope;
  }

  return { answer, ask, mail, stop: () => child.kill(), ...(await ask('network')) };
}
