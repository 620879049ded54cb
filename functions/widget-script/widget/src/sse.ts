// Server-sent events out of bytes that may be cut anywhere.
// https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation

export interface ServerEvent {
  name: string;
  data: string;
}

/** The longest line and the longest event, in characters. */
const LONGEST = 1_000_000;

export class EventParser {
  #decoder = new TextDecoder();
  #rest = "";
  #afterReturn = false;
  #name = "";
  #data: string[] = [];
  #length = 0;

  /** The events that these bytes complete. */
  push(bytes: Uint8Array): ServerEvent[] {
    let text = this.#decoder.decode(bytes, { stream: true });
    if (!text) return [];
    // A line feed at the start belongs to the carriage return that ended the text before.
    if (this.#afterReturn && text.startsWith("\n")) text = text.slice(1);
    if (text) this.#afterReturn = text.endsWith("\r");
    const lines = (this.#rest + text).split(/\r\n|\r|\n/);
    this.#rest = lines.pop() ?? "";
    if (this.#rest.length > LONGEST) throw new Error("a line is too long");
    return lines.flatMap((line) => this.#line(line) ?? []);
  }

  #line(line: string): ServerEvent | undefined {
    if (!line) return this.#dispatch();
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") this.#name = value;
    if (field === "data") {
      this.#data.push(value);
      this.#length += value.length;
      if (this.#length > LONGEST) throw new Error("an event is too long");
    }
    return undefined;
  }

  #dispatch(): ServerEvent | undefined {
    const event = { name: this.#name || "message", data: this.#data.join("\n") };
    const isEvent = this.#data.length > 0;
    this.#name = "";
    this.#data = [];
    this.#length = 0;
    return isEvent ? event : undefined;
  }
}
