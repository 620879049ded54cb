// Makes parsed Markdown visible. Everything is built of elements and texts of this list, and nothing is ever parsed as
// HTML: what a model writes cannot become a script, a style or a handler.

import { make } from "./dom.ts";
import type { Inline } from "./inline.ts";
import { type Block, parseMarkdown } from "./markdown.ts";
import type { Texts } from "./texts.ts";

/** How long "Copied" is shown, in milliseconds. */
const COPIED = 2_000;

/** A text that grows, in an element. Blocks that stay as they are keep their elements. */
export class Answer {
  readonly element = make("div", { class: "text", dir: "auto" });
  readonly #texts: Texts;
  #source = "";
  #shown: string[] = [];

  constructor(texts: Texts) {
    this.#texts = texts;
  }

  show(markdown: string): void {
    if (markdown === this.#source) return;
    this.#source = markdown;
    const blocks = parseMarkdown(markdown);
    const keys = blocks.map((block) => JSON.stringify(block));
    let same = 0;
    while (same < keys.length && keys[same] === this.#shown[same]) same++;
    while (this.element.childNodes.length > same) this.element.lastChild?.remove();
    for (const block of blocks.slice(same)) this.element.append(renderBlock(block, this.#texts));
    this.#shown = keys;
  }
}

function renderBlock(block: Block, texts: Texts): HTMLElement {
  switch (block.type) {
    case "paragraph":
      return make("p", {}, ...renderInline(block.children));
    case "heading":
      return make(`h${block.level}` as "h3", {}, ...renderInline(block.children));
    case "code":
      return renderCode(block.text, block.language, texts);
    case "quote":
      return make("blockquote", {}, ...block.blocks.map((inner) => renderBlock(inner, texts)));
    case "list": {
      const items = block.items.map((item) => make("li", {}, ...renderItem(item, texts)));
      if (block.start === undefined) return make("ul", {}, ...items);
      return make("ol", { start: `${block.start}` }, ...items);
    }
    case "table":
      return renderTable(block, texts);
    case "rule":
      return make("hr");
  }
}

/** An item that is one paragraph stands without it. */
function renderItem(blocks: Block[], texts: Texts): Node[] {
  return blocks.flatMap((block, index) =>
    index === 0 && block.type === "paragraph" ? renderInline(block.children) : [renderBlock(block, texts)],
  );
}

function renderCode(text: string, language: string, texts: Texts): HTMLElement {
  const bar = make("div", { class: "bar" }, make("span", {}, language));
  // There is no clipboard on pages without TLS.
  const clipboard = navigator.clipboard as Clipboard | undefined;
  if (clipboard) {
    const button = make("button", { type: "button" }, texts.copy);
    button.addEventListener("click", () => {
      clipboard.writeText(text).then(
        () => {
          button.textContent = texts.copied;
          setTimeout(() => (button.textContent = texts.copy), COPIED);
        },
        () => (button.textContent = texts.copyFailed),
      );
    });
    bar.append(button);
  }
  const label = { tabindex: "0", role: "region", "aria-label": language ? `${texts.code}: ${language}` : texts.code };
  return make("div", { class: "code" }, bar, make("pre", label, make("code", {}, text)));
}

function renderTable(table: Extract<Block, { type: "table" }>, texts: Texts): HTMLElement {
  const cell = (tag: "th" | "td", children: Inline[], column: number) => {
    const scope: Record<string, string> = tag === "th" ? { scope: "col" } : {};
    return make(tag, { class: `to-${table.align[column] ?? "left"}`, ...scope }, ...renderInline(children));
  };
  const row = (tag: "th" | "td", cells: Inline[][]) =>
    make("tr", {}, ...cells.map((children, column) => cell(tag, children, column)));
  const body = make("tbody", {}, ...table.rows.map((cells) => row("td", cells)));
  const whole = make("table", {}, make("thead", {}, row("th", table.head)), body);
  return make("div", { class: "table", tabindex: "0", role: "region", "aria-label": texts.table }, whole);
}

function renderInline(inlines: Inline[]): Node[] {
  return inlines.map((inline) => {
    switch (inline.type) {
      case "text":
        return document.createTextNode(inline.text);
      case "code":
        return make("code", {}, inline.text);
      case "break":
        return make("br");
      case "link":
        return make(
          "a",
          { href: inline.href, target: "_blank", rel: "noopener noreferrer nofollow" },
          ...renderInline(inline.children),
        );
      default:
        return make(inline.type, {}, ...renderInline(inline.children));
    }
  });
}
