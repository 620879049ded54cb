// Failures that are tried again, and those that are not.

import assert from 'node:assert/strict';
import test from 'node:test';
import {
  AuthenticationError, ConnectionFailedError, InternalServerError, InvalidRequestError, NotFoundError, RateLimitedError,
  RequestTimeoutError,
} from 'orrery-agent-platform';
import { retryDelay } from '../dist/esm/retry.js';
import {
  ANSWER, DONE, FORGETS_SIGNALS, START, TURN, all, cut, errorOf, failure, json, silence, stream, withServer,
} from './support/server.mjs';

const failures = [
  ['408', failure(408, 'invalid_request')],
  ['409 with Retry-After', failure(409, 'invalid_request', { 'retry-after': '0' })],
  ['429', failure(429, 'rate_limited')],
  ['500', failure(500, 'internal_error')],
  ['502', failure(502, 'internal_error')],
  ['503', failure(503, 'internal_error')],
  ['504', failure(504, 'internal_error')],
  ['a connection that is cut', cut],
  ['no answer in time', silence],
];

for (const [name, answer] of failures) {
  test(`${name} is tried again, with the same key and body`, () =>
    withServer([answer, json(200, ANSWER)], async ({ client, requests }) => {
      assert.deepEqual(await client({ timeout: 300 }).execute(TURN), ANSWER);
      const [first, second] = requests;
      assert.equal(requests.length, 2);
      assert.ok(first.headers['idempotency-key']);
      assert.equal(second.headers['idempotency-key'], first.headers['idempotency-key']);
      assert.equal(second.body, first.body);
    }));
}

test("the caller's own key is used in every attempt", () =>
  withServer([failure(500, 'internal_error'), json(201, {})], async ({ client, requests }) => {
    await client().createSession({ appId: 'app_1', idempotencyKey: 'mine' });
    assert.deepEqual(requests.map(({ headers }) => headers['idempotency-key']), ['mine', 'mine']);
  }));

test('reading and ending are tried again', () =>
  withServer([cut, json(200, {}), failure(503, 'internal_error'), json(200, {})], async ({ client, requests }) => {
    await client().getHistory({ appId: 'app_1', sessionId: 'sess_1' });
    await client().endSession({ appId: 'app_1', sessionId: 'sess_1' });
    assert.deepEqual(requests.map(({ method }) => method), ['GET', 'GET', 'DELETE', 'DELETE']);
  }));

test('a reply whose body is cut is tried again', () => {
  const half = (_request, response) => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': 100 });
    response.write('{"response":', () => response.destroy());
  };
  return withServer([half, json(200, ANSWER)], async ({ client, requests }) => {
    assert.deepEqual(await client().execute(TURN), ANSWER);
    assert.equal(requests.length, 2);
  });
});

test('a stream is tried again before its first event', () =>
  withServer([failure(503, 'internal_error'), stream(': heartbeat\n\n'), stream(START, DONE)], async ({ client, requests }) => {
    const events = await all(client().executeStream(TURN));
    assert.deepEqual(events.map(({ type }) => type), ['start', 'done']);
    assert.equal(new Set(requests.map(({ headers }) => headers['idempotency-key'])).size, 1);
    assert.equal(requests.length, 3);
  }));

test('other refusals are not tried again', async () => {
  const refusals = [
    [400, 'invalid_request', InvalidRequestError],
    [401, 'authentication_error', AuthenticationError],
    [404, 'not_found', NotFoundError],
    [405, 'invalid_request', InvalidRequestError],
    [409, 'invalid_request', InvalidRequestError],
    [413, 'invalid_request', InvalidRequestError],
    [422, 'invalid_request', InvalidRequestError],
    [501, 'internal_error', InternalServerError],
  ];
  for (const [status, code, type] of refusals) {
    await withServer([failure(status, code)], async ({ client, requests }) => {
      const error = await errorOf(client().execute(TURN));
      assert.ok(error instanceof type && error.status === status && error.code === code, error);
      assert.equal(requests.length, 1, `${status}`);
    });
  }
});

test('Retry-After is waited for', () =>
  withServer([failure(429, 'rate_limited', { 'retry-after': '2' }), json(200, ANSWER)], async ({ client, requests }) => {
    await client().execute(TURN);
    const waited = requests[1].at - requests[0].at;
    assert.ok(waited >= 1990 && waited < 4000, `${waited}`);
  }));

test('a Retry-After of more than a minute is told at once', () =>
  withServer([failure(429, 'rate_limited', { 'retry-after': '61' })], async ({ client, requests }) => {
    const error = await errorOf(client().execute(TURN));
    assert.ok(error instanceof RateLimitedError && error.retryAfter === 61, error);
    assert.equal(requests.length, 1);
  }));

test('what goes on failing is told after maxRetries', async () => {
  await withServer([failure(500, 'internal_error')], async ({ client, requests }) => {
    assert.ok((await errorOf(client().execute(TURN))) instanceof InternalServerError);
    assert.equal(requests.length, 3);
  });
  await withServer([cut], async ({ client, requests }) => {
    const error = await errorOf(client({ maxRetries: 0 }).execute(TURN));
    assert.ok(error instanceof ConnectionFailedError && error.cause, error);
    assert.equal(requests.length, 1);
  });
  await withServer([silence], async ({ client, requests }) => {
    const started = Date.now();
    const error = await errorOf(client({ maxRetries: 0 }).execute(TURN, { timeout: 200 }));
    assert.ok(error instanceof RequestTimeoutError, error);
    assert.ok(Date.now() - started < 2000);
    if (!FORGETS_SIGNALS) await requests[0].closed;
  });
});

test('waits double, are spread, and are never shorter than asked', () => {
  const error = (status, retryAfter) => new InternalServerError('It failed', { status, retryAfter });
  assert.deepEqual([0, 1, 2, 9].map((attempt) => retryDelay(error(500), attempt, () => 1)), [500, 1000, 2000, 8000]);
  assert.deepEqual([0, 1, 2, 9].map((attempt) => retryDelay(error(500), attempt, () => 0)), [250, 500, 1000, 4000]);
  assert.equal(retryDelay(error(503, 60), 0, () => 1), 60_000);
  assert.equal(retryDelay(error(503, 61), 0), undefined);
  assert.equal(retryDelay(error(409, undefined), 0), undefined);
  assert.equal(retryDelay(error(409, 0), 0, () => 1), 500);
});
