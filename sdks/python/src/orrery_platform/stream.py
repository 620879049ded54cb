"""Answers that come in pieces."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, Generator, Iterator
from types import TracebackType
from typing import Optional

import httpx

from .errors import (
    AgentPlatformError,
    ConnectionFailedError,
    RequestTimeoutError,
    StreamError,
    error_of_event,
    error_of_reply,
    header_fields,
)
from .sse import EventParser, ServerSentEvent
from .types import DoneEvent, StreamEvent, TokenEvent, read_stream_event

TYPES = frozenset({"start", "token", "tool_call", "done"})


class StreamReader:
    """One reply of the streaming endpoint: its events, and whether it came to its end."""

    def __init__(self) -> None:
        self.has_begun = False
        self.is_done = False
        self._parser = EventParser()
        self._deadline = float("inf")

    @staticmethod
    def is_stream(reply: httpx.Response) -> bool:
        """Whether the reply is read event by event; any other is read as a whole, for `check`."""
        kind: str = reply.headers.get("content-type", "")
        return reply.is_success and kind.lower().startswith("text/event-stream")

    def check(self, reply: httpx.Response) -> None:
        """Raises what a reply that is no stream means. The time to the first event begins."""
        if not reply.is_success:
            raise error_of_reply(reply)
        if not self.is_stream(reply):
            fields = header_fields(reply.headers)
            raise AgentPlatformError("The reply is no event stream", status=reply.status_code, **fields)
        patience = reply.request.extensions["timeout"]["read"]
        if patience is not None:
            self._deadline = time.monotonic() + patience

    def feed(self, data: bytes) -> Iterator[StreamEvent]:
        """The events that these bytes complete, to the last of the stream. An `error` event is raised."""
        for sent in self._parser.push(data):
            event = _read_event(sent)
            if event is None:
                continue
            self.has_begun = True
            self.is_done = isinstance(event, DoneEvent)
            yield event
            if self.is_done:
                return
        if not self.has_begun and time.monotonic() > self._deadline:
            raise RequestTimeoutError("The stream's first event did not come in time")

    def end(self) -> None:
        """Raises, unless the stream was whole."""
        if not self.is_done:
            raise ConnectionFailedError("The stream ended without its last event")

    def explain(self, error: AgentPlatformError) -> AgentPlatformError:
        """The error for the caller: once a stream has begun it can only break off."""
        if not self.has_begun or not isinstance(error, ConnectionFailedError):
            return error
        broken = StreamError("The stream broke off")
        broken.__cause__ = error
        return broken


def _read_event(sent: ServerSentEvent) -> Optional[StreamEvent]:
    """The event as its type; `None` for one that this version does not know."""
    if sent.name != "error" and sent.name not in TYPES:
        return None
    try:
        data: object = json.loads(sent.data)
        if sent.name != "error":
            return read_stream_event(sent.name, data)
    except (ValueError, RecursionError) as error:
        raise StreamError(f"The stream's {sent.name} event is not what it should be: {error}") from error
    raise error_of_event(data)


class ExecuteStream(Iterator[StreamEvent]):
    """Iterate over it once. Nothing is sent before that; `close`, or the end of a `with` block, cancels the request."""

    def __init__(self, events: Generator[StreamEvent, None, None]) -> None:
        self._events = events

    def __next__(self) -> StreamEvent:
        return next(self._events)

    def __enter__(self) -> ExecuteStream:
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection, if it is still open."""
        self._events.close()

    def final_text(self) -> str:
        """Reads to the end; the text of all `token` events that were not read before."""
        with self:
            return "".join(event.content for event in self if isinstance(event, TokenEvent))


class AsyncExecuteStream:
    """As `ExecuteStream`, with `async for`, `async with` and `aclose`."""

    def __init__(self, events: AsyncGenerator[StreamEvent, None]) -> None:
        self._events = events

    def __aiter__(self) -> AsyncExecuteStream:
        return self

    async def __anext__(self) -> StreamEvent:
        return await self._events.__anext__()

    async def __aenter__(self) -> AsyncExecuteStream:
        return self

    async def __aexit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes the connection, if it is still open."""
        await self._events.aclose()

    async def final_text(self) -> str:
        """Reads to the end; the text of all `token` events that were not read before."""
        async with self:
            return "".join([event.content async for event in self if isinstance(event, TokenEvent)])
