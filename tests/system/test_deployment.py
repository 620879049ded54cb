"""template.yaml as it is, deployed by `sam deploy` to an AWS emulator; agents and keys come by the command line.

Each request is sent to the deployed functions and to `orrery serve`, and must be answered alike. Buffered routes are
called by the API's URL; routes that stream by Lambda's Invoke with the event that the API would send, since the emulator
cannot stream from a REST API.
"""

import hashlib
import hmac
import json
import re
import secrets
import time
import urllib.parse

import httpx
import pytest
from ministack.core.iam_evaluator import EvalContext, evaluate, parse_policy_document

from apps import ORDER, PROJECTS
from cloud import REGION, STACK, Deployment, Emulator, built_template, event
from fake import Platform
from orrery import AGENTS, ROOT, Orrery, wait_for
from receiver import Receiver
from slack import BOT, SIGNING_SECRET, Slack
from sse import widget_events
from test_house import functions

CHAT = "/api/agents/{agent_id}/v1/chat/completions"
OTHER = "/api/agents/{agent_id}/v1/{proxy+}"
MODELS = "/api/agents/{agent_id}/v1/models"
WEBHOOK = "/api/webhook/{agent_id}"
WIDGET = "/api/widget/chat"
WIDGET_CONFIG = "/api/widget/config"
WIDGET_SCRIPT = "/api/widget/script"
MCP = "/api/mcp/server"
KEYS = "/api/mcp/keys"
AGENT_CHAT = "/api/agents/{agent_id}/chat"
WEBHOOKS = "/api/agents/{agent_id}/webhooks"
TELEGRAM, TELEGRAM_SETUP = "/api/telegram/webhook", "/api/telegram/setup"
WHATSAPP, WHATSAPP_SETUP = "/api/whatsapp/webhook", "/api/whatsapp/setup"
SLACK, SLACK_INSTALL, SLACK_OAUTH = "/api/slack/events", "/api/slack/install", "/api/slack/oauth"
# As `orrery token` makes them.
ISSUER, AUDIENCE = "http://127.0.0.1:3000/local-issuer", "orrery"
HELLO = [{"role": "user", "content": "Hello ☀ there"}]
ADD = '/tool add {"a": 2, "b": 3}'


class Telegram(Platform):
    """As much of it as the deployment needs; the messages themselves are held against its rules elsewhere."""

    TOKEN = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"
    BOT = {"id": 110201543, "is_bot": True, "first_name": "Shop", "username": "orrery_test_bot"}

    def is_message(self, *_):
        return False

    def answer(self, method, path, query, body, headers):
        call = path.removeprefix(f"/bot{self.TOKEN}/")
        if call == "setWebhook":
            self.webhook = body
        if call == "sendMessage":
            self.sent.append(body)
        results = {"getMe": self.BOT, "sendMessage": {"message_id": 7, "date": 1, "chat": {"id": 5, "type": "private"}}}
        return 200, {"ok": True, "result": results.get(call, True)}


@pytest.fixture(scope="module")
def telegram():
    fake = Telegram()
    yield fake
    fake.stop()


@pytest.fixture(scope="module")
def slack():
    fake = Slack()
    yield fake
    fake.stop()
    assert fake.violations == []


@pytest.fixture
def receiver():
    """Answers its first request with 500, and takes the others."""

    class Recovering(Receiver):
        def answer(self, handler):
            handler.path = "/500" if len(self.requests) == 1 else "/ok"
            super().answer(handler)

    receiver = Recovering()
    yield receiver
    receiver.close()


@pytest.fixture(scope="module")
def issuer(tmp_path_factory):
    """A server whose ID tokens the deployment takes."""
    server = Orrery(tmp_path_factory.mktemp("issuer"), AGENTS)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def cloud(tmp_path_factory, telegram, slack, issuer):
    folder = tmp_path_factory.mktemp("cloud")
    emulator = Emulator(folder, TELEGRAM_BASE_URL=telegram.url, ORRERY_WEBHOOK_TARGETS="loopback")
    try:
        deployment = Deployment(emulator, built_template(folder))
        started = time.monotonic()
        keys = f"{issuer.url}/local-issuer/.well-known/jwks.json"
        deployment.deploy(OidcIssuer=ISSUER, OidcAudience=AUDIENCE, OidcJwksUrl=keys, SlackBaseUrl=slack.url)
        print(f"\nfirst deployment: {time.monotonic() - started:.1f} s")
        deployment.put_secret(ORRERY_SEALING_KEYS=secrets.token_hex(32), **slack.secrets())
        deployment.command("apply", AGENTS)
        yield deployment
    finally:
        emulator.stop()


@pytest.fixture(scope="module")
def owner(cloud, issuer):
    """The headers of a person who owns the deployment's agents."""
    token = issuer.command("token")
    cloud.command("tenant", "grant", token["subject"], "--issuer", ISSUER)
    return {"Content-Type": "application/json", "Authorization": f"Bearer {token['token']}"}


@pytest.fixture(scope="module")
def machine(tmp_path_factory, slack):
    environment = {"ORRERY_OIDC_ISSUER": ISSUER, "ORRERY_OIDC_AUDIENCE": AUDIENCE, **slack.environment()}
    server = Orrery(tmp_path_factory.mktemp("machine"), AGENTS, environment)
    server.start()
    yield server
    server.stop()


def masked(body):
    """A body without what differs from call to call: ids, keys, times."""
    text = re.sub(r"\b(ag|app|sess|trace|chatcmpl|req|msg|wh)[_-][0-9a-z]{8,}", r"\1_…", body.decode())
    times = "created|timestamp|durationMs|duration_ms|started_ms|first_token_ms|day|from|to|(?:created|expires|ended|started|updated)_at"
    return re.sub(rf'"({times})":("[^"]*"|\d+)', r'"\1":…', text)


class Case:
    """A request, for the deployment and for this machine."""

    def __init__(self, function, route, method="POST", agent="echo", key="server", body=None, query=None, headers=None, rest="responses"):
        self.function, self.route, self.method, self.agent, self.kind = function, route, method, agent, key
        self.body = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        self.query, self.headers, self.rest = query, headers or {}, rest

    def of(self, place):
        """Path, headers and query on a place whose agents and keys have names of their own."""
        path = self.route.replace("{proxy+}", self.rest)
        headers = {"Content-Type": "application/json", **self.headers}
        query = dict(self.query or {})
        if self.agent:
            path = path.replace("{agent_id}", place.key(self.agent)["agent"]["id"])
            if self.kind == "widget":
                query["key"] = place.key(self.agent, "widget")["key"]
            elif self.kind:
                headers["Authorization"] = f"Bearer {place.key(self.agent, self.kind)['key']}"
        return path, headers, query or None

    def on_machine(self, machine):
        path, headers, query = self.of(machine)
        reply = httpx.request(self.method, machine.url + path, headers=headers, params=query, content=self.body, timeout=30)
        return reply.status_code, dict(reply.headers), reply.content

    def by_event(self, cloud):
        path, headers, query = self.of(cloud)
        status, headers, body, _ = cloud.invoke(self.function, event(self.route, self.method, path, headers, self.body, query))
        return status, headers, body

    def by_url(self, cloud):
        path, headers, query = self.of(cloud)
        return cloud.call(self.method, path + (f"?{urllib.parse.urlencode(query)}" if query else ""), headers, self.body)


def assert_alike(one, other):
    (status, headers, body), (other_status, other_headers, other_body) = one, other
    assert (status, masked(body)) == (other_status, masked(other_body))
    names = ("content-type" if body else "allow", "cache-control", "access-control-allow-origin", "x-ratelimit-limit", "retry-after", "allow", "vary")
    assert {name: headers.get(name) for name in names} == {name: other_headers.get(name) for name in names}
    assert "x-request-id" in headers and "x-request-id" in other_headers


def rpc(method, params=None):
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}}


BUFFERED = {
    "health": Case("Health", "/api/health", "GET", agent=None),
    "health, posted": Case("Health", "/api/health", "POST", agent=None),
    "models": Case("Models", MODELS, "GET"),
    "models without a key": Case("Models", MODELS, "GET", key=None),
    "models with a page's key": Case("Models", MODELS, "GET", key=None, headers={"Authorization": "Bearer kpn_" + "0" * 64}),
    "models, asked by a browser": Case(
        "Models", MODELS, "OPTIONS", key=None, headers={"Origin": "https://example.com", "Access-Control-Request-Method": "GET"}
    ),
    "models, posted": Case("Models", MODELS, "POST"),
    "a widget's settings": Case("WidgetConfig", WIDGET_CONFIG, "GET", key="widget", headers={"Origin": "https://example.com"}),
    "a widget's settings for a foreign page": Case(
        "WidgetConfig", WIDGET_CONFIG, "GET", agent="shop", key="widget", headers={"Origin": "https://example.com"}
    ),
    "a widget's settings without a key": Case("WidgetConfig", WIDGET_CONFIG, "GET", key=None),
    "the widget's script": Case("WidgetScript", WIDGET_SCRIPT, "GET", agent=None),
    "keys without an ID token": Case("McpKeys", KEYS, agent=None, body={}),
    "keys with what is no ID token": Case("McpKeys", KEYS, "GET", agent=None, headers={"Authorization": "Bearer a.b.c"}),
    "keys, asked by a browser": Case(
        "McpKeys", KEYS, "OPTIONS", agent=None, headers={"Origin": "https://example.com", "Access-Control-Request-Method": "PUT"}
    ),
    "keys, patched": Case("McpKeys", KEYS, "PATCH", agent=None),
}

STREAMING = {
    "chat": Case("ChatCompletions", CHAT, body={"model": "x", "messages": HELLO}),
    "chat with a tool": Case("ChatCompletions", CHAT, body={"messages": [{"role": "user", "content": ADD}]}),
    "chat, streamed": Case(
        "ChatCompletions", CHAT, body={"messages": HELLO, "stream": True, "stream_options": {"include_usage": True}}
    ),
    "chat without a key": Case("ChatCompletions", CHAT, key=None, body={"messages": HELLO}),
    "chat without messages": Case("ChatCompletions", CHAT, body={"messages": []}),
    "chat that is no JSON": Case("ChatCompletions", CHAT, body=b"{"),
    "another path": Case("ChatCompletions", OTHER, body={}),
    "webhook": Case("Webhook", WEBHOOK, body={"message": "Hello ☀", "metadata": {"customer": "c_12"}}),
    "webhook with a tool": Case("Webhook", WEBHOOK, body={"message": ADD}),
    "webhook without a message": Case("Webhook", WEBHOOK, body={"message": 7}),
    "webhook, read": Case("Webhook", WEBHOOK, "GET"),
    "webhook that fails": Case("Webhook", WEBHOOK, agent="claude", body={"message": "Hello"}),
    "widget": Case("WidgetChat", WIDGET, key="widget", body={"message": "Hello ☀"}, headers={"Origin": "https://example.com"}),
    "widget with a tool": Case("WidgetChat", WIDGET, key="widget", body={"message": ADD}, headers={"Origin": "https://example.com"}),
    "widget with a server's key": Case("WidgetChat", WIDGET, body={"message": "Hello"}, headers={"Origin": "https://example.com"}),
    "widget, asked by a browser": Case(
        "WidgetChat", WIDGET, "OPTIONS", agent=None, headers={"Origin": "https://example.com", "Access-Control-Request-Method": "POST"}
    ),
}

BUFFERED |= {
    "webhooks without an ID token": Case("AgentWebhooks", WEBHOOKS, "GET", key=None),
    "a bot connected without an ID token": Case("TelegramSetup", TELEGRAM_SETUP, agent=None, body={}),
    "an update without a secret": Case("TelegramWebhook", TELEGRAM, agent=None, body={"update_id": 1}),
    "a number connected without an ID token": Case("WhatsappSetup", WHATSAPP_SETUP, agent=None, body={}),
    "a notification without a signature": Case("WhatsappWebhook", WHATSAPP, agent=None, body={"entry": []}),
    "a verification by nobody": Case("WhatsappWebhook", WHATSAPP, "GET", agent=None),
    "an installation without an ID token": Case("SlackInstall", SLACK_INSTALL, "GET", agent=None),
    "a return from Slack with nothing": Case("SlackOauth", SLACK_OAUTH, "GET", agent=None),
    "an event without a signature": Case("SlackEvents", SLACK, agent=None, body={"type": "event_callback"}),
}

STREAMING |= {
    "the dashboard's chat without an ID token": Case("AgentChat", AGENT_CHAT, key=None, body={"message": "Hello"}),
    "the dashboard's chat, asked by a browser": Case(
        "AgentChat", AGENT_CHAT, "OPTIONS", key=None,
        headers={"Origin": "https://example.com", "Access-Control-Request-Method": "POST"},
    ),
    "MCP, the handshake": Case("McpServer", MCP, body=rpc("initialize", {"protocolVersion": "2025-06-18", "capabilities": {}})),
    "MCP, a call": Case("McpServer", MCP, body=rpc("tools/call", {"name": "kopern_chat", "arguments": {"message": ADD}})),
    "MCP, a call with progress": Case(
        "McpServer", MCP,
        body=rpc("tools/call", {"name": "kopern_chat", "arguments": {"message": ADD}, "_meta": {"progressToken": 1}}),
        headers={"Accept": "application/json, text/event-stream"},
    ),
    "MCP, a notification": Case("McpServer", MCP, body={"jsonrpc": "2.0", "method": "notifications/initialized"}),
    "MCP without a key": Case("McpServer", MCP, key=None, body=rpc("ping")),
    "MCP from a page": Case("McpServer", MCP, body=rpc("ping"), headers={"Origin": "https://example.com"}),
    "MCP, read": Case("McpServer", MCP, "GET", key=None),
}


@pytest.mark.parametrize("case", BUFFERED.values(), ids=BUFFERED)
def test_a_buffered_route_answers_at_its_url_as_on_one_machine(cloud, machine, case):
    reply = case.by_url(cloud)
    assert_alike(reply, case.on_machine(machine))
    assert_alike(reply, case.by_event(cloud))


@pytest.mark.parametrize("case", STREAMING.values(), ids=STREAMING)
def test_a_route_that_streams_answers_its_event_as_on_one_machine(cloud, machine, case):
    assert_alike(case.by_event(cloud), case.on_machine(machine))


def test_every_function_is_called():
    called = {case.function for case in [*BUFFERED.values(), *STREAMING.values(), *APP_BUFFERED.values(), *APP_STREAMING.values()]}
    assert called == {function["name"] for function in functions().values() if function["routes"]}


def messages_in(cloud, queue):
    """How many messages a queue holds, by its name in the template."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed"]
    asked = {"QueueUrl": cloud.resources[queue], "AttributeNames": names}
    return sum(int(count) for count in cloud.emulator.client("sqs").get_queue_attributes(**asked)["Attributes"].values())


def test_what_is_written_to_a_bot_comes_in_at_the_api_and_is_answered_by_the_queues_worker(cloud, telegram, owner):
    body = json.dumps({"agentId": cloud.key("echo")["agent"]["id"], "botToken": telegram.TOKEN}).encode()
    status, _, reply = cloud.call("POST", TELEGRAM_SETUP, owner, body)
    assert status == 200, reply
    headers = {"Content-Type": "application/json", "X-Telegram-Bot-Api-Secret-Token": telegram.webhook["secret_token"]}
    ada, chat = {"id": 5, "is_bot": False, "first_name": "Ada"}, {"id": 5, "type": "private", "first_name": "Ada"}
    for number in (1, 2, 2):
        message = {"message_id": number, "from": ada, "chat": chat, "date": 1774449000, "text": f"message {number}"}
        update = json.dumps({"update_id": number, "message": message}).encode()
        assert cloud.call("POST", TELEGRAM, headers, update)[0] == 200
    assert [sent["text"] for sent in telegram.wait_for_sent(2, 60)] == ["You said: message 1", "You said: message 2"]
    wait_for(lambda: messages_in(cloud, "Channels") == 0, 20, "an empty queue")
    assert len(telegram.sent) == 2


def test_a_slack_team_is_connected_and_its_events_are_answered_once_in_their_thread(cloud, slack, owner):
    agent = cloud.key("echo")["agent"]["id"]
    status, _, reply = cloud.call("GET", f"{SLACK_INSTALL}?agentId={agent}", owner)
    assert status == 200, reply
    state = urllib.parse.parse_qs(urllib.parse.urlsplit(json.loads(reply)["url"]).query)["state"][0]
    back = urllib.parse.urlencode({"code": slack.grant("T0TEAM"), "state": state})
    status, _, reply = cloud.call("GET", f"{SLACK_OAUTH}?{back}")
    assert status == 200, reply
    said = slack.say("C0SHOP", f"<@{BOT}> hello")
    told = {"team_id": "T0TEAM", "api_app_id": "A0APP", "type": "event_callback", "event": {**said, "type": "app_mention"}, "event_id": "Ev1"}
    body, at = json.dumps(told).encode(), str(int(time.time()))
    signature = hmac.new(SIGNING_SECRET.encode(), f"v0:{at}:".encode() + body, hashlib.sha256).hexdigest()
    headers = {"Content-Type": "application/json", "X-Slack-Request-Timestamp": at, "X-Slack-Signature": f"v0={signature}"}
    for again in ({}, {"X-Slack-Retry-Num": "1", "X-Slack-Retry-Reason": "http_timeout"}):
        assert cloud.call("POST", SLACK, {**headers, **again}, body)[0] == 200
    assert cloud.call("POST", SLACK, headers, body + b" ")[0] == 401
    wait_for(lambda: slack.reactions("C0SHOP", said["ts"]) == {"white_check_mark"}, 60, "the mark of an answer")
    wait_for(lambda: messages_in(cloud, "Channels") == 0, 20, "an empty queue")
    assert [message["text"] for message in slack.thread("C0SHOP", said["ts"])] == ["You said: hello"]


def test_an_event_of_the_dashboards_chat_is_delivered_by_the_attempt_after_the_one_that_fails(cloud, receiver, owner):
    webhooks = WEBHOOKS.replace("{agent_id}", cloud.key("echo")["agent"]["id"])
    wanted = json.dumps({"name": "crm", "targetUrl": f"{receiver.url}/events", "events": ["message_sent"]}).encode()
    status, _, reply = cloud.call("POST", webhooks, owner, wanted)
    assert status == 200, reply
    made = json.loads(reply)
    path = AGENT_CHAT.replace("{agent_id}", cloud.key("echo")["agent"]["id"])
    status, _, reply, _ = cloud.invoke("AgentChat", event(AGENT_CHAT, "POST", path, owner, b'{"message": "Hello"}'))
    assert status == 200 and b"event: done" in reply, reply

    def delivered():
        status, _, reply = cloud.call("GET", f"{webhooks}/{made['id']}/deliveries", owner)
        assert status == 200, reply
        (delivery,) = json.loads(reply)["deliveries"] or [None]
        return delivery and delivery["status"] == "delivered" and delivery

    wait_for(lambda: len(receiver.requests) == 2, 60, "two attempts")
    delivery = wait_for(delivered, 10, "a delivery")
    assert [attempt["statusCode"] for attempt in delivery["attempts"]] == [500, 200]
    first, second = receiver.requests
    assert (first.body, first.headers["webhook-id"]) == (second.body, second.headers["webhook-id"])
    assert json.loads(second.body)["event"] == "message_sent"
    signature = hmac.new(made["secret"].encode(), second.body.encode(), hashlib.sha256).hexdigest()
    assert second.headers["x-webhook-signature"] == signature
    assert cloud.call("DELETE", f"{webhooks}/{made['id']}", owner)[0] == 200


def test_a_message_that_cannot_be_worked_on_ends_with_the_dead_letters_and_is_sent_again_by_command(cloud):
    urls = ["--queue-url", cloud.outputs["ChannelsQueueUrl"], "--dead-queue-url", cloud.outputs["ChannelsDeadQueueUrl"]]
    message = {"MessageBody": "no JSON", "MessageGroupId": "conversation", "MessageDeduplicationId": "first"}
    cloud.emulator.client("sqs").send_message(QueueUrl=cloud.resources["Channels"], **message)
    wait_for(lambda: messages_in(cloud, "ChannelsDead") == 1, 90, "a dead letter")
    assert messages_in(cloud, "Channels") == 0
    (letter,) = cloud.command("queue", "list", *urls)
    assert (letter["group"], letter["bytes"], letter["receives"]) == ("conversation", len("no JSON"), 17)
    (replayed,) = cloud.command("queue", "replay", *urls)
    assert replayed["messages"] == 1
    assert (messages_in(cloud, "ChannelsDead"), messages_in(cloud, "Channels")) == (0, 1)


def test_every_queue_is_worked_on_and_keeps_what_cannot_be(cloud):
    sqs, sources = cloud.emulator.client("sqs"), cloud.lambdas.list_event_source_mappings()["EventSourceMappings"]
    for function in functions().values():
        for queue in function["queues"]:
            name = queue["GetAtt"].split(".")[0]
            asked = sqs.get_queue_attributes(QueueUrl=cloud.resources[name], AttributeNames=["All"])["Attributes"]
            worked = [source for source in sources if source["EventSourceArn"] == asked["QueueArn"]]
            assert [source["FunctionArn"].rsplit(":", 1)[1] for source in worked] == [cloud.resources[function["name"]]]
            assert worked[0]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
            dead = sqs.get_queue_attributes(QueueUrl=cloud.resources[name + "Dead"], AttributeNames=["All"])["Attributes"]
            assert json.loads(asked["RedrivePolicy"])["deadLetterTargetArn"] == dead["QueueArn"]
            assert int(asked["VisibilityTimeout"]) > cloud.configuration(function["name"])["Timeout"]


def test_a_conversation_goes_on_and_a_retried_request_is_not_repeated(cloud):
    first = json.loads(Case("Webhook", WEBHOOK, body={"message": "one"}).by_event(cloud)[2])
    again = Case(
        "Webhook", WEBHOOK, body={"message": "two", "sessionId": first["sessionId"]}, headers={"Idempotency-Key": "second"}
    )
    status, _, second = again.by_event(cloud)
    assert status == 200, second
    assert json.loads(second)["sessionId"] == first["sessionId"]
    assert again.by_event(cloud)[2] == second


def test_a_limit_holds_across_calls(cloud):
    case = Case("WidgetChat", WIDGET, agent="limited", key="widget", body={"message": "Hello"}, headers={"Origin": "https://example.com"})
    statuses = []
    while 429 not in statuses and len(statuses) < 60:
        status, headers, _ = case.by_event(cloud)
        statuses.append(status)
    assert 429 in statuses and set(statuses[:-1]) == {200}
    assert len(statuses) > int(headers["x-ratelimit-limit"]) == 20
    assert int(headers["retry-after"]) >= 1


def test_a_signed_webhook_is_opened_with_the_deployments_secret(cloud):
    secret = cloud.command("webhook", "create", "--agent", "signed")["secret"]
    body = json.dumps({"message": "Hello"}).encode()
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    good = Case("Webhook", WEBHOOK, agent="signed", body=body, headers={"X-Webhook-Signature": signature})
    bad = Case("Webhook", WEBHOOK, agent="signed", body=body, headers={"X-Webhook-Signature": "0" * 64})
    assert (good.by_event(cloud)[0], bad.by_event(cloud)[0]) == (200, 401)


def test_turns_and_refusals_are_written_as_metrics(cloud):
    def metrics(case):
        path, headers, query = case.of(cloud)
        log = cloud.invoke(case.function, event(case.route, case.method, path, headers, case.body, query))[3]
        return [line for line in map(json.loads, log.splitlines()) if "_aws" in line]

    (turn,) = metrics(STREAMING["webhook"])
    assert (turn["function"], turn["Turns"], turn["FailedTurns"]) == ("webhook", 1, 0)
    assert turn["InputTokens"] > 0 and turn["OutputTokens"] > 0 and turn["TimeToFirstToken"] >= 0
    (refusal,) = metrics(STREAMING["chat without a key"])
    assert (refusal["function"], refusal["kind"], refusal["Refusals"]) == ("chat-completions", "Unauthenticated", 1)


TURNS = {
    "BatchGetItem": ["AGENT", "BUCKET", "IDEMPOTENCY", "KEY", "TENANT"],
    "GetItem": ["SESSION"], "Query": ["SESSION"],
    "ConditionCheckItem": ["BUCKET", "IDEMPOTENCY", "KEY", "SESSION", "TENANT"],
    "PutItem": ["BUCKET", "IDEMPOTENCY", "KEY", "SESSION", "TENANT"],
    "UpdateItem": ["BUCKET", "IDEMPOTENCY", "KEY", "SESSION", "TENANT"],
    "DeleteItem": ["IDEMPOTENCY"],
}
SET_UP = {
    "BatchGetItem": ["AGENT", "BUCKET", "CHANNEL", "TENANT", "USER"],
    "GetItem": ["AGENT", "BUCKET", "CHANNEL", "TENANT", "USER"],
    "Query gsi1": ["AGENT", "TENANT"],
    "PutItem": ["BUCKET", "CHANNEL", "TENANT", "USER"],
    "UpdateItem": ["BUCKET", "CHANNEL", "TENANT", "USER"],
    "DeleteItem": ["CHANNEL"],
}
# What each function may do with the table, by action and item.
APP_TURNS = {
    "BatchGetItem": ["AGENT", "BUCKET", "IDEMPOTENCY", "KEY", "PROJECT", "SESSION", "TENANT"],
    "ConditionCheckItem": ["BUCKET", "IDEMPOTENCY", "KEY", "SESSION", "TENANT"],
    "DeleteItem": ["IDEMPOTENCY"],
    "GetItem": ["AGENT", "BUCKET", "IDEMPOTENCY", "KEY", "PROJECT", "SESSION", "TENANT"],
    "PutItem": ["BUCKET", "IDEMPOTENCY", "KEY", "OUTBOX", "PROJECT", "SESSION", "TENANT", "TRACE"],
    "Query": ["SESSION"],
    "UpdateItem": ["BUCKET", "IDEMPOTENCY", "KEY", "OUTBOX", "PROJECT", "SESSION", "TENANT", "TRACE"],
}
APP_READS = {name: ["BUCKET", "KEY", "PROJECT", "TENANT"] for name in ("BatchGetItem", "GetItem")}
# What the functions of apps may do with the table, by action and item.
APP_RIGHTS = {
    "AppExecute": APP_TURNS,
    "AppExecuteStream": APP_TURNS,
    "AppSessions": {
        **{name: ["BUCKET", "IDEMPOTENCY", "KEY", "PROJECT", "SESSION", "TENANT"] for name in APP_READS},
        "Query": ["SESSION"], "DeleteItem": ["SESSION"],
        **{name: ["BUCKET", "IDEMPOTENCY", "OUTBOX", "SESSION"] for name in ("PutItem", "UpdateItem")},
    },
    "AppTraces": {
        **{name: ["BUCKET", "KEY", "PROJECT", "SESSION", "TENANT", "TRACE"] for name in APP_READS}, "UpdateItem": ["BUCKET"],
    },
    "AppUsage": {**APP_READS, "Query": ["PROJECT"], "UpdateItem": ["BUCKET"]},
    "AppWebhooks": {
        **{name: ["BUCKET", "KEY", "PROJECT", "TENANT", "WEBHOOK"] for name in APP_READS},
        "Query": ["WEBHOOK"], "UpdateItem": ["BUCKET", "PROJECT", "WEBHOOK"],
    },
    "Sweep": {
        "GetItem": ["PROJECT", "SESSION"], "Query gsi1": ["OUTBOX"],
        **{name: ["OUTBOX", "SESSION"] for name in ("DeleteItem", "PutItem", "UpdateItem")},
    },
}
RIGHTS = {
    **APP_RIGHTS,
    "AgentChat": {
        **TURNS, "GetItem": ["AGENT", "SESSION", "USER"],
        "PutItem": ["BUCKET", "IDEMPOTENCY", "KEY", "OUTBOX", "SESSION", "TENANT"],
    },
    "AgentWebhooks": {
        "BatchGetItem": ["AGENT", "BUCKET", "USER"],
        "GetItem": ["AGENT", "BUCKET", "USER"],
        "Query": ["WEBHOOK"],
        "UpdateItem": ["AGENT", "BUCKET", "WEBHOOK"],
    },
    "ChannelWorker": {
        **TURNS, "GetItem": ["CHANNEL", "CONVERSATION", "REPLY", "SESSION"],
        "PutItem": ["BUCKET", "CONVERSATION", "IDEMPOTENCY", "KEY", "REPLY", "SESSION", "TENANT"],
    },
    "ChatCompletions": TURNS,
    "Health": {},
    "McpKeys": {
        "BatchGetItem": ["AGENT", "BUCKET", "KEY", "TENANT", "USER"],
        "GetItem": ["AGENT", "BUCKET", "KEY", "TENANT", "USER"],
        "Query": ["TENANT"], "Query gsi1": ["AGENT"],
        "PutItem": ["BUCKET", "KEY", "TENANT", "USER"],
        "UpdateItem": ["BUCKET", "KEY", "TENANT", "USER"],
        "DeleteItem": ["TENANT"],
    },
    "McpServer": TURNS,
    "Models": {"BatchGetItem": ["AGENT", "BUCKET", "KEY", "TENANT"], "UpdateItem": ["BUCKET"]},
    "SlackEvents": {"GetItem": ["CHANNEL"], "DeleteItem": ["CHANNEL"]},
    "SlackInstall": {
        "BatchGetItem": ["AGENT", "BUCKET", "TENANT", "USER"],
        "GetItem": ["AGENT", "BUCKET", "TENANT", "USER"],
        "Query gsi1": ["AGENT", "TENANT"],
        "PutItem": ["BUCKET", "TENANT", "USER"],
        "UpdateItem": ["BUCKET", "TENANT", "USER"],
    },
    "SlackOauth": {
        "GetItem": ["AGENT", "CHANNEL", "TENANT"],
        "Query gsi1": ["AGENT", "TENANT"],
        "PutItem": ["CHANNEL", "IDEMPOTENCY"],
    },
    "TelegramSetup": SET_UP,
    "TelegramWebhook": {"GetItem": ["CHANNEL"]},
    "Webhook": TURNS,
    "WebhookDelivery": {
        "GetItem": ["AGENT", "OUTBOX", "PROJECT", "WEBHOOK"],
        "PutItem": ["OUTBOX", "WEBHOOK"],
        "UpdateItem": ["AGENT", "OUTBOX", "PROJECT", "WEBHOOK"],
        "DeleteItem": ["OUTBOX"],
    },
    "WhatsappSetup": SET_UP,
    "WhatsappWebhook": {"GetItem": ["CHANNEL"]},
    "WidgetChat": TURNS,
    "WidgetConfig": {"BatchGetItem": ["AGENT", "KEY", "TENANT"]},
    "WidgetScript": {},
}
# What these reach one by one, under several statements; a batch or a transaction is allowed by one statement.
ONE_BY_ONE = [("AgentChat", "GetItem"), ("ChannelWorker", "GetItem"), ("ChannelWorker", "PutItem"), ("WebhookDelivery", "UpdateItem")]
WORK = ["ChangeMessageVisibility", "DeleteMessage", "ReceiveMessage"]
# What a function that a queue calls may do with every queue: SAM attaches AWSLambdaSQSQueueExecutionRole to its role.
SAM = ["DeleteMessage", "ReceiveMessage"]
# What each function may do with the queues beside that; the others, nothing.
QUEUES = {
    "AgentChat": {"Deliveries": ["SendMessage"]},
    **{name: {"Deliveries": ["SendMessage"]} for name in ("AppExecute", "AppExecuteStream", "AppSessions", "AppWebhooks", "Sweep")},
    "AgentWebhooks": {"Deliveries": ["SendMessage"]},
    "ChannelWorker": {"Channels": WORK},
    "SlackEvents": {"Channels": ["SendMessage"]},
    "TelegramWebhook": {"Channels": ["SendMessage"]},
    "WebhookDelivery": {"Deliveries": [*WORK, "SendMessage"]},
    "WhatsappWebhook": {"Channels": ["SendMessage"]},
}
# Those that have no use for the secret: neither for a model's key nor for what seals tokens or signs events.
WITHOUT_SECRET = [
    "AppSessions", "AppTraces", "AppUsage", "Health", "McpKeys", "Models", "Sweep", "TelegramWebhook", "WidgetConfig", "WidgetScript",
]
ACTIONS = ["BatchGetItem", "BatchWriteItem", "ConditionCheckItem", "DeleteItem", "GetItem", "PutItem", "Query", "Scan", "UpdateItem"]
ITEMS = [
    "AGENT", "BUCKET", "CHANNEL", "CONVERSATION", "IDEMPOTENCY", "KEY", "OUTBOX", "PROJECT", "REPLY", "SESSION", "TENANT",
    "TRACE", "USER", "WEBHOOK",
]


def test_the_rights_of_every_function_are_known():
    assert sorted(RIGHTS) == sorted(function["name"] for function in functions().values())


class Policies:
    """What a function's role is allowed, by the emulator's own evaluator."""

    def __init__(self, cloud, function):
        self.policies = [parse_policy_document(document) for document in cloud.policies(function)]

    def allow(self, action, resource, items=()):
        """Whether an action is allowed, with what DynamoDB tells of a request's keys."""
        keys = {"dynamodb:leadingkeys": [f"{item}#x" for item in items]} if items else {}
        request = EvalContext("role", "AssumedRole", "000000000000", action, resource, REGION, service_context=keys)
        return evaluate(request, self.policies).decision == "Allow"


@pytest.mark.parametrize("function", RIGHTS)
def test_a_function_reaches_the_items_that_it_needs_and_no_others(cloud, function):
    policies = Policies(cloud, function)
    table = cloud.emulator.client("dynamodb").describe_table(TableName=cloud.outputs["TableName"])["Table"]["TableArn"]
    asked = {action: (f"dynamodb:{action}", table) for action in ACTIONS}
    asked |= {f"{action} gsi1": (f"dynamodb:{action}", f"{table}/index/gsi1") for action in ("Query", "Scan")}
    rights = {name: [item for item in ITEMS if policies.allow(*action, [item])] for name, action in asked.items()}
    assert {name: items for name, items in rights.items() if items} == RIGHTS[function]
    together = {name: items for name, items in RIGHTS[function].items() if (function, name) not in ONE_BY_ONE}
    if RIGHTS[function].keys() >= TURNS.keys():
        together = {**TURNS, **together}
    for name, items in together.items():
        assert policies.allow(*asked[name], items), f"{name} of all at once, as a batch or a transaction does"


@pytest.mark.parametrize("function", RIGHTS)
def test_a_function_reaches_the_queues_and_the_secret_that_it_needs_and_no_others(cloud, function):
    policies, sqs = Policies(cloud, function), cloud.emulator.client("sqs")
    is_called_by_queue = any(known["queues"] for known in functions().values() if known["name"] == function)
    for queue in ("Channels", "ChannelsDead", "Deliveries", "DeliveriesDead"):
        asked = {"QueueUrl": cloud.resources[queue], "AttributeNames": ["QueueArn"]}
        arn = sqs.get_queue_attributes(**asked)["Attributes"]["QueueArn"]
        actions = [action for action in (*WORK, "SendMessage", "PurgeQueue") if policies.allow(f"sqs:{action}", arn)]
        assert actions == QUEUES.get(function, {}).get(queue, SAM if is_called_by_queue else []), queue
    may_read = policies.allow("secretsmanager:GetSecretValue", cloud.outputs["SecretArn"])
    assert may_read == (function not in WITHOUT_SECRET)
    assert not policies.allow("secretsmanager:PutSecretValue", cloud.outputs["SecretArn"])


APP = "/v1/apps/{app_id}"
EXECUTE, EXECUTE_STREAM = f"{APP}/execute", f"{APP}/execute/stream"
SESSIONS, SESSION, HISTORY = f"{APP}/sessions", f"{APP}/sessions/{{session_id}}", f"{APP}/sessions/{{session_id}}/history"
TRACE, USAGE = f"{APP}/traces/{{trace_id}}", f"{APP}/analytics/usage"
APP_WEBHOOKS, APP_WEBHOOK = f"{APP}/webhooks", f"{APP}/webhooks/{{webhook_id}}"


class AppCase(Case):
    """A request for the app of three agents that each place has, in a session where something was said."""

    def __init__(self, function, route, method="POST", key="app", **options):
        super().__init__(function, route, method, agent=None, key=key, **options)

    def of(self, place):
        names = names_of(place)
        headers = {"Content-Type": "application/json", **self.headers}
        if self.kind:
            headers["Authorization"] = f"Bearer {names[self.kind]}"
        path = self.route.replace("{proxy+}", self.rest)
        for name, value in names.items():
            path = path.replace(f"{{{name}}}", value)
        return path, headers, self.query

    def body_on(self, place):
        return self.body.replace(b"SESSION", names_of(place)["session_id"].encode())

    def on_machine(self, machine):
        path, headers, query = self.of(machine)
        body = self.body_on(machine)
        reply = httpx.request(self.method, machine.url + path, headers=headers, params=query, content=body, timeout=30)
        return reply.status_code, dict(reply.headers), reply.content

    def by_event(self, cloud):
        path, headers, query = self.of(cloud)
        status, headers, body, _ = cloud.invoke(self.function, event(self.route, self.method, path, headers, self.body_on(cloud), query))
        return status, headers, body

    def by_url(self, cloud):
        path, headers, query = self.of(cloud)
        return cloud.call(self.method, path + (f"?{urllib.parse.urlencode(query)}" if query else ""), headers, self.body_on(cloud))

    def on(self, place):
        """The reply at either place."""
        return self.by_event(place) if isinstance(place, Deployment) else self.on_machine(place)


def names_of(place):
    """What a place's app, its key, a session with one turn and the turn's trace are called there."""
    if not hasattr(place, "names"):
        place.command("apply", PROJECTS)
        place.command("tenant", "plan", "enterprise")
        key, other = (place.command("key", "create", "--app", project) for project in ("team", "other"))
        place.names = {"app_id": key["app"]["id"], "app": key["key"], "other": other["key"], "webhook_id": "wh_none", "session_id": ""}
        status, _, body = AppCase("AppExecute", EXECUTE, body={"message": ORDER, "metadata": {"userProfile": {"name": "John"}}}).on(place)
        assert status == 200, body
        place.names |= {name: json.loads(body)[name] for name in ("session_id", "trace_id")}
    return place.names


APP_BUFFERED = {
    "a session": AppCase("AppSessions", SESSIONS, body={"user_id": "user_456", "metadata": {"language": "en"}}),
    "a session of nothing": AppCase("AppSessions", SESSIONS),
    "a session with another app's key": AppCase("AppSessions", SESSIONS, key="other", body={}),
    "a session with two users": AppCase("AppSessions", SESSIONS, body={"user_id": "a", "metadata": {"user_id": "b"}}),
    "a history": AppCase("AppSessions", HISTORY, "GET"),
    "a history's last message": AppCase("AppSessions", HISTORY, "GET", query={"limit": "1"}),
    "a history with another app's key": AppCase("AppSessions", HISTORY, "GET", key="other"),
    "a history without a key": AppCase("AppSessions", HISTORY, "GET", key=None),
    "a session, posted": AppCase("AppSessions", SESSION),
    "a trace": AppCase("AppTraces", TRACE, "GET"),
    "a trace with another app's key": AppCase("AppTraces", TRACE, "GET", key="other"),
    "usage of no days": AppCase("AppUsage", USAGE, "GET", query={"from": "2020-01-01", "to": "2020-01-31", "group_by": "agent"}),
    "usage by week": AppCase("AppUsage", USAGE, "GET", query={"group_by": "week"}),
    "no webhooks": AppCase("AppWebhooks", APP_WEBHOOKS, "GET"),
    "a webhook of nothing": AppCase("AppWebhooks", APP_WEBHOOKS, body={}),
    "a webhook that there is not": AppCase("AppWebhooks", APP_WEBHOOK, "GET"),
    "a webhook, posted": AppCase("AppWebhooks", APP_WEBHOOK),
}

APP_STREAMING = {
    "execute": AppCase("AppExecute", EXECUTE, body={"message": "Hello ☀ there"}),
    "execute in a session": AppCase("AppExecute", EXECUTE, body={"message": "/context", "session_id": "SESSION"}),
    "execute with tools": AppCase("AppExecute", EXECUTE, body={"message": ORDER + "\n/tool broken {}\n/then\nThat is all"}),
    "execute with a handoff": AppCase("AppExecute", EXECUTE, body={"message": '/tool handoff {"agent": "billing_agent"}\n/then\nHello'}),
    "execute that fails": AppCase("AppExecute", EXECUTE, body={"message": "/fail"}),
    "execute without a key": AppCase("AppExecute", EXECUTE, key=None, body={"message": "Hello"}),
    "execute with another app's key": AppCase("AppExecute", EXECUTE, key="other", body={"message": "Hello"}),
    "execute without a message": AppCase("AppExecute", EXECUTE, body={"message": "", "metadata": 7}),
    "execute in no session": AppCase("AppExecute", EXECUTE, body={"message": "Hello", "session_id": "sess_invalid"}),
    "execute, read": AppCase("AppExecute", EXECUTE, "GET"),
    "another path of apps": AppCase("AppExecute", "/v1/{proxy+}", rest="models"),
    "stream": AppCase("AppExecuteStream", EXECUTE_STREAM, body={"message": "Hello ☀ there"}),
    "stream with tools": AppCase("AppExecuteStream", EXECUTE_STREAM, body={"message": ORDER + "\n/tool broken {}\n/then\nThat is all"}),
    "stream that fails": AppCase("AppExecuteStream", EXECUTE_STREAM, body={"message": "/fail"}),
    "stream without a key": AppCase("AppExecuteStream", EXECUTE_STREAM, key=None, body={"message": "Hello"}),
    "stream in no session": AppCase("AppExecuteStream", EXECUTE_STREAM, body={"message": "Hello", "session_id": "sess_invalid"}),
}


@pytest.mark.parametrize("case", APP_BUFFERED.values(), ids=APP_BUFFERED)
def test_a_buffered_route_of_apps_answers_at_its_url_as_on_one_machine(cloud, machine, case):
    reply = case.by_url(cloud)
    assert_alike(reply, case.on_machine(machine))
    assert_alike(reply, case.by_event(cloud))


@pytest.mark.parametrize("case", APP_STREAMING.values(), ids=APP_STREAMING)
def test_a_route_of_apps_that_streams_answers_its_event_as_on_one_machine(cloud, machine, case):
    assert_alike(case.by_event(cloud), case.on_machine(machine))


@pytest.fixture
def told(cloud):
    """A receiver of all that the deployment's app tells."""
    receiver = Receiver()
    events = ["session.started", "session.ended", "conversation.escalated"]
    status, _, body = AppCase("AppWebhooks", APP_WEBHOOKS, body={"url": receiver.url + "/ok", "events": events}).by_url(cloud)
    assert status == 201, body
    receiver.secret, webhook = json.loads(body)["secret"], json.loads(body)["id"]
    yield receiver
    deleted = AppCase("AppWebhooks", APP_WEBHOOK.replace("{webhook_id}", webhook), "DELETE")
    path, headers, _ = deleted.of(cloud)
    assert cloud.call("DELETE", path, headers)[0] == 200
    receiver.close()


def app_call(cloud, method, path, body=None, status=200):
    """A call of a buffered endpoint of the deployment's app, by its URL."""
    path, headers, _ = AppCase(None, APP + path, method).of(cloud)
    got, _, reply = cloud.call(method, path, headers, json.dumps(body).encode() if body is not None else b"")
    assert got == status, reply
    return json.loads(reply)


def app_execute(cloud, message, session):
    status, _, body = AppCase("AppExecute", EXECUTE, body={"message": message, "session_id": session}).by_event(cloud)
    assert status == 200, body
    return json.loads(body)


def test_a_conversation_with_an_app_is_held_told_traced_counted_and_ended(cloud, told):
    session = app_call(cloud, "POST", "/sessions", {"user_id": "user_456"}, 201)["session_id"]
    before = app_call(cloud, "GET", "/analytics/usage")["total"]
    answers = [
        app_execute(cloud, "one", session),
        app_execute(cloud, '/tool handoff {"agent": "billing_agent"}\n/then\n/tool escalate_to_human {"summary": "help"}', session),
    ]
    streamed = AppCase("AppExecuteStream", EXECUTE_STREAM, body={"message": "three", "session_id": session}).by_event(cloud)
    frames = widget_events(streamed[2].decode())
    assert [name for name, _ in frames] == ["start", "token", "token", "token", "done"]
    assert frames[-1][1]["agent"] == "billing_agent"
    answers.append(frames[-1][1])
    history = app_call(cloud, "GET", f"/sessions/{session}/history")["messages"]
    assert [message.get("agent") for message in history] == [None, "support_agent", None, "billing_agent", None, "billing_agent"]
    after = app_call(cloud, "GET", "/analytics/usage")["total"]
    assert after["turns"] - before["turns"] == 3
    for count in ("input_tokens", "output_tokens"):
        assert after[count] - before[count] == sum(answer["usage"][count] for answer in answers)
    trace = app_call(cloud, "GET", f"/traces/{answers[1]['trace_id']}")
    assert trace["rounds"][0]["handoff"] == "billing_agent" and trace["escalation"]["summary"] == "help"
    ended = app_call(cloud, "DELETE", f"/sessions/{session}")
    assert app_call(cloud, "DELETE", f"/sessions/{session}") == ended
    over = AppCase("AppExecute", EXECUTE, body={"message": "late", "session_id": session}).by_event(cloud)
    assert over[0] == 400 and b"Session has ended" in over[2]

    wait_for(lambda: len(told.at("/ok")) >= 3, 60, "three events")
    assert sorted(body["event"] for body in told.events("/ok")) == ["conversation.escalated", "session.ended", "session.started"]
    for request in told.at("/ok"):
        assert json.loads(request.body)["data"]["session_id"] == session
        expected = hmac.new(told.secret.encode(), request.body.encode(), hashlib.sha256).hexdigest()
        assert request.headers["x-kore-signature"] == expected


def test_an_app_answers_a_message_once_and_takes_no_key_that_was_revoked(cloud):
    case = AppCase("AppExecute", EXECUTE, body={"message": "once"}, headers={"Idempotency-Key": "deployed"})
    assert case.by_event(cloud)[2] == case.by_event(cloud)[2]
    begun = AppCase("AppSessions", SESSIONS, body={}, headers={"Idempotency-Key": "deployed"})
    assert begun.by_url(cloud)[2] == begun.by_event(cloud)[2]
    key = cloud.command("key", "create", "--app", "team")
    path, headers, _ = AppCase("AppUsage", USAGE, "GET").of(cloud)
    headers["Authorization"] = f"Bearer {key['key']}"
    assert cloud.call("GET", path, headers)[0] == 200
    cloud.command("key", "revoke", key["id"])
    assert cloud.call("GET", path, headers)[0] == 401


def test_a_session_whose_time_is_over_is_ended_by_the_sweep_and_told(cloud, told):
    session = app_call(cloud, "POST", "/sessions", {}, 201)["session_id"]
    table, dynamodb = cloud.outputs["TableName"], cloud.emulator.client("dynamodb")
    project = names_of(cloud)["app_id"].replace("app_", "proj_")
    past = int(time.time() * 1000) - 1_000
    for sort, changes in {
        "SESSION": {"ends_at": {"N": str(past)}},
        "END": {"rings_at": {"N": str(past)}, "gsi1sk": {"S": f"{past:015}#{session}"}},
    }.items():
        dynamodb.update_item(
            TableName=table, Key={"pk": {"S": f"SESSION#{project}#{session}"}, "sk": {"S": sort}},
            UpdateExpression="SET " + ", ".join(f"{name} = :{name}" for name in changes),
            ExpressionAttributeValues={f":{name}": value for name, value in changes.items()},
            ConditionExpression="attribute_exists(pk)",
        )
    payload = (ROOT / "events" / "sweep.json").read_bytes()
    for _ in range(2):
        reply = cloud.lambdas.invoke(FunctionName=cloud.resources["Sweep"], Payload=payload)
        assert "FunctionError" not in reply, reply["Payload"].read()
    wait_for(lambda: len(told.at("/ok")) >= 2, 60, "two events")
    ended = [body["data"] for body in told.events("/ok") if body["event"] == "session.ended"]
    assert [(data["session_id"], data["reason"]) for data in ended] == [(session, "expired")]


def test_the_outputs_name_the_url_of_apps(cloud):
    assert cloud.outputs["AppsUrl"] == f"https://{cloud.resources['Api']}.execute-api.{REGION}.amazonaws.com/v1/v1"


def test_the_outputs_name_the_urls_to_register(cloud):
    base = f"https://{cloud.resources['Api']}.execute-api.{REGION}.amazonaws.com/v1"
    assert cloud.outputs["BaseUrl"] == base
    assert cloud.outputs["OpenAiBaseUrl"] == f"{base}/api/agents/AGENT_ID/v1"
    assert cloud.outputs["WebhookUrl"] == f"{base}/api/webhook/AGENT_ID"
    assert cloud.outputs["WidgetUrl"] == f"{base}/api/widget/chat"
    assert cloud.outputs["WidgetScriptUrl"] == f"{base}/api/widget/script"
    assert cloud.outputs["McpUrl"] == f"{base}/api/mcp/server"
    assert cloud.outputs["KeysUrl"] == f"{base}/api/mcp/keys"
    assert cloud.outputs["TableName"] == cloud.resources["Table"]


def test_every_function_and_every_queue_of_dead_letters_has_its_alarms(cloud):
    pages = cloud.emulator.client("cloudwatch").get_paginator("describe_alarms").paginate()
    alarms = [alarm for page in pages for alarm in page["MetricAlarms"]]
    watched = {
        (dimension["Value"], alarm["MetricName"]): alarm for alarm in alarms for dimension in alarm["Dimensions"]
    }
    for function in functions().values():
        name = cloud.resources[function["name"]]
        assert watched[name, "Errors"]["Threshold"] == watched[name, "Throttles"]["Threshold"] == 1
        assert watched[name, "Duration"]["Threshold"] == 900 * cloud.configuration(function["name"])["Timeout"]
    for queue in ("Channels", "Deliveries"):
        dead = watched[cloud.resources[f"{queue}Dead"].rsplit("/", 1)[1], "ApproximateNumberOfMessagesVisible"]
        assert (dead["Namespace"], dead["Statistic"], dead["Threshold"]) == ("AWS/SQS", "Maximum", 1)
    assert (STACK, "5XXError") in watched
    assert all(alarm["AlarmActions"] == [cloud.outputs["AlarmTopicArn"]] for alarm in alarms)


def test_the_table_is_kept_backed_up_and_cleaned(cloud):
    """The emulator leaves these properties aside: what it was asked for is read."""
    table = cloud.processed()["Table"]
    assert table["DeletionPolicy"] == table["UpdateReplacePolicy"] == "Retain"
    asked = table["Properties"]
    assert asked["TimeToLiveSpecification"] == {"AttributeName": "ttl", "Enabled": True}
    assert asked["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert asked["SSESpecification"] == {"SSEEnabled": True}


def test_the_secret_is_made_with_a_sealing_key(cloud):
    made = cloud.processed()["Secret"]["Properties"]["GenerateSecretString"]
    assert made["GenerateStringKey"] == "ORRERY_SEALING_KEYS"
    wanted = {name: value for name, value in made.items() if name not in ("GenerateStringKey", "SecretStringTemplate")}
    for _ in range(20):
        password = cloud.emulator.client("secretsmanager").get_random_password(**wanted)["RandomPassword"]
        assert re.fullmatch("[0-9a-f]{64}", password)


def test_a_second_deployment_updates_the_first(cloud):
    table, key = cloud.outputs["TableName"], cloud.key("echo")
    session = json.loads(Case("Webhook", WEBHOOK, body={"message": "before"}).by_event(cloud)[2])["sessionId"]
    started = time.monotonic()
    cloud.deploy(MemorySize=512, LogLevel="WARN")
    print(f"\nsecond deployment: {time.monotonic() - started:.1f} s")
    assert cloud.stack["StackStatus"] == "UPDATE_COMPLETE"
    configuration = cloud.configuration("Webhook")
    assert configuration["MemorySize"] == 512
    assert configuration["LoggingConfig"]["ApplicationLogLevel"] == "WARN"
    assert (cloud.outputs["TableName"], cloud.key("echo")) == (table, key)
    status, _, body = Case("Webhook", WEBHOOK, body={"message": "after", "sessionId": session}).by_event(cloud)
    assert (status, json.loads(body)["sessionId"]) == (200, session)
    assert BUFFERED["models"].by_url(cloud)[0] == 200
