"""An app of a server, and a client for it: the app dialect as its document has it."""

import json
import pathlib

import httpx

from sse import frames

PROJECTS = pathlib.Path(__file__).parent / "apps"
ORDER = '/tool get_order_status {"order": "12345"}'


class Client:
    """Calls one app with one key."""

    def __init__(self, server, project, key=None):
        self.server = server
        self.key = key or server.command("key", "create", "--app", project)
        self.id = self.key["app"]["id"]
        self.http = httpx.Client(timeout=60)

    @property
    def url(self):
        return f"{self.server.url}/v1/apps/{self.id}"

    @property
    def bearer(self):
        return {"Authorization": f"Bearer {self.key['key']}"}

    def send(self, method, path, body=None, headers=None, **options):
        """Any request; the reply as it comes."""
        return self.http.request(method, self.url + path, json=body, headers={**self.bearer, **(headers or {})}, **options)

    def call(self, method, path, body=None, status=200, **options):
        """The JSON of a reply that must have this status."""
        reply = self.send(method, path, body, **options)
        assert reply.status_code == status, f"{method} {path}: {reply.status_code} {reply.text}"
        return reply.json()

    def said(self, message, session=None, metadata=None):
        """The body of a message."""
        fields = {"message": message, "session_id": session, "metadata": metadata}
        return {name: value for name, value in fields.items() if value is not None}

    def execute(self, message, session=None, metadata=None, **options):
        return self.call("POST", "/execute", self.said(message, session, metadata), **options)

    def stream(self, message, session=None, metadata=None, **options):
        """The events of an answer, as `(name, data)`."""
        reply = self.send("POST", "/execute/stream", self.said(message, session, metadata), **options)
        assert reply.status_code == 200, reply.text
        return events(reply.text)

    def begin(self, **body):
        return self.call("POST", "/sessions", body, 201)["session_id"]

    def history(self, session, **query):
        return self.call("GET", f"/sessions/{session}/history", params=query)

    def talk(self, session):
        """What was said, as `(role, content)`."""
        return [(message["role"], message["content"]) for message in self.history(session)["messages"]]

    def end(self, session):
        return self.call("DELETE", f"/sessions/{session}")

    def trace(self, trace):
        return self.call("GET", f"/traces/{trace}")


def events(text):
    return [(name, json.loads(data)) for name, data in frames(text)]


def error(reply):
    """The error of a refusal, whose shape is checked."""
    body = reply.json()
    assert set(body) == {"error"}, body
    assert {"code", "message"} <= set(body["error"]) <= {"code", "message", "details"}, body
    assert isinstance(body["error"].get("details", {}), dict)
    assert reply.headers["content-type"] == "application/json" and reply.headers["x-request-id"]
    return body["error"]


def refused(reply, status, code):
    """The error, which must be of this status and code."""
    assert reply.status_code == status, f"{reply.status_code} {reply.text}"
    told = error(reply)
    assert told["code"] == code, told
    return told
