"""What is sent, and what a client is made with."""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Optional

import httpx
import pytest
from conftest import Driver
from server import ANSWER, DONE, START, TURN, reply, serving, stream

import orrery_platform
from orrery_platform import AgentPlatform, AgentPlatformError, AsyncAgentPlatform, InvalidRequestError

SESSION = {"session_id": "sess_1", "created_at": "a", "expires_at": "b"}
HISTORY: dict[str, Any] = {"session_id": "sess_1", "messages": []}
ENDED = {"session_id": "sess_1", "status": "ended", "ended_at": "a"}


def test_the_documents_own_lines_run_with_the_base_url_in_the_environment() -> None:
    with serving(reply(200, ANSWER)) as server:
        snippet = Path(__file__).with_name("snippet.py")
        environment = {"ORRERY_BASE_URL": server.url}
        run = subprocess.run([sys.executable, snippet], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout == f"{ANSWER['response']}\n"
    [seen] = server.requests
    assert (seen.method, seen.path) == ("POST", "/v1/apps/app_123/execute")
    assert seen.headers["authorization"] == "Bearer sk-app-xxxxx"
    assert seen.headers["content-type"] == "application/json"
    assert json.loads(seen.body) == {"message": "What's my order status?", "session_id": "sess_abc123"}


def test_the_body_is_read_and_fields_that_are_not_known_are_kept(driver: Driver) -> None:
    body = {**ANSWER, "later": {"field": 1}}
    with serving(reply(200, body)) as server:
        answer = driver.call(server.url, "execute", TURN)
    assert (answer.response, answer.agent, answer.tools_used) == (ANSWER["response"], "support_agent", ["get_order_status"])
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (145, 52)
    assert answer.raw == body
    with pytest.raises(AttributeError):
        answer.response = "other"


def test_requests_have_what_the_document_says(driver: Driver) -> None:
    app = {"app_id": "app_1"}
    session = {**app, "session_id": "sess_1"}
    answers = [ANSWER, SESSION, SESSION, HISTORY, HISTORY, ENDED]
    metadata = {"user_id": "u", "deep": {"list": [1]}}
    calls: list[tuple[str, dict[str, Any]]] = [
        ("execute", {**TURN, "session_id": "s", "metadata": metadata}),
        ("create_session", {**app, "user_id": "user_456", "metadata": {"language": "en"}}),
        ("create_session", app),
        ("get_history", session),
        ("get_history", {**session, "limit": 20, "before": "a+b/c="}),
        ("end_session", session),
    ]
    with serving(*(reply(200, body) for body in answers)) as server:
        for method, params in calls:
            driver.call(server.url, method, params, headers={"X-Extra": "yes"})
    path = "/v1/apps/app_1/sessions/sess_1"
    assert [(seen.method, seen.path, json.loads(seen.body or "null")) for seen in server.requests] == [
        ("POST", "/v1/apps/app_1/execute", {"message": "Hello", "session_id": "s", "metadata": metadata}),
        ("POST", "/v1/apps/app_1/sessions", {"user_id": "user_456", "metadata": {"language": "en"}}),
        ("POST", "/v1/apps/app_1/sessions", {}),
        ("GET", f"{path}/history", None),
        ("GET", f"{path}/history?limit=20&before=a%2Bb%2Fc%3D", None),
        ("DELETE", path, None),
    ]
    for seen in server.requests:
        assert seen.headers["authorization"] == "Bearer sk-app-test"
        assert seen.headers["user-agent"] == f"orrery-agent-platform-python/{orrery_platform.__version__}"
        assert seen.headers["x-extra"] == "yes"
    keys = [seen.headers.get("idempotency-key") for seen in server.requests]
    uuid = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    assert all(key and re.fullmatch(uuid, key) for key in keys[:3])
    assert len(set(keys[:3])) == 3 and keys[3:] == [None, None, None]


def test_the_base_url_may_have_a_path_and_v1_at_its_end(driver: Driver) -> None:
    with serving(reply(200, ANSWER)) as server:
        for end in ("", "/", "/v1", "/v1/", "/prod", "/prod/v1"):
            driver.call(server.url + end, "execute", TURN)
    plain, prefixed = "/v1/apps/app_1/execute", "/prod/v1/apps/app_1/execute"
    assert [seen.path for seen in server.requests] == [plain] * 4 + [prefixed] * 2


def test_ids_are_escaped_and_what_cannot_be_one_is_not_sent(driver: Driver) -> None:
    with serving(reply(200, HISTORY)) as server:
        driver.call(server.url, "get_history", {"app_id": "../x", "session_id": "a/b?c#d%2e ü"})
        for wrong in ("", ".", "..", "\ud800", None, 7):
            with pytest.raises(InvalidRequestError) as caught:
                driver.call(server.url, "end_session", {"app_id": wrong, "session_id": "sess_1"})
            assert caught.value.status is None
    assert [seen.path for seen in server.requests] == ["/v1/apps/..%2Fx/sessions/a%2Fb%3Fc%23d%252e%20%C3%BC/history"]


@pytest.mark.parametrize("key", ["", "a b", "a\r\nx: y", "ü"])
def test_a_key_of_idempotency_that_no_header_can_carry_is_not_sent(driver: Driver, key: str) -> None:
    with serving(reply(200, ANSWER)) as server, pytest.raises(InvalidRequestError):
        driver.call(server.url, "execute", {**TURN, "idempotency_key": key})
    assert server.requests == []


@pytest.mark.parametrize("value", [object(), float("nan")])
def test_metadata_that_is_not_json_is_not_sent(driver: Driver, value: object) -> None:
    with serving(reply(200, ANSWER)) as server, pytest.raises(InvalidRequestError):
        driver.call(server.url, "execute", {**TURN, "metadata": {"value": value}})
    assert server.requests == []


def test_the_key_goes_to_no_other_server(driver: Driver) -> None:
    with serving(reply(200, ANSWER)) as other:
        location = f"{other.url}/v1/apps/app_1/execute"
        with serving(reply(307, {}, location=location)) as server, pytest.raises(AgentPlatformError) as caught:
            driver.call(server.url, "execute", TURN)
    assert caught.value.status == 307
    assert len(server.requests) == 1 and other.requests == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"api_key": None}, "ORRERY_API_KEY"),
        ({"api_key": "sk-app\nx"}, "api_key"),
        ({"base_url": None}, "ORRERY_BASE_URL"),
        ({"base_url": "example.com"}, "base_url"),
        ({"base_url": "ftp://example.com"}, "base_url"),
        ({"base_url": "https://example.com?stage=prod"}, "base_url"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"max_retries": -1}, "max_retries"),
        ({"headers": {"a b": "c"}}, "headers"),
        ({"headers": {"a": "b\r\nc: d"}}, "headers"),
    ],
)
@pytest.mark.parametrize("kind", [AgentPlatform, AsyncAgentPlatform])
def test_a_client_that_is_made_wrongly_says_what_is_missing(kind: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(AgentPlatformError, match=message):
        kind(**{"api_key": "sk-app-x", "base_url": "https://example.com", **options})


def test_key_and_base_url_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(reply(200, ANSWER)) as server:
        monkeypatch.setenv("ORRERY_BASE_URL", server.url)
        monkeypatch.setenv("ORRERY_API_KEY", "sk-app-environment")
        with AgentPlatform() as client:
            client.execute(**TURN)
    assert server.requests[0].headers["authorization"] == "Bearer sk-app-environment"


def test_nothing_that_prints_a_client_prints_its_key() -> None:
    client = AgentPlatform(api_key="sk-app-secret", base_url="https://example.com", headers={"cookie": "secret"})
    assert "secret" not in f"{client!r} {vars(client)!r}"


def test_a_client_of_the_callers_is_used_and_left_open() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == "Bearer sk-app-x"
        if request.url.path.endswith("/stream"):
            return httpx.Response(200, headers={"content-type": "text/event-stream"}, text=START + DONE)
        return httpx.Response(200, json=ANSWER)

    http = httpx.Client(transport=httpx.MockTransport(answer), auth=("not", "this"), follow_redirects=True)
    with AgentPlatform(api_key="sk-app-x", base_url="https://example.com", http_client=http) as client:
        assert client.execute(**TURN).response == ANSWER["response"]
        assert [event.type for event in client.execute_stream(**TURN)] == ["start", "done"]
    assert not http.is_closed


def test_the_version_is_the_packages() -> None:
    assert orrery_platform.__version__ == importlib.metadata.version("orrery-agent-platform")
    needed = [need for need in importlib.metadata.requires("orrery-agent-platform") or [] if "extra" not in need]
    assert [re.split("[<>=]", need)[0] for need in needed] == ["httpx"]


def test_the_final_text_is_all_tokens(driver: Driver) -> None:
    frames = [f'event: token\ndata: {{"content": "{word}"}}\n\n' for word in ("Our", " policy")]
    with serving(stream(START, *frames, DONE)) as server:
        assert driver.final_text(server.url, TURN) == "Our policy"


def test_a_typed_program_is_typed() -> None:
    """For mypy: events are told apart by type, and what a method needs must be given."""

    def told(event: orrery_platform.StreamEvent) -> str:
        if event.type == "start":
            return event.trace_id
        if event.type == "token":
            return event.content
        if event.type == "tool_call":
            return event.tool
        tokens: int = event.usage.output_tokens
        return str(tokens)

    def wrong(client: AgentPlatform) -> Optional[str]:
        return client.execute(app_id="app_1").response  # type: ignore[call-arg]

    assert callable(told) and callable(wrong)
