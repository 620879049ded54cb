// What is sent, and what a client is made with.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';
import test from 'node:test';
import { AgentPlatform, AgentPlatformError, InvalidRequestError, VERSION } from 'orrery-agent-platform';
import { ANSWER, TURN, errorOf, json, withServer } from './support/server.mjs';

test("the document's own lines run with the base URL in the environment", () =>
  withServer([json(200, ANSWER)], async ({ url, requests }) => {
    const snippet = fileURLToPath(new URL('support/snippet.mjs', import.meta.url));
    const child = spawn(process.execPath, [snippet], { env: { ...process.env, ORRERY_BASE_URL: url } });
    let printed = '';
    for await (const piece of child.stdout) printed += piece;
    assert.equal(printed, `${ANSWER.response}\n`);
    const [{ method, url: path, headers, body }] = requests;
    assert.deepEqual([method, path], ['POST', '/v1/apps/app_123/execute']);
    assert.equal(headers.authorization, 'Bearer sk-app-xxxxx');
    assert.equal(headers['content-type'], 'application/json');
    assert.deepEqual(JSON.parse(body), { message: "What's my order status?", session_id: 'sess_abc123' });
  }));

test('the body is returned as it is, with fields that are not known', () =>
  withServer([json(200, { ...ANSWER, later: { field: 1 } })], async ({ client }) => {
    assert.deepEqual(await client().execute(TURN), { ...ANSWER, later: { field: 1 } });
  }));

test('requests have what the document says', () =>
  withServer([json(200, {})], async ({ client, requests }) => {
    const api = client({ headers: { 'x-extra': 'yes' } });
    await api.execute({ ...TURN, sessionId: 's', metadata: { user_id: 'u', deep: { list: [1] } } });
    await api.createSession({ appId: 'app_1', userId: 'user_456', metadata: { language: 'en' } });
    await api.createSession({ appId: 'app_1' });
    await api.getHistory({ appId: 'app_1', sessionId: 'sess_1' });
    await api.getHistory({ appId: 'app_1', sessionId: 'sess_1', limit: 20, before: 'a+b/c=' });
    await api.endSession({ appId: 'app_1', sessionId: 'sess_1' });
    const session = '/v1/apps/app_1/sessions/sess_1';
    assert.deepEqual(requests.map(({ method, url, body }) => [method, url, body]), [
      ['POST', '/v1/apps/app_1/execute', '{"message":"Hello","session_id":"s","metadata":{"user_id":"u","deep":{"list":[1]}}}'],
      ['POST', '/v1/apps/app_1/sessions', '{"user_id":"user_456","metadata":{"language":"en"}}'],
      ['POST', '/v1/apps/app_1/sessions', '{}'],
      ['GET', `${session}/history`, ''],
      ['GET', `${session}/history?limit=20&before=a%2Bb%2Fc%3D`, ''],
      ['DELETE', session, ''],
    ]);
    for (const { headers } of requests) {
      assert.equal(headers.authorization, 'Bearer sk-app-test');
      assert.equal(headers['user-agent'], `orrery-agent-platform-js/${VERSION}`);
      assert.equal(headers['x-extra'], 'yes');
    }
    const keys = requests.map(({ headers }) => headers['idempotency-key']);
    const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
    for (const key of keys.slice(0, 3)) assert.match(key, uuid);
    assert.equal(new Set(keys.slice(0, 3)).size, 3);
    assert.deepEqual(keys.slice(3), [undefined, undefined, undefined]);
  }));

test('the base URL may have a path, and /v1 at its end', () =>
  withServer([json(200, {})], async ({ url, client, requests }) => {
    for (const end of ['', '/', '/v1', '/v1/', '/prod', '/prod/v1']) {
      await client({ baseUrl: url + end }).execute(TURN);
    }
    const [plain, prefixed] = ['/v1/apps/app_1/execute', '/prod/v1/apps/app_1/execute'];
    assert.deepEqual(requests.map((request) => request.url), [plain, plain, plain, plain, prefixed, prefixed]);
  }));

test('ids are escaped, and what cannot be one is not sent', () =>
  withServer([json(200, {})], async ({ client, requests }) => {
    await client().getHistory({ appId: '../x', sessionId: 'a/b?c#d%2e ü' });
    assert.equal(requests[0].url, '/v1/apps/..%2Fx/sessions/a%2Fb%3Fc%23d%252e%20%C3%BC/history');
    for (const appId of ['', '.', '..', '\ud800', undefined, 7]) {
      const error = await errorOf(client().endSession({ appId, sessionId: 'sess_1' }));
      assert.ok(error instanceof InvalidRequestError && error.status === undefined, error);
      assert.throws(() => client().executeStream({ appId, message: 'Hello' }), InvalidRequestError);
    }
    assert.equal(requests.length, 1);
  }));

test('a key of idempotency that no header can carry is not sent', () =>
  withServer([json(200, {})], async ({ client, requests }) => {
    for (const idempotencyKey of ['', 'a b', 'a\r\nx: y', 'ü']) {
      assert.ok((await errorOf(client().execute({ ...TURN, idempotencyKey }))) instanceof InvalidRequestError);
    }
    assert.equal(requests.length, 0);
  }));

test('metadata that is not JSON is not sent', () =>
  withServer([json(200, {})], async ({ client, requests }) => {
    const circle = {};
    circle.circle = circle;
    for (const metadata of [circle, { big: 1n }]) {
      assert.ok((await errorOf(client().execute({ ...TURN, metadata }))) instanceof InvalidRequestError);
    }
    assert.equal(requests.length, 0);
  }));

test('the key goes to no other server', () =>
  withServer([json(200, ANSWER)], (other) =>
    withServer([json(307, {}, { location: `${other.url}/v1/apps/app_1/execute` })], async ({ client, requests }) => {
      const error = await errorOf(client().execute(TURN));
      assert.equal(error.status, 307);
      assert.deepEqual([requests.length, other.requests.length], [1, 0]);
    })));

test('a client that is made wrongly says what is missing', () => {
  const right = { apiKey: 'sk-app-x', baseUrl: 'https://example.com' };
  const wrong = [
    [{ apiKey: undefined }, /ORRERY_API_KEY/],
    [{ apiKey: 'sk-app\nx' }, /apiKey/],
    [{ baseUrl: undefined }, /ORRERY_BASE_URL/],
    [{ baseUrl: 'example.com' }, /baseUrl/],
    [{ baseUrl: 'ftp://example.com' }, /baseUrl/],
    [{ baseUrl: 'https://example.com?stage=prod' }, /baseUrl/],
    [{ timeout: 0 }, /timeout/],
    [{ timeout: Number.NaN }, /timeout/],
    [{ maxRetries: -1 }, /maxRetries/],
    [{ headers: { 'a b': 'c' } }, /headers/],
  ];
  for (const [options, message] of wrong) {
    assert.throws(() => new AgentPlatform({ ...right, ...options }), (error) =>
      error instanceof AgentPlatformError && message.test(error.message));
  }
});

test('nothing that prints a client prints its key', () => {
  const client = new AgentPlatform({ apiKey: 'sk-app-secret', baseUrl: 'https://example.com' });
  assert.ok(!(inspect(client, { depth: 9, showHidden: true }) + JSON.stringify(client)).includes('secret'));
});

test('a fetch of the caller is used', async () => {
  const urls = [];
  const fetch = async (url) => {
    urls.push(url);
    return new Response(JSON.stringify(ANSWER));
  };
  const client = new AgentPlatform({ apiKey: 'sk-app-x', baseUrl: 'https://example.com', fetch });
  assert.deepEqual(await client.execute(TURN), ANSWER);
  assert.deepEqual(urls, ['https://example.com/v1/apps/app_1/execute']);
});
