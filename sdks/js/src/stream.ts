// The events of a turn, out of server-sent events.

import { StreamError, errorOfEvent, isRecord } from './errors.js';
import type { ServerSentEvent } from './sse.js';
import type { StreamEvent } from './types.js';

const TYPES = new Set(['start', 'token', 'tool_call', 'done']);

/** The event as its type; undefined for one that this version does not know. An `error` event is thrown. */
export function readEvent({ name, data }: ServerSentEvent): StreamEvent | undefined {
  if (name !== 'error' && !TYPES.has(name)) return undefined;
  let fields: unknown;
  try {
    fields = JSON.parse(data);
  } catch (cause) {
    throw new StreamError(`The stream's ${name} event is not JSON`, { cause });
  }
  if (name === 'error') throw errorOfEvent(fields);
  if (!isRecord(fields)) throw new StreamError(`The stream's ${name} event is not an object`);
  return { ...fields, type: name } as StreamEvent;
}

/**
 * An answer that comes in pieces: `for await` over it once. Nothing is sent before that, and leaving the loop cancels
 * the HTTP request.
 */
export class ExecuteStream implements AsyncIterable<StreamEvent> {
  readonly #events: AsyncGenerator<StreamEvent, void, undefined>;

  /** @internal */
  constructor(events: AsyncGenerator<StreamEvent, void, undefined>) {
    this.#events = events;
  }

  [Symbol.asyncIterator](): AsyncGenerator<StreamEvent, void, undefined> {
    return this.#events;
  }

  /** Reads to the end; the text of all `token` events that were not read before. */
  async finalText(): Promise<string> {
    let text = '';
    for await (const event of this.#events) {
      if (event.type === 'token') text += event.content;
    }
    return text;
  }
}
