// The official OpenAI client for Node, unchanged, in both of its current major versions.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import OpenAI6 from "openai-6";
import OpenAI7 from "openai-7";

import * as setting from "./setting.mjs";

const tools = Array.from({ length: 80 }, (_, number) => ({
  type: "function",
  function: {
    name: `tool_${number}`,
    description: "What a coding assistant offers. ".repeat(20),
    parameters: { type: "object", properties: { path: { type: "string" } }, required: ["path"] },
  },
}));

for (const [version, OpenAI] of [["6", OpenAI6], ["7", OpenAI7]]) {
  describe(`openai-node ${version}`, () => {
    const client = new OpenAI({ baseURL: setting.openaiUrl, apiKey: setting.key, maxRetries: 0 });
    const say = (content, options = {}) =>
      client.chat.completions.create({ model: "orrery", messages: [{ role: "user", content }], ...options });
    const text = async (stream) => {
      let whole = "";
      for await (const chunk of stream) whole += chunk.choices[0]?.delta?.content ?? "";
      return whole;
    };

    it("answers plainly", async () => {
      const completion = await say("Hello there");
      assert.match(completion.choices[0].message.content, /Hello there/);
      assert.equal(completion.choices[0].finish_reason, "stop");
      assert.equal(completion.usage.total_tokens, completion.usage.prompt_tokens + completion.usage.completion_tokens);
    });

    it("streams the same text", async () => {
      const plain = (await say("One two three")).choices[0].message.content;
      assert.equal(await text(await say("One two three", { stream: true })), plain);
    });

    it("gets usage in a last chunk only when it asks (O4)", async () => {
      for await (const chunk of await say("Hello", { stream: true })) assert.equal(chunk.choices.length, 1);
      const chunks = await Array.fromAsync(await say("Hello", { stream: true, stream_options: { include_usage: true } }));
      assert.deepEqual(chunks.at(-1).choices, []);
      assert.ok(chunks.at(-1).usage.total_tokens > 0);
      assert.ok(chunks.slice(0, -1).every((chunk) => chunk.usage === null && chunk.choices.length === 1));
    });

    it("has a stream helper that finishes", async () => {
      const stream = client.chat.completions.stream({ model: "orrery", messages: [{ role: "user", content: "Hello" }] });
      let heard = "";
      stream.on("content", (delta) => (heard += delta));
      const final = await stream.finalChatCompletion();
      assert.equal(final.choices[0].message.content, heard);
      assert.equal(final.choices[0].finish_reason, "stop");
    });

    it("may send parts, every role and null content (O1, O2)", async () => {
      const call = { id: "c", type: "function", function: { name: "f", arguments: "{}" } };
      const completion = await client.chat.completions.create({
        model: "orrery",
        messages: [
          { role: "system", content: "You are a pirate." },
          { role: "developer", content: "You are a parrot." },
          { role: "user", content: [{ type: "text", text: "before" }] },
          { role: "assistant", content: null, tool_calls: [call] },
          { role: "tool", tool_call_id: "c", content: "result" },
          { role: "assistant", content: "" },
          { role: "user", content: [{ type: "text", text: "first" }, { type: "text", text: "second" }] },
        ],
      });
      assert.match(completion.choices[0].message.content, /first[^]*second/);
    });

    it("may send 60 KB of tools and unknown fields (O3)", async () => {
      assert.ok(JSON.stringify(tools).length > 60_000);
      const completion = await say("Hello", { tools, tool_choice: "auto", seed: 1, store: true, vendor: { deep: [null] } });
      assert.equal(completion.choices[0].message.tool_calls, undefined);
    });

    it("runs twenty streams at once", async () => {
      const streams = Array.from({ length: 20 }, async (_, number) => text(await say(`number-${number}`, { stream: true })));
      (await Promise.all(streams)).forEach((whole, number) => assert.match(whole, new RegExp(`number-${number}\\b`)));
    });

    it("lists the models (O10)", async () => {
      const [model] = (await client.models.list()).data;
      assert.equal(model.object, "model");
    });

    it("raises typed errors (O8, O11)", async () => {
      const stranger = new OpenAI({ baseURL: setting.openaiUrl, apiKey: "kpn_wrong", maxRetries: 0 });
      const foreign = new OpenAI({ baseURL: setting.otherOpenaiUrl, apiKey: setting.key, maxRetries: 0 });
      const messages = [{ role: "user", content: "Hello" }];
      const create = (client, body) => client.chat.completions.create({ model: "orrery", messages, ...body });
      const unauthorized = (error) => error instanceof OpenAI.AuthenticationError && error.code === "invalid_api_key";
      await assert.rejects(create(stranger), unauthorized);
      await assert.rejects(create(foreign), OpenAI.PermissionDeniedError);
      await assert.rejects(create(client, { messages: [] }), OpenAI.BadRequestError);
      await assert.rejects(client.responses.create({ model: "orrery", input: "Hello" }), OpenAI.NotFoundError);
      await assert.rejects(client.embeddings.create({ model: "orrery", input: "Hello" }), OpenAI.NotFoundError);
      await assert.rejects(create(client, { messages: [{ role: "user", content: "/fail" }] }), OpenAI.InternalServerError);
    });

    it("raises when the stream fails (O9)", async () => {
      await assert.rejects(async () => text(await say("/cut", { stream: true })), OpenAI.APIError);
    });

    it("raises a rate limit error that says when to come back", async () => {
      const limited = new OpenAI({ baseURL: setting.limitedOpenaiUrl, apiKey: setting.limitedKey, maxRetries: 0 });
      const flood = async () => {
        for (let call = 0; call < 40; call += 1) {
          await limited.chat.completions.create({ model: "orrery", messages: [{ role: "user", content: "Hello" }] });
        }
      };
      await assert.rejects(flood, (error) => {
        assert.ok(error instanceof OpenAI.RateLimitError);
        const wait = Number(error.headers.get("retry-after"));
        return Number.isInteger(wait) && wait >= 1 && wait <= 60;
      });
    });
  });
}
