"""Conversations from end to end, with a fake of the API, and with a real one where `ORRERY_URL`, `ORRERY_APP_ID` and
`ORRERY_APP_KEY` name it; its model is the demo that echoes. `ORRERY_TOOL` may name a tool of its agent."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest
from conftest import LIVE, Driver
from platform_fake import APP, KEY, Platform
from server import serving

from orrery_platform import (
    AgentPlatformError,
    AuthenticationError,
    DoneEvent,
    InvalidRequestError,
    NotFoundError,
    StartEvent,
    TokenEvent,
    ToolCallEvent,
)

TOOL = os.environ.get("ORRERY_TOOL", "get_order_status")
UNICODE = "Grüße 👋🏽 日本語"


@dataclass
class Api:
    """An API, and the client that it is called with."""

    driver: Driver
    url: str
    key: str
    app: str

    def call(self, method: str, **params: Any) -> Any:
        return self.driver.call(self.url, method, {"app_id": self.app, **params}, api_key=self.key)

    def error(self, method: str, **params: Any) -> AgentPlatformError:
        with pytest.raises(AgentPlatformError) as caught:
            self.call(method, **params)
        return caught.value

    def stream(self, **params: Any) -> Any:
        return self.driver.stream(self.url, {"app_id": self.app, **params}, api_key=self.key)


@pytest.fixture(params=["fake", "live"])
def api(request: pytest.FixtureRequest, driver: Driver) -> Iterator[Api]:
    if request.param == "fake":
        with serving(Platform()) as server:
            yield Api(driver, server.url, KEY, APP)
    elif all(os.environ.get(name) for name in LIVE):
        url, app, key = (os.environ[name] for name in LIVE)
        yield Api(driver, url, key, app)
    else:
        pytest.skip("ORRERY_URL, ORRERY_APP_ID and ORRERY_APP_KEY are not set")


def test_a_message_is_answered(api: Api) -> None:
    answer = api.call("execute", message=UNICODE)
    assert UNICODE in answer.response
    assert answer.session_id.startswith("sess_") and answer.trace_id.startswith("trace_")
    assert answer.agent and answer.tools_used == []
    assert answer.usage.input_tokens > 0 and answer.usage.output_tokens > 0
    assert answer.raw["response"] == answer.response


def test_a_session_is_created_gone_on_with_read_page_by_page_and_ended(api: Api) -> None:
    session = api.call("create_session", user_id="user_456", metadata={"channel": "web"})
    created, expires = (
        datetime.fromisoformat(time.replace("Z", "+00:00")) for time in (session.created_at, session.expires_at)
    )
    assert created <= expires
    session_id = session.session_id
    first = api.call("execute", message="first words", session_id=session_id)
    assert first.session_id == session_id
    api.call("execute", message="second words", session_id=session_id, metadata={"tier": "premium"})

    whole = api.call("get_history", session_id=session_id)
    assert [message.role for message in whole.messages] == ["user", "assistant", "user", "assistant"]
    assert whole.messages[0].content == "first words" and whole.messages[0].agent is None
    assert whole.messages[1].agent == first.agent
    assert whole.next_cursor is None
    newest = api.call("get_history", session_id=session_id, limit=2)
    older = api.call("get_history", session_id=session_id, limit=2, before=newest.next_cursor)
    assert older.messages + newest.messages == whole.messages

    ended = api.call("end_session", session_id=session_id)
    assert ended.status == "ended"
    assert api.call("end_session", session_id=session_id) == ended
    late = api.error("execute", message="late", session_id=session_id)
    assert isinstance(late, InvalidRequestError)
    assert len(api.call("get_history", session_id=session_id).messages) == 4


def test_an_answer_is_streamed(api: Api) -> None:
    events, error = api.stream(message=UNICODE)
    assert error is None
    start, done = events[0], events[-1]
    assert isinstance(start, StartEvent) and start.trace_id.startswith("trace_")
    assert isinstance(done, DoneEvent) and done.session_id == start.session_id
    assert done.usage.output_tokens > 0
    text = "".join(event.content for event in events if isinstance(event, TokenEvent))
    assert UNICODE in text
    assert api.call("get_history", session_id=done.session_id).messages[-1].content == text


def test_a_tool_is_called_and_told_of(api: Api) -> None:
    message = f'/tool {TOOL} {{"order": "7"}}'
    events, error = api.stream(message=message)
    assert error is None
    calls = [(event.tool, event.status) for event in events if isinstance(event, ToolCallEvent)]
    assert calls == [(TOOL, "started"), (TOOL, "completed")]
    assert events[-1].tools_used == [TOOL]
    assert api.call("execute", message=message).tools_used == [TOOL]


def test_a_key_of_idempotency_is_answered_once(api: Api) -> None:
    key = str(uuid.uuid4())
    first = api.call("execute", message="once", idempotency_key=key)
    assert api.call("execute", message="once", idempotency_key=key) == first
    assert isinstance(api.error("execute", message="other", idempotency_key=key), InvalidRequestError)


def test_errors_have_their_classes(api: Api) -> None:
    stranger = Api(api.driver, api.url, "sk-app-" + "x" * 43, api.app)
    key = stranger.error("execute", message="Hello")
    assert isinstance(key, AuthenticationError) and (key.status, key.code) == (401, "authentication_error")
    assert key.request_id
    session = api.error("execute", message="Hello", session_id="sess_invalid")
    assert isinstance(session, InvalidRequestError) and session.status == 400
    assert session.details == {"session_id": "sess_invalid"}
    assert session.rate_limit and session.rate_limit.limit
    events, error = api.stream(message="Hello", session_id="sess_invalid")
    assert events == [] and isinstance(error, InvalidRequestError) and error.status == 400
    path = api.error("get_history", session_id="sess_invalid")
    assert isinstance(path, NotFoundError) and path.code == "not_found"
    assert isinstance(api.error("execute", app_id="app_other", message="Hello"), NotFoundError)


@pytest.mark.parametrize("app_id", ["../x", "a/../../b", "app_fake/sessions", "%2e%2e", "a?b#c", "💥"])
def test_an_id_cannot_leave_its_place_in_the_path(api: Api, app_id: str) -> None:
    assert api.error("execute", app_id=app_id, message="Hello").status in (400, 404)
