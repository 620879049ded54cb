// Server-sent events out of bytes that may be cut anywhere.
// https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation

/** An event as it was sent. */
export interface ServerSentEvent {
  name: string;
  data: string;
}

/** Takes bytes, gives the events that they complete. What is left at the end is no event. */
export class EventParser {
  #decoder = new TextDecoder();
  #line = '';
  #afterReturn = false;
  #name = '';
  #data: string[] = [];

  push(bytes: Uint8Array): ServerSentEvent[] {
    let text = this.#decoder.decode(bytes, { stream: true });
    if (!text) return [];
    // A line feed at the start belongs to the carriage return that ended the text before.
    const isRestOfEnd = this.#afterReturn && text.startsWith('\n');
    this.#afterReturn = text.endsWith('\r');
    if (isRestOfEnd) text = text.slice(1);

    const events: ServerSentEvent[] = [];
    const pieces = text.split(/\r\n|\n|\r/);
    const rest = pieces.pop() ?? '';
    for (const piece of pieces) {
      const event = this.#endOfLine(this.#line + piece);
      if (event) events.push(event);
      this.#line = '';
    }
    this.#line += rest;
    return events;
  }

  #endOfLine(line: string): ServerSentEvent | undefined {
    if (line === '') return this.#dispatch();
    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'event') this.#name = value;
    if (field === 'data') this.#data.push(value);
    return undefined;
  }

  #dispatch(): ServerSentEvent | undefined {
    const event = { name: this.#name || 'message', data: this.#data.join('\n') };
    const isEvent = this.#data.length > 0;
    this.#name = '';
    this.#data = [];
    return isEvent ? event : undefined;
  }
}
