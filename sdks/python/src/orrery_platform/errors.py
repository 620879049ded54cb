"""What can go wrong, as classes. All are `AgentPlatformError`s."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any, Optional

import httpx


@dataclass(frozen=True)
class RateLimit:
    """What a reply said about the caller's rate limit."""

    limit: Optional[int]
    remaining: Optional[int]
    reset: Optional[int]
    """When the limit is full again, in seconds since the Unix epoch."""


class AgentPlatformError(Exception):
    """The base of all errors of this package."""

    message: str
    status: Optional[int]
    """The HTTP status, where there was a reply."""
    code: Optional[str]
    """The server's word for what is wrong: `invalid_request`, `authentication_error`, `not_found`, `rate_limited`,
    `internal_error`."""
    details: Optional[Mapping[str, Any]]
    request_id: Optional[str]
    """What the server's log calls the request."""
    retry_after: Optional[int]
    """How many seconds to wait before the next attempt, where the server said so."""
    rate_limit: Optional[RateLimit]

    def __init__(
        self,
        message: str,
        *,
        status: Optional[int] = None,
        code: Optional[str] = None,
        details: Optional[Mapping[str, Any]] = None,
        request_id: Optional[str] = None,
        retry_after: Optional[int] = None,
        rate_limit: Optional[RateLimit] = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.details = details
        self.request_id = request_id
        self.retry_after = retry_after
        self.rate_limit = rate_limit


class InvalidRequestError(AgentPlatformError):
    """The request is wrong, and stays so when it is sent again. Without a `status` it was not sent at all."""


class AuthenticationError(AgentPlatformError):
    """The API key is not known, not valid any more, or not allowed to do this."""


class NotFoundError(AgentPlatformError):
    """There is no such app or session, or the API key is of another app."""


class RateLimitedError(AgentPlatformError):
    """Too many requests; `retry_after` says when to come back, `rate_limit` what the limit is."""


class InternalServerError(AgentPlatformError):
    """The server failed."""


class ConnectionFailedError(AgentPlatformError):
    """The server could not be reached, or the connection broke before the reply was whole."""


class RequestTimeoutError(AgentPlatformError):
    """The reply, or the stream's next event, did not come in time."""


class StreamError(AgentPlatformError):
    """A stream that had begun ended without its answer: by an `error` event, whose `code` this has, or broken off."""


class WebhookVerificationError(AgentPlatformError):
    """A webhook is not what the server signed with this secret, or too old."""


@contextmanager
def transport_errors() -> Iterator[None]:
    """Raises what httpx raises as errors of this package."""
    try:
        yield
    except httpx.TimeoutException as error:
        raise RequestTimeoutError("The server sent nothing in time") from error
    except httpx.LocalProtocolError as error:
        raise InvalidRequestError(f"The request cannot be sent: {error}") from error
    except httpx.RequestError as error:
        raise ConnectionFailedError(f"The connection to the server failed: {error}") from error


def error_of_reply(reply: httpx.Response) -> AgentPlatformError:
    """The error that a reply other than 2xx means, whatever its body is."""
    try:
        body: object = json.loads(reply.content)
    except (ValueError, RecursionError):
        body = None
    message = _message(body) or f"The server answered with status {reply.status_code}"
    kind = _class_of(reply.status_code)
    return kind(message, status=reply.status_code, **_error_fields(body), **header_fields(reply.headers))


def error_of_event(data: object) -> StreamError:
    """The error that an `error` event means."""
    return StreamError(_message(data) or "The server ended the stream with an error", **_error_fields(data))


def header_fields(headers: Mapping[str, str]) -> dict[str, Any]:
    """What the headers of a reply say for its error."""
    names = ("limit", "remaining", "reset")
    limit, remaining, reset = (_whole_number(headers.get(f"x-ratelimit-{name}")) for name in names)
    has_limit = (limit, remaining, reset) != (None, None, None)
    return {
        "request_id": headers.get("x-request-id"),
        "retry_after": _retry_after(headers.get("retry-after")),
        "rate_limit": RateLimit(limit, remaining, reset) if has_limit else None,
    }


def _class_of(status: int) -> type[AgentPlatformError]:
    named = {401: AuthenticationError, 403: AuthenticationError, 404: NotFoundError, 429: RateLimitedError}
    if status in named:
        return named[status]
    if 400 <= status < 500:
        return InvalidRequestError
    return InternalServerError if status >= 500 else AgentPlatformError


def _inner_error(body: object) -> dict[str, Any]:
    error = body.get("error") if isinstance(body, dict) else None
    return error if isinstance(error, dict) else {}


def _error_fields(body: object) -> dict[str, Any]:
    error = _inner_error(body)
    code, details = error.get("code"), error.get("details")
    return {"code": code if isinstance(code, str) else None, "details": details if isinstance(details, dict) else None}


def _message(body: object) -> Optional[str]:
    message = _inner_error(body).get("message")
    return message if isinstance(message, str) else None


def _whole_number(text: Optional[str]) -> Optional[int]:
    return int(text) if text is not None and re.fullmatch("[0-9]{1,15}", text) else None


def _retry_after(text: Optional[str]) -> Optional[int]:
    """`Retry-After` in seconds: a number of them, or a date."""
    seconds = _whole_number(text)
    if seconds is not None or text is None:
        return seconds
    try:
        date = parsedate_to_datetime(text)
        return max(0, math.ceil((date - datetime.now(timezone.utc)).total_seconds()))
    except (ValueError, TypeError):
        return None
