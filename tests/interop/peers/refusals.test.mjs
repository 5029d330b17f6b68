// What is tampered with is refused on both sides: what the peer alters of ours by its libraries,
// what it alters of its own by us, each with the code of the check that must see it.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import * as jose from 'jose';
import { KEYS, start } from './network.mjs';
import { Peer, card, encrypt, sign, uuid, verified } from './peer.mjs';

let network, patient, hospital, cards, thd;

before(async () => {
  network = await start();
  thd = uuid(network);
  cards = {};
  for (const [name, jwt] of Object.entries(network.cards)) cards[name] = await card(jwt, network);
  patient = await Peer.play('patient', network);
  hospital = await Peer.play('hospital', network);
});
after(() => network.stop());

const OBSERVATION = { resourceType: 'Observation', status: 'final', code: { text: 'HbA1c' }, subject: {} };

/** `compact` with one bit of the `index`th part changed; of a disclosure, in its salt. */
function altered(compact, index, separator = '.') {
  const parts = compact.split(separator);
  const bytes = Buffer.from(parts[index], 'base64url');
  bytes[separator === '~' ? 4 : bytes.length - 4] ^= 1;
  parts[index] = bytes.toString('base64url');
  return parts.join(separator);
}

async function refusal(envelope) {
  return (await network.answer({ receive: { toPatient: true, envelope } })).refused;
}

const question = () => ({ id: uuid(network), resources: [], purpose: '' });
const toPatient = (claims) => hospital.enclose(claims, cards.patient);
const good = () => hospital.claims(cards.patient, 'treatment/data-request', thd, question());

test('an envelope of ours is refused by jose once any part of it is altered', async () => {
  await network.ask({ ask: { case: thd, request: { reason: 'Cough', date: null, may_read: [] } } });
  const envelope = await network.mail('treatment/request');
  const open = (text) => hospital.open(text, cards.patient, 'treatment/request');
  const { body } = await open(envelope);
  for (const part of [0, 1, 2, 3, 4]) await assert.rejects(open(altered(envelope, part)), `part ${part}`);
  await assert.rejects(patient.open(envelope, cards.patient, 'treatment/request'));

  const key = cards.patient.signing_key;
  await verified(body.endorsement, key, 'hdms-endorsement+jwt');
  for (const part of [1, 2]) {
    await assert.rejects(verified(altered(body.endorsement, part), key, 'hdms-endorsement+jwt'));
    await assert.rejects(card(altered(network.cards.patient, part), network));
  }
  await assert.rejects(verified(body.endorsement, cards.hospital.signing_key, 'hdms-endorsement+jwt'));

  // `@sd-jwt/core` passes over a disclosure that fits no digest: what was altered stays concealed.
  const parts = body.record.split('~');
  for (let part = 1; part < parts.length - 1; part += 1) {
    const without = parts.toSpliced(part, 1).join('~');
    assert.deepEqual(
      await hospital.read(altered(body.record, part, '~'), cards.patient),
      await hospital.read(without, cards.patient),
      `disclosure ${part}`,
    );
  }
  await assert.rejects(hospital.read(altered(parts[0], 2) + '~', cards.patient));
  await assert.rejects(hospital.read(body.record, cards.hospital));
});

test('an envelope of the peer is refused by us once any part of it is altered', async () => {
  const envelope = await toPatient(good());
  assert.equal(await refusal(altered(envelope, 0)), 'envelope/wrong-key');
  for (const part of [1, 2, 3, 4]) assert.equal(await refusal(altered(envelope, part)), 'envelope/decryption');
  assert.equal(await refusal(envelope.split('.').slice(1).join('.')), 'envelope/malformed');
  assert.equal(await refusal(`${envelope}${'A'.repeat(1_048_576)}`), 'envelope/too-large');
});

test('claims that a peer signed wrongly are refused by us, each with its code', async () => {
  const now = network.now;
  for (const [change, code] of [
    [{ aud: cards.hospital.sub }, 'envelope/wrong-audience'],
    [{ iss: cards.notary.sub }, 'envelope/signature'],
    [{ iss: '0'.repeat(43) }, 'card/unknown'],
    [{ iat: now - 7200, exp: now - 3600 }, 'envelope/expired'],
    [{ iat: now + 3600, exp: now + 7200 }, 'envelope/not-yet-valid'],
    [{ exp: now + 365 * 24 * 3600 }, 'envelope/expired'],
    [{ type: 'treatment/telepathy' }, 'envelope/unknown-type'],
    [{ type: 'treatment/request' }, 'envelope/type-not-for-role'],
    [{ jti: 'one' }, 'envelope/malformed'],
    [{ more: true }, 'envelope/malformed'],
    [{ body: {} }, 'envelope/body'],
    [{ thd: uuid(network) }, 'treatment/unknown-case'],
  ]) {
    assert.equal(await refusal(await toPatient({ ...good(), ...change })), code, JSON.stringify(change));
  }
  const stranger = Object.assign(new Peer(), hospital, { keys: KEYS.stranger });
  assert.equal(await refusal(await stranger.enclose(good(), cards.patient)), 'envelope/signature');
});

test('a card that no Doorman of the network signed is refused by us', async () => {
  const own = { ...cards.patient, name: 'Somebody else' };
  const header = { alg: 'PS256', typ: 'hdms-card+jwt', kid: cards.patient.iss };
  const claims = patient.claims(cards.hospital, 'treatment/request', thd, {});
  const send = async (change) => {
    const envelope = await patient.enclose({ ...claims, ...change }, cards.hospital);
    return (await network.answer({ receive: { toPatient: false, envelope } })).refused;
  };
  const self = await sign(own, header, KEYS.patient.signing);
  assert.equal(await send({ card: self }), 'card/forged');
  assert.equal(await send({ card: altered(network.cards.patient, 2) }), 'card/forged');
  assert.equal(await send({ card: network.cards.hospital }), 'card/mismatch');
  assert.equal(await send({ card: 'none' }), 'card/malformed');
});

test('algorithms that a peer chose wrongly are refused by us by their name', async () => {
  const { encryption_key: recipient } = cards.patient;
  const kid = await jose.calculateJwkThumbprint(recipient);
  const right = { alg: 'RSA-OAEP-256', enc: 'A256GCM', cty: 'JWT', kid };
  const inner = { alg: 'PS256', typ: 'hdms+jwt', kid: hospital.id };
  const seal = async (header, jwt) => refusal(await encrypt(jwt, { ...right, ...header }, recipient));
  const jwt = await sign(good(), inner, KEYS.hospital.signing);
  assert.equal(await seal({ alg: 'RSA-OAEP' }, jwt), 'envelope/algorithm');
  assert.equal(await seal({ enc: 'A256CBC-HS512' }, jwt), 'envelope/algorithm');
  assert.equal(await seal({ cty: undefined }, jwt), 'envelope/malformed');

  const unsecured = new jose.UnsecuredJWT(good()).encode();
  assert.equal(await seal({}, unsecured), 'envelope/algorithm');
  const rs256 = await sign(good(), { ...inner, alg: 'RS256' }, KEYS.hospital.signing);
  assert.equal(await seal({}, rs256), 'envelope/algorithm');
  const secret = { kty: 'oct', k: cards.hospital.signing_key.n };
  const hs256 = await sign(good(), { ...inner, alg: 'HS256' }, secret);
  assert.equal(await seal({}, hs256), 'envelope/algorithm');
  assert.equal(await seal({}, await sign(good(), { ...inner, typ: 'JWT' }, KEYS.hospital.signing)), 'envelope/malformed');
});

test('a record of the peer is refused by us once any part of it is altered', async () => {
  const facts = { kinds: ['Observation'], codes: [] };
  const all = { fhir: OBSERVATION, facts, patient: patient.id, thd, holder: patient.holderJwk };
  const record = await hospital.issue(all);
  const verify = (text) => network.answer({ verify: { record: text } });
  const { ok } = await verify(record);
  assert.deepEqual([ok.fhir, ok.subject, ok.case], [OBSERVATION, patient.id, thd]);
  const [jwt, ...disclosures] = record.split('~').slice(0, -1);
  const bare = (await verify(`${jwt}~`)).ok;
  assert.deepEqual(bare.fhir, { resourceType: 'Observation' });

  for (let part = 1; part <= disclosures.length; part += 1) {
    const { refused } = await verify(altered(record, part, '~'));
    assert.equal(refused, 'record/signature', `disclosure ${part}`);
  }
  assert.equal((await verify(`${altered(jwt, 2)}~`)).refused, 'record/signature');
  assert.equal((await verify(`${record}${disclosures[0]}~`)).refused, 'record/signature');
  assert.equal((await verify(`${[jwt, ...disclosures.slice(1)].join('~')}~`)).refused, 'record/incomplete');
  const untrue = await hospital.issue({ ...all, facts: { ...facts, codes: ['s|1'] } });
  assert.equal((await verify(untrue)).refused, 'record/facts');
  const other = await patient.issue(all);
  assert.equal((await verify(other)).refused, 'record/wrong-author');
});
