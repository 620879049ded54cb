"""The calls that both clients make: what is sent, and how the reply is read."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Callable, Generic, Optional, TypeVar
from urllib.parse import quote, urlencode

import httpx

from . import types
from .errors import AgentPlatformError, InvalidRequestError, error_of_reply, header_fields
from .settings import Settings, Timeout, read_timeout

Result = TypeVar("Result")


@dataclass(frozen=True)
class Call(Generic[Result]):
    """A request, the same in all of its attempts."""

    method: str
    path: str
    """What follows the base URL."""
    read: Callable[[object], Result]
    body: Optional[bytes] = None
    idempotency_key: Optional[str] = None
    accept: str = "application/json"

    def request(self, settings: Settings, timeout: Optional[Timeout]) -> dict[str, Any]:
        """What httpx builds the request from."""
        headers = {**settings.headers, "accept": self.accept, "authorization": f"Bearer {settings.api_key}"}
        if self.body is not None:
            headers["content-type"] = "application/json"
        if self.idempotency_key is not None:
            headers["idempotency-key"] = self.idempotency_key
        return {
            "method": self.method,
            "url": settings.base_url + self.path,
            "headers": headers,
            "content": self.body,
            "timeout": settings.timeout if timeout is None else read_timeout(timeout),
        }

    def result(self, reply: httpx.Response) -> Result:
        """What the reply says; any other than 2xx is raised."""
        if not reply.is_success:
            raise error_of_reply(reply)
        try:
            return self.read(json.loads(reply.content))
        except (ValueError, RecursionError) as error:
            fields = header_fields(reply.headers)
            message = f"The reply is not what it should be: {error}"
            raise AgentPlatformError(message, status=reply.status_code, **fields) from error


def execute(
    app_id: str,
    message: str,
    session_id: Optional[str],
    metadata: Optional[Mapping[str, Any]],
    idempotency_key: Optional[str],
) -> Call[types.ExecuteResponse]:
    body = {"message": message, "session_id": session_id, "metadata": metadata}
    return Call("POST", f"{_app(app_id)}/execute", types.read_execute_response, _json(body), _key(idempotency_key))


def execute_stream(
    app_id: str,
    message: str,
    session_id: Optional[str],
    metadata: Optional[Mapping[str, Any]],
    idempotency_key: Optional[str],
) -> Call[None]:
    body = {"message": message, "session_id": session_id, "metadata": metadata}
    path, key = f"{_app(app_id)}/execute/stream", _key(idempotency_key)
    return Call("POST", path, lambda _: None, _json(body), key, accept="text/event-stream")


def create_session(
    app_id: str, user_id: Optional[str], metadata: Optional[Mapping[str, Any]], idempotency_key: Optional[str]
) -> Call[types.Session]:
    body = _json({"user_id": user_id, "metadata": metadata})
    return Call("POST", f"{_app(app_id)}/sessions", types.read_session, body, _key(idempotency_key))


def get_history(app_id: str, session_id: str, limit: Optional[int], before: Optional[str]) -> Call[types.History]:
    query = urlencode({name: value for name, value in (("limit", limit), ("before", before)) if value is not None})
    path = f"{_session(app_id, session_id)}/history"
    return Call("GET", f"{path}?{query}" if query else path, types.read_history)


def end_session(app_id: str, session_id: str) -> Call[types.EndedSession]:
    return Call("DELETE", _session(app_id, session_id), types.read_ended_session)


def _json(body: Mapping[str, Any]) -> bytes:
    given = {name: value for name, value in body.items() if value is not None}
    try:
        return json.dumps(given, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequestError(f"The request cannot be written as JSON: {error}") from error


def _key(given: Optional[str]) -> str:
    key = str(uuid.uuid4()) if given is None else given
    if not re.fullmatch("[\x21-\x7e]+", key):
        raise InvalidRequestError("idempotency_key must be of visible ASCII characters")
    return key


def _app(app_id: str) -> str:
    return f"/apps/{_segment('app_id', app_id)}"


def _session(app_id: str, session_id: str) -> str:
    return f"{_app(app_id)}/sessions/{_segment('session_id', session_id)}"


def _segment(name: str, value: str) -> str:
    """One segment of a path, whatever the id has in it."""
    # Dots alone would lead to another path, even when they are escaped.
    if not isinstance(value, str) or value in ("", ".", ".."):
        raise InvalidRequestError(f"{name} is not an id: {value!r}")
    try:
        return quote(value, safe="")
    except UnicodeEncodeError as error:
        raise InvalidRequestError(f"{name} is not Unicode text") from error
