// One message and its answer, as they stand in the conversation.

import { icon, make, PICTURES } from "./dom.ts";
import type { Part, Turn } from "./memory.ts";
import { Answer } from "./render.ts";
import { fill, type Texts } from "./texts.ts";

/** The longest name of a tool that is shown, in characters. */
const LONGEST_NAME = 60;

export class TurnView {
  readonly element: HTMLElement;
  readonly #answer: HTMLElement;
  readonly #status: HTMLElement;
  readonly #texts: Texts;
  #parts: { part: Part["type"]; element: HTMLElement; update: (part: Part) => void }[] = [];

  constructor(turn: Turn, texts: Texts, agentName: string) {
    this.#texts = texts;
    this.#status = make("div", { class: "thinking" }, dots(), make("span", { class: "hidden" }, texts.thinking));
    this.#answer = make("div", { class: "answer" },
      make("span", { class: "hidden" }, fill(texts.agent, { name: agentName })));
    const said = make("div", { class: "said" },
      make("span", { class: "hidden" }, `${texts.you} `), make("div", { dir: "auto" }, turn.sending.message));
    this.element = make("div", { class: "turn" }, said, this.#answer);
    this.update(turn);
  }

  /** Shows what the turn is now. */
  update(turn: Turn): void {
    while (this.#parts.length > turn.parts.length) this.#parts.pop()?.element.remove();
    turn.parts.forEach((part, index) => {
      this.#viewOf(part, index).update(part);
    });
    const last = turn.parts.at(-1);
    const waits = turn.state === "running" && (last?.type !== "text") && !(last?.type === "tool" && last.state === "running");
    if (waits) this.#answer.append(this.#status);
    else this.#status.remove();
    const isStopped = turn.state === "stopped";
    const note = this.#answer.querySelector(".stopped");
    if (isStopped && !note) this.#answer.append(make("p", { class: "stopped" }, this.#texts.stopped));
    if (!isStopped) note?.remove();
    this.#answer.toggleAttribute("hidden", !waits && !isStopped && turn.parts.length === 0);
  }

  /** The answer's own words, for those who hear it. */
  spoken(): string {
    const blocks = [...this.#answer.querySelectorAll(".text > *")];
    return blocks.map((block) => block.textContent).join("\n");
  }

  #viewOf(part: Part, index: number) {
    const known = this.#parts[index];
    if (known?.part === part.type) return known;
    const view = part.type === "text" ? this.#text() : this.#tool();
    this.#parts[index] = view;
    this.#answer.append(view.element);
    return view;
  }

  #text() {
    const answer = new Answer(this.#texts);
    const update = (part: Part) => {
      if (part.type === "text") answer.show(part.text);
    };
    return { part: "text" as const, element: answer.element, update };
  }

  #tool() {
    const label = make("span");
    const element = make("div", { class: "tool" });
    let shown = "";
    const update = (part: Part) => {
      if (part.type !== "tool" || shown === part.state) return;
      shown = part.state;
      const words = { running: this.#texts.toolRunning, done: this.#texts.toolDone, failed: this.#texts.toolFailed };
      const pictures = { running: PICTURES.tool, done: PICTURES.done, failed: PICTURES.close };
      label.textContent = fill(words[part.state], { tool: nameOf(part.name) });
      element.replaceChildren(icon(pictures[part.state]), label);
      element.className = `tool ${part.state}`;
    };
    return { part: "tool" as const, element, update };
  }
}

function dots(): HTMLElement {
  return make("span", { class: "dots", "aria-hidden": "true" }, make("i"), make("i"), make("i"));
}

/** A tool's name as words. */
function nameOf(name: string): string {
  const words = name.replace(/[_-]+/g, " ").trim();
  return words.length > LONGEST_NAME ? `${words.slice(0, LONGEST_NAME)}…` : words;
}
