"""The parser of server-sent events."""

from __future__ import annotations

import time

import pytest

from orrery_platform.sse import EventParser, ServerSentEvent

STREAM = (
    '\ufeffevent: start\r\ndata: {"a": "Grüße 👋🏽"}\r\n\r\n: heartbeat\n\ndata\ndata:one\rdata:  two\r\rid: 7\nretry: 5\n\n'
    "event: empty\n\nevent:token\ndata: 日本\u2028\x85\nunknown: x\n\ndata: last"
).encode()
EVENTS = [
    ServerSentEvent("start", '{"a": "Grüße 👋🏽"}'),
    ServerSentEvent("message", "\none\n two"),
    ServerSentEvent("token", "日本\u2028\x85"),
]


def parse(*pieces: bytes) -> list[ServerSentEvent]:
    parser = EventParser()
    return [event for piece in pieces for event in parser.push(piece)]


def test_lines_comments_several_lines_of_data_and_no_event_that_lacks_its_end() -> None:
    assert parse(STREAM) == EVENTS


def test_bytes_may_be_cut_anywhere() -> None:
    for first in range(len(STREAM) + 1):
        assert parse(STREAM[:first], STREAM[first:]) == EVENTS, f"cut at {first}"
        for second in range(first, len(STREAM) + 1, 7):
            assert parse(STREAM[:first], STREAM[first:second], STREAM[second:]) == EVENTS, f"cut at {first}, {second}"
    assert parse(*(bytes([byte]) for byte in STREAM)) == EVENTS


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_an_event_is_told_with_its_last_byte(end: str) -> None:
    parser = EventParser()
    assert parser.push(f"data: x{end}".encode()) == []
    assert parser.push(end[:1].encode()) == [ServerSentEvent("message", "x")]
    assert parser.push(f"{end[1:]}data: y{end}{end}".encode()) == [ServerSentEvent("message", "y")]


def test_a_long_line_in_small_pieces_is_read_in_time() -> None:
    started = time.monotonic()
    [event] = parse(b"data: ", *[b"x" * 100] * 50_000, b"\n\n")
    assert len(event.data) == 5_000_000
    assert time.monotonic() - started < 3
