// Conversations from end to end, with a fake of the API, and with a real one where ORRERY_URL, ORRERY_APP_ID and
// ORRERY_APP_KEY name it; its model is the demo that echoes. ORRERY_TOOL may name a tool of its agent.

import assert from 'node:assert/strict';
import test from 'node:test';
import {
  AgentPlatform, AgentPlatformError, AuthenticationError, InvalidRequestError, NotFoundError,
} from 'orrery-agent-platform';
import { APP, KEY, platform } from './support/platform.mjs';
import { all, errorOf, withServer } from './support/server.mjs';

const { ORRERY_URL, ORRERY_APP_ID, ORRERY_APP_KEY, ORRERY_TOOL = 'get_order_status' } = process.env;
const isLive = Boolean(ORRERY_URL && ORRERY_APP_ID && ORRERY_APP_KEY);
const UNICODE = 'Grüße 👋🏽 日本語';

/** One test on the fake, and the same on the real API. */
function scenario(name, run) {
  test(`${name} (fake)`, () =>
    withServer([platform()], ({ url }) => run({ apiKey: KEY, baseUrl: url }, APP)));
  const skip = isLive ? false : 'ORRERY_URL, ORRERY_APP_ID and ORRERY_APP_KEY are not set';
  test(`${name} (live)`, { skip }, () => run({ apiKey: ORRERY_APP_KEY, baseUrl: ORRERY_URL }, ORRERY_APP_ID));
}

scenario('a message is answered', async (options, appId) => {
  const answer = await new AgentPlatform(options).execute({ appId, message: UNICODE });
  assert.ok(answer.response.includes(UNICODE), answer.response);
  assert.match(answer.session_id, /^sess_/);
  assert.match(answer.trace_id, /^trace_/);
  assert.equal(typeof answer.agent, 'string');
  assert.deepEqual(answer.tools_used, []);
  assert.ok(answer.usage.input_tokens > 0 && answer.usage.output_tokens > 0);
});

scenario('a session is created, gone on with, read page by page, and ended', async (options, appId) => {
  const client = new AgentPlatform(options);
  const session = await client.createSession({ appId, userId: 'user_456', metadata: { channel: 'web' } });
  assert.ok(Date.parse(session.created_at) <= Date.parse(session.expires_at));
  const sessionId = session.session_id;
  const first = await client.execute({ appId, message: 'first words', sessionId });
  assert.equal(first.session_id, sessionId);
  await client.execute({ appId, message: 'second words', sessionId, metadata: { tier: 'premium' } });

  const whole = await client.getHistory({ appId, sessionId });
  assert.deepEqual(whole.messages.map((message) => message.role), ['user', 'assistant', 'user', 'assistant']);
  assert.equal(whole.messages[0].content, 'first words');
  assert.equal(whole.messages[1].agent, first.agent);
  assert.equal(whole.next_cursor, undefined);
  const newest = await client.getHistory({ appId, sessionId, limit: 2 });
  const older = await client.getHistory({ appId, sessionId, limit: 2, before: newest.next_cursor });
  assert.deepEqual([...older.messages, ...newest.messages], whole.messages);

  const ended = await client.endSession({ appId, sessionId });
  assert.equal(ended.status, 'ended');
  assert.deepEqual(await client.endSession({ appId, sessionId }), ended);
  const late = await errorOf(client.execute({ appId, message: 'late', sessionId }));
  assert.ok(late instanceof InvalidRequestError, late);
  assert.equal((await client.getHistory({ appId, sessionId })).messages.length, 4);
});

scenario('an answer is streamed', async (options, appId) => {
  const client = new AgentPlatform(options);
  const events = await all(client.executeStream({ appId, message: UNICODE }));
  assert.equal(events[0].type, 'start');
  assert.match(events[0].trace_id, /^trace_/);
  const done = events.at(-1);
  assert.equal(done.type, 'done');
  assert.equal(done.session_id, events[0].session_id);
  assert.ok(done.usage.output_tokens > 0);
  const text = events.filter((event) => event.type === 'token').map((event) => event.content).join('');
  assert.ok(text.includes(UNICODE), text);
  const history = await client.getHistory({ appId, sessionId: done.session_id });
  assert.equal(history.messages.at(-1).content, text);
  assert.ok((await client.executeStream({ appId, message: 'helper' }).finalText()).includes('helper'));
});

scenario('a tool is called, and told of', async (options, appId) => {
  const client = new AgentPlatform(options);
  const message = `/tool ${ORRERY_TOOL} {"order": "7"}`;
  const events = await all(client.executeStream({ appId, message }));
  const calls = events.filter((event) => event.type === 'tool_call');
  assert.deepEqual(calls.map(({ tool, status }) => [tool, status]), [[ORRERY_TOOL, 'started'], [ORRERY_TOOL, 'completed']]);
  assert.deepEqual(events.at(-1).tools_used, [ORRERY_TOOL]);
  assert.deepEqual((await client.execute({ appId, message })).tools_used, [ORRERY_TOOL]);
});

scenario('a key of idempotency is answered once', async (options, appId) => {
  const client = new AgentPlatform(options);
  const idempotencyKey = `test-${Date.now()}-${Math.random()}`;
  const first = await client.execute({ appId, message: 'once', idempotencyKey });
  assert.deepEqual(await client.execute({ appId, message: 'once', idempotencyKey }), first);
  const other = await errorOf(client.execute({ appId, message: 'other', idempotencyKey }));
  assert.ok(other instanceof InvalidRequestError, other);
});

scenario('errors have their classes', async (options, appId) => {
  const client = new AgentPlatform(options);
  const stranger = new AgentPlatform({ ...options, apiKey: `sk-app-${'x'.repeat(43)}` });
  const key = await errorOf(stranger.execute({ appId, message: 'Hello' }));
  assert.ok(key instanceof AuthenticationError && key.status === 401 && key.code === 'authentication_error', key);
  assert.ok(key.requestId);
  const session = await errorOf(client.execute({ appId, message: 'Hello', sessionId: 'sess_invalid' }));
  assert.ok(session instanceof InvalidRequestError && session.status === 400, session);
  assert.deepEqual(session.details, { session_id: 'sess_invalid' });
  assert.ok(session.rateLimit.limit > 0);
  const stream = await errorOf(all(client.executeStream({ appId, message: 'Hello', sessionId: 'sess_invalid' })));
  assert.ok(stream instanceof InvalidRequestError && stream.status === 400, stream);
  const path = await errorOf(client.getHistory({ appId, sessionId: 'sess_invalid' }));
  assert.ok(path instanceof NotFoundError && path.code === 'not_found', path);
  const app = await errorOf(client.execute({ appId: 'app_other', message: 'Hello' }));
  assert.ok(app instanceof NotFoundError, app);
});

scenario('an id cannot leave its place in the path', async (options, appId) => {
  const client = new AgentPlatform(options);
  for (const id of ['../x', 'a/../../b', `${appId}/sessions`, '%2e%2e', 'a?b#c', '💥']) {
    const error = await errorOf(client.execute({ appId: id, message: 'Hello' }));
    assert.ok(error instanceof AgentPlatformError && [400, 404].includes(error.status), `${id}: ${error}`);
  }
});
