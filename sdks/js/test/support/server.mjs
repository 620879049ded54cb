// A server on loopback that answers as a test says.

import { createServer } from 'node:http';
import { AgentPlatform } from 'orrery-agent-platform';

/**
 * Runs `use` with a server. `answers` are functions of (request, response), one for each request in turn, the last one
 * for all that follow. `requests` has what came: method, url, headers, body, and `closed`, a promise of the connection's
 * end.
 */
export async function withServer(answers, use) {
  const requests = [];
  const server = createServer(async (request, response) => {
    const { method, url, headers } = request;
    const closed = new Promise((resolve) => response.once('close', resolve));
    const seen = { method, url, headers, body: '', closed, at: Date.now() };
    requests.push(seen);
    const answer = answers[Math.min(requests.length, answers.length) - 1];
    for await (const piece of request) seen.body += piece;
    await answer(seen, response);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${server.address().port}`;
  const client = (options = {}) => new AgentPlatform({ apiKey: 'sk-app-test', baseUrl: url, ...options });
  try {
    return await use({ url, requests, client });
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

/**
 * Whether this Node's fetch forgets its signal when memory is collected: a call that is given up before its reply then
 * leaves its connection open.
 */
export const FORGETS_SIGNALS = /^v18\.(\d|1[0-5])\./.test(process.version);

/** Answers with JSON. */
export function json(status, body, headers = {}) {
  return (_request, response) => {
    response.writeHead(status, { 'content-type': 'application/json', 'x-request-id': 'req_1', ...headers });
    response.end(JSON.stringify(body));
  };
}

/** Answers with an error of the API. */
export function failure(status, code, headers = {}, details = undefined) {
  return json(status, { error: { code, message: `It is ${code}`, details } }, headers);
}

/** Answers with these server-sent events, and ends. */
export function stream(...frames) {
  return (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
    response.end(frames.join(''));
  };
}

/** Answers with these server-sent events, and leaves the stream open. */
export function openStream(...frames) {
  return (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(frames.join(''));
  };
}

/** One server-sent event. */
export function frame(name, data) {
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}

/** Cuts the connection. */
export function cut(_request, response) {
  response.destroy();
}

/** Never answers. */
export function silence() {}

/** What `execute` is answered with. */
export const ANSWER = {
  response: 'I found your order #12345.',
  session_id: 'sess_abc123',
  trace_id: 'trace_xyz789',
  agent: 'support_agent',
  tools_used: ['get_order_status'],
  usage: { input_tokens: 145, output_tokens: 52 },
};

export const START = frame('start', { trace_id: 'trace_1', session_id: 'sess_1' });
export const DONE = frame('done', { usage: { input_tokens: 1, output_tokens: 2 } });
export const TURN = { appId: 'app_1', message: 'Hello' };

/** All of an async iterable. */
export async function all(iterable) {
  const items = [];
  for await (const item of iterable) items.push(item);
  return items;
}

/** The error that it fails with; fails itself where there is none. */
export async function errorOf(promise) {
  let value;
  try {
    value = await promise;
  } catch (error) {
    return error;
  }
  throw new Error(`no error, but ${JSON.stringify(value)}`);
}
