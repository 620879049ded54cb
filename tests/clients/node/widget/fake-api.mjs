// An API that says what a test tells it, in the bytes that the test chooses.

import { readFileSync } from "node:fs";

import { listen } from "./pages.mjs";

const script = readFileSync(new URL("../../../../functions/widget-script/src/widget.js", import.meta.url));

export const CONFIG = { welcomeMessage: "Hi! How can I help you?", position: "bottom-right", showPoweredBy: true, agentName: "Support" };

/** An event as the API writes it. */
export const frame = (name, fields) => `event: ${name}\ndata: ${JSON.stringify({ type: name, data: fields, ...fields })}\n\n`;

/** A whole answer. */
export const answer = (...texts) =>
  [frame("status", { status: "thinking" }), ...texts.map((text) => frame("token", { text })), frame("done", { metrics: {}, sessionId: "sess_1" })].join("");

export const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/**
 * `api.config` is the next settings: an object, or `{ status, body, headers }`. `api.reply` answers a message: it is given
 * the request and the response, whose head is not yet written. `api.calls` are the requests.
 */
export async function openApi() {
  const api = { config: CONFIG, calls: [], reply: async ({ stream }) => stream(answer("Hello")) };
  const server = await listen(async (request, response) => {
    const origin = { "Access-Control-Allow-Origin": request.headers.origin ?? "*", "Access-Control-Expose-Headers": "retry-after" };
    const refuse = ({ status, body, headers }) =>
      response.writeHead(status, { "Content-Type": "application/json", ...origin, ...headers }).end(JSON.stringify(body));
    const path = new URL(request.url, "http://api").pathname.replace("/stage", "");
    if (request.method === "OPTIONS") {
      return response.writeHead(204, { ...origin, "Access-Control-Allow-Headers": "authorization, content-type, idempotency-key" }).end();
    }
    if (path === "/api/widget/script") {
      return response.writeHead(200, { "Content-Type": "text/javascript; charset=utf-8", ...origin }).end(script);
    }
    let body = "";
    for await (const piece of request) body += piece;
    api.calls.push({ url: request.url, headers: request.headers, body: body && JSON.parse(body) });
    if (path === "/api/widget/config") {
      return api.config.status ? refuse(api.config) : refuse({ status: 200, body: api.config });
    }
    if (path !== "/api/widget/chat") return refuse({ status: 404, body: { error: "Not found" } });
    const begin = () => response.writeHead(200, { "Content-Type": "text/event-stream", ...origin });
    const stream = async (...pieces) => {
      begin();
      for (const piece of pieces) {
        response.write(piece);
        await pause(15);
      }
      response.end();
    };
    await api.reply({ number: api.calls.filter((call) => call.body).length, body: JSON.parse(body), response, begin, stream, refuse });
  });
  return Object.assign(api, server, { script: `${server.url}/stage/api/widget/script` });
}
