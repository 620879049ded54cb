"""A Graph API on this machine, as far as WhatsApp's Cloud API goes, and the Meta that calls webhooks. It reads messages as
https://developers.facebook.com/documentation/business-messaging/whatsapp says, and notes what breaks a rule."""

import hashlib
import hmac
import json
import re
import urllib.parse

import httpx

from fake import Platform, units


class Graph(Platform):
    PHONE, ACCOUNT, TOKEN, SECRET = "106540352242922", "102290129340398", "EAAG" + "0" * 28, "0123456789abcdef" * 2

    def __init__(self):
        super().__init__()
        self.subscribed, self.callback, self.read, self.server, self.wamids = [], None, [], None, 0

    def environment(self):
        return {
            "GRAPH_BASE_URL": self.url + "/v25.0", "WHATSAPP_APP_SECRET": self.SECRET,
            "ORRERY_PUBLIC_URL": "https://bots.example",
        }

    def is_message(self, path, body):
        return path.endswith("/messages") and body.get("type") == "text"

    def error(self, status, code, message):
        return status, {"error": {"message": f"(#{code}) {message}", "type": "OAuthException", "code": code}}

    def answer(self, method, path, query, body, headers):
        if headers["authorization"] != f"Bearer {self.TOKEN}":
            return self.error(401, 190, "Invalid OAuth access token.")
        version, node, *edge = path.strip("/").split("/")
        self.rule(re.fullmatch(r"v\d+\.0", version), "a version in the path", path)
        if method == "GET" and node == self.PHONE and not edge:
            if query.get("fields") == "webhook_configuration":
                own = {"phone_number": self.callback["override_callback_uri"]} if self.callback else {}
                return 200, {"webhook_configuration": own, "id": node}
            self.rule("id" in query.get("fields", "").split(","), "fields are named", query)
            return 200, {"id": node, "display_phone_number": "+1 555-078-3881", "verified_name": "Shop"}
        if method == "GET" and (node, edge) == (self.ACCOUNT, ["subscribed_apps"]):
            apps = [{"whatsapp_business_api_data": {"id": "1", "name": "Shop"}}] if self.subscribed else []
            return 200, {"data": apps}
        if method == "POST" and (node, edge) == (self.ACCOUNT, ["subscribed_apps"]):
            self.subscribed.append(node)
            return 200, {"success": True}
        if method == "POST" and node == self.PHONE and not edge:
            return self.configure(body["webhook_configuration"])
        if method == "POST" and (node, edge) == (self.PHONE, ["messages"]):
            self.rule(body.get("messaging_product") == "whatsapp", "messaging_product", body)
            return self.mark(body) if "status" in body else self.message(body)
        return self.error(400, 100, "Unsupported request")

    def configure(self, configuration):
        uri = configuration["override_callback_uri"]
        if not uri:
            self.callback = None
            return 200, {"success": True}
        self.rule(uri.startswith("https://"), "https", uri)
        # Meta asks the address before it takes it.
        challenge = {"hub.mode": "subscribe", "hub.challenge": "1158201444", "hub.verify_token": configuration["verify_token"]}
        asked = httpx.get(self.reached(uri), params={**self.query(uri), **challenge}, timeout=10)
        if (asked.status_code, asked.text) != (200, "1158201444"):
            return self.error(400, 2200, "Callback verification failed")
        self.callback = configuration
        return 200, {"success": True}

    def mark(self, body):
        self.rule(body["status"] == "read" and body["message_id"].startswith("wamid."), "read", body)
        self.rule(body.get("typing_indicator", {}).get("type", "text") == "text", "a typing indicator", body)
        self.read.append(body)
        return 200, {"success": True}

    def message(self, body):
        known = {"messaging_product", "recipient_type", "to", "recipient", "type", "text", "context"}
        self.rule(set(body) <= known and body["type"] == "text", "fields of a text message", body)
        self.rule(body.get("recipient_type") == "individual", "recipient_type", body)
        to, recipient = body.get("to"), body.get("recipient")
        self.rule((to is None) != (recipient is None), "one recipient", body)
        self.rule(to is None or re.fullmatch(r"\+?\d{5,20}", to), "a phone number", body)
        self.rule(recipient is None or re.fullmatch(r"[A-Z]{2}\.[A-Za-z0-9.]+", recipient), "a user's id", body)
        self.rule(1 <= units(body["text"]["body"].strip()) and len(body["text"]["body"]) <= 4096, "1 to 4096", body)
        self.rule(body.get("context", {}).get("message_id", "wamid.").startswith("wamid."), "a context", body)
        self.sent.append(body)
        return 200, {"messaging_product": "whatsapp", "contacts": [], "messages": [{"id": f"wamid.out{len(self.sent)}"}]}

    def reached(self, uri):
        """Where the public address leads to here."""
        return self.server.url + urllib.parse.urlsplit(uri).path

    @staticmethod
    def query(uri):
        return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(uri).query))

    def text(self, body, sender="16505551234", **changes):
        self.wamids += 1
        return {
            "from": sender, "id": f"wamid.in{self.wamids}", "timestamp": "1774449000", "type": "text", "text": {"body": body},
            **changes,
        }

    def change(self, *messages, **value):
        metadata = {"display_phone_number": "15550783881", "phone_number_id": self.PHONE}
        contacts = [
            {"profile": {"name": "Adé"}, "wa_id": message["from"], "user_id": f"US.{message['from']}"}
            for message in messages if "from" in message
        ]
        own = {"messaging_product": "whatsapp", "metadata": metadata, "contacts": contacts, "messages": list(messages)}
        return {"field": "messages", "value": {**own, **value}}

    def notification(self, *changes):
        return {"object": "whatsapp_business_account", "entry": [{"id": self.ACCOUNT, "changes": list(changes)}]}

    @staticmethod
    def bytes(notification):
        """As Meta writes JSON: beyond ASCII and slashes escaped."""
        return json.dumps(notification, ensure_ascii=True, separators=(",", ":")).replace("/", "\\/").encode()

    def sign(self, body, secret=None):
        return "sha256=" + hmac.new((secret or self.SECRET).encode(), body, hashlib.sha256).hexdigest()

    def deliver(self, *changes, body=None, signature=None, query=None):
        body = self.bytes(self.notification(*changes)) if body is None else body
        headers = {"Content-Type": "application/json", "X-Hub-Signature-256": signature or self.sign(body)}
        url = f"{self.server.url}/api/whatsapp/webhook"
        query = {"connection": self.PHONE} if query is None else query
        return httpx.post(url, params=query, content=body, headers=headers, timeout=10)
