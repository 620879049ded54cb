"""Outbound webhooks: told by the dashboard's chat alone, signed for every official verifier, and never lost."""

import collections
import concurrent.futures
import hashlib
import hmac
import itertools
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
# How many turns are answered while the server is killed again and again; each fires three events.
TURNS = 340
# How long after an event's arrival its delivery is stored for certain: a kill before that repeats it. A request that
# was on its way at the kill may be read as much later.
SETTLED_SECONDS = 5
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

    def all_deliveries(self, webhook):
        """The ids of all that was ever stored for a webhook."""
        found, page = [], None
        while page is None or page:
            before = f"&before={page[-1]}" if page else ""
            page = [delivery["id"] for delivery in self.call(
                "GET", f"/webhooks/{webhook['id']}/deliveries?limit=100{before}").json()["deliveries"]]
            found.extend(page)
        return found

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


def test_w2_all_documented_events_are_taken_by_every_official_verifier(desk, receiver):
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


class Unsteady(Receiver):
    """Of every fifth event or so the first answer goes wrong; what comes again is taken."""

    FAULTS = {"500": 8, "429": 5, "cut": 6, "slow": 1}

    def __init__(self, dice):
        super().__init__()
        self.dice, self.retry_after, self.met, self.accepted = dice, "1", {}, set()

    def answer(self, handler):
        event = handler.headers["webhook-id"]
        with self.lock:
            is_first = event not in self.met
            if is_first:
                self.met[event] = self.dice.choices([None, *self.FAULTS], [80, *self.FAULTS.values()])[0]
            kind = (is_first and self.met[event]) or "ok"
            if kind == "ok":
                self.accepted.add(event)
        self.answer_with(kind, handler)

    def taken(self):
        """The ids of the events that were taken so far."""
        with self.lock:
            return set(self.accepted)


def test_kill_9_at_random_points_loses_no_event(desk, capsys):
    dice = random.Random(7)
    receiver = Unsteady(dice)
    made = desk.webhook(receiver.url + "/mixed", DOCUMENTED)
    finished, redelivered, kills = set(), collections.Counter(), []
    numbers, started = itertools.count(), time.monotonic()

    def turn():
        number = next(numbers)
        try:
            events = desk.chat(f'/tool add {{"a": {number}, "b": 2}}\n/tool add {{"a": 2, "b": {number}}}\nturn-{number}')
        except (httpx.HTTPError, AssertionError):
            time.sleep(0.2)
            return
        if events[-1][0] == "done":
            finished.add(events[0][1]["sessionId"])

    def talk():
        while len(finished) < TURNS and time.monotonic() - started < 300:
            turn()

    def redeliver():
        event = dice.choice(receiver.at("/mixed")).headers["webhook-id"]
        redelivered[event] += 1
        try:
            desk.call("POST", f"/webhooks/{made['id']}/deliveries/{event}/redeliver")
        except (httpx.HTTPError, AssertionError):
            pass  # killed before it, after it or in between: the event may come once more

    def kill():
        before = time.time()
        desk.server.kill()
        kills.append((before, time.time()))
        desk.server.start()

    with concurrent.futures.ThreadPoolExecutor(13) as pool:
        talks = [pool.submit(talk) for _ in range(12)]
        # A redelivery needs what was delivered once.
        wait_for(lambda: receiver.at("/mixed"), 60, "a first event")
        for point in sorted(dice.sample(range(TURNS // 20, TURNS), 7)):
            wait_for(lambda: len(finished) >= point, 120, f"{point} turns")
            asked = pool.submit(redeliver)
            time.sleep(dice.uniform(0, 0.1))
            kill()
            asked.result(90)
        for running in talks:
            running.result(400)
        # Nobody talks any more; what is on its way is.
        for _ in range(5):
            asked = pool.submit(redeliver)
            time.sleep(dice.uniform(0.2, 1.5))
            kill()
            asked.result(90)

    def is_complete():
        taken = receiver.taken()
        if len(taken) < 3 * len(finished):
            return False
        bodies = {request.headers["webhook-id"]: request.body for request in receiver.at("/mixed")}
        told = collections.Counter()
        for event in taken:
            body = json.loads(bodies[event])
            told[(body["data"]["sessionId"], body["event"])] += 1
        return all(
            told[(session, "message_sent")] == 1 and told[(session, "tool_call_completed")] == 2 for session in finished
        )

    # What lost its message to a kill is looked for a minute after it happened, each minute; a place of a dead server's
    # lapses; and what met a fault besides is put off by its schedule.
    wait_for(is_complete, 600, "every event of every turn that was answered")
    stored = set(desk.all_deliveries(made))
    wait_for(lambda: stored <= receiver.taken(), 600, "every event that was stored")
    took = time.monotonic() - started
    requests = receiver.at("/mixed")
    counts = collections.Counter(request.headers["webhook-id"] for request in requests)
    faults = collections.Counter(filter(None, receiver.met.values()))
    with capsys.disabled():
        print(f"\n{len(finished)} turns in {took:.0f} s, {len(kills)} kills, {sum(redelivered.values())} redeliveries,"
              f" {dict(faults)}: {len(counts)} events in {len(requests)} deliveries")
    receiver.close()
    assert len(counts) >= 1000 and len(kills) >= 10 and set(faults) == set(Unsteady.FAULTS) and redelivered
    assert len({(request.headers["webhook-id"], request.body) for request in requests}) == len(counts), "one body each"
    for event, count in counts.items():
        came = [request.at for request in requests if request.headers["webhook-id"] == event]
        hit = sum(
            any(before - SETTLED_SECONDS <= at <= after + SETTLED_SECONDS for at in came) for before, after in kills
        )
        assert count - 1 <= (receiver.met[event] is not None) + redelivered[event] + hit, "it came again for no reason"
