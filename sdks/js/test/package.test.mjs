// The package as others load it.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import test from 'node:test';
import * as esm from 'orrery-agent-platform';
import { ANSWER, DONE, START, TURN, all, json, stream, withServer } from './support/server.mjs';

const require = createRequire(import.meta.url);
const cjs = require('orrery-agent-platform');

test('the version is the same everywhere', () => {
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  assert.deepEqual([esm.VERSION, cjs.VERSION], [version, version]);
});

test('nothing is needed beside it', () => {
  const { dependencies, peerDependencies } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  assert.deepEqual([dependencies, peerDependencies], [undefined, undefined]);
});

test('CommonJS has the same names, and works', () =>
  withServer([json(200, ANSWER), stream(START, DONE)], async ({ url }) => {
    const names = Object.keys(cjs).filter((name) => name !== '__esModule');
    assert.deepEqual(names.sort(), Object.keys(esm).sort());
    const client = new cjs.AgentPlatform({ apiKey: 'sk-app-test', baseUrl: url });
    assert.deepEqual(await client.execute(TURN), ANSWER);
    assert.equal((await all(client.executeStream(TURN))).length, 2);
    await assert.rejects(cjs.verifyWebhook('{}', {}, 'secret'), cjs.WebhookVerificationError);
  }));
