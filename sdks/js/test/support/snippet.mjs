import { AgentPlatform } from 'orrery-agent-platform';

const client = new AgentPlatform({
  apiKey: 'sk-app-xxxxx'
});

const response = await client.execute({
  appId: 'app_123',
  message: "What's my order status?",
  sessionId: 'sess_abc123'
});

console.log(response.response);
