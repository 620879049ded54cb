"""A small app API in memory, with a model that echoes, for the end-to-end tests."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any, Optional
from urllib.parse import parse_qs, unquote, urlsplit

from server import Seen, frame

KEY = "sk-app-fake"
APP = "app_fake"
NOW = "2024-01-15T14:30:00Z"

Reply = tuple[int, dict[str, Any]]


class Platform:
    """Answers requests as the API does."""

    def __init__(self) -> None:
        self._sessions: dict[str, dict[str, Any]] = {}
        self._replayed: dict[str, tuple[str, Reply]] = {}
        self._numbers = itertools.count(1)

    def __call__(self, seen: Seen) -> None:
        status, body = self._once(seen)
        limits = {"x-ratelimit-limit": "600", "x-ratelimit-remaining": "599", "x-ratelimit-reset": "1705330260"}
        headers = {"x-request-id": self._id("req"), **limits}
        if status == 200 and seen.path.endswith("/stream"):
            seen.start(status, {**headers, "content-type": "text/event-stream"})
            seen.write(_frames(body))
        else:
            seen.reply(status, {**headers, "content-type": "application/json"}, json.dumps(body))

    def _id(self, kind: str) -> str:
        return f"{kind}_{next(self._numbers)}"

    def _once(self, seen: Seen) -> Reply:
        key = seen.headers.get("idempotency-key")
        if key is None:
            return self._answer(seen)
        if key not in self._replayed:
            self._replayed[key] = (seen.body, self._answer(seen))
        body, reply = self._replayed[key]
        return reply if body == seen.body else _refusal(400, "invalid_request", "Another body with this key")

    def _answer(self, seen: Seen) -> Reply:
        if seen.headers.get("authorization") != f"Bearer {KEY}":
            return _refusal(401, "authentication_error", "Invalid API key")
        url = urlsplit(seen.path)
        segments = [unquote(segment) for segment in url.path[1:].split("/")]
        if segments[:3] != ["v1", "apps", APP]:
            return _refusal(404, "not_found", "Not found")
        if segments[3] == "execute":
            return self._turn(json.loads(seen.body))
        if len(segments) == 4:
            session = self._new_session()
            return 201, {name: session[name] for name in ("session_id", "created_at", "expires_at")}
        found = self._sessions.get(segments[4])
        if found is None:
            return _refusal(404, "not_found", "Session not found", {"session_id": segments[4]})
        return _history(found, parse_qs(url.query)) if segments[5:] else _end(found)

    def _new_session(self) -> dict[str, Any]:
        session = {"session_id": self._id("sess"), "created_at": NOW, "expires_at": NOW, "messages": []}
        self._sessions[str(session["session_id"])] = session
        return session

    def _turn(self, body: dict[str, Any]) -> Reply:
        given, message = body.get("session_id"), body["message"]
        session = self._new_session() if given is None else self._sessions.get(given)
        if session is None:
            return _refusal(400, "invalid_request", "Session not found", {"session_id": given})
        if "ended_at" in session:
            return _refusal(400, "invalid_request", "Session has ended", {"session_id": given})
        tool = re.match(r"/tool (\S+)", message)
        response = f"You said: {message}"
        session["messages"] += [
            {"role": "user", "content": message, "timestamp": NOW},
            {"role": "assistant", "content": response, "timestamp": NOW, "agent": "echo"},
        ]
        return 200, {
            "response": response,
            "session_id": session["session_id"],
            "trace_id": self._id("trace"),
            "agent": "echo",
            "tools_used": [tool[1]] if tool else [],
            "usage": {"input_tokens": 1, "output_tokens": 2},
        }


def _history(session: dict[str, Any], query: dict[str, list[str]]) -> Reply:
    end = int(query.get("before", [str(len(session["messages"]))])[0])
    start = max(0, end - int(query.get("limit", ["200"])[0]))
    cursor = {"next_cursor": str(start)} if start else {}
    return 200, {"session_id": session["session_id"], "messages": session["messages"][start:end], **cursor}


def _end(session: dict[str, Any]) -> Reply:
    session.setdefault("ended_at", NOW)
    return 200, {"session_id": session["session_id"], "status": "ended", "ended_at": session["ended_at"]}


def _frames(body: dict[str, Any]) -> str:
    calls = [{"tool": tool, "status": status} for tool in body["tools_used"] for status in ("started", "completed")]
    words = re.split("(?= )", body["response"])
    done = {name: body[name] for name in ("usage", "session_id", "trace_id", "agent", "tools_used")}
    frames = [
        frame("start", {"trace_id": body["trace_id"], "session_id": body["session_id"]}),
        *(frame("tool_call", call) for call in calls),
        ": heartbeat\n\n",
        *(frame("token", {"content": word}) for word in words),
        frame("done", done),
    ]
    return "".join(frames)


def _refusal(status: int, code: str, message: str, details: Optional[dict[str, Any]] = None) -> Reply:
    return status, {"error": {"code": code, "message": message, "details": details}}
