"""A server on loopback that answers as a test says."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable, Optional


@dataclass
class Seen:
    """A request, and the means to answer it."""

    method: str
    path: str
    headers: dict[str, str]
    body: str
    handler: BaseHTTPRequestHandler
    at: float = field(default_factory=time.monotonic)
    closed: threading.Event = field(default_factory=threading.Event)
    """The client closed the connection."""

    def reply(self, status: int, headers: Mapping[str, str], body: str) -> None:
        self.start(status, {"content-length": str(len(body.encode())), **headers})
        self.write(body)

    def start(self, status: int, headers: Mapping[str, str]) -> None:
        self.handler.send_response(status)
        for name, value in headers.items():
            self.handler.send_header(name, value)
        self.handler.send_header("connection", "close")
        self.handler.end_headers()

    def write(self, text: str) -> None:
        self.handler.wfile.write(text.encode())
        self.handler.wfile.flush()

    def wait_for_close(self) -> None:
        """Until the client closes the connection, or the test is long over."""
        self.handler.connection.settimeout(20)
        try:
            while self.handler.connection.recv(1000):
                pass
        except ConnectionError:
            pass
        except OSError:
            return
        self.closed.set()


Answer = Callable[[Seen], None]


class Server:
    """`url`, and the `requests` that came."""

    def __init__(self, answers: tuple[Answer, ...]) -> None:
        self.requests: list[Seen] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                body = self.rfile.read(int(headers.get("content-length", 0))).decode()
                seen = Seen(self.command, self.path, headers, body, self)
                server.requests.append(seen)
                answers[min(len(server.requests), len(answers)) - 1](seen)
                self.close_connection = True

            do_GET = do_POST = do_DELETE = answer

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> Server:
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.socket.close()


@contextmanager
def serving(*answers: Answer) -> Iterator[Server]:
    """A server that answers the requests in turn; the last answer is for all that follow."""
    with Server(answers) as server:
        yield server


def reply(status: int, body: object, **headers: str) -> Answer:
    """Answers with JSON. Header names are written with `_`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    all_headers = {"content-type": "application/json", "x-request-id": "req_1", **named}
    return lambda seen: seen.reply(status, all_headers, json.dumps(body))


def failure(status: int, code: str, details: Optional[object] = None, **headers: str) -> Answer:
    """Answers with an error of the API."""
    return reply(status, {"error": {"code": code, "message": f"It is {code}", "details": details}}, **headers)


def page(status: int) -> Answer:
    """Answers as a proxy does."""
    headers = {"content-type": "text/html", "x-request-id": "req_7"}
    return lambda seen: seen.reply(status, headers, "<html><body>Bad gateway</body></html>")


def stream(*frames: str) -> Answer:
    """Answers with these server-sent events, and ends."""

    def answer(seen: Seen) -> None:
        seen.start(200, {"content-type": "text/event-stream; charset=utf-8"})
        seen.write("".join(frames))

    return answer


def open_stream(*frames: str) -> Answer:
    """Answers with these server-sent events, and leaves the stream open."""

    def answer(seen: Seen) -> None:
        seen.start(200, {"content-type": "text/event-stream"})
        seen.write("".join(frames))
        seen.wait_for_close()

    return answer


def paced_stream(seconds: float, *frames: str) -> Answer:
    """Answers with these server-sent events and a pause after each."""

    def answer(seen: Seen) -> None:
        seen.start(200, {"content-type": "text/event-stream"})
        try:
            for one in frames:
                seen.write(one)
                time.sleep(seconds)
        except ConnectionError:
            seen.closed.set()

    return answer


def torn_stream(*frames: str) -> Answer:
    """Answers with these server-sent events, then the connection breaks."""

    def answer(seen: Seen) -> None:
        seen.start(200, {"content-type": "text/event-stream", "content-length": "100000"})
        seen.write("".join(frames))

    return answer


def cut(seen: Seen) -> None:
    """Closes the connection without an answer."""
    seen.handler.connection.shutdown(socket.SHUT_RDWR)


def silence(seen: Seen) -> None:
    """Never answers."""
    seen.wait_for_close()


def frame(name: str, data: object) -> str:
    """One server-sent event."""
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"


ANSWER: dict[str, Any] = {
    "response": "I found your order #12345.",
    "session_id": "sess_abc123",
    "trace_id": "trace_xyz789",
    "agent": "support_agent",
    "tools_used": ["get_order_status"],
    "usage": {"input_tokens": 145, "output_tokens": 52},
}
START = frame("start", {"trace_id": "trace_1", "session_id": "sess_1"})
TOKEN = frame("token", {"content": "Our"})
DONE = frame("done", {"usage": {"input_tokens": 1, "output_tokens": 2}})
TURN: dict[str, Any] = {"app_id": "app_1", "message": "Hello"}
