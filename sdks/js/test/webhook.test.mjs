// Signatures of webhooks, compared with the document's own lines and with the library of Standard Webhooks.

import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import test from 'node:test';
import { Webhook } from 'standardwebhooks';
import { WebhookVerificationError, verifyWebhook } from 'orrery-agent-platform';
import { errorOf } from './support/server.mjs';

const SECRET = `whsec_${Buffer.from('0123456789abcdef0123456789abcdef').toString('base64')}`;
const OTHER = `whsec_${Buffer.from('fedcba9876543210fedcba9876543210').toString('base64')}`;
const EVENT = {
  event: 'conversation.escalated', timestamp: '2024-01-15T14:30:00Z',
  data: { session_id: 'sess_abc123', reason: 'user_requested', context: { summary: 'Grüße 👋🏽' } },
};
const BODY = JSON.stringify(EVENT);

/** The headers of Standard Webhooks, by its library. */
function standard(secret, { body = BODY, at = Date.now() } = {}) {
  const signature = new Webhook(secret).sign('evt_1', new Date(at), body);
  return { 'webhook-id': 'evt_1', 'webhook-timestamp': String(Math.floor(at / 1000)), 'webhook-signature': signature };
}

/** The document's header. */
function documented(secret, body = BODY) {
  return { 'x-kore-signature': crypto.createHmac('sha256', secret).update(body).digest('hex') };
}

async function refused(payload, headers, secret, options) {
  const error = await errorOf(verifyWebhook(payload, headers, secret, options));
  assert.ok(error instanceof WebhookVerificationError, error);
}

test("the document's lines make what is accepted", async () => {
  const webhookSecret = 'whsec_xxxxx';
  const req = { headers: documented(webhookSecret), body: Buffer.from(BODY) };
  const signature = req.headers['x-kore-signature'];
  const expected = crypto
    .createHmac('sha256', webhookSecret)
    .update(req.body)
    .digest('hex');

  if (signature !== expected) {
    throw new Error('Invalid signature');
  }
  assert.deepEqual(await verifyWebhook(req.body, req.headers, webhookSecret), EVENT);
});

test('the vector of Standard Webhooks holds', async () => {
  const secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
  const headers = {
    'webhook-id': 'msg_p5jXN8AQM9LWM0D4loKWxJek', 'webhook-timestamp': '1614265330',
    'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
  };
  // Signed right, but no event.
  const error = await errorOf(verifyWebhook('{"test": 2432232314}', headers, secret, { toleranceSeconds: Infinity }));
  assert.match(error.message, /no event/);
  await refused('{"test": 2432232315}', headers, secret, { toleranceSeconds: Infinity });
});

test("what Standard Webhooks' library signs is accepted, and the other way round", async () => {
  const headers = standard(SECRET);
  assert.deepEqual(await verifyWebhook(BODY, headers, SECRET), EVENT);
  assert.deepEqual(new Webhook(SECRET).verify(BODY, headers), EVENT);
  for (const wrong of [{ ...headers, 'webhook-id': 'evt_2' }, standard(OTHER), standard(SECRET, { body: `${BODY} ` })]) {
    await refused(BODY, wrong, SECRET);
    assert.throws(() => new Webhook(SECRET).verify(BODY, wrong));
  }
});

test('headers and bodies are taken as frameworks have them', async () => {
  const headers = { ...standard(SECRET), ...documented(SECRET) };
  const upper = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toUpperCase(), value]));
  const lists = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, [value]]));
  for (const given of [headers, upper, lists, new Headers(headers), Object.assign(Object.create(null), headers)]) {
    assert.deepEqual(await verifyWebhook(BODY, given, SECRET), EVENT);
  }
  const bytes = new TextEncoder().encode(BODY);
  for (const body of [BODY, bytes, Buffer.from(BODY), bytes.buffer]) {
    assert.deepEqual(await verifyWebhook(body, headers, SECRET), EVENT);
  }
});

test('while a secret is changed, each of several signatures is enough', async () => {
  const [first, second] = [standard(SECRET), standard(OTHER)];
  const both = { ...first, 'webhook-signature': `${first['webhook-signature']} v2,x v1,?? ${second['webhook-signature']}` };
  assert.deepEqual(await verifyWebhook(BODY, both, SECRET), EVENT);
  assert.deepEqual(await verifyWebhook(BODY, both, OTHER), EVENT);
});

test('the signed time is at most five minutes from now, or as far as is said', async () => {
  for (const minutes of [-6, 6]) {
    const headers = standard(SECRET, { at: Date.now() + minutes * 60_000 });
    await refused(BODY, headers, SECRET);
    assert.deepEqual(await verifyWebhook(BODY, headers, SECRET, { toleranceSeconds: 600 }), EVENT);
    await refused(BODY, headers, SECRET, { toleranceSeconds: Number.NaN });
    await refused(BODY, { ...headers, ...documented(SECRET) }, SECRET);
  }
  for (const minutes of [-4, 4]) await verifyWebhook(BODY, standard(SECRET, { at: Date.now() + minutes * 60_000 }), SECRET);
  await refused(BODY, { ...standard(SECRET), 'webhook-timestamp': 'now' }, SECRET);
});

test("the document's header counts where Standard Webhooks' cannot", async () => {
  assert.deepEqual(await verifyWebhook(BODY, documented(SECRET), SECRET), EVENT);
  // Not of Standard Webhooks: without the prefix, cut, and base64 that is not what an encoder writes.
  for (const secret of ['plain words', SECRET.slice(6), SECRET.slice(0, -1), 'whsec_', 'whsec_QR==']) {
    assert.deepEqual(await verifyWebhook(BODY, { ...standard(OTHER), ...documented(secret) }, secret), EVENT);
  }
  await refused(BODY, { ...standard(OTHER), ...documented(SECRET) }, SECRET);
  const { 'webhook-id': _, ...partial } = standard(SECRET);
  await refused(BODY, partial, SECRET);
});

test('nothing unsigned is accepted', async () => {
  await refused(BODY, {}, SECRET);
  await refused(BODY, new Headers(), SECRET);
  await refused(BODY, documented(''), '');
  await refused(BODY, documented('undefined'), undefined);
  for (const signature of ['', ' ', 'zz', 'ab', documented(OTHER)['x-kore-signature']]) {
    await refused(BODY, { 'x-kore-signature': signature }, SECRET);
    await refused(BODY, { ...standard(SECRET), 'webhook-signature': signature || 'v1,' }, SECRET);
  }
  await refused(`${BODY} `, documented(SECRET), SECRET);
  await refused(EVENT, documented(SECRET), SECRET);
  for (const body of ['', 'null', '{}', '[]', '{"event":"x","timestamp":"y"}']) {
    await refused(body, documented(SECRET, body), SECRET);
  }
});
