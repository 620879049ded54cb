// A strict program with the packed package, as CommonJS.

import platform = require('orrery-agent-platform');

async function main(): Promise<void> {
  const client = new platform.AgentPlatform({
    apiKey: 'sk-app-x', baseUrl: 'https://example.com', fetch: async () => new Response('{"session_id": "sess_1"}'),
  });
  const session: platform.Session = await client.createSession({ appId: 'app_1', userId: 'user_456' });
  if (session.session_id !== 'sess_1') throw new Error('no session');
}

void main();
