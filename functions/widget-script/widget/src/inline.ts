// What stands within a line of Markdown: code, emphasis, links. The outcome is data; render.ts makes it visible.

export type Inline =
  | { type: "text"; text: string }
  | { type: "code"; text: string }
  | { type: "break" }
  | { type: "strong" | "em" | "del"; children: Inline[] }
  | { type: "link"; href: string; children: Inline[] };

const DEEPEST = 6;
const LONGEST_LABEL = 300;
const LONGEST_URL = 2_000;
const SPECIAL = /[\\`*_~[!<\nh]/g;
const PUNCTUATION = /[!-/:-@[-`{-~]/;
const WORD = /[\p{L}\p{N}]/u;
const BARE_URL = /^https?:\/\/[^\s<>"`]+/i;

/** The address of a link, if it is one that may be followed: a page or a mail address, never a script. */
export function safeUrl(text: string): string | undefined {
  if (text.length > LONGEST_URL) return undefined;
  try {
    const url = new URL(text);
    return ["http:", "https:", "mailto:"].includes(url.protocol) ? url.href : undefined;
  } catch {
    return undefined;
  }
}

export function parseInline(text: string, depth = 0, inLink = false): Inline[] {
  return new Scanner(text, depth, inLink).scan();
}

class Scanner {
  readonly #text: string;
  readonly #depth: number;
  readonly #inLink: boolean;
  #out: Inline[] = [];
  #plain = "";
  /** Closers that were looked for in vain: they do not stand further on either. */
  #missing = new Set<string>();

  constructor(text: string, depth: number, inLink: boolean) {
    this.#text = text;
    this.#depth = depth;
    this.#inLink = inLink;
  }

  scan(): Inline[] {
    let at = 0;
    while (at < this.#text.length) {
      SPECIAL.lastIndex = at;
      const next = SPECIAL.exec(this.#text)?.index ?? this.#text.length;
      this.#plain += this.#text.slice(at, next);
      if (next >= this.#text.length) break;
      at = this.#special(next);
    }
    this.#flush();
    return this.#out;
  }

  /** Reads what begins with a special character; where it goes on. */
  #special(at: number): number {
    const text = this.#text;
    const char = text[at] ?? "";
    const end =
      char === "\\" ? this.#escape(at)
      : char === "\n" ? this.#break(at)
      : char === "`" ? this.#code(at)
      : char === "[" ? this.#link(at, at)
      : char === "!" && text[at + 1] === "[" ? this.#link(at + 1, at)
      : char === "<" ? this.#angle(at)
      : char === "h" ? this.#bare(at)
      : "*_~".includes(char) ? this.#emphasis(at, char)
      : undefined;
    if (end !== undefined) return end;
    this.#plain += char;
    return at + 1;
  }

  #push(inline: Inline): void {
    this.#flush();
    this.#out.push(inline);
  }

  #flush(): void {
    if (this.#plain) this.#out.push({ type: "text", text: this.#plain });
    this.#plain = "";
  }

  #escape(at: number): number | undefined {
    const next = this.#text[at + 1] ?? "";
    if (next === "\n") return this.#break(at + 1);
    if (!PUNCTUATION.test(next)) return undefined;
    this.#plain += next;
    return at + 2;
  }

  #break(at: number): number {
    this.#plain = this.#plain.trimEnd();
    this.#push({ type: "break" });
    return at + 1;
  }

  /** Where the code that begins here ends, behind its closing backticks. */
  #codeEnd(at: number): number | undefined {
    const run = runLength(this.#text, at);
    const fence = "`".repeat(run);
    if (this.#missing.has(fence)) return undefined;
    for (let end = this.#text.indexOf(fence, at + run); end >= 0; end = this.#text.indexOf(fence, end)) {
      const closing = runLength(this.#text, end);
      if (closing === run) return end + run;
      end += closing;
    }
    this.#missing.add(fence);
    return undefined;
  }

  #code(at: number): number {
    const run = runLength(this.#text, at);
    const end = this.#codeEnd(at);
    if (end === undefined) {
      this.#plain += this.#text.slice(at, at + run);
      return at + run;
    }
    const code = this.#text.slice(at + run, end - run).replaceAll("\n", " ");
    this.#push({ type: "code", text: /^ .*[^ ].* $/.test(code) ? code.slice(1, -1) : code });
    return end;
  }

  /** `[label](url "title")`; an image becomes a link, for nothing is loaded that a model names. */
  #link(open: number, start: number): number | undefined {
    const text = this.#text;
    if (this.#missing.has("]") || !text.includes("]", open)) {
      this.#missing.add("]");
      return undefined;
    }
    let close = open + 1;
    for (let nested = 0; ; close++) {
      if (close >= text.length || close - open > LONGEST_LABEL) return undefined;
      const char = text[close];
      if (char === "\\") close++;
      else if (char === "[") nested++;
      else if (char === "]" && nested-- === 0) break;
    }
    const target = /^\(\s*(?:<([^<>\n]{0,2000})>|((?:[^\s()\\]|\\.|\([^\s()]{0,500}\)){0,2000}))(?:\s+(?:"[^"\n]{0,500}"|'[^'\n]{0,500}'))?\s*\)/
      .exec(text.slice(close + 1, close + 4_000));
    if (!target) return undefined;
    const href = safeUrl((target[1] ?? target[2] ?? "").replace(/\\([!-/:-@[-`{-~])/g, "$1"));
    const label = text.slice(open + 1, close);
    const isDeep = this.#inLink || this.#depth >= DEEPEST;
    const words = label === "" ? (href ?? "") : label;
    const children: Inline[] = isDeep ? [{ type: "text", text: words }] : parseInline(words, this.#depth + 1, true);
    this.#flush();
    if (href && !this.#inLink) this.#out.push({ type: "link", href, children });
    else this.#out.push(...children);
    return Math.max(close + 1 + target[0].length, start + 1);
  }

  #angle(at: number): number | undefined {
    const match = /^<((?:https?:\/\/|mailto:)[^\s<>]+|[\w.+-]+@[\w-]+(?:\.[\w-]+)+)>/i.exec(this.#text.slice(at, at + LONGEST_URL));
    if (!match?.[1] || this.#inLink) return undefined;
    const href = safeUrl(/^(?:https?|mailto):/i.test(match[1]) ? match[1] : `mailto:${match[1]}`);
    if (!href) return undefined;
    this.#push({ type: "link", href, children: [{ type: "text", text: match[1] }] });
    return at + match[0].length;
  }

  #bare(at: number): number | undefined {
    if (this.#inLink || WORD.test(this.#text[at - 1] ?? "")) return undefined;
    const match = BARE_URL.exec(this.#text.slice(at, at + LONGEST_URL));
    if (!match) return undefined;
    let url = match[0].replace(/[.,:;!?'*_~\])]+$/, "");
    // A closing parenthesis belongs to the address where its opening one does.
    const behind = match[0].slice(url.length);
    if (behind.startsWith(")") && url.includes("(") && !url.includes(")")) url += ")";
    const href = safeUrl(url);
    if (!href) return undefined;
    this.#push({ type: "link", href, children: [{ type: "text", text: url }] });
    return at + url.length;
  }

  #emphasis(at: number, char: string): number | undefined {
    const text = this.#text;
    const run = runLength(text, at);
    const skip = () => {
      this.#plain += text.slice(at, at + run);
      return at + run;
    };
    const before = text[at - 1] ?? " ";
    const after = text[at + run] ?? " ";
    if (this.#depth >= DEEPEST || run > 3 || /\s/.test(after) || (char === "_" && WORD.test(before))) return skip();
    const sizes = char === "~" ? (run === 2 ? [2] : []) : run === 3 ? [3, 1, 2] : [run];
    for (const size of sizes) {
      const close = this.#closer(at + size, char, size);
      if (close === undefined) continue;
      const inner = text.slice(at + size, close);
      const children = parseInline(inner, this.#depth + 1, this.#inLink);
      if (char === "~") this.#push({ type: "del", children });
      else if (size === 3) this.#push({ type: "strong", children: [{ type: "em", children }] });
      else this.#push({ type: size === 2 ? "strong" : "em", children });
      return close + size;
    }
    return skip();
  }

  /** Where emphasis of this size closes. */
  #closer(from: number, char: string, size: number): number | undefined {
    const text = this.#text;
    const wanted = char.repeat(size);
    if (this.#missing.has(wanted)) return undefined;
    for (let at = from; at < text.length; ) {
      const here = text[at] ?? "";
      if (here === "\\") at += 2;
      else if (here === "`") at = this.#codeEnd(at) ?? at + runLength(text, at);
      else if (here === char) {
        const run = runLength(text, at);
        const closes = !/\s/.test(text[at - 1] ?? " ") && at > from && !(char === "_" && WORD.test(text[at + run] ?? " "));
        if (closes && run === size) return at;
        if (closes && run === 3 && char !== "~") return at + 3 - size;
        at += run;
      } else at++;
    }
    this.#missing.add(wanted);
    return undefined;
  }
}

function runLength(text: string, at: number): number {
  let end = at;
  while (text[end] === text[at]) end++;
  return end - at;
}
