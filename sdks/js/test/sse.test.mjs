// The parser of server-sent events.

import assert from 'node:assert/strict';
import test from 'node:test';
import { EventParser } from '../dist/esm/sse.js';

const parse = (...pieces) => {
  const parser = new EventParser();
  return pieces.flatMap((piece) => parser.push(piece));
};
const bytes = (text) => new TextEncoder().encode(text);

const STREAM =
  '\ufeffevent: start\r\ndata: {"a": "Grüße 👋🏽"}\r\n\r\n: heartbeat\n\ndata\ndata:one\rdata:  two\r\rid: 7\nretry: 5\n\n' +
  'event: empty\n\nevent:token\ndata: 日本\nunknown: x\n\ndata: last';
const EVENTS = [
  { name: 'start', data: '{"a": "Grüße 👋🏽"}' },
  { name: 'message', data: '\none\n two' },
  { name: 'token', data: '日本' },
];

test('lines, comments, several lines of data, and no event that lacks its end', () => {
  assert.deepEqual(parse(bytes(STREAM)), EVENTS);
});

test('bytes may be cut anywhere', () => {
  const whole = bytes(STREAM);
  for (let first = 0; first <= whole.length; first += 1) {
    assert.deepEqual(parse(whole.subarray(0, first), whole.subarray(first)), EVENTS, `cut at ${first}`);
    for (let second = first; second <= whole.length; second += 7) {
      const pieces = [whole.subarray(0, first), whole.subarray(first, second), whole.subarray(second)];
      assert.deepEqual(parse(...pieces), EVENTS, `cut at ${first} and ${second}`);
    }
  }
  assert.deepEqual(parse(...Array.from(whole, (byte) => Uint8Array.of(byte))), EVENTS);
});

test('an event is told with its last byte', () => {
  for (const end of ['\n', '\r', '\r\n']) {
    const parser = new EventParser();
    assert.deepEqual(parser.push(bytes(`data: x${end}`)), []);
    assert.deepEqual(parser.push(bytes(end.slice(0, 1))), [{ name: 'message', data: 'x' }]);
    assert.deepEqual(parser.push(bytes(`${end.slice(1)}data: y${end}${end}`)), [{ name: 'message', data: 'y' }]);
  }
});

test('a long line in small pieces is read in time', () => {
  const piece = bytes('x'.repeat(100));
  const started = Date.now();
  const events = parse(bytes('data: '), ...Array(50_000).fill(piece), bytes('\n\n'));
  assert.equal(events[0].data.length, 5_000_000);
  assert.ok(Date.now() - started < 3000);
});
