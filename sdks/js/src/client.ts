// The client: each method is one endpoint.

import { InvalidRequestError } from './errors.js';
import { type ClientOptions, readOptions } from './options.js';
import { ExecuteStream } from './stream.js';
import { type Call, Transport } from './transport.js';
import type {
  CallOptions, CreateSessionParams, EndedSession, EndSessionParams, ExecuteParams, ExecuteResponse, GetHistoryParams,
  History, Session, StreamEvent,
} from './types.js';
import { randomUuid } from './webcrypto.js';

/**
 * A client for apps.
 *
 * ```js
 * const client = new AgentPlatform({ apiKey: 'sk-app-…', baseUrl: 'https://example.com' });
 * const { response } = await client.execute({ appId: 'app_123', message: 'Hello' });
 * ```
 *
 * Every method fails with an {@link AgentPlatformError} of a class that says why.
 */
export class AgentPlatform {
  readonly #transport: Transport;

  constructor(options: ClientOptions = {}) {
    this.#transport = new Transport(readOptions(options));
  }

  /** Sends a message, and waits for the whole answer. */
  async execute(params: ExecuteParams, options: CallOptions = {}): Promise<ExecuteResponse> {
    const path = `${appPath(params.appId)}/execute`;
    return this.#transport.json(await post(path, turn(params), params.idempotencyKey), options);
  }

  /** Sends a message; what happens until the answer is whole comes as events. */
  executeStream(params: ExecuteParams, options: CallOptions = {}): ExecuteStream {
    const path = `${appPath(params.appId)}/execute/stream`;
    const transport = this.#transport;
    async function* events(): AsyncGenerator<StreamEvent, void, undefined> {
      yield* transport.events(await post(path, turn(params), params.idempotencyKey), options);
    }
    return new ExecuteStream(events());
  }

  /** Begins a session, which `execute` goes on with. */
  async createSession(params: CreateSessionParams, options: CallOptions = {}): Promise<Session> {
    const path = `${appPath(params.appId)}/sessions`;
    const body = { user_id: params.userId, metadata: params.metadata };
    return this.#transport.json(await post(path, body, params.idempotencyKey), options);
  }

  /** What was said in a session, the newest messages if it is more than `limit`. */
  async getHistory(params: GetHistoryParams, options: CallOptions = {}): Promise<History> {
    const query = new URLSearchParams();
    if (params.limit !== undefined) query.set('limit', String(params.limit));
    if (params.before !== undefined) query.set('before', params.before);
    const path = `${sessionPath(params)}/history`;
    return this.#transport.json({ method: 'GET', path: query.toString() ? `${path}?${query}` : path }, options);
  }

  /** Ends a session; ending it again is no error. */
  async endSession(params: EndSessionParams, options: CallOptions = {}): Promise<EndedSession> {
    return this.#transport.json({ method: 'DELETE', path: sessionPath(params) }, options);
  }
}

function turn({ message, sessionId, metadata }: ExecuteParams): object {
  return { message, session_id: sessionId, metadata };
}

async function post(path: string, body: object, givenKey: string | undefined): Promise<Call> {
  const idempotencyKey = givenKey ?? (await randomUuid());
  if (!/^[\x21-\x7e]+$/.test(idempotencyKey)) {
    throw new InvalidRequestError('idempotencyKey must be of visible ASCII characters');
  }
  return { method: 'POST', path, body: toJson(body), idempotencyKey };
}

function toJson(body: object): string {
  try {
    return JSON.stringify(body);
  } catch (cause) {
    throw new InvalidRequestError('The request cannot be written as JSON', { cause });
  }
}

function appPath(appId: string): string {
  return `/apps/${segment('appId', appId)}`;
}

function sessionPath({ appId, sessionId }: EndSessionParams): string {
  return `${appPath(appId)}/sessions/${segment('sessionId', sessionId)}`;
}

/** One segment of a path, whatever the id has in it. */
function segment(name: string, id: string): string {
  // Dots alone would lead to another path, even when they are escaped.
  if (typeof id !== 'string' || id === '' || id === '.' || id === '..') {
    throw new InvalidRequestError(`${name} is not an id: ${JSON.stringify(id)}`);
  }
  try {
    return encodeURIComponent(id);
  } catch (cause) {
    throw new InvalidRequestError(`${name} is not Unicode text`, { cause });
  }
}
