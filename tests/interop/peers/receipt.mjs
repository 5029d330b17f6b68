// Receipts (C2SP tlog-proof) checked by what others wrote for another log: the checkpoint and the
// Merkle tree of `@sigstore/verify`. Its parts are taken one by one, since its front door wants
// Sigstore's own entries.

import assert from 'node:assert/strict';
import { createHash, createPublicKey } from 'node:crypto';
import { verifyCheckpoint } from '@sigstore/verify/dist/tlog/checkpoint.js';
import { verifyMerkleInclusion } from '@sigstore/verify/dist/tlog/merkle.js';

const base64url = (text) => Buffer.from(text, 'base64url');

function sha256(...parts) {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
}

/** The log's key as `@sigstore/verify` wants it; its name is the log's origin. */
function logOf({ notary, log_key }) {
  const name = `hdms-log/${notary}`;
  const key = { kty: 'OKP', crv: 'Ed25519', x: log_key };
  return {
    logID: sha256(name, '\n', Buffer.from([1]), base64url(log_key)),
    baseURL: name,
    publicKey: createPublicKey({ key, format: 'jwk' }),
  };
}

/** What the receipt opens, seen to be in the log that its checkpoint commits to. */
export function received(receipt, log) {
  const end = receipt.indexOf('\n\n');
  const [title, extra, index, ...hashes] = receipt.slice(0, end).split('\n');
  assert.equal(title, 'c2sp.org/tlog-proof@v1');
  assert.match(extra, /^extra \S+$/);
  assert.match(index, /^index \d+$/);
  const opening = JSON.parse(Buffer.from(extra.split(' ')[1], 'base64').toString());
  const time = Buffer.alloc(8);
  time.writeBigUInt64BE(BigInt(opening.time));
  const { salt, entry, verification_key } = opening;
  const document = sha256('hdms-document/v1\n', base64url(salt), `${entry}\n${verification_key}`);
  const commitments = [document, base64url(opening.place), base64url(opening.parties)];
  const logged = {
    canonicalizedBody: Buffer.concat([Buffer.from([opening.version]), time, ...commitments]),
    inclusionProof: {
      logIndex: index.split(' ')[1],
      hashes: hashes.map((hash) => Buffer.from(hash, 'base64')),
      checkpoint: { envelope: receipt.slice(end + 2) },
    },
  };
  const checkpoint = verifyCheckpoint(logged, [logOf(log)]);
  assert.equal(checkpoint.origin, `hdms-log/${log.notary}`);
  verifyMerkleInclusion(logged, checkpoint);
  return opening;
}
