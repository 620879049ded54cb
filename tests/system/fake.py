"""A platform on this machine: an HTTP server on a free port that holds every request against the vendor's rules."""

import http.server
import json
import threading
import time
import urllib.parse

import httpx

from orrery import wait_for


class Fault:
    """What goes wrong with a call: an answer instead of the right one, or none; `is_done` says whether it is carried out,
    and `seconds` how long the caller waits then."""

    def __init__(self, status=None, body=None, is_done=False, seconds=0):
        self.status, self.body, self.is_done, self.seconds = status, body, is_done, seconds


LOST = Fault(is_done=True)
CUT = Fault()


class Platform:
    """`answer(method, path, query, body, headers)` of a subclass gives status and body; what breaks a rule is noted."""

    def __init__(self):
        self.violations, self.sent, self.faults, self.calls = [], [], [], []
        self.lock = threading.RLock()
        # How long each call takes that is no message.
        self.other_seconds = 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                url = urllib.parse.urlsplit(self.path)
                raw = self.rfile.read(int(self.headers.get("content-length", 0)))
                body = json.loads(raw) if raw else None
                answer = outer.take(self.command, url, body, self.headers)
                if answer is None:
                    self.close_connection = True
                    return
                status, body = answer
                data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_DELETE = answer

            def log_message(self, *_):
                pass

        self.listener = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.listener.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.listener.server_port}"
        threading.Thread(target=self.listener.serve_forever, daemon=True).start()

    def take(self, method, url, body, headers):
        self.calls.append((method, url.path, body, time.monotonic()))
        with self.lock:
            is_message = self.is_message(url.path, body)
            fault = self.faults.pop(0) if self.faults and is_message else None
        if not is_message:
            time.sleep(self.other_seconds)
        if fault and not fault.is_done:
            return None if fault.status is None else (fault.status, fault.body)
        answer = self.answer(method, url.path, dict(urllib.parse.parse_qsl(url.query)), body, headers)
        if fault:
            time.sleep(fault.seconds)
            return None
        return answer

    def rule(self, holds, rule, body=None):
        if not holds:
            self.violations.append((rule, body))

    def stop(self):
        self.listener.shutdown()
        self.listener.server_close()

    def wait_for_sent(self, count=1, seconds=20):
        return wait_for(lambda: len(self.sent) >= count and self.sent[:], seconds, f"{count} messages")

    def stays_at(self, count, seconds=1.0):
        """Whether no more than `count` messages were sent, after a while that is long enough for one more."""
        time.sleep(seconds)
        return len(self.sent) == count


def owner(server):
    """A client of the owner's, with an ID token."""
    token = server.command("token")["token"]
    return httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {token}"}, timeout=30)


def units(text):
    return len(text.encode("utf-16-le")) // 2
