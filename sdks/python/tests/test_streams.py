"""Event streams: what is told, how they end, and how they are cancelled."""

from __future__ import annotations

import asyncio
import time

import pytest
from conftest import Driver
from server import (
    DONE,
    START,
    TOKEN,
    TURN,
    Answer,
    failure,
    frame,
    open_stream,
    paced_stream,
    serving,
    silence,
    stream,
    torn_stream,
)

from orrery_platform import (
    AgentPlatform,
    AsyncAgentPlatform,
    ConnectionFailedError,
    DoneEvent,
    RequestTimeoutError,
    StartEvent,
    StreamError,
    TokenEvent,
    ToolCallEvent,
    Usage,
)

HEARTBEAT = ": heartbeat\n\n"


def test_the_documents_stream_is_told_event_by_event(driver: Driver) -> None:
    frames = [
        'event: start\ndata: {"trace_id": "trace_xyz789"}\n\n',
        'event: token\ndata: {"content": "Our"}\n\n',
        'event: tool_call\ndata: {"tool": "search_knowledge", "status": "started"}\n\n',
        'event: tool_call\ndata: {"tool": "search_knowledge", "status": "completed"}\n\n',
        'event: token\ndata: {"content": " allows..."}\n\n',
        'event: done\ndata: {"usage": {"input_tokens": 45, "output_tokens": 128}}\n\n',
    ]
    with serving(stream(*frames)) as server:
        events, error = driver.stream(server.url, TURN)
    assert error is None
    assert events == [
        StartEvent("trace_xyz789", None, raw={}),
        TokenEvent("Our", raw={}),
        ToolCallEvent("search_knowledge", "started", raw={}),
        ToolCallEvent("search_knowledge", "completed", raw={}),
        TokenEvent(" allows...", raw={}),
        DoneEvent(Usage(45, 128, raw={}), None, None, None, [], raw={}),
    ]
    [seen] = server.requests
    assert (seen.method, seen.path, seen.body) == ("POST", "/v1/apps/app_1/execute/stream", '{"message": "Hello"}')
    assert seen.headers["accept"] == "text/event-stream"


def test_events_and_fields_that_are_not_known_do_no_harm(driver: Driver) -> None:
    frames = [
        "event: later\ndata: not JSON\n\n",
        'data: {"no": "name"}\n\n',
        frame("start", {"trace_id": "t", "type": "x", "later": [1]}),
        DONE,
    ]
    with serving(stream(*frames)) as server:
        events, error = driver.stream(server.url, TURN)
    assert error is None
    assert [event.type for event in events] == ["start", "done"]
    assert events[0].raw["later"] == [1]


def test_an_error_event_is_raised_with_its_code(driver: Driver) -> None:
    last = frame("error", {"error": {"code": "internal_error", "message": "The model failed", "details": {"try": 1}}})
    with serving(stream(START, TOKEN, last), stream(last)) as server:
        for types in (["start", "token"], []):
            events, error = driver.stream(server.url, TURN)
            assert [event.type for event in events] == types
            assert isinstance(error, StreamError)
            assert (error.message, error.code, error.details) == ("The model failed", "internal_error", {"try": 1})
    assert len(server.requests) == 2, "what the server has said is not asked again"


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(stream(START, TOKEN), id="ended"),
        pytest.param(stream(START, TOKEN, DONE[:-1]), id="ended before the last blank line"),
        pytest.param(torn_stream(START, TOKEN), id="torn"),
    ],
)
def test_a_stream_that_breaks_off_is_an_error_and_not_sent_again(driver: Driver, answer: Answer) -> None:
    with serving(answer) as server:
        events, error = driver.stream(server.url, TURN)
    assert [event.type for event in events] == ["start", "token"]
    assert isinstance(error, StreamError) and error.code is None
    assert isinstance(error.__cause__, ConnectionFailedError)
    assert len(server.requests) == 1


def test_a_stream_without_any_event_is_an_error(driver: Driver) -> None:
    with serving(stream()) as server:
        events, error = driver.stream(server.url, TURN, max_retries=0)
    assert events == [] and isinstance(error, ConnectionFailedError)


@pytest.mark.parametrize("data", ["{", "7", "null", "[]", '{"content": 7}'])
def test_events_that_are_not_what_they_should_be_end_the_stream_with_an_error(driver: Driver, data: str) -> None:
    with serving(stream(START, f"event: token\ndata: {data}\n\n", DONE)) as server:
        events, error = driver.stream(server.url, TURN)
    assert [event.type for event in events] == ["start"]
    assert isinstance(error, StreamError)


def test_a_stream_that_falls_silent_is_given_up(driver: Driver) -> None:
    with serving(open_stream(START, TOKEN)) as server:
        events, error = driver.stream(server.url, {**TURN, "timeout": 0.2})
        assert server.requests[0].closed.wait(5)
    assert [event.type for event in events] == ["start", "token"]
    assert isinstance(error, RequestTimeoutError)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(silence, id="silence"),
        pytest.param(open_stream(HEARTBEAT), id="one heartbeat"),
        pytest.param(paced_stream(0.05, *[HEARTBEAT] * 100), id="heartbeats alone"),
    ],
)
def test_without_a_first_event_in_time_it_is_tried_again(driver: Driver, answer: Answer) -> None:
    started = time.monotonic()
    with serving(answer, stream(START, DONE)) as server:
        events, error = driver.stream(server.url, TURN, timeout=0.3)
    assert time.monotonic() - started < 3
    assert error is None and [event.type for event in events] == ["start", "done"]
    assert len(server.requests) == 2


def test_heartbeats_keep_a_stream_alive(driver: Driver) -> None:
    with serving(paced_stream(0.1, START, *[HEARTBEAT] * 8, DONE)) as server:
        events, error = driver.stream(server.url, TURN, timeout=0.4)
    assert error is None and [event.type for event in events] == ["start", "done"]


def test_leaving_the_loop_closes_the_connection() -> None:
    with serving(open_stream(START, TOKEN)) as server:
        with AgentPlatform(api_key="sk-app-test", base_url=server.url) as client:
            for event in client.execute_stream(**TURN):
                if event.type == "token":
                    break
            assert server.requests[0].closed.wait(5)
            with client.execute_stream(**TURN) as events:
                next(events)
            assert server.requests[1].closed.wait(5)
            events = client.execute_stream(**TURN)
            next(events)
            events.close()
            assert server.requests[2].closed.wait(5)
            assert list(events) == []


def test_leaving_the_block_closes_the_connection_in_asyncio() -> None:
    async def main(url: str) -> None:
        async with AsyncAgentPlatform(api_key="sk-app-test", base_url=url) as client:
            async with client.execute_stream(**TURN) as events:
                async for event in events:
                    if event.type == "token":
                        break
            assert await asyncio.to_thread(server.requests[0].closed.wait, 5)

    with serving(open_stream(START, TOKEN)) as server:
        asyncio.run(main(server.url))


@pytest.mark.parametrize(
    ("answer", "is_open"),
    [
        pytest.param(silence, True, id="while the answer is waited for"),
        pytest.param(open_stream(START), True, id="while a stream is read"),
        pytest.param(failure(429, "rate_limited", retry_after="30"), False, id="before the next try"),
    ],
)
def test_a_task_that_is_cancelled_closes_the_connection(answer: Answer, is_open: bool) -> None:
    async def read(url: str) -> None:
        async with AsyncAgentPlatform(api_key="sk-app-test", base_url=url) as client:
            async for _ in client.execute_stream(**TURN):
                pass

    async def main(url: str) -> None:
        started = time.monotonic()
        task = asyncio.create_task(read(url))
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.monotonic() - started < 3

    with serving(answer) as server:
        asyncio.run(main(server.url))
        [seen] = server.requests
        assert not is_open or seen.closed.wait(5)


def test_a_stream_that_nobody_reads_is_not_sent() -> None:
    with serving(silence) as server:
        with AgentPlatform(api_key="sk-app-test", base_url=server.url) as client:
            client.execute_stream(**TURN)
        time.sleep(0.1)
    assert server.requests == []
