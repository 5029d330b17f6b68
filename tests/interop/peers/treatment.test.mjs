// The treatment scenario with one side played by a peer: it opens what we seal, we open what it
// seals.

import assert from 'node:assert/strict';
import { createHash, createPublicKey, randomBytes, verify } from 'node:crypto';
import { after, before, beforeEach, test } from 'node:test';
import { start } from './network.mjs';
import { Peer, card, drawText, logs, uuid, verificationKey, verified } from './peer.mjs';
import { received } from './receipt.mjs';

const OBSERVATION = {
  resourceType: 'Observation', id: 'hba1c', status: 'final', code: { text: 'HbA1c' },
  subject: { display: 'Kim Minji' }, valueQuantity: { value: 6.1, unit: '%' },
};
/** Of the cases that our patient begins, and what their first entry says of it. */
const SECRET = Buffer.alloc(32, 7);
const CASE_SECRET = createHash('sha256').update('hdms-case-secret/v2\n').update(SECRET).digest('base64url');
const ASKED = { resources: ['Observation'], purpose: 'Before surgery' };

let network, patient, hospital, cards, log, thd;

before(async () => {
  network = await start();
  cards = Object.fromEntries(
    await Promise.all(
      Object.entries(network.cards).map(async ([name, jwt]) => [name, await card(jwt, network)]),
    ),
  );
  log = (await logs(network))[cards.notary.sub];
  patient = await Peer.play('patient', network);
  hospital = await Peer.play('hospital', network);
});
beforeEach(() => {
  thd = uuid(network);
});
after(() => network.stop());

const toHospital = (envelope) => network.ask({ receive: { toPatient: false, envelope } });
const toPatient = (envelope) => network.ask({ receive: { toPatient: true, envelope } });

function entry(kind, record) {
  const [author, counterparty] =
    kind === 'request' ? [patient.id, hospital.id] : [hospital.id, patient.id];
  const verification_key = verificationKey(record);
  const first = kind === 'request' ? { case_secret: CASE_SECRET, draw: draw() } : {};
  return { id: uuid(network), kind, case: thd, author, counterparty, verification_key, ...first };
}

/** Our patient's part of the draw of a case's notary. */
function draw() {
  const { manifest } = network.documents;
  const { number } = JSON.parse(Buffer.from(manifest.split('.')[1], 'base64url').toString());
  const value = randomBytes(32).toString('base64url');
  return { number, manifest: verificationKey(manifest), key: hospital.id, value };
}

/** A receipt, seen to be the notary's and about `about`. */
function receipt(text, about) {
  const { entry: id, verification_key } = received(text, log);
  assert.deepEqual([id, verification_key], [about.id, about.verification_key]);
  return text;
}

/** An endorsement's entry, seen to be signed by the owner of the card's claims. */
async function endorsed(jwt, by) {
  const { claims } = await verified(jwt, by.signing_key, 'hdms-endorsement+jwt');
  assert.equal(claims.iss, by.sub);
  assert.equal(claims.entries.length, 1);
  return claims.entries[0];
}

/** Deposits an entry as `peer`, the first of a case with its secret; the notary's receipt. */
async function deposit(peer, about, endorsements, case_secret, drawn) {
  const known = [network.cards.patient, network.cards.hospital];
  const body = { cards: known, endorsements, deposits: [{ entry: about.id, case_secret, draw: drawn }] };
  const envelope = await peer.seal(cards.notary, 'notary/deposit', thd, body);
  const { answers } = await network.ask({ deposit: { envelope } });
  return receipt(answers[0].receipt, about);
}

test('no altered receipt of ours is taken by another log\'s verifier', async () => {
  const wish = { reason: 'Cough', date: null, may_read: [] };
  await network.ask({ ask: { case: thd, request: wish } });
  const { body } = await hospital.open(await network.mail('treatment/request'), cards.patient, 'treatment/request');
  const request = await endorsed(body.endorsement, cards.patient);
  const mine = await hospital.endorse(request);
  const lines = (await deposit(hospital, request, [body.endorsement, mine], body.case_secret, hospital.drawn(request))).split('\n');
  const signature = lines.findIndex((line) => line.startsWith('\u2014 hdms-log/'));
  const altered = lines.slice(0, signature + 1).flatMap((line, place) => {
    const middle = Math.floor(line.length / 2);
    const letter = line[middle] === 'A' ? 'B' : 'A';
    return line && [lines.with(place, line.slice(0, middle) + letter + line.slice(middle + 1))];
  }).filter(Boolean);
  assert.ok(altered.length >= 6);
  for (const each of altered) assert.throws(() => received(each.join('\n'), log), each.join('\n'));
});

test('a patient written with jose and @sd-jwt/core is treated by our hospital', async () => {
  const fhir = {
    resourceType: 'ServiceRequest', status: 'active', intent: 'proposal',
    subject: { identifier: { system: 'urn:hdms:node', value: patient.id } },
    reasonCode: [{ text: 'Cough' }],
    supportingInfo: [{ type: 'Observation' }],
  };
  const record = await patient.issue({
    fhir, facts: { kinds: ['ServiceRequest'], codes: [] }, patient: patient.id, thd,
    holder: patient.holderJwk,
  });
  const request = entry('request', record);
  const mine = await patient.endorse(request);
  const case_secret = SECRET.toString('base64url');
  const { manifest } = network.documents;
  const body = { record, endorsement: mine, name: 'Kim Minji', case_secret, manifest };
  const first = await patient.seal(cards.hospital, 'treatment/request', thd, body);
  assert.equal(await toHospital(first), 'applied');
  assert.equal(await toHospital(first), 'repeated');

  await network.ask({ approve: { case: thd } });
  const approval = await patient.open(await network.mail('treatment/approval'), cards.hospital, 'treatment/approval');
  assert.deepEqual(await endorsed(approval.body.endorsement, cards.hospital), request);
  receipt(approval.body.receipt, request);
  const signature = Buffer.from(approval.body.draw.signature, 'base64url');
  const key = createPublicKey({ key: cards.hospital.signing_key, format: 'jwk' });
  assert.ok(verify('sha256', drawText(request), key, signature));

  await network.ask({ 'hand-in': { case: thd, results: [OBSERVATION] } });
  const handed = await patient.open(await network.mail('treatment/result'), cards.hospital, 'treatment/result');
  const [{ entry: result, record: its }] = handed.body.results;
  assert.deepEqual([handed.body.of, handed.body.results.length], [1, 1]);
  const { fhir: content, sub, case: about } = await patient.readWhole(its, cards.hospital);
  assert.deepEqual([content, sub, about], [OBSERVATION, patient.id, thd]);
  const logged = await endorsed(handed.body.endorsement, cards.hospital);
  assert.deepEqual([logged.id, logged.verification_key], [result, verificationKey(its)]);
  const endorsement = await patient.endorse(logged);
  const proof = await deposit(patient, logged, [handed.body.endorsement, endorsement]);
  const confirmation = { endorsement, receipts: [proof] };
  assert.equal(await toHospital(await patient.seal(cards.hospital, 'treatment/confirmation', thd, confirmation)), 'applied');

  const asked = { id: uuid(network), ...ASKED };
  await network.ask({ 'ask-for-data': { case: thd, asked } });
  const question = await patient.open(await network.mail('treatment/data-request'), cards.hospital, 'treatment/data-request');
  assert.deepEqual(question.body, asked);
  const shown = await patient.present(its, { sub: true, case: true }, asked.id, hospital.id);
  const data = { request: asked.id, records: [{ record: shown, receipt: proof }] };
  assert.equal(await toHospital(await patient.seal(cards.hospital, 'treatment/data', thd, data)), 'applied');

  const state = await network.ask({ state: { ofPatient: false, case: thd } });
  assert.equal(state.results[0].id, result);
  assert.deepEqual(state.results[0].status.committed.entry, logged);
  assert.deepEqual(state.data_requests[0].answer.answered.records, [logged.verification_key]);
});

test('a hospital written with jose and @sd-jwt/core treats our patient', async () => {
  const wish = { reason: 'Cough', date: '2026-01-05', may_read: ['Observation'] };
  await network.ask({ ask: { case: thd, request: wish } });
  const asked = await hospital.open(await network.mail('treatment/request'), cards.patient, 'treatment/request');
  assert.equal(asked.card, network.cards.patient);
  const { fhir, cnf } = await hospital.readWhole(asked.body.record, cards.patient);
  assert.deepEqual(fhir.reasonCode, [{ text: 'Cough' }]);
  const request = await endorsed(asked.body.endorsement, cards.patient);
  assert.equal(request.verification_key, verificationKey(asked.body.record));
  const mine = await hospital.endorse(request);
  const proof = await deposit(hospital, request, [asked.body.endorsement, mine], asked.body.case_secret, hospital.drawn(request));
  const approval = { endorsement: mine, receipt: proof, draw: hospital.drawn(request) };
  assert.equal(await toPatient(await hospital.seal(cards.patient, 'treatment/approval', thd, approval)), 'applied');

  const found = { ...OBSERVATION, effectiveDateTime: '2026-03-01' };
  const bundle = { resourceType: 'Bundle', type: 'collection', entry: [{ resource: found }, { resource: { resourceType: 'Patient', gender: 'female', birthDate: '1984-03-02' } }] };
  // The age is of the day on which the value was found.
  const facts = { kinds: ['Observation', 'Patient'], codes: [], year: 2026, age: 41 };
  const frame = { entry: { _sd: [0, 1], 0: { resource: { _sd: ['subject'] } } } };
  const record = await hospital.issue({ fhir: bundle, frame, facts, patient: patient.id, thd, holder: cnf.jwk });
  const result = entry('result', record);
  const body = {
    hand_in: uuid(network), of: 1, results: [{ entry: result.id, record }],
    endorsement: await hospital.endorse(result),
  };
  assert.equal(await toPatient(await hospital.seal(cards.patient, 'treatment/result', thd, body)), 'applied');
  await network.ask({ confirm: { case: thd, entries: [result.id] } });
  const confirmed = await hospital.open(await network.mail('treatment/confirmation'), cards.patient, 'treatment/confirmation');
  assert.deepEqual(await endorsed(confirmed.body.endorsement, cards.patient), result);
  receipt(confirmed.body.receipts[0], result);

  const question = { id: uuid(network), ...ASKED };
  assert.equal(await toPatient(await hospital.seal(cards.patient, 'treatment/data-request', thd, question)), 'applied');
  await network.ask({ share: { case: thd, request: question.id, entry: result.id } });
  const data = await hospital.open(await network.mail('treatment/data'), cards.patient, 'treatment/data');
  const [shared] = data.body.records;
  const { fhir: content, kb } = await hospital.readWhole(shared.record, cards.hospital, question.id);
  assert.deepEqual(content, bundle);
  assert.deepEqual([kb.aud, kb.nonce], [hospital.id, question.id]);
  receipt(shared.receipt, result);

  const places = ['/fhir/entry/0/resource/code'];
  const chosen = await network.ask({ present: { record, places, nonce: 'n-1', audience: hospital.id } });
  const part = await hospital.read(chosen, cards.hospital, 'n-1');
  const { subject: _, ...bare } = found;
  assert.deepEqual(part.fhir.entry, [{ resource: bare }]);
  assert.deepEqual([part.sub, part.decoys], [undefined, undefined]);
  await assert.rejects(hospital.read(chosen, cards.hospital, 'n-2'));
});
