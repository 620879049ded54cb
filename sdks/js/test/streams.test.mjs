// Event streams: what is told, how they end, and how they are cancelled.

import assert from 'node:assert/strict';
import test from 'node:test';
import { ConnectionFailedError, RequestTimeoutError, StreamError } from 'orrery-agent-platform';
import {
  DONE, FORGETS_SIGNALS, START, TURN, all, errorOf, failure, frame, openStream, silence, stream, withServer,
} from './support/server.mjs';

const TOKEN = frame('token', { content: 'Our' });
const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** What a stream gave before it ended, and what it ended with. */
async function outcome(events) {
  const types = [];
  try {
    for await (const event of events) types.push(event.type);
  } catch (error) {
    return { types, error };
  }
  return { types };
}

test("the document's stream is told event by event", () => {
  const frames = [
    'event: start\ndata: {"trace_id": "trace_xyz789"}\n\n',
    'event: token\ndata: {"content": "Our"}\n\n',
    'event: tool_call\ndata: {"tool": "search_knowledge", "status": "started"}\n\n',
    'event: tool_call\ndata: {"tool": "search_knowledge", "status": "completed"}\n\n',
    'event: token\ndata: {"content": " allows..."}\n\n',
    'event: done\ndata: {"usage": {"input_tokens": 45, "output_tokens": 128}}\n\n',
  ];
  return withServer([stream(...frames)], async ({ client, requests }) => {
    assert.deepEqual(await all(client().executeStream(TURN)), [
      { type: 'start', trace_id: 'trace_xyz789' },
      { type: 'token', content: 'Our' },
      { type: 'tool_call', tool: 'search_knowledge', status: 'started' },
      { type: 'tool_call', tool: 'search_knowledge', status: 'completed' },
      { type: 'token', content: ' allows...' },
      { type: 'done', usage: { input_tokens: 45, output_tokens: 128 } },
    ]);
    const [{ method, url, headers, body }] = requests;
    assert.deepEqual([method, url, body], ['POST', '/v1/apps/app_1/execute/stream', '{"message":"Hello"}']);
    assert.equal(headers.accept, 'text/event-stream');
    assert.equal(await client().executeStream(TURN).finalText(), 'Our allows...');
  });
});

test('events and fields that are not known do no harm', () => {
  const frames = [
    'event: later\ndata: not JSON\n\n',
    'data: {"no": "name"}\n\n',
    frame('start', { trace_id: 't', type: 'x', later: [1] }),
    DONE,
  ];
  return withServer([stream(...frames)], async ({ client }) => {
    const [start] = await all(client().executeStream(TURN));
    assert.deepEqual(start, { type: 'start', trace_id: 't', later: [1] });
  });
});

test('an error event is thrown with its code', () => {
  const error = frame('error', { error: { code: 'internal_error', message: 'The model failed', details: { try: 1 } } });
  return withServer([stream(START, TOKEN, error), stream(error)], async ({ client, requests }) => {
    for (const types of [['start', 'token'], []]) {
      const end = await outcome(client().executeStream(TURN));
      assert.deepEqual(end.types, types);
      assert.ok(end.error instanceof StreamError, end.error);
      const { message, code, details } = end.error;
      assert.deepEqual([message, code, details], ['The model failed', 'internal_error', { try: 1 }]);
    }
    assert.equal(requests.length, 2, 'what the server has said is not asked again');
  });
});

test('a stream that breaks off is an error, and not sent again', async () => {
  const torn = (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(START + TOKEN, () => setTimeout(() => response.destroy(), 50));
  };
  // The last event lacks its blank line: it is not whole.
  for (const answer of [stream(START, TOKEN), stream(START, TOKEN, DONE.slice(0, -1)), torn]) {
    await withServer([answer], async ({ client, requests }) => {
      const { types, error } = await outcome(client().executeStream(TURN));
      assert.deepEqual(types, ['start', 'token']);
      assert.ok(error instanceof StreamError && error.code === undefined, error);
      assert.equal(requests.length, 1);
    });
  }
  await withServer([stream()], async ({ client }) => {
    const { error } = await outcome(client({ maxRetries: 0 }).executeStream(TURN));
    assert.ok(error instanceof ConnectionFailedError, error);
  });
});

test('events that are no JSON objects end the stream with an error', async () => {
  for (const data of ['{', '7', 'null', '[]']) {
    await withServer([stream(START, `event: token\ndata: ${data}\n\n`, DONE)], async ({ client }) => {
      const { types, error } = await outcome(client().executeStream(TURN));
      assert.deepEqual(types, ['start']);
      assert.ok(error instanceof StreamError, error);
    });
  }
});

test('a stream that falls silent is given up', async () => {
  await withServer([openStream(START, TOKEN)], async ({ client, requests }) => {
    const { types, error } = await outcome(client().executeStream(TURN, { timeout: 200 }));
    assert.deepEqual(types, ['start', 'token']);
    assert.ok(error instanceof RequestTimeoutError, error);
    await requests[0].closed;
    assert.equal(requests.length, 1);
  });
});

test('without a first event in time a stream is tried again', async () => {
  const heartbeats = async (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    for (let beats = 0; beats < 100; beats += 1) {
      response.write(': heartbeat\n\n');
      await sleep(50);
    }
    response.end();
  };
  for (const answer of [silence, openStream(': heartbeat\n\n'), heartbeats]) {
    await withServer([answer, stream(START, DONE)], async ({ client, requests }) => {
      const started = Date.now();
      assert.deepEqual((await outcome(client({ timeout: 200 }).executeStream(TURN))).types, ['start', 'done']);
      assert.ok(Date.now() - started < 3000);
      assert.equal(requests.length, 2);
    });
  }
});

test('heartbeats keep a stream alive, and so does a caller who is busy', () => {
  const answer = async (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(START);
    for (let beats = 0; beats < 8; beats += 1) {
      await sleep(100);
      response.write(': heartbeat\n\n');
    }
    response.end(DONE);
  };
  return withServer([answer], async ({ client }) => {
    const types = [];
    for await (const event of client().executeStream(TURN, { timeout: 400 })) {
      types.push(event.type);
      if (event.type === 'start') await sleep(600);
    }
    assert.deepEqual(types, ['start', 'done']);
  });
});

test('leaving the loop closes the connection', () =>
  withServer([openStream(START, TOKEN)], async ({ client, requests }) => {
    for await (const event of client().executeStream(TURN)) {
      if (event.type === 'token') break;
    }
    await requests[0].closed;
  }));

test("the caller's signal ends a call, whatever it waits for", async () => {
  const reason = new Error('The user went away');
  for (const answer of [silence, failure(429, 'rate_limited', { 'retry-after': '30' })]) {
    await withServer([answer], async ({ client, requests }) => {
      const controller = new AbortController();
      const started = Date.now();
      setTimeout(() => controller.abort(reason), 100);
      assert.equal(await errorOf(client().execute(TURN, { signal: controller.signal })), reason);
      assert.ok(Date.now() - started < 3000);
      if (!FORGETS_SIGNALS) await requests[0].closed;
      assert.equal(requests.length, 1);
    });
  }
  await withServer([openStream(START)], async ({ client, requests }) => {
    const controller = new AbortController();
    const types = [];
    const read = async () => {
      for await (const event of client().executeStream(TURN, { signal: controller.signal })) {
        types.push(event.type);
        setTimeout(() => controller.abort(reason), 100);
      }
    };
    assert.equal(await errorOf(read()), reason);
    assert.deepEqual(types, ['start']);
    await requests[0].closed;
  });
  await withServer([silence], async ({ client, requests }) => {
    const error = await errorOf(client().execute(TURN, { signal: AbortSignal.abort() }));
    assert.equal(error.name, 'AbortError');
    assert.equal(requests.length, 0);
  });
});

test('a stream that nobody reads is not sent', () =>
  withServer([silence], async ({ client, requests }) => {
    client().executeStream(TURN);
    await sleep(50);
    assert.equal(requests.length, 0);
  }));
