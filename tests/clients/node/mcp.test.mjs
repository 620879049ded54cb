// The official MCP clients for TypeScript, both majors. The newer one agrees on a version by handshake, or without one.

import assert from "node:assert/strict";
import { test } from "node:test";
import * as newer from "@modelcontextprotocol/client";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { CallToolResultSchema } from "@modelcontextprotocol/sdk/types.js";

const url = new URL(process.env.ORRERY_MCP_URL);
const requestInit = { headers: { Authorization: `Bearer ${process.env.ORRERY_KEY}` } };
const who = { name: "orrery-tests", version: "1.0.0" };

const clients = {
  "sdk 1": async () => {
    const client = new Client(who);
    await client.connect(new StreamableHTTPClientTransport(url, { requestInit }));
    return { client, call: (params, options) => client.callTool(params, CallToolResultSchema, options) };
  },
  "client 2 with a handshake": () => connectNewer("legacy"),
  "client 2 without one": () => connectNewer({ pin: "2026-07-28" }),
  "client 2 that asks first": () => connectNewer("auto"),
};

async function connectNewer(mode) {
  const client = new newer.Client(who, { versionNegotiation: { mode } });
  await client.connect(new newer.StreamableHTTPClientTransport(url, { requestInit }));
  if (mode !== "legacy") assert.equal(client.getNegotiatedProtocolVersion(), "2026-07-28");
  return { client, call: (params, options) => client.callTool(params, options) };
}

for (const [name, connect] of Object.entries(clients)) {
  test(`${name} lists the tools, calls them and is told of progress`, async () => {
    const { client, call } = await connect();
    assert.deepEqual(
      { name: client.getServerVersion().name, version: client.getServerVersion().version },
      { name: "kopern-mcp", version: "1.0.0" },
    );
    const { tools } = await client.listTools();
    assert.deepEqual(tools.map((tool) => tool.name), ["kopern_chat", "kopern_agent_info"]);
    assert.ok(tools.every((tool) => tool.outputSchema && tool.annotations));

    const first = await call({ name: "kopern_chat", arguments: { message: "Hello ☀" } });
    assert.equal(first.content[0].text, "You said: Hello ☀");
    const session_id = first.structuredContent.session_id;
    const second = await call({ name: "kopern_chat", arguments: { message: "/history", session_id } });
    assert.match(second.content[0].text, /Hello ☀/);
    assert.equal((await call({ name: "kopern_agent_info" })).structuredContent.name, "echo");

    const told = [];
    const message = '/tool add {"a": 2, "b": 3}';
    const added = await call({ name: "kopern_chat", arguments: { message } }, { onprogress: (note) => told.push(note) });
    assert.match(added.content[0].text, /5/);
    assert.deepEqual(told.map((note) => note.message), ["Calling add", "add is done"]);

    const failed = await call({ name: "kopern_chat", arguments: { message: "/fail" } });
    assert.equal(failed.isError, true);
    await assert.rejects(call({ name: "rm" }), /Unknown tool: rm/);
    await client.close();
  });
}

test("a key that does not work is told as such", async () => {
  const wrong = { requestInit: { headers: { Authorization: "Bearer kpn_wrong" } } };
  await assert.rejects(new Client(who).connect(new StreamableHTTPClientTransport(url, wrong)), /401|API key/);
});
