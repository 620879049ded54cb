"""Server-sent events out of bytes that may be cut anywhere.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from typing import Optional


@dataclass(frozen=True)
class ServerSentEvent:
    """An event as it was sent."""

    name: str
    data: str


class EventParser:
    """Takes bytes, gives the events that they complete. What is left at the end is no event."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._is_start = True
        self._after_return = False
        self._line: list[str] = []
        self._name = ""
        self._data: list[str] = []

    def push(self, data: bytes) -> list[ServerSentEvent]:
        text = self._decoder.decode(data)
        if not text:
            return []
        if self._is_start:
            self._is_start = False
            text = text[1:] if text[0] == "\ufeff" else text
        # A line feed at the start belongs to the carriage return that ended the text before.
        rest = text[1:] if self._after_return and text.startswith("\n") else text
        self._after_return = text.endswith("\r")

        events = []
        *ended, beginning = re.split("\r\n|\n|\r", rest)
        for piece in ended:
            event = self._end_of_line("".join([*self._line, piece]))
            self._line.clear()
            if event:
                events.append(event)
        self._line.append(beginning)
        return events

    def _end_of_line(self, line: str) -> Optional[ServerSentEvent]:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value[1:] if value.startswith(" ") else value
        if name == "event":
            self._name = value
        elif name == "data":
            self._data.append(value)
        return None

    def _dispatch(self) -> Optional[ServerSentEvent]:
        event = ServerSentEvent(self._name or "message", "\n".join(self._data)) if self._data else None
        self._name = ""
        self._data = []
        return event
