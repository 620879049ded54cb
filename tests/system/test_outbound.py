"""Outbound webhooks: told by the dashboard's chat alone, signed for every official verifier, and never lost."""

import collections
import concurrent.futures
import hashlib
import hmac
import json
import random
import time

import httpx
import pytest
import standardwebhooks
import svix

import node
from orrery import ROOT, wait_for
from receiver import Receiver
from sse import widget_events

AGENT = """---
name: told
model: demo/echo
tools:
  - name: add
    description: Adds
    code: "return args.a + args.b;"
limits: { max_tool_rounds: 10, requests_per_minute: { chat: 1000000, widget: 1000, webhook: 1000, openai: 1000, mcp: 1000 } }
widget: { enabled: true }
---
You repeat what is said.
"""
DOCUMENTED = ["message_sent", "tool_call_completed", "session_ended", "error"]


class Desk:
    """What a dashboard does for its user."""

    def __init__(self, server):
        self.server = server
        self.token = server.command("token", "--expires", "12h")["token"]
        self.agent = server.agent_id("told")

    def call(self, method, path, body=None, status=200):
        response = httpx.request(
            method, f"{self.server.url}/api/agents/{self.agent}{path}",
            headers={"Authorization": f"Bearer {self.token}"}, json=body, timeout=60,
        )
        assert response.status_code == status, response.text
        return response

    def webhook(self, url, events=("message_sent",), **changes):
        return self.call("POST", "/webhooks", {"name": "test", "targetUrl": url, "events": list(events), **changes}).json()

    def chat(self, message, **body):
        """The events of an answer, as `(name, data)`."""
        return widget_events(self.call("POST", "/chat", {"message": message, **body}).text)

    def deliveries(self, webhook):
        return self.call("GET", f"/webhooks/{webhook['id']}/deliveries?limit=100").json()["deliveries"]

    def attempted(self, webhook, attempts=1, seconds=40):
        """The one delivery of a webhook, once it has had so many attempts."""

        def look():
            time.sleep(0.9)  # a user may ask 60 times a minute
            found = self.deliveries(webhook)
            return found[0] if found and len(found[0]["attempts"]) >= attempts else None

        return wait_for(look, seconds, "an attempt")


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def desk(own_orrery, tmp_path):
    agents = tmp_path / "agents"
    agents.mkdir()
    (agents / "told.md").write_text(AGENT)
    return Desk(own_orrery(agents))


def shown(requests, secrets):
    return json.dumps([
        {"body": request.body, "headers": request.headers, "secret": secret}
        for request in requests for secret in secrets
    ])


def test_all_documented_events_are_taken_by_every_official_verifier(desk, receiver):
    made = desk.webhook(receiver.url + "/ok", DOCUMENTED)
    session = desk.chat('/tool add {"a": 1, "b": 2}')[0][1]["sessionId"]
    desk.chat("/fail")
    desk.chat("Ünïcödé \u2028 \U0001f600 \"quoted\" </script> \t tab, 1.0 and 1e999", sessionId=session)
    desk.call("DELETE", f"/sessions/{session}")
    wait_for(lambda: len(receiver.at("/ok")) >= 5, what="five events")
    requests = receiver.at("/ok")
    told = collections.Counter(json.loads(request.body)["event"] for request in requests)
    assert told == {"message_sent": 2, "tool_call_completed": 1, "error": 1, "session_ended": 1}
    for request in requests:
        body = json.loads(request.body)
        assert set(body) == {"event", "agentId", "timestamp", "data"} and body["agentId"] == desk.agent
        standardwebhooks.Webhook(made["secret"]).verify(request.body, request.headers)
        svix.Webhook(made["secret"]).verify(request.body, request.headers)
        expected = hmac.new(made["secret"].encode(), request.body.encode(), hashlib.sha256).hexdigest()
        assert request.headers["x-webhook-signature"] == expected
    message = next(event for event in receiver.events("/ok") if event["event"] == "message_sent")
    assert message["data"]["response"] and message["data"]["metrics"]["outputTokens"] > 0
    assert message["data"]["sessionId"] == session

    deliveries = {"ORRERY_DELIVERIES": shown(requests, [made["secret"]])}
    assert node.run(ROOT / "tests" / "system" / "documented" / "outbound.mjs", environment=deliveries).split() == ["true"] * 5
    assert node.run("webhooks.mjs", environment=deliveries).split() == ["verified"] * 5
    wrong = {"ORRERY_DELIVERIES": shown(requests[:1], ["whsec_" + "A" * 43 + "="])}
    assert node.run(ROOT / "tests" / "system" / "documented" / "outbound.mjs", environment=wrong).split() == ["false"]
    node.run("webhooks.mjs", environment=wrong, fails=True)


def test_after_a_rotation_both_secrets_verify_what_is_sent(desk, receiver):
    made = desk.webhook(receiver.url + "/ok")
    rotated = desk.call("POST", f"/webhooks/{made['id']}/secret").json()
    desk.chat("hello")
    wait_for(lambda: receiver.at("/ok"), what="an event")
    request = receiver.at("/ok")[0]
    for secret in [made["secret"], rotated["secret"]]:
        standardwebhooks.Webhook(secret).verify(request.body, request.headers)
        svix.Webhook(secret).verify(request.body, request.headers)
    assert node.run("webhooks.mjs", environment={
        "ORRERY_DELIVERIES": shown([request], [made["secret"], rotated["secret"]]),
    }).split() == ["verified"] * 2


@pytest.mark.parametrize("path, status, expected, error", [
    ("/500", "pending", 500, None),
    ("/429", "pending", 429, None),
    ("/302", "pending", 302, "redirects"),
    ("/410", "failed", 410, None),
    ("/slow", "pending", None, "within 10s"),
    ("/huge", "delivered", 200, None),
    ("/cut", "pending", None, "the connection failed"),
])
def test_what_a_faulty_receiver_does_is_told(desk, receiver, path, status, expected, error):
    receiver.redirect = "http://169.254.169.254/latest/meta-data/"
    made = desk.webhook(receiver.url + path)
    desk.chat("hello")
    delivery = desk.attempted(made)
    attempt = delivery["attempts"][0]
    assert (delivery["status"], attempt["statusCode"]) == (status, expected), delivery
    assert (error in attempt["error"]) if error else attempt["error"] is None
    assert len(attempt["response"]) <= 2000 and attempt["durationMs"] < 11_000
    after = desk.call("GET", f"/webhooks/{made['id']}").json()
    assert after["enabled"] == (path != "/410") and (after["disabledReason"] is not None) == (path == "/410")
    if path == "/500":
        again = desk.attempted(made, 2)
        ids = {request.headers["webhook-id"] for request in receiver.at(path)}
        assert ids == {again["id"]} and again["nextAttemptAt"]
        desk.call("POST", f"/webhooks/{made['id']}/deliveries/{again['id']}/redeliver")
        desk.attempted(made, 3)


def test_a_test_event_tells_what_came_back(desk, receiver):
    made = desk.webhook(receiver.url + "/500")
    told = desk.call("POST", f"/webhooks/{made['id']}/test").json()
    assert (told["delivered"], told["statusCode"], told["response"]) == (False, 500, "thanks")
    request = receiver.at("/500")[0]
    assert json.loads(request.body)["event"] == "test"
    svix.Webhook(made["secret"]).verify(request.body, request.headers)
    assert desk.deliveries(made) == []


def test_one_slow_receiver_does_not_delay_another(desk, receiver):
    desk.webhook(receiver.url + "/slow")
    desk.webhook(receiver.url + "/ok")
    sent = {}
    for number in range(40):
        desk.chat(f"message-{number}")
        sent[number] = time.time()
    wait_for(lambda: len(receiver.at("/ok")) >= 40, 30, "all events")
    last = max(request.at for request in receiver.at("/ok"))
    assert last - sent[39] < 5


def test_no_other_endpoint_fires(desk, receiver):
    server = desk.server
    desk.webhook(receiver.url + "/ok", DOCUMENTED)
    bearer, widget = server.bearer("told"), server.bearer("told", "widget")
    tool = '/tool add {"a": 1, "b": 2}'
    for url, headers, body in [
        (server.webhook("told"), bearer, {"message": tool}),
        (server.widget, widget, {"message": tool}),
        (server.openai("told") + "/chat/completions", bearer, {"messages": [{"role": "user", "content": tool}]}),
        (server.mcp, bearer, {
            "jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {"name": "kopern_chat", "arguments": {"message": tool}},
        }),
    ]:
        response = httpx.post(url, headers={**headers, "Accept": "application/json, text/event-stream"}, json=body, timeout=30)
        assert response.status_code == 200, response.text
    desk.chat("the last one")
    wait_for(lambda: receiver.at("/ok"), what="an event")
    time.sleep(1)
    assert [event["data"]["response"] for event in receiver.events("/ok")] == ["You said: the last one"]


def test_an_inbound_webhook_that_is_made_here_signs(desk):
    made = desk.call("POST", "/webhooks", {"name": "shop", "type": "inbound"}).json()
    body = json.dumps({"message": "hello", "webhookId": made["id"]}).encode()

    def post(secret):
        signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        headers = {**desk.server.bearer("told"), "X-Webhook-Signature": signature, "Content-Type": "application/json"}
        return httpx.post(desk.server.webhook("told"), headers=headers, content=body).status_code

    assert (post(made["secret"]), post("another secret")) == (200, 401)
    rotated = desk.call("POST", f"/webhooks/{made['id']}/secret", {"overlapSeconds": 3600}).json()
    assert (post(made["secret"]), post(rotated["secret"])) == (200, 200)
    desk.call("PATCH", f"/webhooks/{made['id']}", {"enabled": False})
    assert post(rotated["secret"]) == 403
    listed = desk.call("GET", "/webhooks").text
    assert made["secret"] not in listed and rotated["secret"] not in listed
    stored = desk.server.database_bytes()
    assert made["secret"].encode() not in stored and rotated["secret"].encode() not in stored


def test_kill_9_at_random_points_loses_no_event(desk, receiver, capsys):
    desk.webhook(receiver.url + "/ok", DOCUMENTED)
    dice = random.Random(7)
    finished = set()

    def turn(number):
        try:
            events = desk.chat(f'/tool add {{"a": {number}, "b": 2}}\n/tool add {{"a": 2, "b": {number}}}\nturn-{number}')
        except (httpx.HTTPError, AssertionError):
            return
        if events[-1][0] == "done":
            finished.add(events[0][1]["sessionId"])

    number, kills = 0, 0
    while len(finished) < 90 and number < 400:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            running = [pool.submit(turn, number + index) for index in range(16)]
            time.sleep(dice.uniform(0.05, 0.8))
            if kills < 6:
                desk.server.kill()
                kills += 1
            concurrent.futures.wait(running)
        if desk.server.process.child.poll() is not None:
            desk.server.start()
        number += 16

    def told():
        return collections.Counter((event["data"]["sessionId"], event["event"]) for event in receiver.events("/ok"))

    def complete():
        seen = told()
        return all(seen[(session, "message_sent")] >= 1 and seen[(session, "tool_call_completed")] >= 2 for session in finished)

    wait_for(complete, 120, "every event of every turn that was answered")
    requests = receiver.at("/ok")
    ids = collections.Counter(request.headers["webhook-id"] for request in requests)
    bodies = {(request.headers["webhook-id"], request.body) for request in requests}
    assert len(bodies) == len(ids), "an id always carries the same body"
    assert len(ids) >= 200 and kills == 6
    per_session = collections.Counter((json.loads(body)["data"]["sessionId"], json.loads(body)["event"]) for _, body in bodies)
    assert all(per_session[(session, "message_sent")] == 1 for session in finished)
    with capsys.disabled():
        print(f"\n{len(finished)} turns answered, {kills} kills: {len(ids)} events in {len(requests)} deliveries")
