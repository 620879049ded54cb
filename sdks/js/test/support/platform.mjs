// A small app API in memory, with a model that echoes, for the end-to-end tests.

import { frame } from './server.mjs';

export const KEY = 'sk-app-fake';
export const APP = 'app_fake';

/** Answers requests as the API does. */
export function platform() {
  const sessions = new Map();
  const replayed = new Map();
  let count = 0;

  const id = (kind) => `${kind}_${(count += 1)}`;
  const now = () => new Date().toISOString();

  function newSession() {
    const session = { session_id: id('sess'), created_at: now(), expires_at: now(), messages: [] };
    sessions.set(session.session_id, session);
    return session;
  }

  function turn({ message, session_id }) {
    const session = session_id === undefined ? newSession() : sessions.get(session_id);
    if (!session) return refusal(400, 'invalid_request', 'Session not found', { session_id });
    if (session.ended_at) return refusal(400, 'invalid_request', 'Session has ended', { session_id });
    const tool = /^\/tool (\S+)/.exec(message)?.[1];
    const response = `You said: ${message}`;
    session.messages.push({ role: 'user', content: message, timestamp: now() });
    session.messages.push({ role: 'assistant', content: response, timestamp: now(), agent: 'echo' });
    const usage = { input_tokens: 1, output_tokens: 2 };
    const tools_used = tool ? [tool] : [];
    const names = { session_id: session.session_id, trace_id: id('trace'), agent: 'echo' };
    return { status: 200, body: { response, ...names, tools_used, usage } };
  }

  function history(session, query) {
    const end = Number(query.get('before') ?? session.messages.length);
    const start = Math.max(0, end - Number(query.get('limit') ?? 200));
    const cursor = start > 0 ? { next_cursor: String(start) } : {};
    const messages = session.messages.slice(start, end);
    return { status: 200, body: { session_id: session.session_id, messages, ...cursor } };
  }

  function end(session) {
    session.ended_at ??= now();
    const { session_id, ended_at } = session;
    return { status: 200, body: { session_id, status: 'ended', ended_at } };
  }

  function answer(request) {
    const isKnown = request.headers.authorization === `Bearer ${KEY}`;
    if (!isKnown) return refusal(401, 'authentication_error', 'Invalid API key');
    const { pathname, searchParams } = new URL(request.url, 'http://localhost');
    const [version, apps, app, action, name, what] = pathname.slice(1).split('/').map(decodeURIComponent);
    if (version !== 'v1' || apps !== 'apps' || app !== APP) return refusal(404, 'not_found', 'Not found');
    if (action === 'execute') return turn(JSON.parse(request.body));
    if (name === undefined) {
      const { session_id, created_at, expires_at } = newSession();
      return { status: 201, body: { session_id, created_at, expires_at } };
    }
    const session = sessions.get(name);
    if (!session) return refusal(404, 'not_found', 'Session not found', { session_id: name });
    return what === 'history' ? history(session, searchParams) : end(session);
  }

  function once(request) {
    const key = request.headers['idempotency-key'];
    if (key === undefined) return answer(request);
    const before = replayed.get(key);
    if (before && before.body !== request.body) return refusal(400, 'invalid_request', 'Another body with this key');
    const reply = before?.reply ?? answer(request);
    replayed.set(key, { body: request.body, reply });
    return reply;
  }

  return (request, response) => {
    const { status, body } = once(request);
    const limits = { 'x-ratelimit-limit': '600', 'x-ratelimit-remaining': '599', 'x-ratelimit-reset': '1705330260' };
    const headers = { 'x-request-id': id('req'), ...limits };
    if (status === 200 && request.url.endsWith('/stream')) {
      response.writeHead(status, { ...headers, 'content-type': 'text/event-stream' });
      response.end(frames(body));
    } else {
      response.writeHead(status, { ...headers, 'content-type': 'application/json' });
      response.end(JSON.stringify(body));
    }
  };
}

function frames({ response, session_id, trace_id, agent, tools_used, usage }) {
  const calls = tools_used.flatMap((tool) => [{ tool, status: 'started' }, { tool, status: 'completed' }]);
  return [
    frame('start', { trace_id, session_id }),
    ...calls.map((call) => frame('tool_call', call)),
    ': heartbeat\n\n',
    ...response.split(/(?= )/).map((content) => frame('token', { content })),
    frame('done', { usage, session_id, trace_id, agent, tools_used }),
  ].join('');
}

function refusal(status, code, message, details) {
  return { status, body: { error: { code, message, details } } };
}
