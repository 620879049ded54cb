// The two calls of the widget. The key goes as a bearer, never in a URL.

import type { Colors, Scheme } from "./colors.ts";
import { Failure, refusal } from "./failure.ts";
import { EventParser, type ServerEvent } from "./sse.ts";

/** What the agent's owner has set. */
export interface Config {
  welcomeMessage: string;
  position: "bottom-right" | "bottom-left";
  showPoweredBy: boolean;
  agentName: string;
  scheme: Scheme;
  colors: Colors;
}

/** A message as it is sent, and sent again where the first attempt failed. */
export interface Sending {
  message: string;
  session: string | undefined;
  /** The `Idempotency-Key`: however often it is sent, it is answered once. */
  id: string;
}

export type Happening =
  | { type: "text"; text: string }
  | { type: "tool"; name: string }
  | { type: "tool-end"; name: string; isError: boolean }
  | { type: "done"; session: string | undefined };

/** How long the settings are waited for, in milliseconds. */
const CONFIG_PATIENCE = 10_000;
/** How long a stream may be silent: the API sends a sign of life every 15 s. */
const SILENCE = 45_000;

type Fields = Record<string, unknown>;

export class Api {
  readonly #base: string;
  readonly #key: string;
  /** Whether this page was answered before: then it may use the API, and what fails is the connection. */
  #answered = false;

  constructor(base: string, key: string) {
    this.#base = base;
    this.#key = key;
  }

  async config(signal: AbortSignal): Promise<Config> {
    const patience = firstOf(signal, AbortSignal.timeout(CONFIG_PATIENCE));
    const reply = await this.#call("config", { signal: patience });
    return readConfig(asFields(await reply.json().catch(() => ({}))));
  }

  /** Sends a message. What happens is told as it happens; without `done` at its end the answer is not whole. */
  async *chat(sending: Sending, signal: AbortSignal): AsyncGenerator<Happening> {
    const silence = new AbortController();
    const parser = new EventParser();
    let alarm: ReturnType<typeof setTimeout> | undefined;
    const listen = () => {
      clearTimeout(alarm);
      alarm = setTimeout(() => { silence.abort(); }, SILENCE);
    };
    let reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
    try {
      listen();
      const body = JSON.stringify({ message: sending.message, sessionId: sending.session });
      const reply = await this.#call("chat", { method: "POST", body, signal: firstOf(signal, silence.signal) }, {
        "Content-Type": "application/json",
        "Idempotency-Key": sending.id,
      });
      reader = reply.body?.getReader();
      for (;;) {
        const piece = await reader?.read();
        if (!piece || piece.done) break;
        listen();
        for (const event of parser.push(piece.value)) {
          const happening = readEvent(event);
          if (happening) yield happening;
          if (happening?.type === "done") return;
        }
      }
    } catch (error) {
      if (signal.aborted || error instanceof Failure) throw error;
    } finally {
      clearTimeout(alarm);
      reader?.cancel().catch(() => undefined);
    }
    throw new Failure("cut");
  }

  async #call(what: "config" | "chat", options: RequestInit, headers: Record<string, string> = {}): Promise<Response> {
    let reply;
    try {
      reply = await fetch(`${this.#base}/api/widget/${what}`, {
        ...options,
        headers: { ...headers, Authorization: `Bearer ${this.#key}` },
        credentials: "omit",
        cache: "no-store",
        referrerPolicy: "strict-origin-when-cross-origin",
      });
    } catch (error) {
      if (options.signal?.aborted) throw isTimeout(options.signal) ? new Failure("server") : error;
      throw new Failure((await this.#isRefused()) ? "origin" : "offline");
    }
    this.#answered = true;
    if (reply.ok) return reply;
    const body = asFields(await reply.json().catch(() => ({})));
    throw refusal(reply.status, asText(body["code"]), reply.headers.get("retry-after"));
  }

  /** A page that may not read the reply is told nothing. That is so where the script, which all may read, can be had. */
  async #isRefused(): Promise<boolean> {
    if (this.#answered || !navigator.onLine) return false;
    const signal = AbortSignal.timeout(CONFIG_PATIENCE);
    const probe = fetch(`${this.#base}/api/widget/script`, { method: "HEAD", credentials: "omit", cache: "no-store", signal });
    return probe.then((reply) => reply.ok, () => false);
  }
}

/** What aborts as soon as one of these does. (`AbortSignal.any` is younger than the browsers that visitors have.) */
export function firstOf(...signals: AbortSignal[]): AbortSignal {
  const first = new AbortController();
  for (const signal of signals) {
    if (signal.aborted) first.abort(signal.reason);
    signal.addEventListener("abort", () => { first.abort(signal.reason); }, { once: true, signal: first.signal });
  }
  return first.signal;
}

function isTimeout(signal: AbortSignal): boolean {
  return signal.reason instanceof DOMException && signal.reason.name === "TimeoutError";
}

function readEvent(event: ServerEvent): Happening | undefined {
  let data: Fields;
  try {
    data = asFields(JSON.parse(event.data));
  } catch {
    throw new Failure("cut");
  }
  switch (event.name) {
    case "token":
      return { type: "text", text: asText(data["text"]) };
    case "tool_start":
      return { type: "tool", name: asText(data["name"]) };
    case "tool_end":
      return { type: "tool-end", name: asText(data["name"]), isError: data["isError"] === true };
    case "done":
      return { type: "done", session: asText(data["sessionId"]) || undefined };
    case "error":
      throw new Failure("server");
    default:
      return undefined;
  }
}

function readConfig(data: Fields): Config {
  const theme = asFields(data["theme"]);
  const colors = asFields(theme["colors"]);
  return {
    welcomeMessage: asText(data["welcomeMessage"]),
    position: data["position"] === "bottom-left" ? "bottom-left" : "bottom-right",
    showPoweredBy: data["showPoweredBy"] !== false,
    agentName: asText(data["agentName"]),
    scheme: readScheme(theme["scheme"]),
    colors: { accent: asText(colors["accent"]), background: asText(colors["background"]), text: asText(colors["text"]) },
  };
}

/** The settings of a page that has none yet. */
export const NO_CONFIG = readConfig({});

export function readScheme(value: unknown): Scheme {
  return value === "light" || value === "dark" ? value : "auto";
}

function asFields(value: unknown): Fields {
  return typeof value === "object" && value !== null ? (value as Fields) : {};
}

function asText(value: unknown): string {
  return typeof value === "string" ? value : "";
}
