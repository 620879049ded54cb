"""Model providers to test against: two mocks by others, and one whose every byte a test writes itself."""

import http.server
import json
import os
import pathlib
import sys
import threading
import time

import httpx

import node
from orrery import Process

AIMOCK = node.PACKAGES / "@copilotkit" / "aimock" / "dist" / "cli.js"
LLMOCK = pathlib.Path(os.environ.get("ORRERY_LLMOCK", pathlib.Path(sys.executable).parent / "llmock"))


class Aimock(Process):
    """Scripted answers of both providers, from fixtures."""

    def __init__(self, folder, fixtures):
        (folder / "fixtures").mkdir()
        (folder / "fixtures" / "all.json").write_text(json.dumps({"fixtures": fixtures}))
        command = [node.NODE, AIMOCK, "-p", "0", "-h", "127.0.0.1", "-f", folder / "fixtures", "--validate-on-load", "--strict"]
        super().__init__(command, folder / "aimock.log")
        self.url = self.wait_for_line(r"listening on (http://127\.0\.0\.1:\d+)")[1]

    def environment(self):
        return environment(self.url, self.url + "/v1")

    def journal(self):
        return httpx.get(self.url + "/__aimock/journal").json()

    def forget(self):
        httpx.post(self.url + "/__aimock/reset/journal")


class Llmock(Process):
    """Faults on demand, and a verdict on how they were met."""

    def __init__(self, folder):
        # At a model's pace: a stream that is sent at once counts as whole, however soon its reader turned away.
        pace = ["--stream-chunk-delay-ms", "8"]
        super().__init__([LLMOCK, "serve", "-h", "127.0.0.1", "-p", "0", *pace], folder / "llmock.log")
        self.url = self.wait_for_line(r"running on (http://127\.0\.0\.1:\d+)")[1]

    def environment(self):
        return environment(self.url + "/anthropic", self.url + "/v1")

    def scenario(self, *behaviors):
        httpx.post(self.url + "/_llmock/reset").raise_for_status()
        response = httpx.post(self.url + "/_llmock/scenario", json={"behaviors": list(behaviors)})
        assert response.status_code < 300, response.text

    def requests(self):
        answer = httpx.get(self.url + "/_llmock/requests").json()
        return answer["requests"] if isinstance(answer, dict) else answer

    def verdict(self):
        return httpx.get(self.url + "/_llmock/verdict").json()


def environment(anthropic, openai):
    return {
        "ANTHROPIC_API_KEY": "sk-ant-test-0000", "ANTHROPIC_BASE_URL": anthropic,
        "OPENAI_API_KEY": "sk-test-0000", "OPENAI_BASE_URL": openai,
    }


class Scripted:
    """An upstream on a free port: `script(request, send)` is called for each request and sends the stream's bytes."""

    def __init__(self, script):
        self.requests = []
        self.closed = threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer.requests.append({"path": self.path, "headers": dict(self.headers), "body": body})
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                try:
                    script(body, self.send_bytes)
                    self.wfile.write(b"0\r\n\r\n")
                    self.wfile.flush()
                except OSError:
                    outer.closed.set()
                    self.close_connection = True

            def send_bytes(self, data):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
                self.wfile.flush()

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def environment(self):
        return environment(self.url, self.url + "/v1")

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def openai_chunk(delta, finish=None, **more):
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **more}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


OPENAI_USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}


def openai_end(finish="stop"):
    usage = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [], "usage": OPENAI_USAGE}
    return openai_chunk({}, finish) + b"data: " + json.dumps(usage).encode() + b"\n\ndata: [DONE]\n\n"


def anthropic_event(kind, **fields):
    return f"event: {kind}\n".encode() + b"data: " + json.dumps({"type": kind, **fields}).encode() + b"\n\n"


def anthropic_start(input_tokens=11, **usage):
    message = {
        "id": "msg_1", "type": "message", "role": "assistant", "content": [], "model": "m", "stop_reason": None,
        "stop_sequence": None, "usage": {"input_tokens": input_tokens, "output_tokens": 1, **usage},
    }
    return anthropic_event("message_start", message=message)


def anthropic_block(index, block, *deltas):
    start = anthropic_event("content_block_start", index=index, content_block=block)
    middle = b"".join(anthropic_event("content_block_delta", index=index, delta=delta) for delta in deltas)
    return start + middle + anthropic_event("content_block_stop", index=index)


def anthropic_text(index, *texts):
    return anthropic_block(index, {"type": "text", "text": ""}, *({"type": "text_delta", "text": text} for text in texts))


def anthropic_end(stop="end_turn", output_tokens=7):
    delta = {"stop_reason": stop, "stop_sequence": None}
    return anthropic_event("message_delta", delta=delta, usage={"output_tokens": output_tokens}) + anthropic_event("message_stop")


def paced(tokens, milliseconds):
    """An OpenAI stream whose tokens are the monotonic clock's nanoseconds at which they were sent."""

    def script(_, send):
        send(openai_chunk({"role": "assistant", "content": ""}))
        for _ in range(tokens):
            time.sleep(milliseconds / 1000)
            send(openai_chunk({"content": f"{time.monotonic_ns()} "}))
        send(openai_end())

    return script
