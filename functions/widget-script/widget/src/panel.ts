// The bubble and the panel: elements, keyboard and focus. What is said in them is the business of widget.ts.

import { icon, iconButton, make, PICTURES } from "./dom.ts";
import type { Texts } from "./texts.ts";

/** The tallest that the input grows, in pixels. */
const TALLEST = 140;
/** How near the end counts as being there, in pixels. */
const NEAR = 60;
const MOST_CHARACTERS = 10_000;

export interface PanelSettings {
  title: string;
  isLeft: boolean;
  showPoweredBy: boolean;
  texts: Texts;
}

/** What a visitor does. */
export interface PanelEvents {
  open: () => void;
  close: () => void;
  send: (text: string) => void;
  stop: () => void;
  anew: () => void;
}

export class Panel {
  readonly element: HTMLElement;
  readonly log: HTMLElement;
  readonly #bubble: HTMLButtonElement;
  readonly #panel: HTMLElement;
  readonly #input: HTMLTextAreaElement;
  readonly #send: HTMLButtonElement;
  readonly #stop: HTMLButtonElement;
  readonly #live = make("div", { class: "hidden", role: "status", "aria-live": "polite", "aria-atomic": "true" });
  readonly #texts: Texts;
  readonly #events: PanelEvents;
  #state: "ready" | "running" | "waiting" = "ready";
  #returnTo: HTMLElement | undefined;

  constructor(settings: PanelSettings, events: PanelEvents) {
    const { texts } = settings;
    this.#texts = texts;
    this.#events = events;
    this.#bubble = iconButton(texts.open, PICTURES.chat, "bubble");
    this.#bubble.setAttribute("aria-expanded", "false");
    this.#bubble.setAttribute("aria-haspopup", "dialog");
    this.log = make("div", { class: "log", role: "log", "aria-live": "off", "aria-label": texts.conversation, tabindex: "0" });
    this.#input = make("textarea", {
      rows: "1", "aria-label": texts.message, placeholder: texts.placeholder, maxlength: `${MOST_CHARACTERS}`, enterkeyhint: "send",
    });
    this.#send = iconButton(texts.send, PICTURES.send, "send");
    this.#send.type = "submit";
    this.#stop = iconButton(texts.stop, PICTURES.stop, "halt");
    const form = make("form", {}, this.#input, this.#send, this.#stop);
    const anew = iconButton(texts.newConversation, PICTURES.anew, "anew");
    const close = iconButton(texts.close, PICTURES.close, "close");
    const head = make("div", { class: "head" },
      make("span", { class: "face" }, icon(PICTURES.spark)),
      make("div", { class: "name" }, make("h2", { id: "title" }, settings.title), make("div", { class: "tag" }, texts.notice)),
      anew, close);
    this.#panel = make("div", { class: "panel", role: "dialog", "aria-modal": "true", "aria-labelledby": "title", hidden: "" },
      head, this.log, form,
      make("div", { class: "foot" }, settings.showPoweredBy ? make("span", {}, texts.poweredBy) : undefined), this.#live);
    this.element = make("section", { class: settings.isLeft ? "left" : "", "aria-label": settings.title }, this.#panel, this.#bubble);

    this.#bubble.addEventListener("click", () => { (this.isOpen ? events.close : events.open)(); });
    close.addEventListener("click", events.close);
    anew.addEventListener("click", events.anew);
    this.#stop.addEventListener("click", events.stop);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#input.addEventListener("input", () => { this.#fit(); });
    this.#panel.addEventListener("keydown", (event) => { this.#key(event); });
    this.set("ready");
  }

  get isOpen(): boolean {
    return !this.#panel.hidden;
  }

  open(focus: "moves" | "stays"): void {
    const active = document.activeElement;
    this.#returnTo = active instanceof HTMLElement && active !== document.body ? active : undefined;
    this.#show(true);
    if (focus === "moves") this.#input.focus();
    this.toEnd();
  }

  close(): void {
    const isWithin = this.#panel.contains((this.#panel.getRootNode() as ShadowRoot).activeElement);
    this.#show(false);
    const host = (this.#panel.getRootNode() as ShadowRoot).host;
    if (!isWithin) return;
    if (this.#returnTo?.isConnected && this.#returnTo !== host) this.#returnTo.focus();
    else this.#bubble.focus();
  }

  /** Whether a message can be sent, an answer is on its way, or sending has to wait. */
  set(state: "ready" | "running" | "waiting"): void {
    const focused = (this.#panel.getRootNode() as Partial<ShadowRoot>).activeElement;
    this.#state = state;
    this.#stop.hidden = state !== "running";
    this.#send.hidden = state === "running";
    this.#fit();
    if (focused && !focused.getClientRects().length) this.#input.focus();
  }

  /** Tells those who hear the page. */
  announce(text: string): void {
    this.#live.textContent = text;
  }

  /** Shows on the closed bubble that there is something to read. */
  notify(): void {
    if (this.isOpen) return;
    this.#bubble.classList.add("new");
    this.#bubble.setAttribute("aria-label", this.#texts.openNew);
  }

  /** Runs what changes the conversation, and keeps its end in sight where it was before. */
  following(change: () => void): void {
    const isAtEnd = this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < NEAR;
    change();
    if (isAtEnd) this.toEnd();
  }

  toEnd(): void {
    this.log.scrollTop = this.log.scrollHeight;
  }

  focus(): void {
    if (this.isOpen) this.#input.focus();
  }

  /** Puts a text that was not taken back. */
  restore(text: string): void {
    if (!this.#input.value) this.#input.value = text;
    this.#fit();
  }

  #show(isOpen: boolean): void {
    this.#panel.hidden = !isOpen;
    this.element.classList.toggle("is-open", isOpen);
    this.#bubble.classList.remove("new");
    this.#bubble.replaceChildren(icon(isOpen ? PICTURES.down : PICTURES.chat));
    const label = isOpen ? this.#texts.close : this.#texts.open;
    this.#bubble.setAttribute("aria-label", label);
    this.#bubble.title = label;
    this.#bubble.setAttribute("aria-expanded", `${isOpen}`);
    this.#fit();
  }

  #submit(): void {
    const text = this.#input.value.trim();
    if (!text || this.#state !== "ready") return;
    this.#input.value = "";
    this.#fit();
    this.#events.send(text);
  }

  #fit(): void {
    this.#send.disabled = this.#state !== "ready" || !this.#input.value.trim();
    if (!this.isOpen) return;
    this.#input.style.height = "auto";
    this.#input.style.height = `${Math.min(this.#input.scrollHeight, TALLEST)}px`;
  }

  #key(event: KeyboardEvent): void {
    // What is typed here is no shortcut of the page.
    event.stopPropagation();
    if (event.isComposing) return;
    if (event.key === "Escape") {
      event.preventDefault();
      this.#events.close();
    } else if (event.key === "Enter" && !event.shiftKey && event.target === this.#input) {
      event.preventDefault();
      this.#submit();
    } else if (event.key === "Tab") {
      this.#keepFocus(event);
    }
  }

  /** From the last element the focus goes to the first, and back. */
  #keepFocus(event: KeyboardEvent): void {
    const all = this.#panel.querySelectorAll<HTMLElement>("button:not(:disabled), textarea, a[href], [tabindex='0']");
    const seen = [...all].filter((element) => element.getClientRects().length);
    const [first, last] = [seen[0], seen.at(-1)];
    const from = event.shiftKey ? first : last;
    if (event.target !== from) return;
    event.preventDefault();
    (event.shiftKey ? last : first)?.focus();
  }
}
