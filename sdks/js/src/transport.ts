// Sends calls, again where that helps, and reads what comes back.

import { Attempt } from './attempt.js';
import {
  type ErrorFields, AgentPlatformError, ConnectionFailedError, StreamError, errorOfReply, headerFields,
} from './errors.js';
import { requirePositive, type Settings } from './options.js';
import { retryDelay, sleep } from './retry.js';
import { EventParser } from './sse.js';
import { readEvent } from './stream.js';
import type { CallOptions, StreamEvent } from './types.js';

/** A request, the same in all of its attempts. */
export interface Call {
  method: 'GET' | 'POST' | 'DELETE';
  /** What follows the base URL. */
  path: string;
  body?: string;
  idempotencyKey?: string;
}

export class Transport {
  readonly #settings: Settings;

  constructor(settings: Settings) {
    this.#settings = settings;
  }

  /** The body of the reply. */
  async json<T>(call: Call, options: CallOptions): Promise<T> {
    for (let tries = 0; ; tries += 1) {
      const attempt = this.#attempt(options);
      let failure: AgentPlatformError;
      try {
        const reply = await this.#send(call, 'application/json', attempt);
        return parseBody(reply, await attempt.within(reply.text())) as T;
      } catch (error) {
        failure = attempt.explain(error);
      } finally {
        attempt.end();
      }
      await this.#pause(failure, tries, options.signal);
    }
  }

  /** The events of the reply, to its `done`. Only what fails before the first event is tried again. */
  async *events(call: Call, options: CallOptions): AsyncGenerator<StreamEvent, void, undefined> {
    for (let tries = 0; ; tries += 1) {
      const attempt = this.#attempt(options);
      let failure: AgentPlatformError;
      let hasBegun = false;
      try {
        const reply = await this.#send(call, 'text/event-stream', attempt);
        for await (const event of readEvents(reply, attempt)) {
          hasBegun = true;
          yield event;
          if (event.type === 'done') return;
        }
        throw new ConnectionFailedError('The stream ended without its last event', headerFields(reply.headers));
      } catch (error) {
        failure = attempt.explain(error);
      } finally {
        attempt.end();
      }
      if (hasBegun) throw brokenOff(failure);
      await this.#pause(failure, tries, options.signal);
    }
  }

  #attempt(options: CallOptions): Attempt {
    const timeout = options.timeout ?? this.#settings.timeout;
    return new Attempt(requirePositive('timeout', timeout), options.signal);
  }

  /** A reply with 2xx; any other is thrown. */
  async #send(call: Call, accept: string, attempt: Attempt): Promise<Response> {
    const headers = new Headers(this.#settings.headers);
    headers.set('accept', accept);
    headers.set('authorization', `Bearer ${this.#settings.apiKey}`);
    if (call.body !== undefined) headers.set('content-type', 'application/json');
    if (call.idempotencyKey !== undefined) headers.set('idempotency-key', call.idempotencyKey);
    const sent = this.#settings.fetch(this.#settings.baseUrl + call.path, {
      method: call.method,
      headers,
      body: call.body ?? null,
      // The key goes nowhere but to the server that it was meant for.
      redirect: 'manual',
      signal: attempt.signal,
    });
    const reply = await attempt.within(sent);
    if (!reply.ok) throw errorOfReply(reply.status, reply.headers, await attempt.within(reply.text()));
    return reply;
  }

  /** Waits for the next attempt; throws the failure where there is none. */
  async #pause(failure: AgentPlatformError, tries: number, signal: AbortSignal | undefined): Promise<void> {
    const wait = tries < this.#settings.maxRetries ? retryDelay(failure, tries) : undefined;
    if (wait === undefined) throw failure;
    await sleep(wait, signal);
  }
}

/** The failure of a stream that had begun. */
function brokenOff(failure: AgentPlatformError): AgentPlatformError {
  if (!(failure instanceof ConnectionFailedError)) return failure;
  return new StreamError('The stream broke off', { cause: failure });
}

function parseBody(reply: Response, body: string): unknown {
  try {
    return JSON.parse(body);
  } catch (cause) {
    throw new AgentPlatformError('The reply is not JSON', { ...fieldsOf(reply), cause });
  }
}

function fieldsOf(reply: Response): ErrorFields {
  return { status: reply.status, ...headerFields(reply.headers) };
}

/** The time runs to the first event, then while the next bytes are waited for; never while the caller is busy. */
async function* readEvents(reply: Response, attempt: Attempt): AsyncGenerator<StreamEvent, void, undefined> {
  if (!reply.headers.get('content-type')?.toLowerCase().startsWith('text/event-stream') || !reply.body) {
    throw new AgentPlatformError('The reply is no event stream', fieldsOf(reply));
  }
  const reader = reply.body.getReader();
  const parser = new EventParser();
  let hasBegun = false;
  try {
    for (;;) {
      if (hasBegun) attempt.startTimer();
      const { done, value } = await attempt.within(reader.read());
      if (done) return;
      for (const sent of parser.push(value)) {
        const event = readEvent(sent);
        if (!event) continue;
        attempt.stopTimer();
        hasBegun = true;
        yield event;
      }
    }
  } finally {
    // Closes the connection, where the fetch has forgotten its signal.
    reader.cancel().catch(() => {});
  }
}
