// The widget's stream under a parser of event streams, behind a UTF-8 decoder that forgives nothing.

import assert from "node:assert/strict";
import { it } from "node:test";

import { createParser } from "eventsource-parser";

import * as setting from "./setting.mjs";

it("is whole UTF-8 and well-formed events, however it is cut", async () => {
  const message = "Zażółć 日本語 👩‍👩‍👧‍👦 𝔘𝔫𝔦 ".repeat(30).trim();
  const response = await fetch(`${setting.widgetUrl}?key=${setting.widgetKey}`, {
    method: "POST",
    headers: { "Content-Type": "application/json", Origin: "https://page.example" },
    body: JSON.stringify({ message, history: [] }),
  });
  assert.equal(response.status, 200);
  const events = [];
  const parser = createParser({ onEvent: (event) => events.push(event), onError: (error) => assert.fail(error) });
  for await (const bytes of response.body) {
    // Each piece on its own: a frame is never cut inside a character.
    parser.feed(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  }
  const names = events.map((event) => event.event);
  assert.equal(names[0], "status");
  assert.equal(names.at(-1), "done");
  const tokens = events.filter((event) => event.event === "token").map((event) => JSON.parse(event.data).text);
  assert.ok(tokens.join("").includes(message));
});
