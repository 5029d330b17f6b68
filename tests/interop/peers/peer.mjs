// A participant of the network, written with npm `jose` and `@sd-jwt/core` from the protocol alone.

import assert from 'node:assert/strict';
import { createHash, createPrivateKey, randomBytes, sign as signPkcs1 } from 'node:crypto';
import { SDJwtInstance } from '@sd-jwt/core';
import * as jose from 'jose';
import { KEYS } from './network.mjs';

const RECORD = 'hdms-record-2+sd-jwt';
/** Characters of a salt. */
const SALT = 22;

const sha256 = (data) => createHash('sha256').update(data).digest();

/** base64url of the SHA-256 over the ASCII of a signed JWT. */
export const verificationKey = (sdJwt) => sha256(sdJwt.split('~')[0]).toString('base64url');

/** The decoy digest of a record's seed with this number: what is hashed can't be a disclosure. */
const decoyOf = (seed, number) => `hdms-decoy:${seed}:${number}`;

/** To how many digests so many are rounded up. */
const rounded = (count) => (count > 16 ? 16 * Math.ceil(count / 16) : 2 ** Math.ceil(Math.log2(count)));

/** A frame with as many decoys as round the number of what is concealed up. */
function withDecoys(frame) {
  const inner = Object.entries(frame).filter(([name]) => !name.startsWith('_sd'));
  const below = Object.fromEntries(inner.map(([name, each]) => [name, withDecoys(each)]));
  const { _sd = [] } = frame;
  return { ...below, ...(_sd.length && { _sd, _sd_decoy: rounded(_sd.length) - _sd.length }) };
}

/** All digests in some JSON. */
function digestsIn(value) {
  if (value === null || typeof value !== 'object') return [];
  const own = [...(value._sd ?? []), ...(typeof value['...'] === 'string' ? [value['...']] : [])];
  return own.concat(Object.values(value).flatMap(digestsIn));
}

/** That nothing of a record is withheld but perhaps its case. */
function expectWhole(record, { decoys, case: about }) {
  const [jwt, ...disclosures] = record.slice(0, record.lastIndexOf('~')).split('~');
  const parsed = (part) => JSON.parse(Buffer.from(part, 'base64url').toString());
  const digests = [jwt.split('.')[1], ...disclosures].flatMap((part) => digestsIn(parsed(part)));
  const base64url = (text) => sha256(text).toString('base64url');
  const known = new Set(disclosures.map(base64url));
  const withheld = digests.filter((digest) => !known.has(digest));
  const made = new Set(withheld.map((_, number) => base64url(decoyOf(decoys, number))));
  const others = withheld.filter((digest) => !made.has(digest));
  assert.ok(others.length <= (about === undefined ? 1 : 0), 'something is withheld');
}

/** FHIR content without what says the order of its members. */
function withoutOrders(value) {
  if (value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) return value.map(withoutOrders);
  const members = Object.entries(value).filter(([name]) => name !== '$order');
  return Object.fromEntries(members.map(([name, member]) => [name, withoutOrders(member)]));
}

/** A new UUIDv7 of a network's time. */
export function uuid(network) {
  const time = (network.now * 1000).toString(16).padStart(12, '0');
  const random = randomBytes(8).toString('hex');
  const tail = `8${random.slice(3, 6)}-${random.slice(4)}`;
  return `${time.slice(0, 8)}-${time.slice(8)}-7${random.slice(0, 3)}-${tail}`;
}

/** The claims of a JWT that `jwk` must have signed with PS256 and this `typ`, and its header. */
export async function verified(jwt, jwk, typ) {
  const key = await jose.importJWK(jwk, 'PS256');
  const { payload, protectedHeader } = await jose.compactVerify(jwt, key, { algorithms: ['PS256'] });
  assert.equal(protectedHeader.typ, typ);
  return { claims: JSON.parse(new TextDecoder().decode(payload)), header: protectedHeader };
}

/** The key that signs for the Doorman now, as the network's root key says. */
async function doorman(network) {
  const { claims } = await verified(network.documents.doormen, network.root, 'hdms-doormen+jwt');
  assert.ok(network.now < claims.exp);
  return claims.doormen.find(({ until }) => until === undefined).key;
}

/** The logs that the network's map lists, by their notaries. */
export async function logs(network) {
  const { claims } = await verified(network.documents.map, await doorman(network), 'hdms-map+jwt');
  return Object.fromEntries(claims.logs.map((log) => [log.notary, log]));
}

/** The claims of a card whose chain leads to the network's root key. */
export async function card(jwt, network) {
  const key = await doorman(network);
  const { claims, header } = await verified(jwt, key, 'hdms-card+jwt');
  assert.equal(header.kid, await jose.calculateJwkThumbprint(key));
  assert.equal(await jose.calculateJwkThumbprint(claims.signing_key), claims.sub);
  assert.ok(claims.iat <= network.now && network.now < claims.exp);
  const { claims: stated } =
    await verified(claims.subkeys, claims.signing_key, 'hdms-subkeys+jwt');
  assert.equal(stated.iss, claims.sub);
  return { ...claims, encryption_key: stated.encryption };
}

/** Signs claims as a compact JWT with the private JWK. */
export async function sign(claims, header, jwk) {
  const key = await jose.importJWK(jwk, header.alg);
  const bytes = new TextEncoder().encode(JSON.stringify(claims));
  return new jose.CompactSign(bytes).setProtectedHeader(header).sign(key);
}

/** To how many octets so many are padded. */
export function sizeClass(length) {
  if (length >= 588_000) return length;
  const exponent = Math.floor(Math.log2(Math.max(length, 1024)));
  const step = 2 ** (exponent - Math.floor(Math.log2(exponent)) - 1);
  return Math.min(Math.max(Math.ceil(length / step) * step, 1024), 588_000);
}

/** JSON with the spaces that bring it to its size class. */
function padded(claims) {
  const bytes = new TextEncoder().encode(JSON.stringify(claims));
  const whole = new Uint8Array(sizeClass(bytes.length)).fill(0x20);
  whole.set(bytes);
  return whole;
}

/** Encrypts a text as a compact JWE to the public JWK. */
export async function encrypt(text, header, jwk) {
  const key = await jose.importJWK(jwk, header.alg);
  return new jose.CompactEncrypt(new TextEncoder().encode(text))
    .setProtectedHeader(header)
    .encrypt(key);
}

/** What a hospital signs for the draw of a case's notary, by RSASSA-PKCS1-v1_5. */
export function drawText(entry) {
  const { case: about, id, author, counterparty, verification_key, case_secret, draw } = entry;
  const { number, manifest, key, value } = draw;
  return Buffer.from([
    'hdms-notary-draw/v2', about, id, author, counterparty, verification_key, case_secret,
    number, manifest, key, value,
  ].join('\n'));
}

export class Peer {
  /** Plays `name` (`patient` or `hospital`) with its keys. */
  static async play(name, network) {
    const own = await card(network.cards[name], network);
    const holder = await jose.generateKeyPair('ES256', { extractable: true });
    return Object.assign(new Peer(), {
      network,
      keys: KEYS[name],
      id: own.sub,
      card: network.cards[name],
      holder,
      holderJwk: await jose.exportJWK(holder.publicKey),
    });
  }

  /** Claims of a message, for tests that alter them. */
  claims(to, type, thd, body) {
    const iat = this.network.now;
    const begins = type === 'treatment/request' || type === 'notary/deposit';
    return {
      iss: this.id, aud: to.sub, iat, exp: iat + 3600, jti: uuid(this.network), thd, type, body,
      ...(begins && { card: this.card }),
    };
  }

  /** An envelope to the owner of the card's claims `to`. */
  async seal(to, type, thd, body) {
    return this.enclose(this.claims(to, type, thd, body), to);
  }

  async enclose(claims, to) {
    const header = { alg: 'PS256', typ: 'hdms+jwt', kid: this.id };
    const kid = await jose.calculateJwkThumbprint(to.encryption_key);
    const outer = { alg: 'RSA-OAEP-256', enc: 'A256GCM', cty: 'JWT', kid };
    const key = await jose.importJWK(this.keys.signing, 'PS256');
    const signed = new jose.CompactSign(padded(claims)).setProtectedHeader(header).sign(key);
    return encrypt(await signed, outer, to.encryption_key);
  }

  /** The claims of an envelope to this peer from the owner of the card's claims `from`. */
  async open(envelope, from, type) {
    const key = await jose.importJWK(this.keys.encryption, 'RSA-OAEP-256');
    const { plaintext, protectedHeader } = await jose.compactDecrypt(envelope, key, {
      keyManagementAlgorithms: ['RSA-OAEP-256'],
      contentEncryptionAlgorithms: ['A256GCM'],
    });
    const kid = await jose.calculateJwkThumbprint(this.keys.encryption);
    assert.deepEqual(protectedHeader, { alg: 'RSA-OAEP-256', enc: 'A256GCM', cty: 'JWT', kid });
    const jwt = new TextDecoder().decode(plaintext);
    const { claims, header } = await verified(jwt, from.signing_key, 'hdms+jwt');
    assert.equal(header.kid, from.sub);
    assert.deepEqual([claims.iss, claims.aud, claims.type], [from.sub, this.id, type]);
    assert.ok(claims.iat <= this.network.now + 60 && claims.exp - claims.iat === 30 * 24 * 3600);
    assert.match(claims.jti, /^[0-9a-f]{8}-[0-9a-f]{4}-7/);
    return claims;
  }

  /** This peer's endorsement of a ledger entry. */
  async endorse(entry) {
    const claims = { iss: this.id, iat: this.network.now, entries: [entry] };
    return sign(claims, { alg: 'PS256', typ: 'hdms-endorsement+jwt', kid: this.id }, this.keys.signing);
  }

  /** This hospital's part of the draw of a case's notary, of which there is one here. */
  drawn(entry) {
    const key = createPrivateKey({ key: this.keys.signing, format: 'jwk' });
    return { signature: signPkcs1('sha256', drawText(entry), key).toString('base64url') };
  }

  /**
   * Issues a record over FHIR content, which is about `facts`; `frame` names what is concealed deeper in it.
   */
  async issue({ fhir, frame, facts, patient, thd, holder }) {
    const iat = this.network.now - (this.network.now % 86_400);
    const decoys = randomBytes(32).toString('base64url');
    const said = { sub: patient, case: thd, ...facts, decoys };
    const claims = { iss: this.id, iat, cnf: { jwk: holder }, fhir, ...said };
    const members = Object.keys(fhir).filter((name) => name !== 'resourceType');
    const names = Object.keys(said);
    const concealed = {
      _sd: names, _sd_decoy: 8 - names.length, fhir: withDecoys({ ...frame, _sd: members }),
    };
    const header = { alg: 'PS256', typ: RECORD, kid: this.id };
    return this.sdJwt(undefined, decoys).issue(claims, concealed, { header });
  }

  /** What a record of the present format discloses that the owner of the card's claims `author` issued. */
  async read(record, author, nonce) {
    const { payload, header, kb } = await this.sdJwt(author.signing_key).verify(record, {
      currentDate: this.network.now + 60,
      keyBindingNonce: nonce,
    });
    assert.deepEqual(header, { alg: 'PS256', typ: RECORD, kid: author.sub });
    assert.equal(payload.iss, author.sub);
    return { ...payload, fhir: withoutOrders(payload.fhir), kb: kb?.payload };
  }

  /** The same of a record that has to be whole, as new ones are. */
  async readWhole(record, author, nonce) {
    const claims = await this.read(record, author, nonce);
    expectWhole(record, claims);
    return claims;
  }

  /** Presents a record to `audience`; `frame` names what is disclosed. */
  async present(record, frame, nonce, audience) {
    const kb = { payload: { iat: this.network.now, aud: audience, nonce } };
    return this.sdJwt().present(record, frame, { kb });
  }

  /**
   * `@sd-jwt/core` with this peer's keys; records of `author`'s key can be verified, and what is issued
   * has the decoys of `seed`.
   */
  sdJwt(author, seed) {
    let made = 0;
    // For a decoy it hashes a salt alone, which is shorter than any disclosure.
    const hashed = (data) => (seed && data.length === SALT ? decoyOf(seed, made++) : data);
    const signer = (jwk, alg) => async (data) => {
      const [protectedPart] = data.split('.');
      const header = JSON.parse(Buffer.from(protectedPart, 'base64url').toString());
      assert.equal(header.alg, alg);
      const payload = Buffer.from(data.split('.')[1], 'base64url');
      const key = jwk.kty ? await jose.importJWK(jwk, alg) : jwk;
      const jws = await new jose.CompactSign(payload).setProtectedHeader(header).sign(key);
      assert.equal(jws.slice(0, protectedPart.length), protectedPart);
      return jws.split('.')[2];
    };
    const verifier = async (jwk, alg, data, signature) => {
      const key = await jose.importJWK(jwk, alg);
      const held = jose.compactVerify(`${data}.${signature}`, key, { algorithms: [alg] });
      return held.then(() => true, () => false);
    };
    return new SDJwtInstance({
      hashAlg: 'sha-256',
      hasher: async (data) => new Uint8Array(sha256(hashed(data))),
      saltGenerator: async () => randomBytes(16).toString('base64url'),
      signAlg: 'PS256',
      signer: signer(this.keys.signing, 'PS256'),
      verifier: (data, signature) => verifier(author, 'PS256', data, signature),
      kbSignAlg: 'ES256',
      kbSigner: signer(this.holder.privateKey, 'ES256'),
      kbVerifier: (data, signature, { cnf }) => verifier(cnf.jwk, 'ES256', data, signature),
    });
  }
}
