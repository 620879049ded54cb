"""The clients: each method is one endpoint. What they send and how they read it is the same, in `call` and `stream`."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncGenerator, Generator, Mapping
from types import TracebackType
from typing import Any, Optional, TypeVar

import httpx

from . import call as calls
from .call import Call
from .errors import AgentPlatformError, transport_errors
from .settings import DEFAULT_RETRIES, DEFAULT_TIMEOUT, Timeout, read_settings
from .stream import AsyncExecuteStream, ExecuteStream, StreamReader
from .types import EndedSession, ExecuteResponse, History, Session, StreamEvent

Result = TypeVar("Result")


class AgentPlatform:
    """A client for apps.

    `api_key`: a key of the app, `sk-app-…`; the environment variable `ORRERY_API_KEY` where it is not given.
    `base_url`: where the API is, with or without `/v1` at its end: `https://example.com`, `https://example.com/prod`;
    the environment variable `ORRERY_BASE_URL` where it is not given.
    `timeout`: seconds, or an `httpx.Timeout`. As in httpx it bounds each step of an attempt: to connect, to send, and
    each wait for the next bytes; for a stream that is how long the server may be silent.
    `max_retries`: how often a call that failed is tried again.
    `headers`: sent with every request.
    `http_client`: sends the requests, and stays open when this client is closed.

    Every method raises `AgentPlatformError`s, of classes that say why. Threads may share a client.
    """

    def __init__(
        self,
        *,
        api_key: Optional[str] = None,
        base_url: Optional[str] = None,
        timeout: Timeout = DEFAULT_TIMEOUT,
        max_retries: int = DEFAULT_RETRIES,
        headers: Optional[Mapping[str, str]] = None,
        http_client: Optional[httpx.Client] = None,
    ) -> None:
        self._settings = read_settings(api_key, base_url, timeout, max_retries, headers)
        self._http = http_client or httpx.Client()
        self._owns_http = http_client is None

    def execute(
        self,
        *,
        app_id: str,
        message: str,
        session_id: Optional[str] = None,
        metadata: Optional[Mapping[str, Any]] = None,
        idempotency_key: Optional[str] = None,
        timeout: Optional[Timeout] = None,
    ) -> ExecuteResponse:
        """Sends a message, and waits for the whole answer.

        Without `session_id` a new session begins, and the answer names it. `metadata` is merged into the session's. A
        call with the same `idempotency_key` and content is answered once, however often it is sent; one is made where
        none is given.
        """
        return self._run(calls.execute(app_id, message, session_id, metadata, idempotency_key), timeout)

    def execute_stream(
        self,
        *,
        app_id: str,
        message: str,
        session_id: Optional[str] = None,
        metadata: Optional[Mapping[str, Any]] = None,
        idempotency_key: Optional[str] = None,
        timeout: Optional[Timeout] = None,
    ) -> ExecuteStream:
        """Sends a message, as `execute`; what happens until the answer is whole comes as events."""
        call = calls.execute_stream(app_id, message, session_id, metadata, idempotency_key)
        return ExecuteStream(self._events(call, timeout))

    def create_session(
        self,
        *,
        app_id: str,
        user_id: Optional[str] = None,
        metadata: Optional[Mapping[str, Any]] = None,
        idempotency_key: Optional[str] = None,
        timeout: Optional[Timeout] = None,
    ) -> Session:
        """Begins a session, which `execute` goes on with."""
        return self._run(calls.create_session(app_id, user_id, metadata, idempotency_key), timeout)

    def get_history(
        self,
        *,
        app_id: str,
        session_id: str,
        limit: Optional[int] = None,
        before: Optional[str] = None,
        timeout: Optional[Timeout] = None,
    ) -> History:
        """What was said in a session, the newest messages if it is more than `limit` (1 to 200).

        `before`: the `next_cursor` of the page before, for the messages older than that page's.
        """
        return self._run(calls.get_history(app_id, session_id, limit, before), timeout)

    def end_session(self, *, app_id: str, session_id: str, timeout: Optional[Timeout] = None) -> EndedSession:
        """Ends a session; ending it again is no error."""
        return self._run(calls.end_session(app_id, session_id), timeout)

    def close(self) -> None:
        """Closes the connections."""
        if self._owns_http:
            self._http.close()

    def __enter__(self) -> AgentPlatform:
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    def _send(self, call: Call[Any], timeout: Optional[Timeout], stream: bool) -> httpx.Response:
        # The key goes nowhere but to the server that it was meant for.
        request = self._http.build_request(**call.request(self._settings, timeout))
        return self._http.send(request, stream=stream, auth=None, follow_redirects=False)

    def _run(self, call: Call[Result], timeout: Optional[Timeout]) -> Result:
        for tries in itertools.count():
            try:
                with transport_errors():
                    reply = self._send(call, timeout, stream=False)
                return call.result(reply)
            except AgentPlatformError as error:
                pause = self._settings.pause(error, tries)
            time.sleep(pause)
        raise AssertionError("the last try returns or raises")

    def _events(self, call: Call[None], timeout: Optional[Timeout]) -> Generator[StreamEvent, None, None]:
        for tries in itertools.count():
            reader = StreamReader()
            try:
                with transport_errors(), contextlib.closing(self._send(call, timeout, stream=True)) as reply:
                    if not reader.is_stream(reply):
                        reply.read()
                    reader.check(reply)
                    for data in reply.iter_bytes():
                        yield from reader.feed(data)
                        if reader.is_done:
                            return
                    reader.end()
            except AgentPlatformError as error:
                if reader.has_begun:
                    raise reader.explain(error)
                pause = self._settings.pause(error, tries)
            time.sleep(pause)


class AsyncAgentPlatform:
    """`AgentPlatform` for asyncio: the same options and methods, to be awaited."""

    def __init__(
        self,
        *,
        api_key: Optional[str] = None,
        base_url: Optional[str] = None,
        timeout: Timeout = DEFAULT_TIMEOUT,
        max_retries: int = DEFAULT_RETRIES,
        headers: Optional[Mapping[str, str]] = None,
        http_client: Optional[httpx.AsyncClient] = None,
    ) -> None:
        self._settings = read_settings(api_key, base_url, timeout, max_retries, headers)
        self._http = http_client or httpx.AsyncClient()
        self._owns_http = http_client is None

    async def execute(
        self,
        *,
        app_id: str,
        message: str,
        session_id: Optional[str] = None,
        metadata: Optional[Mapping[str, Any]] = None,
        idempotency_key: Optional[str] = None,
        timeout: Optional[Timeout] = None,
    ) -> ExecuteResponse:
        """As `AgentPlatform.execute`."""
        return await self._run(calls.execute(app_id, message, session_id, metadata, idempotency_key), timeout)

    def execute_stream(
        self,
        *,
        app_id: str,
        message: str,
        session_id: Optional[str] = None,
        metadata: Optional[Mapping[str, Any]] = None,
        idempotency_key: Optional[str] = None,
        timeout: Optional[Timeout] = None,
    ) -> AsyncExecuteStream:
        """As `AgentPlatform.execute_stream`; not awaited, but iterated over with `async for`."""
        call = calls.execute_stream(app_id, message, session_id, metadata, idempotency_key)
        return AsyncExecuteStream(self._events(call, timeout))

    async def create_session(
        self,
        *,
        app_id: str,
        user_id: Optional[str] = None,
        metadata: Optional[Mapping[str, Any]] = None,
        idempotency_key: Optional[str] = None,
        timeout: Optional[Timeout] = None,
    ) -> Session:
        """As `AgentPlatform.create_session`."""
        return await self._run(calls.create_session(app_id, user_id, metadata, idempotency_key), timeout)

    async def get_history(
        self,
        *,
        app_id: str,
        session_id: str,
        limit: Optional[int] = None,
        before: Optional[str] = None,
        timeout: Optional[Timeout] = None,
    ) -> History:
        """As `AgentPlatform.get_history`."""
        return await self._run(calls.get_history(app_id, session_id, limit, before), timeout)

    async def end_session(self, *, app_id: str, session_id: str, timeout: Optional[Timeout] = None) -> EndedSession:
        """As `AgentPlatform.end_session`."""
        return await self._run(calls.end_session(app_id, session_id), timeout)

    async def aclose(self) -> None:
        """Closes the connections."""
        if self._owns_http:
            await self._http.aclose()

    async def __aenter__(self) -> AsyncAgentPlatform:
        return self

    async def __aexit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        await self.aclose()

    async def _send(self, call: Call[Any], timeout: Optional[Timeout], stream: bool) -> httpx.Response:
        request = self._http.build_request(**call.request(self._settings, timeout))
        return await self._http.send(request, stream=stream, auth=None, follow_redirects=False)

    async def _run(self, call: Call[Result], timeout: Optional[Timeout]) -> Result:
        for tries in itertools.count():
            try:
                with transport_errors():
                    reply = await self._send(call, timeout, stream=False)
                return call.result(reply)
            except AgentPlatformError as error:
                pause = self._settings.pause(error, tries)
            await asyncio.sleep(pause)
        raise AssertionError("the last try returns or raises")

    async def _events(self, call: Call[None], timeout: Optional[Timeout]) -> AsyncGenerator[StreamEvent, None]:
        for tries in itertools.count():
            reader = StreamReader()
            try:
                with transport_errors():
                    reply = await self._send(call, timeout, stream=True)
                    try:
                        if not reader.is_stream(reply):
                            await reply.aread()
                        reader.check(reply)
                        async for data in reply.aiter_bytes():
                            for event in reader.feed(data):
                                yield event
                            if reader.is_done:
                                return
                        reader.end()
                    finally:
                        await reply.aclose()
            except AgentPlatformError as error:
                if reader.has_begun:
                    raise reader.explain(error)
                pause = self._settings.pause(error, tries)
            await asyncio.sleep(pause)
