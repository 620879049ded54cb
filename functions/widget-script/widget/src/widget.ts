// One widget on one page: what the visitor does, what the API says, and what is shown of it.

import { Api, type Config, firstOf, NO_CONFIG, type Sending } from "./api.ts";
import { palette } from "./colors.ts";
import { make } from "./dom.ts";
import { Failure, words } from "./failure.ts";
import { type Conversation, Memory, type Part, type Turn } from "./memory.ts";
import type { Options } from "./options.ts";
import { Panel } from "./panel.ts";
import { Answer } from "./render.ts";
import { addStyles, variables } from "./styles.ts";
import { fill } from "./texts.ts";
import { TurnView } from "./turn-view.ts";

const DARK = "(prefers-color-scheme: dark)";

export class Widget {
  readonly host = document.createElement("orrery-widget");
  readonly #options: Options;
  readonly #api: Api;
  readonly #memory: Memory;
  readonly #conversation: Conversation;
  /** Ends everything that goes on, with the widget itself. */
  readonly #life = new AbortController();
  #running: AbortController | undefined;
  #countdown: ReturnType<typeof setInterval> | undefined;
  #frame = 0;
  #panel: Panel | undefined;
  #config: Config = NO_CONFIG;
  #views: TurnView[] = [];
  #trouble: HTMLElement | undefined;
  #opensWhenReady: boolean;

  constructor(options: Options) {
    this.#options = options;
    this.#api = new Api(options.baseUrl, options.key);
    this.#memory = new Memory(options.key, options.keep);
    this.#conversation = this.#memory.load();
    this.#opensWhenReady = options.open || this.#conversation.isOpen;
    for (const turn of this.#conversation.turns) if (turn.state === "running") turn.state = "failed";
  }

  /** Puts the widget on the page, once its settings are there. */
  async start(): Promise<void> {
    let failure: Failure | undefined;
    try {
      this.#config = await this.#api.config(this.#life.signal);
    } catch (error) {
      if (this.#life.signal.aborted) return;
      failure = asFailure(error);
      this.#emit("error", { kind: failure.kind });
      console.warn(`OrreryWidget: the settings cannot be read (${failure.kind}).`);
      if (failure.kind === "closed") return;
    }
    if (this.#life.signal.aborted) return;
    this.#build();
    const last = this.#conversation.turns.at(-1);
    if (last?.state === "failed") this.#tell(new Failure("cut"), last);
    // What stands against the settings stands against every message.
    if (failure && ["origin", "key"].includes(failure.kind)) this.#tell(failure);
    if (this.#opensWhenReady) this.#open("stays");
  }

  end(): void {
    this.#life.abort();
    this.#stopCountdown();
    cancelAnimationFrame(this.#frame);
    this.host.remove();
  }

  open(): void {
    this.#opensWhenReady = true;
    this.#open("moves");
  }

  /** What opens by itself leaves the focus where the visitor has it. */
  #open(focus: "moves" | "stays"): void {
    if (!this.#panel || this.#panel.isOpen) return;
    this.#panel.open(focus);
    this.#keepOpen(true);
    this.#emit("open", {});
  }

  close(): void {
    this.#opensWhenReady = false;
    if (!this.#panel?.isOpen) return;
    this.#panel.close();
    this.#keepOpen(false);
    this.#emit("close", {});
  }

  #keepOpen(isOpen: boolean): void {
    this.#conversation.isOpen = isOpen;
    this.#memory.save(this.#conversation);
  }

  #build(): void {
    const shadow = this.host.attachShadow({ mode: "open" });
    const paint = addStyles(shadow, this.#options.nonce);
    const media = matchMedia(DARK);
    const repaint = () => {
      const scheme = this.#options.scheme ?? this.#config.scheme;
      const isDark = scheme === "dark" || (scheme === "auto" && media.matches);
      const own = this.#options.colors;
      const set = this.#config.colors;
      const colors = { accent: own.accent ?? set.accent, background: own.background ?? set.background, text: own.text ?? set.text };
      paint(variables(palette(colors, isDark ? "dark" : "light")));
      this.host.classList.toggle("dark", isDark);
    };
    repaint();
    media.addEventListener("change", repaint, { signal: this.#life.signal });
    const panel = new Panel(
      {
        title: this.#title(),
        isLeft: (this.#options.position ?? this.#config.position) === "bottom-left",
        showPoweredBy: this.#config.showPoweredBy,
        texts: this.#options.texts,
      },
      {
        open: () => { this.open(); },
        close: () => { this.close(); },
        send: (text) => { this.#send(text); },
        stop: () => this.#running?.abort(),
        anew: () => { this.#anew(); },
      },
    );
    this.#panel = panel;
    shadow.append(panel.element);
    this.#showConversation();
    document.body.append(this.host);
  }

  #title(): string {
    return this.#options.title ?? (this.#config.agentName || "Chat");
  }

  #showConversation(): void {
    const welcome = this.#options.welcomeMessage ?? this.#config.welcomeMessage;
    this.#views = this.#conversation.turns.map((turn) => this.#view(turn));
    const greeting = new Answer(this.#options.texts);
    greeting.show(welcome);
    const bubble = welcome ? make("div", { class: "welcome" }, greeting.element) : undefined;
    this.#panel?.log.replaceChildren(...[bubble, ...this.#views.map((view) => view.element)].filter((one) => one !== undefined));
  }

  #view(turn: Turn): TurnView {
    return new TurnView(turn, this.#options.texts, this.#title());
  }

  #anew(): void {
    this.#running?.abort();
    this.#running = undefined;
    this.#untell();
    this.#conversation.turns = [];
    this.#conversation.session = undefined;
    this.#memory.save(this.#conversation);
    this.#showConversation();
    this.#panel?.set("ready");
    this.#panel?.focus();
  }

  #send(text: string): void {
    this.#untell();
    const sending: Sending = { message: text, session: this.#conversation.session, id: newId() };
    const turn: Turn = { sending, parts: [], state: "running" };
    this.#conversation.turns.push(turn);
    const view = this.#view(turn);
    this.#views.push(view);
    this.#panel?.log.append(view.element);
    this.#memory.save(this.#conversation);
    this.#emit("message", { role: "user", text });
    void this.#run(turn, view);
  }

  async #run(turn: Turn, view: TurnView): Promise<void> {
    const running = new AbortController();
    const signal = firstOf(running.signal, this.#life.signal);
    this.#running = running;
    this.#panel?.set("running");
    this.#panel?.announce(this.#options.texts.thinking);
    this.#panel?.toEnd();
    const draw = () => {
      cancelAnimationFrame(this.#frame);
      this.#panel?.following(() => { view.update(turn); });
    };
    let failure: Failure | undefined;
    try {
      for await (const happening of this.#api.chat(turn.sending, signal)) {
        if (happening.type === "text") addText(turn.parts, happening.text);
        else if (happening.type === "tool") turn.parts.push({ type: "tool", name: happening.name, state: "running" });
        else if (happening.type === "tool-end") endTool(turn.parts, happening.name, happening.isError);
        else this.#conversation.session = happening.session ?? this.#conversation.session;
        cancelAnimationFrame(this.#frame);
        this.#frame = requestAnimationFrame(draw);
      }
      turn.state = "done";
    } catch (error) {
      turn.state = signal.aborted ? "stopped" : "failed";
      failure = signal.aborted ? undefined : asFailure(error);
    }
    if (this.#life.signal.aborted || this.#running !== running) return;
    this.#running = undefined;
    for (const part of turn.parts) if (part.type === "tool" && part.state === "running") part.state = "failed";
    draw();
    this.#memory.save(this.#conversation);
    this.#panel?.set("ready");
    if (failure) this.#tell(failure, turn);
    else this.#finish(turn, view);
  }

  #finish(turn: Turn, view: TurnView): void {
    const { texts } = this.#options;
    if (turn.state === "stopped") {
      this.#panel?.announce(texts.stopped);
      return;
    }
    this.#panel?.announce(`${fill(texts.agent, { name: this.#title() })} ${view.spoken()}`);
    this.#panel?.notify();
    this.#emit("message", { role: "assistant", text: textOf(turn.parts) });
  }

  /** Shows what went wrong, with a way on where there is one. */
  #tell(failure: Failure, turn?: Turn): void {
    this.#untell();
    const { texts } = this.#options;
    const text = make("p", {}, words(failure, texts, failure.wait));
    const trouble = make("div", { class: "trouble" }, text);
    this.#trouble = trouble;
    const retry = make("button", { type: "button" }, texts.retry);
    if (turn) {
      trouble.append(retry);
      retry.addEventListener("click", () => { this.#retry(turn); });
      this.#emit("error", { kind: failure.kind });
    }
    this.#panel?.following(() => this.#panel?.log.append(trouble));
    this.#panel?.announce(text.textContent);
    this.#panel?.notify();
    if (failure.wait > 0) this.#countDown(failure, text, retry);
  }

  #countDown(failure: Failure, text: HTMLElement, retry: HTMLButtonElement): void {
    const { texts } = this.#options;
    const ready = Date.now() + failure.wait * 1_000;
    retry.disabled = true;
    this.#panel?.set("waiting");
    this.#countdown = setInterval(() => {
      const left = Math.ceil((ready - Date.now()) / 1_000);
      text.textContent = words(failure, texts, Math.max(left, 0));
      if (left > 0) return;
      this.#stopCountdown();
      retry.disabled = false;
      this.#panel?.set("ready");
      this.#panel?.announce(texts.errorReady);
    }, 250);
  }

  #stopCountdown(): void {
    clearInterval(this.#countdown);
    this.#countdown = undefined;
  }

  #untell(): void {
    this.#stopCountdown();
    this.#trouble?.remove();
    this.#trouble = undefined;
  }

  /** Sends the same message again under the same name: if it was answered after all, it is not said twice. */
  #retry(turn: Turn): void {
    const view = this.#views[this.#conversation.turns.indexOf(turn)];
    if (!view || this.#running) return;
    this.#untell();
    turn.parts = [];
    turn.state = "running";
    view.update(turn);
    this.#panel?.focus();
    void this.#run(turn, view);
  }

  #emit(name: string, detail: Record<string, unknown>): void {
    // Before it stands on the page, only the document hears of it.
    const target = this.host.isConnected ? this.host : document;
    target.dispatchEvent(new CustomEvent(`orrery-widget:${name}`, { detail, bubbles: true, composed: true }));
  }
}

function asFailure(error: unknown): Failure {
  return error instanceof Failure ? error : new Failure("server");
}

function addText(parts: Part[], text: string): void {
  const last = parts.at(-1);
  if (last?.type === "text") last.text += text;
  else if (text) parts.push({ type: "text", text });
}

function endTool(parts: Part[], name: string, isError: boolean): void {
  for (const part of parts) {
    if (part.type === "tool" && part.state === "running" && part.name === name) {
      part.state = isError ? "failed" : "done";
      return;
    }
  }
}

function textOf(parts: Part[]): string {
  return parts.flatMap((part) => (part.type === "text" ? [part.text] : [])).join("\n\n");
}

/** A name for a message that nobody else has: `randomUUID` is missing on pages without TLS. */
function newId(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
