import assert from "node:assert/strict";
import { describe, it } from "node:test";

import type { Inline } from "../src/inline.ts";
import { type Block, parseMarkdown } from "../src/markdown.ts";

/** A parsed text, written down: `strong(a) link<href>(b)`. */
function tell(value: Inline | Block | (Inline | Block)[]): string {
  if (Array.isArray(value)) return value.map(tell).join(" ");
  switch (value.type) {
    case "text": return JSON.stringify(value.text);
    case "break": return "br";
    case "rule": return "hr";
    case "code": return `code${"language" in value && value.language ? `<${value.language}>` : ""}(${JSON.stringify(value.text)})`;
    case "link": return `link<${value.href}>(${tell(value.children)})`;
    case "heading": return `h${value.level}(${tell(value.children)})`;
    case "quote": return `quote(${tell(value.blocks)})`;
    case "list": return `${value.start === undefined ? "ul" : `ol<${value.start}>`}(${value.items.map((item) => `li(${tell(item)})`).join(" ")})`;
    case "table": return `table<${value.align.join()}>(${[value.head, ...value.rows].map((row) => `[${row.map((cell) => tell(cell)).join(" | ")}]`).join(" ")})`;
    case "paragraph": return `p(${tell(value.children)})`;
    default: return `${value.type}(${tell(value.children)})`;
  }
}

const cases: Record<string, [string, string][]> = {
  emphasis: [
    ["**a** *b* __c__ _d_ ~~e~~", 'p(strong("a") " " em("b") " " strong("c") " " em("d") " " del("e"))'],
    ["***a***", 'p(strong(em("a")))'],
    ["**a *b***", 'p(strong("a " em("b")))'],
    ["*a **b***", 'p(em("a " strong("b")))'],
    ["2 * 3 * 4, snake_case_name, 5*6", 'p("2 * 3 * 4, snake_case_name, 5*6")'],
    ["**open", 'p("**open")'],
    ["\\*not\\* `*code*`", 'p("*not* " code("*code*"))'],
    ["**a `**` b**", 'p(strong("a " code("**") " b"))'],
    ["``a ` b``", 'p(code("a ` b"))'],
  ],
  links: [
    ["[a](https://e.com/x?y=1&z=2)", 'p(link<https://e.com/x?y=1&z=2>("a"))'],
    ["[**a**](https://e.com \"title\")", 'p(link<https://e.com/>(strong("a")))'],
    ["[a](https://e.com/(b))", 'p(link<https://e.com/(b)>("a"))'],
    ["see https://e.com/a_b_c. And", 'p("see " link<https://e.com/a_b_c>("https://e.com/a_b_c") ". And")'],
    ["(https://e.com/)", 'p("(" link<https://e.com/>("https://e.com/") ")")'],
    ["<https://e.com> <a@e.com>", 'p(link<https://e.com/>("https://e.com") " " link<mailto:a@e.com>("a@e.com"))'],
    ["![alt](https://e.com/i.png)", 'p(link<https://e.com/i.png>("alt"))'],
    ["[a [b](https://e.com) c](https://f.com)", 'p(link<https://f.com/>("a " "b" " c"))'],
    ["[a](nowhere) [b]", 'p("a" " [b]")'],
  ],
  "what is no link": [
    ["[a](javascript:alert(1))", 'p("a")'],
    ["[a](JaVaScRiPt:alert`1`)", 'p("a")'],
    ["[a](java\\nscript:x)", 'p("a")'],
    ["[a](<java\tscript:alert(1)>)", 'p("a")'],
    ["[a](\u0001javascript:x)", 'p("a")'],
    ["[a](data:text/html;base64,x)", 'p("a")'],
    ["[a](vbscript:x) <javascript:x>", 'p("a" " <javascript:x>")'],
    ["[a](blob:https://e.com/x) [b](file:///etc/passwd)", 'p("a" " " "b")'],
  ],
  blocks: [
    ["# A\n#### B\n# C", 'h3("A") h4("B") h3("C")'],
    ["### first", 'h3("first")'],
    ["> # A\n\n- # B\n\n###### C", 'quote(h3("A")) ul(li(h3("B"))) h4("C")'],
    ["a\nb\n\nc", 'p("a" br "b") p("c")'],
    ["```js\nlet a = \"<b>\";\n\n  x\n```\nafter", 'code<js>("let a = \\"<b>\\";\\n\\n  x") p("after")'],
    ["```\nopen", 'code("open")'],
    ["~~~\n```\n~~~", 'code("```")'],
    ["> a\n> > b\n\nc", 'quote(p("a") quote(p("b"))) p("c")'],
    ["- a\n- b\n  - c\n  - d\n- e", 'ul(li(p("a")) li(p("b") ul(li(p("c")) li(p("d")))) li(p("e")))'],
    ["1. a\n2. b\n   - c\n\n   more\n3. d", 'ol<1>(li(p("a")) li(p("b") ul(li(p("c"))) p("more")) li(p("d")))'],
    ["3) a\n\n4) b", 'ol<3>(li(p("a")) li(p("b")))'],
    ["- a\n  ```\n  code\n  ```\n- b", 'ul(li(p("a") code("code")) li(p("b")))'],
    ["text\n- a", 'p("text") ul(li(p("a")))'],
    ["- a\n1. b", 'ul(li(p("a"))) ol<1>(li(p("b")))'],
    ["---", "hr"],
    ["a | b\n--|:-:\n1 | **2**\n3", 'table<left,center>(["a" | "b"] ["1" | strong("2")]) p("3")'],
    ["| a |\n|---:|\n| `x|y` \\| z |", 'table<right>(["a"] [code("x|y") " | z"])'],
    ["| a | b |\n|---|\n", 'p("| a | b |" br "|---|")'],
    ["<script>alert(1)</script>\n<img src=x onerror=y>", 'p("<script>alert(1)</script>" br "<img src=x onerror=y>")'],
    ["", ""],
  ],
};

for (const [name, pairs] of Object.entries(cases)) {
  describe(name, () => {
    for (const [source, expected] of pairs) {
      it(JSON.stringify(source), () => {
        assert.equal(tell(parseMarkdown(source)), expected);
      });
    }
  });
}

describe("long and hostile texts", () => {
  const sources = ["*a ", "**a ", "***", "_a", "[", "[a](", "![", "`", "`a ``b ", "> ", "- ", "|", "<a@", "https://(", "\\", "~~a ", "# ", "- a\n\n\n\n  ", "1. a\n", "a|b\n-|-\n",
    "[a](x \"", "((((", "*`", "\n", " ", "\t- x\n"];
  for (const source of sources) {
    it(`are read in time: ${JSON.stringify(source)}`, () => {
      const started = performance.now();
      parseMarkdown(source.repeat(Math.ceil(100_000 / source.length)));
      assert.ok(performance.now() - started < 2_000, `${performance.now() - started} ms`);
    });
  }
  it("are nested to a bound", () => {
    const depth = (value: unknown): number =>
      typeof value === "object" && value !== null ? 1 + Math.max(0, ...Object.values(value).map(depth)) : 0;
    for (const source of ["> ".repeat(500) + "x", "- ".repeat(500) + "x", "**a _b ".repeat(500) + "_ **".repeat(500)]) {
      assert.ok(depth(parseMarkdown(source)) < 60);
    }
  });
});
