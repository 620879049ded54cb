"""What the API answers. All objects keep the JSON they were read from as `raw`, with what a newer server adds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Optional, Union, cast


@dataclass(frozen=True)
class Usage:
    """The tokens of a turn, over all of its calls of the model."""

    input_tokens: int
    output_tokens: int
    raw: Mapping[str, Any] = field(repr=False, compare=False)


@dataclass(frozen=True)
class ExecuteResponse:
    """An answer."""

    response: str
    session_id: str
    trace_id: str
    agent: str
    """The name of the agent that answered."""
    tools_used: list[str]
    """The tools that were used, each once, in the order of their first use."""
    usage: Usage
    raw: Mapping[str, Any] = field(repr=False, compare=False)


@dataclass(frozen=True)
class Session:
    """A session that has begun. Times are ISO 8601, UTC, as all are."""

    session_id: str
    created_at: str
    expires_at: str
    raw: Mapping[str, Any] = field(repr=False, compare=False)


@dataclass(frozen=True)
class Message:
    """What was said in a session."""

    role: Literal["user", "assistant"]
    content: str
    timestamp: str
    agent: Optional[str]
    """The agent that said it, where the role is `assistant`."""
    raw: Mapping[str, Any] = field(repr=False, compare=False)


@dataclass(frozen=True)
class History:
    """Messages from old to new."""

    session_id: str
    messages: list[Message]
    next_cursor: Optional[str]
    """Where older messages are left: what to give as `before` for them."""
    raw: Mapping[str, Any] = field(repr=False, compare=False)


@dataclass(frozen=True)
class EndedSession:
    """A session that is over."""

    session_id: str
    status: str
    ended_at: str
    raw: Mapping[str, Any] = field(repr=False, compare=False)


@dataclass(frozen=True)
class StartEvent:
    """The first event of a stream."""

    trace_id: str
    session_id: Optional[str]
    raw: Mapping[str, Any] = field(repr=False, compare=False)
    type: Literal["start"] = "start"


@dataclass(frozen=True)
class TokenEvent:
    """The next piece of the answer."""

    content: str
    raw: Mapping[str, Any] = field(repr=False, compare=False)
    type: Literal["token"] = "token"


@dataclass(frozen=True)
class ToolCallEvent:
    """A tool begins, or has ended."""

    tool: str
    status: Literal["started", "completed", "failed"]
    raw: Mapping[str, Any] = field(repr=False, compare=False)
    type: Literal["tool_call"] = "tool_call"


@dataclass(frozen=True)
class DoneEvent:
    """The last event of a stream: the answer is whole."""

    usage: Usage
    session_id: Optional[str]
    trace_id: Optional[str]
    agent: Optional[str]
    tools_used: list[str]
    raw: Mapping[str, Any] = field(repr=False, compare=False)
    type: Literal["done"] = "done"


StreamEvent = Union[StartEvent, TokenEvent, ToolCallEvent, DoneEvent]
"""What a stream tells; `type` and the class say which it is."""


@dataclass(frozen=True)
class WebhookEvent:
    """What happened in an app: `session.started`, `session.ended`, `conversation.escalated`, or what comes later."""

    event: str
    timestamp: str
    data: Mapping[str, Any]
    raw: Mapping[str, Any] = field(repr=False, compare=False)


class Fields:
    """The fields of a JSON object, read one by one. `ValueError` says which is missing or of another type."""

    def __init__(self, raw: object) -> None:
        if not isinstance(raw, dict):
            raise ValueError("it is no object")
        self.raw: dict[str, Any] = raw

    def text(self, name: str) -> str:
        value = self.raw.get(name)
        if not isinstance(value, str):
            raise ValueError(f"{name} is no text")
        return value

    def optional_text(self, name: str) -> Optional[str]:
        return None if self.raw.get(name) is None else self.text(name)

    def items(self, name: str) -> list[Any]:
        value = self.raw.get(name)
        if not isinstance(value, list):
            raise ValueError(f"{name} is no list")
        return value

    def mapping(self, name: str) -> dict[str, Any]:
        value = self.raw.get(name)
        if not isinstance(value, dict):
            raise ValueError(f"{name} is no object")
        return value

    def number(self, name: str) -> int:
        value = self.raw.get(name)
        if not isinstance(value, int):
            raise ValueError(f"{name} is no whole number")
        return value


def read_usage(raw: object) -> Usage:
    fields = Fields(raw)
    return Usage(fields.number("input_tokens"), fields.number("output_tokens"), fields.raw)


def read_execute_response(raw: object) -> ExecuteResponse:
    fields = Fields(raw)
    return ExecuteResponse(
        response=fields.text("response"),
        session_id=fields.text("session_id"),
        trace_id=fields.text("trace_id"),
        agent=fields.text("agent"),
        tools_used=fields.items("tools_used"),
        usage=read_usage(fields.raw.get("usage")),
        raw=fields.raw,
    )


def read_session(raw: object) -> Session:
    fields = Fields(raw)
    return Session(fields.text("session_id"), fields.text("created_at"), fields.text("expires_at"), fields.raw)


def read_history(raw: object) -> History:
    fields = Fields(raw)
    messages = [_read_message(message) for message in fields.items("messages")]
    return History(fields.text("session_id"), messages, fields.optional_text("next_cursor"), fields.raw)


def _read_message(raw: object) -> Message:
    fields = Fields(raw)
    role = cast(Literal["user", "assistant"], fields.text("role"))
    return Message(role, fields.text("content"), fields.text("timestamp"), fields.optional_text("agent"), fields.raw)


def read_ended_session(raw: object) -> EndedSession:
    fields = Fields(raw)
    return EndedSession(fields.text("session_id"), fields.text("status"), fields.text("ended_at"), fields.raw)


def read_webhook_event(raw: object) -> WebhookEvent:
    fields = Fields(raw)
    return WebhookEvent(fields.text("event"), fields.text("timestamp"), fields.mapping("data"), fields.raw)


def read_stream_event(name: str, raw: object) -> StreamEvent:
    """The event of that name, which is `start`, `token`, `tool_call` or `done`."""
    fields = Fields(raw)
    if name == "start":
        return StartEvent(fields.text("trace_id"), fields.optional_text("session_id"), fields.raw)
    if name == "token":
        return TokenEvent(fields.text("content"), fields.raw)
    if name == "tool_call":
        status = cast(Literal["started", "completed", "failed"], fields.text("status"))
        return ToolCallEvent(fields.text("tool"), status, fields.raw)
    return DoneEvent(
        usage=read_usage(fields.raw.get("usage")),
        session_id=fields.optional_text("session_id"),
        trace_id=fields.optional_text("trace_id"),
        agent=fields.optional_text("agent"),
        tools_used=fields.items("tools_used") if "tools_used" in fields.raw else [],
        raw=fields.raw,
    )
