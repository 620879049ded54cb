"""Slack as its documents describe it, on this machine: OAuth and the Web API, over one thread-safe memory of channels.

Each request is held against the published rules; what breaks one is kept in `violations`, which a test wants empty.
Faults are put in line with `fail`: the next calls of a method meet them, in order.
"""

import base64
import collections
import hashlib
import hmac
import http.server
import json
import re
import socket
import threading
import time
import urllib.parse

CLIENT_ID, CLIENT_SECRET, SIGNING_SECRET = "11111.22222", "the-client-secret", "8f742231b10e8888abcd99yyyzzz85a5"
BOT, BOT_ID = "U0BOT", "B0BOT"
TS = re.compile(r"\d{1,12}\.\d{1,6}")
CHANNEL = re.compile(r"[CDG][A-Z0-9]{2,}")
# https://docs.slack.dev/messaging/formatting-message-text
LIVE = re.compile(r"<[@#!]|<(?!(?:https?|mailto|tel):)[^>]*>")
ENTITY = re.compile(r"&(?!(?:amp|lt|gt);)")
JSON, FORM = "application/json", "application/x-www-form-urlencoded"
SCOPES = (
    "app_mentions:read,channels:history,chat:write,groups:history,im:history,im:read,im:write,mpim:history,reactions:write"
)
# The fields that each method must have, and those that it may.
METHODS = {
    "auth.test": ((), ()),
    "auth.revoke": ((), ("test",)),
    "chat.postMessage": (("channel", "text"), (
        "thread_ts", "metadata", "unfurl_links", "unfurl_media", "link_names", "parse", "mrkdwn", "blocks", "attachments",
        "reply_broadcast", "username", "icon_emoji", "icon_url",
    )),
    "chat.update": (("channel", "ts", "text"), ("metadata", "blocks", "attachments", "parse", "link_names", "reply_broadcast")),
    "chat.delete": (("channel", "ts"), ()),
    "chat.startStream": (("channel", "thread_ts"), ("markdown_text", "recipient_user_id", "recipient_team_id")),
    "chat.appendStream": (("channel", "ts", "markdown_text"), ()),
    "chat.stopStream": (("channel", "ts"), ("markdown_text", "metadata", "blocks")),
    "reactions.add": (("channel", "timestamp", "name"), ()),
    "reactions.remove": (("channel", "timestamp", "name"), ()),
    "conversations.replies": (("channel", "ts"), ("cursor", "inclusive", "latest", "limit", "oldest", "include_all_metadata")),
}


class Slack:
    """A Slack with one app. `url` is what `SLACK_BASE_URL` is set to."""

    def __init__(self, streams=True):
        self.streams = streams
        self.scopes = SCOPES
        self.lock = threading.RLock()
        self.violations, self.calls = [], []
        self.codes, self.granted = {}, 0
        self.tokens = {}
        self.channels = collections.defaultdict(list)
        self.faults = collections.defaultdict(collections.deque)
        self.clock = 1_774_449_000
        self.page = 1000
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                outer.handle(self, urllib.parse.urlsplit(self.path).path, body)

            def do_GET(self):
                outer.violate(f"GET {self.path}")
                self.send_error(404)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/api"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def secrets(self):
        return {"SLACK_CLIENT_ID": CLIENT_ID, "SLACK_CLIENT_SECRET": CLIENT_SECRET, "SLACK_SIGNING_SECRET": SIGNING_SECRET}

    def environment(self):
        return {"SLACK_BASE_URL": self.url, **self.secrets()}

    # What a test does.

    def grant(self, team="T0TEAM", name="Books", **changes):
        """A person lets the app into a team, or a whole organisation: the code that Slack sends them back with."""
        with self.lock:
            self.granted += 1
            code = f"code.{self.granted}"
            self.codes[code] = {"team": team and {"id": team, "name": name}, "enterprise": None, **changes}
            return code

    def install(self, client, agent, **grant):
        """A team lets the app in, on behalf of the client's user."""
        asked = urllib.parse.urlsplit(client.get("/api/slack/install", params={"agentId": agent}).json()["url"])
        state = dict(urllib.parse.parse_qsl(asked.query))["state"]
        done = client.get("/api/slack/oauth", params={"code": self.grant(**grant), "state": state})
        assert done.status_code == 200, done.text

    def deliver(self, client, event, url="", team="T0TEAM", **envelope):
        """An event, as Slack sends it."""
        body = json.dumps({
            "token": "x", "team_id": team, "api_app_id": "A0APP", "type": "event_callback", "event": event,
            "event_id": f"Ev{event['event_ts']}", "event_time": int(time.time()), **envelope,
        })
        at = str(int(time.time()))
        signature = "v0=" + hmac.new(SIGNING_SECRET.encode(), f"v0:{at}:{body}".encode(), hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json", "X-Slack-Request-Timestamp": at, "X-Slack-Signature": signature}
        return client.post(f"{url}/api/slack/events", content=body, headers=headers)

    def say(self, channel, text, user="U0ADA", thread=None, **more):
        """A person's message, as the Events API tells it."""
        with self.lock:
            message = self.put(channel, user=user, text=text, thread_ts=thread, **more)
            event = {"type": "message", "channel": channel, "user": user, "text": text, "ts": message["ts"], "event_ts": message["ts"], **more}
            if thread:
                event["thread_ts"] = thread
            return event

    def thread(self, channel, ts):
        """The bot's posts in a thread."""
        with self.lock:
            return [message for message in self.channels[channel] if message.get("thread_ts") == ts and message["user"] == BOT]

    def message(self, channel, ts):
        with self.lock:
            return next((message for message in self.channels[channel] if message["ts"] == ts), None)

    def reactions(self, channel, ts):
        return set((self.message(channel, ts) or {}).get("reactions", ()))

    def called(self, method):
        with self.lock:
            return [body for name, body in self.calls if name == method]

    def fail(self, method, *faults):
        """What the next calls of a method meet: `("status", 500)`, `("status", 429, "2")`, `("ok", "is_archived")`,
        `("lost",)` (carried out, and the connection is cut), `("cut",)` (not carried out), `("slow", seconds)`."""
        with self.lock:
            self.faults[method].extend(faults)

    # What Slack does.

    def violate(self, what):
        with self.lock:
            self.violations.append(what)

    def put(self, channel, **message):
        self.clock += 1
        message = {key: value for key, value in message.items() if value is not None}
        message["ts"] = f"{self.clock}.{len(self.channels[channel]):06}"
        self.channels[channel].append(message)
        return message

    def handle(self, handler, path, body):
        method = path.removeprefix("/api/")
        with self.lock:
            fault = self.fault(method)
        kind = fault[0] if fault else None
        if kind == "slow":
            time.sleep(fault[1])
        if kind == "cut":
            return self.cut(handler)
        if kind == "status":
            return self.reply(handler, {"ok": False, "error": "fault"}, fault[1], fault[2] if len(fault) > 2 else None)
        if kind == "ok":
            return self.reply(handler, {"ok": False, "error": fault[1]})
        answer = self.answer(method, handler.headers, body)
        if kind == "lost":
            return self.cut(handler)
        return self.reply(handler, answer)

    def fault(self, method):
        return self.faults[method].popleft() if self.faults[method] else None

    def cut(self, handler):
        handler.close_connection = True
        handler.connection.shutdown(socket.SHUT_RDWR)

    def reply(self, handler, answer, status=200, retry_after=None):
        body = json.dumps(answer).encode()
        handler.send_response(status)
        if retry_after:
            handler.send_header("Retry-After", retry_after)
        handler.send_header("Content-Type", "application/json; charset=utf-8")
        if answer.get("ok"):
            handler.send_header("X-OAuth-Scopes", self.scopes)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def answer(self, method, headers, body):
        content = headers.get("Content-Type", "").split(";")[0]
        if content not in (JSON, FORM):
            self.violate(f"{method}: content type {content!r}")
        arguments = json.loads(body) if content == JSON else dict(urllib.parse.parse_qsl(body.decode(), keep_blank_values=True))
        with self.lock:
            self.calls.append((method, arguments))
            if method == "oauth.v2.access":
                return self.oauth(headers, content, arguments)
            team = self.tokens.get(headers.get("Authorization", "").removeprefix("Bearer "))
            if team is None:
                return {"ok": False, "error": "invalid_auth"}
            if method not in METHODS:
                self.violate(f"there is no method {method}")
                return {"ok": False, "error": "unknown_method"}
            self.check(method, content, arguments)
            answer = getattr(self, method.replace(".", "_"))(team, **arguments)
            return answer if "ok" in answer else {"ok": True, **answer}

    def check(self, method, content, arguments):
        required, optional = METHODS[method]
        if method == "conversations.replies" and content != FORM:
            self.violate(f"{method} takes no JSON")
        for name in required:
            if not arguments.get(name):
                self.violate(f"{method}: {name} is missing")
        for name in set(arguments) - set(required) - set(optional):
            self.violate(f"{method}: {name} is no argument")
        for name in ("ts", "thread_ts", "timestamp", "latest", "oldest"):
            if name in arguments and not TS.fullmatch(str(arguments[name])):
                self.violate(f"{method}: {name} is {arguments[name]!r}")
        if "channel" in arguments and not CHANNEL.fullmatch(arguments["channel"]):
            self.violate(f"{method}: channel is {arguments['channel']!r}")
        if "name" in arguments and not re.fullmatch(r"[a-z0-9_+'-]+", arguments["name"]):
            self.violate(f"{method}: the reaction {arguments['name']!r}")
        if "text" in arguments:
            self.check_text(method, arguments["text"])
        if len(arguments.get("markdown_text", "")) > 12_000:
            self.violate(f"{method}: markdown_text has {len(arguments['markdown_text'])} characters")
        if re.search(r"<[@#!]", arguments.get("markdown_text", "")):
            self.violate(f"{method}: a live mention in {arguments['markdown_text']!r}")
        metadata = arguments.get("metadata")
        if metadata is not None and not (isinstance(metadata.get("event_type"), str) and isinstance(metadata.get("event_payload"), dict)):
            self.violate(f"{method}: metadata is {metadata!r}")
        if method == "chat.startStream" and arguments["channel"][0] != "D":
            for name in ("recipient_user_id", "recipient_team_id"):
                if not arguments.get(name):
                    self.violate(f"{method}: {name} is missing in a channel")

    def check_text(self, method, text):
        if len(text) > 4_000:
            self.violate(f"{method}: {len(text)} characters are cut")
        if LIVE.search(text) or re.search(r"<[^>]*$", text):
            self.violate(f"{method}: something live in {text!r}")
        if ENTITY.search(text):
            self.violate(f"{method}: a bare ampersand in {text!r}")
        if text.count("```") % 2:
            self.violate(f"{method}: open code in {text!r}")

    def oauth(self, headers, content, arguments):
        basic = "Basic " + base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        if content != FORM:
            self.violate("oauth.v2.access takes no JSON")
        if headers.get("Authorization") != basic:
            return {"ok": False, "error": "bad_client_secret"}
        grant = self.codes.pop(arguments.get("code"), None)
        if grant is None:
            return {"ok": False, "error": "invalid_code"}
        team = grant["team"]["id"] if grant["team"] else "E0ORG"
        token = f"xoxb-{team}"
        self.tokens[token] = team
        return {"ok": True, "access_token": token, "token_type": "bot", "bot_user_id": BOT, "app_id": "A0APP", "scope": "chat:write", **grant}

    def auth_test(self, team):
        return {"team_id": team, "user_id": BOT, "bot_id": BOT_ID, "team": "x", "user": "bot", "url": "https://x.slack.com/"}

    def auth_revoke(self, team):
        self.tokens = {token: other for token, other in self.tokens.items() if other != team}
        return {"revoked": True}

    def chat_postMessage(self, team, channel, text, thread_ts=None, metadata=None, **_):
        if thread_ts and not self.message(channel, thread_ts):
            return {"ok": False, "error": "thread_not_found"}
        message = self.put(channel, user=BOT, bot_id=BOT_ID, text=text, thread_ts=thread_ts, metadata=metadata)
        return {"channel": channel, "ts": message["ts"], "message": message}

    def chat_update(self, team, channel, ts, text, metadata=None, blocks=None, **_):
        message = self.message(channel, ts)
        if not message or message["user"] != BOT:
            return {"ok": False, "error": "message_not_found" if not message else "cant_update_message"}
        if message.get("streaming"):
            return {"ok": False, "error": "streaming_state_conflict"}
        if "streamed" in message and blocks is None:
            self.violate("chat.update: what was streamed stays, since blocks are not emptied")
        message.update(text=text, metadata=metadata or message.get("metadata"))
        message["edits"] = message.get("edits", 0) + 1
        return {"channel": channel, "ts": ts, "text": text}

    def chat_delete(self, team, channel, ts):
        message = self.message(channel, ts)
        if not message:
            return {"ok": False, "error": "message_not_found"}
        self.channels[channel].remove(message)
        return {"channel": channel, "ts": ts}

    def chat_startStream(self, team, channel, thread_ts, markdown_text="", **_):
        if not self.streams:
            return {"ok": False, "error": "method_not_supported_for_channel_type"}
        message = self.put(channel, user=BOT, bot_id=BOT_ID, text="", thread_ts=thread_ts, streaming=True, streamed=markdown_text)
        return {"channel": channel, "ts": message["ts"]}

    def chat_appendStream(self, team, channel, ts, markdown_text):
        message = self.message(channel, ts)
        if not message or not message.get("streaming"):
            return {"ok": False, "error": "message_not_in_streaming_state"}
        message["streamed"] += markdown_text
        return {"channel": channel, "ts": ts}

    def chat_stopStream(self, team, channel, ts, metadata=None, **_):
        message = self.message(channel, ts)
        if not message or not message.get("streaming"):
            return {"ok": False, "error": "message_not_in_streaming_state"}
        message.update(streaming=False, metadata=metadata)
        return {"channel": channel, "ts": ts}

    def reactions_add(self, team, channel, timestamp, name):
        message = self.message(channel, timestamp)
        if not message:
            return {"ok": False, "error": "message_not_found"}
        if name in message.setdefault("reactions", set()):
            return {"ok": False, "error": "already_reacted"}
        message["reactions"].add(name)
        return {}

    def reactions_remove(self, team, channel, timestamp, name):
        message = self.message(channel, timestamp) or {}
        if name not in message.get("reactions", ()):
            return {"ok": False, "error": "no_reaction"}
        message["reactions"].discard(name)
        return {}

    def conversations_replies(self, team, channel, ts, limit="1000", cursor="0", latest=None, oldest=None, include_all_metadata=None, **_):
        def number(text):
            return tuple(map(int, text.split(".")))

        def told(message):
            told = {key: value for key, value in message.items() if key in ("ts", "user", "bot_id", "text", "thread_ts", "subtype")}
            if include_all_metadata and message.get("metadata"):
                told["metadata"] = message["metadata"]
            told["reactions"] = [{"name": name, "users": [BOT], "count": 1} for name in sorted(message.get("reactions", ()))]
            return told

        root = self.message(channel, ts)
        if not root:
            return {"ok": False, "error": "thread_not_found"}
        replies = [message for message in self.channels[channel] if message.get("thread_ts") == ts and message is not root]
        replies = [m for m in replies if (not latest or number(m["ts"]) <= number(latest)) and (not oldest or number(m["ts"]) >= number(oldest))]
        begin, size = int(cursor), min(int(limit), self.page)
        page, more = replies[begin:begin + size], begin + size < len(replies)
        return {
            "messages": [told(message) for message in [root, *page]], "has_more": more,
            "response_metadata": {"next_cursor": str(begin + size) if more else ""},
        }
