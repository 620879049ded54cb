"""What errors carry, and replies that are not the API's."""

from __future__ import annotations

import pickle
import time
from email.utils import formatdate

import pytest
from conftest import Driver
from server import TURN, failure, page, reply, serving

from orrery_platform import (
    AgentPlatformError,
    AuthenticationError,
    InternalServerError,
    InvalidRequestError,
    RateLimit,
    RateLimitedError,
)


def test_an_error_has_what_the_reply_said(driver: Driver) -> None:
    limits = {"x_ratelimit_limit": "600", "x_ratelimit_remaining": "0", "x_ratelimit_reset": "1705330260"}
    with serving(failure(429, "rate_limited", {"limit": "day"}, retry_after="120", **limits)) as server:
        with pytest.raises(RateLimitedError) as caught:
            driver.call(server.url, "execute", TURN)
    for error in (caught.value, pickle.loads(pickle.dumps(caught.value))):
        assert isinstance(error, AgentPlatformError)
        assert str(error) == error.message == "It is rate_limited"
        assert (error.status, error.code, error.details) == (429, "rate_limited", {"limit": "day"})
        assert (error.request_id, error.retry_after) == ("req_1", 120)
        assert error.rate_limit == RateLimit(600, 0, 1705330260)


def test_retry_after_may_be_a_date(driver: Driver) -> None:
    date = formatdate(time.time() + 100, usegmt=True)
    with serving(failure(503, "internal_error", retry_after=date)) as server:
        with pytest.raises(InternalServerError) as caught:
            driver.call(server.url, "execute", TURN)
    assert caught.value.retry_after in (98, 99, 100, 101)


def test_a_proxys_page_is_an_error_like_any_other(driver: Driver) -> None:
    with serving(page(502)) as server, pytest.raises(InternalServerError) as caught:
        driver.call(server.url, "execute", TURN, max_retries=0)
    error: AgentPlatformError = caught.value
    assert (error.status, error.request_id) == (502, "req_7")
    assert (error.code, error.details, error.rate_limit) == (None, None, None)
    with serving(page(403)) as server, pytest.raises(AuthenticationError):
        driver.call(server.url, "execute", TURN)
    with serving(page(200)) as server:
        with pytest.raises(AgentPlatformError) as not_json:
            driver.call(server.url, "execute", TURN)
        _, not_a_stream = driver.stream(server.url, TURN)
    for error in (not_json.value, not_a_stream):
        assert (error.status, error.request_id) == (200, "req_7")
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "body", [None, [], "x", {"error": "Not found"}, {"error": {"code": 7, "message": {}}}, {"message": "Forbidden"}]
)
def test_bodies_of_another_shape_are_errors_too(driver: Driver, body: object) -> None:
    with serving(reply(400, body)) as server, pytest.raises(InvalidRequestError, match="400") as caught:
        driver.call(server.url, "execute", TURN)
    assert caught.value.code is None


@pytest.mark.parametrize("body", [None, [], {"response": 7}, {"response": "but nothing else"}])
def test_an_answer_that_lacks_its_fields_is_an_error(driver: Driver, body: object) -> None:
    with serving(reply(200, body)) as server, pytest.raises(AgentPlatformError) as caught:
        driver.call(server.url, "execute", TURN)
    assert (caught.value.status, caught.value.request_id) == (200, "req_1")
    assert len(server.requests) == 1
