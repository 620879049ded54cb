// Markdown as models write it: headings, lists, quotes, tables, code, paragraphs. The outcome is data; render.ts makes
// it visible. HTML is text like any other.

import { type Inline, parseInline } from "./inline.ts";

export type Align = "left" | "center" | "right";

export type Block =
  | { type: "paragraph"; children: Inline[] }
  | { type: "heading"; level: number; children: Inline[] }
  | { type: "code"; language: string; text: string }
  | { type: "quote"; blocks: Block[] }
  | { type: "list"; start: number | undefined; items: Block[][] }
  | { type: "table"; align: Align[]; head: Inline[][]; rows: Inline[][][] }
  | { type: "rule" };

const DEEPEST = 6;
/** The level of the panel's title. */
const TITLE_LEVEL = 2;
const MOST_COLUMNS = 30;
/** Blank lines that part nothing within a list. */
const MOST_BLANK = 5;
const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([^`\s]*)[^`]*$/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*?)(?:\s+#+)?\s*$/;
const RULE = /^ {0,3}([-*_])(?:[ \t]*\1){2,}[ \t]*$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^(\s{0,12})([-*+]|\d{1,9}[.)])(?:\s+(?=\S)|\s*$)/;
const DELIMITER = /^\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*$/;

/** The blocks of a text. */
export function parseMarkdown(text: string): Block[] {
  const blocks = parseBlocks(text.replace(/\r\n?/g, "\n").replaceAll("\t", "    ").split("\n"), 0);
  settleLevels(blocks, TITLE_LEVEL);
  return blocks;
}

/** Levels never jump: a heading is at most one deeper than the one before, or the panel's title. The last level. */
function settleLevels(blocks: Block[], before: number): number {
  let last = before;
  for (const block of blocks) {
    if (block.type === "heading") block.level = last = Math.min(block.level + TITLE_LEVEL, last + 1, 6);
    const inner = block.type === "quote" ? [block.blocks] : block.type === "list" ? block.items : [];
    for (const blocks of inner) last = settleLevels(blocks, last);
  }
  return last;
}

function parseBlocks(lines: string[], depth: number): Block[] {
  const blocks: Block[] = [];
  let at = 0;
  while (at < lines.length) {
    const line = lines[at] ?? "";
    if (!line.trim()) {
      at++;
      continue;
    }
    const [block, end] = (depth < DEEPEST ? container(lines, at, depth) : undefined) ?? leaf(lines, at, depth);
    blocks.push(block);
    at = end;
  }
  return blocks;
}

type Parsed = [Block, number];

/** A quote or a list, if one begins here. */
function container(lines: string[], at: number, depth: number): Parsed | undefined {
  const line = lines[at] ?? "";
  if (QUOTE.test(line)) {
    let end = at;
    while (end < lines.length && QUOTE.test(lines[end] ?? "")) end++;
    const inner = lines.slice(at, end).map((one) => one.replace(QUOTE, ""));
    return [{ type: "quote", blocks: parseBlocks(inner, depth + 1) }, end];
  }
  return RULE.test(line) ? undefined : list(lines, at, depth);
}

function list(lines: string[], at: number, depth: number): Parsed | undefined {
  const first = ITEM.exec(lines[at] ?? "");
  if (!first) return undefined;
  const indent = first[1]?.length ?? 0;
  const kind = markerKind(first[2]);
  const items: Block[][] = [];
  let end = at;
  for (;;) {
    const marker = ITEM.exec(lines[end] ?? "");
    const isNext = marker && (marker[1]?.length ?? 0) < indent + 2 && markerKind(marker[2]) === kind;
    if (!isNext || RULE.test(lines[end] ?? "")) break;
    const content = marker[0].length;
    const own = [(lines[end] ?? "").slice(content)];
    for (end++; end < lines.length && belongs(lines, end, indent); end++) {
      const line = lines[end] ?? "";
      own.push(line.slice(Math.min(content, line.length - line.trimStart().length)));
    }
    items.push(parseBlocks(own, depth + 1));
    // Blank lines between two items.
    let next = end;
    while (next < lines.length && !(lines[next] ?? "").trim()) next++;
    if (next < lines.length && ITEM.test(lines[next] ?? "")) end = next;
  }
  const number = Number.parseInt(first[2] ?? "", 10);
  return [{ type: "list", start: Number.isNaN(number) ? undefined : number, items }, end];
}

function markerKind(marker = ""): string {
  return /\d/.test(marker) ? "1" : marker;
}

/** Whether a line goes on with the item of a list that stands at this indent. */
function belongs(lines: string[], at: number, indent: number): boolean {
  const line = lines[at] ?? "";
  const own = line.length - line.trimStart().length;
  if (line.trim()) {
    if (own >= indent + 2) return true;
    const isLazy = (lines[at - 1] ?? "").trim() !== "";
    return isLazy && !ITEM.test(line) && !begins(line);
  }
  const after = lines.slice(at, at + MOST_BLANK).find((next) => next.trim()) ?? "";
  return after.trim() !== "" && after.length - after.trimStart().length >= indent + 2;
}

/** Whether a line begins something that ends a paragraph. */
function begins(line: string): boolean {
  return FENCE.test(line) || HEADING.test(line) || RULE.test(line) || QUOTE.test(line);
}

function leaf(lines: string[], at: number, depth: number): Parsed {
  const line = lines[at] ?? "";
  const fence = FENCE.exec(line);
  if (fence?.[1]) return code(lines, at, fence[1], fence[2] ?? "");
  const heading = HEADING.exec(line);
  if (heading) return [{ type: "heading", level: heading[1]?.length ?? 1, children: parseInline(heading[2] ?? "") }, at + 1];
  if (RULE.test(line)) return [{ type: "rule" }, at + 1];
  if (line.includes("|") && DELIMITER.test(lines[at + 1] ?? "")) {
    const parsed = table(lines, at);
    if (parsed) return parsed;
  }
  let end = at + 1;
  while (end < lines.length) {
    const next = lines[end] ?? "";
    const isTable = next.includes("|") && (lines[end + 1] ?? "").includes("|") && DELIMITER.test(lines[end + 1] ?? "");
    if (!next.trim() || begins(next) || isTable || (depth < DEEPEST && ITEM.test(next))) break;
    end++;
  }
  const text = lines.slice(at, end).map((one) => one.trim()).join("\n");
  return [{ type: "paragraph", children: parseInline(text) }, end];
}

function code(lines: string[], at: number, fence: string, language: string): Parsed {
  const closing = new RegExp(`^ {0,3}${fence[0] ?? ""}{${fence.length},}\\s*$`);
  const indent = (lines[at] ?? "").search(/\S/);
  let end = at + 1;
  while (end < lines.length && !closing.test(lines[end] ?? "")) end++;
  const text = lines.slice(at + 1, end).map((line) => line.slice(Math.min(indent, line.length - line.trimStart().length)));
  return [{ type: "code", language: language.slice(0, 30), text: text.join("\n") }, end + 1];
}

function table(lines: string[], at: number): Parsed | undefined {
  const head = cells(lines[at] ?? "");
  const marks = cells(lines[at + 1] ?? "");
  if (head.length !== marks.length || head.length > MOST_COLUMNS) return undefined;
  const align = marks.map((mark): Align => {
    if (mark.endsWith(":")) return mark.startsWith(":") ? "center" : "right";
    return "left";
  });
  const rows: Inline[][][] = [];
  let end = at + 2;
  for (; end < lines.length && (lines[end] ?? "").trim() && (lines[end] ?? "").includes("|"); end++) {
    const row = cells(lines[end] ?? "");
    rows.push(head.map((_, column) => parseInline(row[column] ?? "")));
  }
  return [{ type: "table", align, head: head.map((cell) => parseInline(cell)), rows }, end];
}

/** The cells of a table's line; a bar within code or behind a backslash parts nothing. */
function cells(line: string): string[] {
  const bare = line.trim().replace(/^\|/, "").replace(/([^\\]|^)\|$/, "$1");
  const found: string[] = [];
  let cell = "";
  let inCode = false;
  for (let at = 0; at < bare.length; at++) {
    const char = bare[at] ?? "";
    if (char === "\\" && bare[at + 1] === "|") {
      cell += "|";
      at++;
    } else if (char === "|" && !inCode) {
      found.push(cell.trim());
      cell = "";
    } else {
      if (char === "`") inCode = !inCode;
      cell += char;
    }
  }
  return [...found, cell.trim()];
}
