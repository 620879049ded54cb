from orrery_platform import AgentPlatform

client = AgentPlatform(api_key="sk-app-xxxxx")

response = client.execute(
    app_id="app_123",
    message="What's my order status?",
    session_id="sess_abc123"
)

print(response.response)
