// What is given up ends, though memory was collected while it was waited for: some fetches forget their signal then.

import assert from 'node:assert/strict';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { RequestTimeoutError } from 'orrery-agent-platform';
import { START, TURN, errorOf, openStream, silence, withServer } from './support/server.mjs';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc');

/** Answers, and collects memory twice: what was found unreachable is finalized in between. */
function collecting(answer) {
  return async (request, response) => {
    await answer(request, response);
    for (let rounds = 0; rounds < 2; rounds += 1) {
      await sleep(30);
      collect();
    }
  };
}

const half = (_request, response) => {
  response.writeHead(200, { 'content-type': 'application/json' });
  response.write('{"response":');
};

for (const [name, answer] of [['an answer', silence], ["an answer's end", half]]) {
  test(`the time for ${name} is over`, { timeout: 10_000 }, () =>
    withServer([collecting(answer)], async ({ client }) => {
      const error = await errorOf(client({ maxRetries: 0 }).execute(TURN, { timeout: 300 }));
      assert.ok(error instanceof RequestTimeoutError, error);
    }));
}

test('the time for an event is over', { timeout: 10_000 }, () =>
  withServer([collecting(openStream(START))], async ({ client, requests }) => {
    const read = async () => {
      for await (const event of client().executeStream(TURN, { timeout: 300 })) assert.equal(event.type, 'start');
    };
    const error = await errorOf(read());
    assert.ok(error instanceof RequestTimeoutError, error);
    await requests[0].closed;
  }));

test('the caller goes away', { timeout: 10_000 }, () =>
  withServer([collecting(silence)], async ({ client }) => {
    const reason = new Error('The user went away');
    const controller = new AbortController();
    setTimeout(() => controller.abort(reason), 300);
    assert.equal(await errorOf(client().execute(TURN, { signal: controller.signal })), reason);
  }));
