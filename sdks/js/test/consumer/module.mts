// A strict program with the packed package, as an ES module: its types, and that it runs.

import {
  AgentPlatform, AgentPlatformError, RateLimitedError, verifyWebhook,
  type ExecuteResponse, type StreamEvent, type WebhookEvent,
} from 'orrery-agent-platform';

const USAGE = { input_tokens: 1, output_tokens: 2 };
const ANSWER = { response: 'Hello', session_id: 's', trace_id: 't', agent: 'a', tools_used: [], usage: USAGE };
const STREAM =
  `event: token\ndata: {"content": "Hello"}\n\nevent: done\ndata: ${JSON.stringify({ usage: USAGE })}\n\n`;

const fetch = async (url: string | URL | Request): Promise<Response> =>
  String(url).endsWith('/stream')
    ? new Response(STREAM, { headers: { 'content-type': 'text/event-stream' } })
    : new Response(JSON.stringify(ANSWER));

const client = new AgentPlatform({
  apiKey: 'sk-app-x', baseUrl: 'https://example.com', timeout: 1000, maxRetries: 0, fetch,
});
const signal = new AbortController().signal;

const answer: ExecuteResponse = await client.execute({ appId: 'app_1', message: 'Hello', metadata: { tier: 1 } }, { signal });
if (answer.response !== 'Hello') throw new Error('no answer');

function told(event: StreamEvent): string {
  switch (event.type) {
    case 'start': return event.trace_id;
    case 'token': return event.content;
    case 'tool_call': return `${event.tool} ${event.status satisfies 'started' | 'completed' | 'failed'}`;
    case 'done': return String(event.usage.output_tokens);
  }
}

let text = '';
let sessionId: string | undefined;
for await (const event of client.executeStream({ appId: 'app_1', message: 'Hello', sessionId })) {
  text += told(event);
  if (event.type === 'start') sessionId = event.session_id;
}
if (text !== 'Hello2') throw new Error(text);
if ((await client.executeStream({ appId: 'app_1', message: 'Hello' }).finalText()) !== 'Hello') throw new Error('no text');

// @ts-expect-error: a message is needed
const withoutMessage = () => client.execute({ appId: 'app_1' });
// @ts-expect-error: there is no such event
const unknownEvent = (event: StreamEvent) => event.type === 'later';
void [withoutMessage, unknownEvent];

const headers: Record<string, string | string[] | undefined> = { 'X-Kore-Signature': '00' };
const refused = await verifyWebhook('{}', headers, 'secret').then(
  (event: WebhookEvent) => event.event,
  (error: unknown) => error,
);
if (!(refused instanceof AgentPlatformError)) throw new Error('an unsigned webhook was accepted');
const seconds = (error: unknown): number | undefined => (error instanceof RateLimitedError ? error.retryAfter : undefined);
if (seconds(refused) !== undefined) throw new Error('it is no rate limit');
