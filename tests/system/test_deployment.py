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

from cloud import REGION, STACK, Deployment, Emulator, built_template, event
from fake import Platform
from orrery import AGENTS, Orrery, wait_for
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
def issuer(tmp_path_factory):
    """A server whose ID tokens the deployment takes."""
    server = Orrery(tmp_path_factory.mktemp("issuer"), AGENTS)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def cloud(tmp_path_factory, telegram, issuer):
    folder = tmp_path_factory.mktemp("cloud")
    emulator = Emulator(folder, TELEGRAM_BASE_URL=telegram.url)
    try:
        deployment = Deployment(emulator, built_template(folder))
        started = time.monotonic()
        keys = f"{issuer.url}/local-issuer/.well-known/jwks.json"
        deployment.deploy(OidcIssuer=ISSUER, OidcAudience=AUDIENCE, OidcJwksUrl=keys)
        print(f"\nfirst deployment: {time.monotonic() - started:.1f} s")
        deployment.put_secret(ORRERY_SEALING_KEYS=secrets.token_hex(32))
        deployment.command("apply", AGENTS)
        yield deployment
    finally:
        emulator.stop()


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    environment = {"ORRERY_OIDC_ISSUER": ISSUER, "ORRERY_OIDC_AUDIENCE": AUDIENCE}
    server = Orrery(tmp_path_factory.mktemp("machine"), AGENTS, environment)
    server.start()
    yield server
    server.stop()


def masked(body):
    """A body without what differs from call to call: ids, keys, times."""
    text = re.sub(r"\b(ag|sess|trace|chatcmpl|req|msg|wh)[_-][0-9a-z]{8,}", r"\1_…", body.decode())
    text = re.sub(r'"(created|timestamp|durationMs|duration_ms)":("[^"]*"|\d+)', r'"\1":…', text)
    return text


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
    called = {case.function for case in [*BUFFERED.values(), *STREAMING.values()]}
    assert called == {function["name"] for function in functions().values() if function["routes"]}


def test_what_is_written_to_a_bot_comes_in_at_the_api_and_is_answered_by_the_queues_worker(cloud, telegram, issuer):
    token = issuer.command("token")
    cloud.command("tenant", "grant", token["subject"], "--issuer", ISSUER)
    body = json.dumps({"agentId": cloud.key("echo")["agent"]["id"], "botToken": telegram.TOKEN}).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token['token']}"}
    status, _, reply = cloud.call("POST", TELEGRAM_SETUP, headers, body)
    assert status == 200, reply
    headers = {"Content-Type": "application/json", "X-Telegram-Bot-Api-Secret-Token": telegram.webhook["secret_token"]}
    ada, chat = {"id": 5, "is_bot": False, "first_name": "Ada"}, {"id": 5, "type": "private", "first_name": "Ada"}
    for number in (1, 2, 2):
        message = {"message_id": number, "from": ada, "chat": chat, "date": 1774449000, "text": f"message {number}"}
        update = json.dumps({"update_id": number, "message": message}).encode()
        assert cloud.call("POST", TELEGRAM, headers, update)[0] == 200
    assert [sent["text"] for sent in telegram.wait_for_sent(2, 60)] == ["You said: message 1", "You said: message 2"]
    sqs, names = cloud.emulator.client("sqs"), ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]

    def is_empty():
        queue = cloud.resources["Channels"]
        return set(sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"].values()) == {"0"}

    wait_for(is_empty, 20, "an empty queue")
    assert len(telegram.sent) == 2


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


RIGHTS = {
    "Webhook": {
        "BatchGetItem": ["AGENT", "BUCKET", "IDEMPOTENCY", "KEY", "TENANT"],
        "GetItem": ["SESSION"], "Query": ["SESSION"],
        "ConditionCheckItem": ["BUCKET", "IDEMPOTENCY", "KEY", "SESSION", "TENANT"],
        "PutItem": ["BUCKET", "IDEMPOTENCY", "KEY", "SESSION", "TENANT"],
        "UpdateItem": ["BUCKET", "IDEMPOTENCY", "KEY", "SESSION", "TENANT"],
        "DeleteItem": ["IDEMPOTENCY"],
    },
    "Models": {"BatchGetItem": ["AGENT", "BUCKET", "KEY", "TENANT"], "UpdateItem": ["BUCKET"]},
    "WidgetConfig": {"BatchGetItem": ["AGENT", "KEY", "TENANT"]},
    "WidgetScript": {},
    "McpKeys": {
        "BatchGetItem": ["AGENT", "BUCKET", "KEY", "TENANT", "USER"],
        "GetItem": ["AGENT", "BUCKET", "KEY", "TENANT", "USER"],
        "Query": ["TENANT"],
        "PutItem": ["BUCKET", "KEY", "TENANT", "USER"],
        "UpdateItem": ["BUCKET", "KEY", "TENANT", "USER"],
        "DeleteItem": ["TENANT"],
    },
    "Health": {},
}
ACTIONS = ["BatchGetItem", "BatchWriteItem", "ConditionCheckItem", "DeleteItem", "GetItem", "PutItem", "Query", "Scan", "UpdateItem"]
ITEMS = ["AGENT", "BUCKET", "IDEMPOTENCY", "KEY", "SESSION", "TENANT", "USER"]


@pytest.mark.parametrize("function", RIGHTS)
def test_a_function_reaches_the_items_that_it_needs_and_no_others(cloud, function):
    """The emulator's own evaluator, with what DynamoDB tells it of a request's keys."""
    policies = [parse_policy_document(document) for document in cloud.policies(function)]
    table = cloud.emulator.client("dynamodb").describe_table(TableName=cloud.outputs["TableName"])["Table"]["TableArn"]

    def may(action, items):
        keys = {"dynamodb:leadingkeys": [f"{item}#x" for item in items]}
        request = EvalContext("role", "AssumedRole", "000000000000", f"dynamodb:{action}", table, REGION, service_context=keys)
        return evaluate(request, policies).decision == "Allow"

    rights = {action: [item for item in ITEMS if may(action, [item])] for action in ACTIONS}
    assert {action: items for action, items in rights.items() if items} == RIGHTS[function]
    for action, items in RIGHTS[function].items():
        assert may(action, items), "all at once, as a batch or a transaction does"


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


def test_every_function_has_its_alarms(cloud):
    pages = cloud.emulator.client("cloudwatch").get_paginator("describe_alarms").paginate()
    alarms = [alarm for page in pages for alarm in page["MetricAlarms"]]
    watched = {
        (dimension["Value"], alarm["MetricName"]): alarm for alarm in alarms for dimension in alarm["Dimensions"]
    }
    for function in functions().values():
        name = cloud.resources[function["name"]]
        assert watched[name, "Errors"]["Threshold"] == watched[name, "Throttles"]["Threshold"] == 1
        assert watched[name, "Duration"]["Threshold"] == 900 * cloud.configuration(function["name"])["Timeout"]
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
