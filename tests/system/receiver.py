"""A receiver of outbound webhooks, whose answer is what the path asks for."""

import collections
import http.server
import json
import socket
import threading
import time

Request = collections.namedtuple("Request", "path headers body at")


class Receiver:
    """Listens on a port of its own; `requests` is what came."""

    def __init__(self):
        self.requests = []
        self.lock = threading.Lock()
        self.redirect, self.retry_after = None, "1200"
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                headers = {name.lower(): value for name, value in self.headers.items()}
                with receiver.lock:
                    receiver.requests.append(Request(self.path, headers, body, time.time()))
                receiver.answer(self)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            request_queue_size = 256
            daemon_threads = True

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, handler):
        self.answer_with(handler.path.split("/")[1], handler)

    def answer_with(self, kind, handler):
        if kind == "slow":
            time.sleep(12)
            handler.close_connection = True
            return
        if kind == "cut":
            handler.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
            handler.wfile.flush()
            handler.close_connection = True
            handler.connection.shutdown(socket.SHUT_RDWR)
            return
        if kind == "huge":
            handler.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n")
            try:
                for _ in range(10_000):
                    handler.wfile.write(b"x" * 100_000)
            except OSError:
                pass
            handler.close_connection = True
            return
        status = int(kind) if kind.isdigit() else 200
        handler.send_response(status)
        if status == 302:
            handler.send_header("location", self.redirect)
        if status == 429:
            handler.send_header("retry-after", self.retry_after)
        handler.send_header("content-length", "6")
        handler.end_headers()
        handler.wfile.write(b"thanks")

    def at(self, path):
        with self.lock:
            return [request for request in self.requests if request.path == path]

    def events(self, path):
        return [json.loads(request.body) for request in self.at(path)]

    def close(self):
        self.server.shutdown()
        self.server.server_close()
