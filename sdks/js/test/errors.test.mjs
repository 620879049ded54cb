// What errors carry, and replies that are not the API's.

import assert from 'node:assert/strict';
import test from 'node:test';
import { AgentPlatformError, AuthenticationError, InternalServerError, RateLimitedError } from 'orrery-agent-platform';
import { TURN, errorOf, failure, all, withServer } from './support/server.mjs';

const html = (status) => (_request, response) => {
  response.writeHead(status, { 'content-type': 'text/html', 'x-request-id': 'req_7' });
  response.end('<html><body>Bad gateway</body></html>');
};

test('an error has what the reply said', () => {
  const headers = {
    'retry-after': '120', 'x-ratelimit-limit': '600', 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '1705330260',
  };
  return withServer([failure(429, 'rate_limited', headers, { limit: 'day' })], async ({ client }) => {
    const error = await errorOf(client().execute(TURN));
    assert.ok(error instanceof RateLimitedError && error instanceof AgentPlatformError && error instanceof Error);
    const { name, message, status, code, details, requestId, retryAfter, rateLimit } = error;
    assert.deepEqual({ name, message, status, code, details, requestId, retryAfter, rateLimit }, {
      name: 'RateLimitedError', message: 'It is rate_limited', status: 429, code: 'rate_limited', details: { limit: 'day' },
      requestId: 'req_1', retryAfter: 120, rateLimit: { limit: 600, remaining: 0, reset: 1705330260 },
    });
  });
});

test('Retry-After may be a date', () => {
  const date = new Date(Date.now() + 100_000).toUTCString();
  return withServer([failure(503, 'internal_error', { 'retry-after': date })], async ({ client }) => {
    const { retryAfter } = await errorOf(client().execute(TURN));
    assert.ok(retryAfter >= 98 && retryAfter <= 101, `${retryAfter}`);
  });
});

test("a proxy's page is an error like any other", async () => {
  await withServer([html(502)], async ({ client }) => {
    const error = await errorOf(client({ maxRetries: 0 }).execute(TURN));
    assert.ok(error instanceof InternalServerError && error.status === 502 && error.requestId === 'req_7', error);
    assert.deepEqual([error.code, error.details, error.rateLimit], [undefined, undefined, undefined]);
  });
  await withServer([html(403)], async ({ client }) => {
    assert.ok((await errorOf(client().execute(TURN))) instanceof AuthenticationError);
  });
  await withServer([html(200)], async ({ client, requests }) => {
    for (const call of [client().execute(TURN), all(client().executeStream(TURN))]) {
      const error = await errorOf(call);
      assert.ok(error instanceof AgentPlatformError && error.status === 200 && error.requestId === 'req_7', error);
    }
    assert.equal(requests.length, 2);
  });
});

test('bodies of another shape are errors too', async () => {
  const bodies = ['', 'null', '[]', '"x"', '{"error":"Not found"}', '{"error":{"code":7,"message":{}}}', '{"message":"No"}'];
  for (const body of bodies) {
    const answer = (_request, response) => response.writeHead(400).end(body);
    await withServer([answer], async ({ client }) => {
      const error = await errorOf(client().execute(TURN));
      assert.equal(error.name, 'InvalidRequestError');
      assert.equal(error.code, undefined);
      assert.match(error.message, /400/);
    });
  }
});
