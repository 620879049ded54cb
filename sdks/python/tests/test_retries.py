"""Failures that are tried again, and those that are not."""

from __future__ import annotations

import time
from typing import Any, Optional

import httpx
import pytest
from conftest import Driver
from server import ANSWER, DONE, START, TURN, Answer, Seen, cut, failure, reply, serving, silence, stream

from orrery_platform import (
    AgentPlatformError,
    AuthenticationError,
    ConnectionFailedError,
    InternalServerError,
    InvalidRequestError,
    NotFoundError,
    RateLimitedError,
    RequestTimeoutError,
)
from orrery_platform.retry import retry_delay

SESSION = {"app_id": "app_1", "session_id": "sess_1"}


def half(seen: Seen) -> None:
    """A reply whose body is cut."""
    seen.start(200, {"content-type": "application/json", "content-length": "100"})
    seen.write('{"response":')


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(failure(408, "invalid_request"), id="408"),
        pytest.param(failure(409, "invalid_request", retry_after="0"), id="409 with Retry-After"),
        pytest.param(failure(429, "rate_limited"), id="429"),
        pytest.param(failure(500, "internal_error"), id="500"),
        pytest.param(failure(502, "internal_error"), id="502"),
        pytest.param(failure(503, "internal_error"), id="503"),
        pytest.param(failure(504, "internal_error"), id="504"),
        pytest.param(cut, id="a cut connection"),
        pytest.param(half, id="a cut body"),
        pytest.param(silence, id="no answer in time"),
    ],
)
def test_it_is_tried_again_with_the_same_key_and_body(driver: Driver, answer: Answer) -> None:
    with serving(answer, reply(200, ANSWER)) as server:
        assert driver.call(server.url, "execute", TURN, timeout=0.3).raw == ANSWER
    first, second = server.requests
    assert first.headers["idempotency-key"]
    assert second.headers["idempotency-key"] == first.headers["idempotency-key"]
    assert second.body == first.body


def test_the_callers_own_key_is_used_in_every_attempt(driver: Driver) -> None:
    with serving(failure(500, "internal_error"), reply(200, ANSWER)) as server:
        driver.call(server.url, "execute", {**TURN, "idempotency_key": "mine"})
    assert [seen.headers["idempotency-key"] for seen in server.requests] == ["mine", "mine"]


def test_reading_and_ending_are_tried_again(driver: Driver) -> None:
    history = {"session_id": "sess_1", "messages": []}
    ended = {"session_id": "sess_1", "status": "ended", "ended_at": "a"}
    with serving(cut, reply(200, history), failure(503, "internal_error"), reply(200, ended)) as server:
        driver.call(server.url, "get_history", SESSION)
        driver.call(server.url, "end_session", SESSION)
    assert [seen.method for seen in server.requests] == ["GET", "GET", "DELETE", "DELETE"]


def test_a_stream_is_tried_again_before_its_first_event(driver: Driver) -> None:
    with serving(failure(503, "internal_error"), stream(": heartbeat\n\n"), stream(START, DONE)) as server:
        events, error = driver.stream(server.url, TURN)
    assert error is None and [event.type for event in events] == ["start", "done"]
    assert len(server.requests) == 3
    assert len({seen.headers["idempotency-key"] for seen in server.requests}) == 1


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "invalid_request", InvalidRequestError),
        (401, "authentication_error", AuthenticationError),
        (404, "not_found", NotFoundError),
        (405, "invalid_request", InvalidRequestError),
        (409, "invalid_request", InvalidRequestError),
        (413, "invalid_request", InvalidRequestError),
        (422, "invalid_request", InvalidRequestError),
        (501, "internal_error", InternalServerError),
    ],
)
def test_other_refusals_are_not_tried_again(driver: Driver, status: int, code: str, kind: type[Exception]) -> None:
    with serving(failure(status, code)) as server, pytest.raises(kind) as caught:
        driver.call(server.url, "execute", TURN)
    assert isinstance(caught.value, AgentPlatformError)
    assert (caught.value.status, caught.value.code) == (status, code)
    assert len(server.requests) == 1


def test_retry_after_is_waited_for(driver: Driver) -> None:
    with serving(failure(429, "rate_limited", retry_after="2"), reply(200, ANSWER)) as server:
        driver.call(server.url, "execute", TURN)
    waited = server.requests[1].at - server.requests[0].at
    assert 1.99 < waited < 4


def test_a_retry_after_of_more_than_a_minute_is_told_at_once(driver: Driver) -> None:
    with serving(failure(429, "rate_limited", retry_after="61")) as server, pytest.raises(RateLimitedError) as caught:
        driver.call(server.url, "execute", TURN)
    assert caught.value.retry_after == 61
    assert len(server.requests) == 1


def test_what_goes_on_failing_is_told_after_max_retries(driver: Driver) -> None:
    with serving(failure(500, "internal_error")) as server, pytest.raises(InternalServerError):
        driver.call(server.url, "execute", TURN)
    assert len(server.requests) == 3
    with serving(cut) as server, pytest.raises(ConnectionFailedError) as caught:
        driver.call(server.url, "execute", TURN, max_retries=0)
    assert isinstance(caught.value.__cause__, httpx.RequestError)
    assert len(server.requests) == 1


@pytest.mark.parametrize("timeout", [0.2, httpx.Timeout(5, read=0.2)])
def test_a_call_has_its_own_timeout(driver: Driver, timeout: Any) -> None:
    started = time.monotonic()
    with serving(silence) as server, pytest.raises(RequestTimeoutError):
        driver.call(server.url, "execute", {**TURN, "timeout": timeout}, max_retries=0)
    assert time.monotonic() - started < 2
    assert server.requests[0].closed.wait(5)


def test_waits_double_are_spread_and_are_never_shorter_than_asked() -> None:
    def error(status: int, retry_after: Optional[int] = None) -> AgentPlatformError:
        return InternalServerError("It failed", status=status, retry_after=retry_after)

    tries = (0, 1, 2, 9)
    assert [retry_delay(error(500), count, lambda: 1.0) for count in tries] == [0.5, 1.0, 2.0, 8.0]
    assert [retry_delay(error(500), count, lambda: 0.0) for count in tries] == [0.25, 0.5, 1.0, 4.0]
    assert retry_delay(error(503, 60), 0) == 60.0
    assert retry_delay(error(503, 61), 0) is None
    assert retry_delay(error(409), 0) is None
    assert retry_delay(error(409, 0), 0, lambda: 1.0) == 0.5
