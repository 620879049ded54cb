import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { EventParser, type ServerEvent } from "../src/sse.ts";

const encode = (text: string) => new TextEncoder().encode(text);

function parse(bytes: Uint8Array, size: number): ServerEvent[] {
  const parser = new EventParser();
  const events: ServerEvent[] = [];
  for (let at = 0; at < bytes.length; at += size) events.push(...parser.push(bytes.subarray(at, at + size)));
  return events;
}

describe("events", () => {
  const lines = ["\uFEFF: a comment", "event: token", "data: {\"text\":\"Zażółć 👩‍👩‍👧 日本\"}", "", ": keep-alive", "", "data:one", "data: two",
    "id: 5", "retry: 100", "unknown", "", "event: nothing", "", "event: done", "data", "", "data: cut off"];
  const expected = [
    { name: "token", data: "{\"text\":\"Zażółć 👩‍👩‍👧 日本\"}" },
    { name: "message", data: "one\ntwo" },
    { name: "done", data: "" },
  ];
  for (const [name, end] of [["line feeds", "\n"], ["carriage returns", "\r"], ["both", "\r\n"]] as const) {
    it(`are the same however their bytes are cut, with ${name}`, () => {
      const bytes = encode(lines.join(end));
      for (let size = 1; size <= bytes.length; size++) assert.deepEqual(parse(bytes, size), expected, `${size} bytes at once`);
    });
  }

  it("come as soon as they are whole", () => {
    const parser = new EventParser();
    assert.deepEqual(parser.push(encode("event: a\r\ndata: 1\r\n\r")), [{ name: "a", data: "1" }]);
    assert.deepEqual(parser.push(encode("\nevent: b\ndata: 2\n")), []);
    assert.deepEqual(parser.push(encode("\n")), [{ name: "b", data: "2" }]);
  });

  it("may not be endless", () => {
    const parser = new EventParser();
    const piece = encode("x".repeat(600_000));
    parser.push(piece);
    assert.throws(() => parser.push(piece), /too long/);
    const lines = new EventParser();
    const line = encode(`data: ${"x".repeat(600_000)}\n`);
    lines.push(line);
    assert.throws(() => lines.push(line), /too long/);
  });
});
