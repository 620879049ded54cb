"""A Telegram on this machine. It reads messages as https://core.telegram.org/bots/api says, and notes what breaks a rule."""

import html
import re

import httpx
import sulguk

from fake import Platform, units

TAGS = {"b", "i", "s", "u", "a", "code", "pre", "blockquote"}


def parse(text):
    """A message's text without its tags, and how many entities it has; ValueError where Telegram would refuse it."""
    plain, stack, entities = [], [], 0
    for tag, name, attributes, other in re.findall(r"<(/?)([a-z]+)((?:\s[^<>]*)?)>|([^<]+|<)", text):
        if other:
            if other == "<" or re.search(r"&(?!(lt|gt|amp|quot);)", other):
                raise ValueError(f"cannot be read: {other!r}")
            plain.append(html.unescape(other))
        elif tag:
            if not stack or stack.pop() != name:
                raise ValueError(f"</{name}> ends nothing")
        else:
            if name not in TAGS:
                raise ValueError(f"<{name}> is not known")
            if name == "a" and not re.fullmatch(r' href="(https?|tg|mailto):[^"]+"', attributes):
                raise ValueError(f"a link to {attributes}")
            if name == "code" and attributes and (stack[-1:] != ["pre"] or not attributes.startswith(' class="language-')):
                raise ValueError("a language outside of pre")
            entities += not (name == "code" and stack[-1:] == ["pre"])
            stack.append(name)
    if stack:
        raise ValueError(f"{stack} stay open")
    return "".join(plain), entities


class Telegram(Platform):
    TOKEN = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"
    BOT = {"id": 110201543, "is_bot": True, "first_name": "Shop", "username": "orrery_test_bot"}

    def __init__(self):
        super().__init__()
        self.webhook, self.typing, self.messages, self.updates = {}, [], 100, 1000
        self.trouble = {}

    def environment(self):
        return {"TELEGRAM_BASE_URL": self.url, "ORRERY_PUBLIC_URL": "https://bots.example"}

    def is_message(self, path, _):
        return path.endswith("/sendMessage")

    def answer(self, method, path, _, body, headers):
        self.rule(method == "POST" and headers["content-type"] == "application/json", "JSON is posted")
        token, name = re.fullmatch(r"/bot([^/]+)/(\w+)", path).groups()
        if token != self.TOKEN:
            return 401, {"ok": False, "error_code": 401, "description": "Unauthorized"}
        result = getattr(self, f"call_{name}")(body or {})
        if isinstance(result, str):
            return 400, {"ok": False, "error_code": 400, "description": f"Bad Request: {result}"}
        return 200, {"ok": True, "result": result}

    def call_getMe(self, _):
        return self.BOT

    def call_setWebhook(self, body):
        if not body["url"].startswith("https://"):
            return "bad webhook: An HTTPS URL must be provided for webhook"
        self.rule(re.fullmatch(r"[A-Za-z0-9_-]{1,256}", body["secret_token"]), "the secret's charset", body)
        self.rule(body["allowed_updates"] == ["message"], "only messages are wanted", body)
        self.webhook = body
        return True

    def call_deleteWebhook(self, _):
        self.webhook = {}
        return True

    def call_getWebhookInfo(self, _):
        return {"url": self.webhook.get("url", ""), "pending_update_count": 0, "has_custom_certificate": False, **self.trouble}

    def call_sendChatAction(self, body):
        self.rule(isinstance(body["chat_id"], int) and body["action"] == "typing", "an action in a chat", body)
        self.typing.append(body)
        return True

    def call_sendMessage(self, body):
        known = {"chat_id", "text", "parse_mode", "message_thread_id", "reply_parameters", "link_preview_options"}
        self.rule(set(body) <= known and isinstance(body["chat_id"], int), "fields of sendMessage", body)
        self.rule(body.get("parse_mode", "HTML") == "HTML", "HTML or plain text", body)
        text, entities = body["text"], 0
        if "parse_mode" in body:
            try:
                text, entities = parse(body["text"])
                shown = sulguk.transform_html(body["text"]).text
                self.rule("".join(shown.split()) == "".join(text.split()), "sulguk reads the same text", body)
            except ValueError as error:
                self.rule(False, f"can't parse entities: {error}", body)
                return f"can't parse entities: {error}"
        self.rule(1 <= units(text.strip()) and units(text) <= 4096, "1 to 4096 units", body)
        self.rule(entities <= 100, "100 entities", body)
        reply = body.get("reply_parameters")
        self.rule(not reply or reply.get("allow_sending_without_reply") is True, "a reply to what may be gone", body)
        self.messages += 1
        self.sent.append({**body, "plain": text})
        return {"message_id": self.messages, "date": 1, "chat": {"id": body["chat_id"], "type": "private"}, "text": text}

    def update(self, **message):
        """An update with a private message of Ada's, changed."""
        self.updates += 1
        self.messages += 1
        ada = {"id": 5123456789, "is_bot": False, "first_name": "Ada"}
        chat = {"id": 5123456789, "type": "private", "first_name": "Ada"}
        own = {"message_id": self.messages, "from": ada, "chat": chat, "date": 1774449000}
        return {"update_id": self.updates, "message": {**own, **message}}

    def deliver(self, server, update, secret=None):
        headers = {"X-Telegram-Bot-Api-Secret-Token": secret or self.webhook["secret_token"]}
        return httpx.post(f"{server.url}/api/telegram/webhook", json=update, headers=headers, timeout=10)
