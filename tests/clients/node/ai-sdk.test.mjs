// The AI SDK's provider for OpenAI-compatible services.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, streamText } from "ai";

import * as setting from "./setting.mjs";

describe("the AI SDK", () => {
  const provider = createOpenAICompatible({ name: "orrery", baseURL: setting.openaiUrl, apiKey: setting.key, includeUsage: true });
  const model = provider.chatModel("orrery");
  const quiet = { maxRetries: 0, onError: () => {} };

  it("answers plainly with usage", async () => {
    const result = await generateText({ model, prompt: "Hello there", maxRetries: 0 });
    assert.match(result.text, /Hello there/);
    assert.equal(result.finishReason, "stop");
    assert.ok(result.usage.totalTokens > 0);
  });

  it("streams with usage", async () => {
    const result = streamText({ model, prompt: "One two three", ...quiet });
    let whole = "";
    for await (const piece of result.textStream) whole += piece;
    assert.match(whole, /One two three/);
    assert.ok((await result.usage).totalTokens > 0);
  });

  it("is kept alive by comments while the model is silent (O6)", async () => {
    const result = streamText({ model, prompt: "/slow 16000", ...quiet });
    assert.ok((await result.text).length > 0);
  });

  it("sees a failure in the stream (O9)", async () => {
    const errors = [];
    const result = streamText({ model, prompt: "/cut", maxRetries: 0, onError: ({ error }) => errors.push(error) });
    await result.consumeStream({ onError: () => {} });
    assert.equal(errors.length, 1);
  });

  it("names a wrong key as such", async () => {
    const stranger = createOpenAICompatible({ name: "orrery", baseURL: setting.openaiUrl, apiKey: "kpn_wrong" }).chatModel("orrery");
    await assert.rejects(generateText({ model: stranger, prompt: "Hello", maxRetries: 0 }), (error) => error.statusCode === 401);
  });
});
