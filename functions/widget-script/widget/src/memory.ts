// The visitor's own conversation, kept over page loads: the session's id and what this browser has shown of it.

import type { Sending } from "./api.ts";

export type Part =
  | { type: "text"; text: string }
  | { type: "tool"; name: string; state: "running" | "done" | "failed" };

/** A message and its answer. */
export interface Turn {
  sending: Sending;
  parts: Part[];
  state: "running" | "done" | "stopped" | "failed";
}

export interface Conversation {
  session: string | undefined;
  turns: Turn[];
  isOpen: boolean;
}

/** `session`: until the tab is closed. `local`: for good. `none`: not at all. */
export type Keeping = "session" | "local" | "none";

const MOST_TURNS = 200;
/** Characters of JSON. */
const MOST_KEPT = 1_000_000;

export class Memory {
  readonly #name: string;
  readonly #keeping: Keeping;

  constructor(key: string, keeping: Keeping) {
    this.#name = `orrery-widget-${hash(key)}`;
    this.#keeping = keeping;
  }

  load(): Conversation {
    const nothing: Conversation = { session: undefined, turns: [], isOpen: false };
    try {
      const kept: unknown = JSON.parse(this.#storage()?.getItem(this.#name) ?? "null");
      return isConversation(kept) ? { ...nothing, ...kept } : nothing;
    } catch {
      return nothing;
    }
  }

  save(conversation: Conversation): void {
    const turns = conversation.turns.slice(-MOST_TURNS);
    let text = JSON.stringify({ ...conversation, turns });
    while (text.length > MOST_KEPT && turns.length > 1) {
      turns.splice(0, Math.ceil(turns.length / 2));
      text = JSON.stringify({ ...conversation, turns });
    }
    try {
      this.#storage()?.setItem(this.#name, text);
    } catch {
      // A full or forbidden storage keeps nothing; the chat goes on.
    }
  }

  /** Throws where the page may not keep anything. */
  #storage(): Storage | undefined {
    if (this.#keeping === "none") return undefined;
    return this.#keeping === "local" ? localStorage : sessionStorage;
  }
}

/** What is kept was written by this script, or by the page that it stands on: its shape is looked at all the same. */
function isConversation(value: unknown): value is Conversation {
  const kept = value as Partial<Conversation> | null;
  return Array.isArray(kept?.turns) && ["string", "undefined"].includes(typeof kept.session) && kept.turns.every(isTurn);
}

function isTurn(value: unknown): value is Turn {
  const turn = value as Partial<Turn> | null;
  const isPart = (part: Partial<Record<string, unknown>> | null) =>
    part?.["type"] === "text" ? typeof part["text"] === "string" : typeof part?.["name"] === "string";
  return typeof turn?.sending?.message === "string" && typeof turn.sending.id === "string"
    && Array.isArray(turn.parts) && turn.parts.every(isPart);
}

/** FNV-1a with 32 bits, so that the key itself is no one's item name. */
function hash(text: string): string {
  let value = 0x811c9dc5;
  for (const char of text) value = Math.imul(value ^ (char.codePointAt(0) ?? 0), 0x01000193);
  return (value >>> 0).toString(16);
}
