"""Client for the apps of Orrery.

    from orrery_platform import AgentPlatform

    client = AgentPlatform(api_key="sk-app-…", base_url="https://example.com")
    print(client.execute(app_id="app_123", message="Hello").response)

`AsyncAgentPlatform` has the same methods for asyncio.
"""

from .client import AgentPlatform, AsyncAgentPlatform
from .errors import (
    AgentPlatformError,
    AuthenticationError,
    ConnectionFailedError,
    InternalServerError,
    InvalidRequestError,
    NotFoundError,
    RateLimit,
    RateLimitedError,
    RequestTimeoutError,
    StreamError,
    WebhookVerificationError,
)
from .settings import VERSION as __version__
from .stream import AsyncExecuteStream, ExecuteStream
from .types import (
    DoneEvent,
    EndedSession,
    ExecuteResponse,
    History,
    Message,
    Session,
    StartEvent,
    StreamEvent,
    TokenEvent,
    ToolCallEvent,
    Usage,
    WebhookEvent,
)
from .webhook import verify_webhook

__all__ = [
    "AgentPlatform",
    "AgentPlatformError",
    "AsyncAgentPlatform",
    "AsyncExecuteStream",
    "AuthenticationError",
    "ConnectionFailedError",
    "DoneEvent",
    "EndedSession",
    "ExecuteResponse",
    "ExecuteStream",
    "History",
    "InternalServerError",
    "InvalidRequestError",
    "Message",
    "NotFoundError",
    "RateLimit",
    "RateLimitedError",
    "RequestTimeoutError",
    "Session",
    "StartEvent",
    "StreamError",
    "StreamEvent",
    "TokenEvent",
    "ToolCallEvent",
    "Usage",
    "WebhookEvent",
    "WebhookVerificationError",
    "__version__",
    "verify_webhook",
]
