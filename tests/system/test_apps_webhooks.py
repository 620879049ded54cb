"""An app's webhooks: their management, what is told, and that it is signed as documented."""

import datetime
import hashlib
import hmac
import json
import re
import time

import pytest
import standardwebhooks
import svix

import node
from apps import ORDER, PROJECTS, Client, refused
from orrery import ROOT, Process, wait_for
from receiver import Receiver

EVENTS = ["session.started", "session.ended", "conversation.escalated"]
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def app(own_orrery):
    return Client(own_orrery(PROJECTS), "team")


@pytest.fixture
def documented(tmp_path):
    """A receiver that checks signatures as the document does it: its address and what it told."""
    script = ROOT / "tests" / "system" / "documented" / "app-signature.mjs"
    receiver = Process([node.NODE, script], tmp_path / "receiver.log", {"ORRERY_WEBHOOK_SECRET": SECRET})
    receiver.url = receiver.wait_for_line(r"listening on (\S+)")[1]
    yield receiver
    receiver.stop()


def hook(app, url, events=EVENTS, **fields):
    return app.call("POST", "/webhooks", {"url": url, "events": list(events), **fields}, 201)


def escalate(reason, summary="wants a refund"):
    fields = {"summary": summary} if reason is None else {"reason": reason, "summary": summary}
    return f"/tool escalate_to_human {json.dumps(fields)}"


def arrived(receiver, count, path="/ok"):
    """The requests at a path, once so many came, by their event."""
    wait_for(lambda: len(receiver.at(path)) >= count, what=f"{count} events")
    return sorted(receiver.at(path), key=lambda request: request.headers["x-kore-event"])


def signature(secret, body):
    return hmac.new(secret.encode(), body.encode(), hashlib.sha256).hexdigest()


def shown(requests, secret):
    return {"ORRERY_DELIVERIES": json.dumps([
        {"body": request.body, "headers": request.headers, "secret": secret} for request in requests
    ])}


def test_all_events_are_told_as_documented_and_taken_by_every_verifier(app, receiver, documented):
    hook(app, receiver.url + "/ok", secret=SECRET)
    hook(app, documented.url + "/webhooks/kore", secret=SECRET)
    metadata = {"channel": "mobile_app", "language": "en"}
    session = app.begin(user_id="user_456", metadata=metadata)
    usage = {"input_tokens": 0, "output_tokens": 0}
    for message in ["hello", ORDER, escalate("user_requested", "Ünïcödé \u2028 </script> \U0001f600")]:
        used = app.execute(message, session)["usage"]
        usage = {name: usage[name] + used[name] for name in usage}
    ended_at = app.end(session)["ended_at"]
    escalated, ended, started = arrived(receiver, 3)

    for request in (escalated, ended, started):
        body = json.loads(request.body)
        assert set(body) == {"event", "timestamp", "data"} and re.fullmatch(TIME, body["timestamp"])
        assert body["data"]["session_id"] == session
        headers = request.headers
        assert headers["content-type"] == "application/json" and headers["x-kore-event"] == body["event"]
        assert headers["x-kore-signature"] == signature(SECRET, request.body)
        assert headers["x-kore-delivery"] == headers["webhook-id"]
        assert headers["x-kore-timestamp"] == headers["webhook-timestamp"]
        assert abs(int(headers["x-kore-timestamp"]) - time.time()) < 60
        assert abs(datetime.datetime.fromisoformat(body["timestamp"]).timestamp() - time.time()) < 60
        standardwebhooks.Webhook(SECRET).verify(request.body, headers)
        svix.Webhook(SECRET).verify(request.body, headers)
    assert node.run("webhooks.mjs", environment=shown([escalated, ended, started], SECRET)).split() == ["verified"] * 3
    told = [json.loads(request.body) for request in (escalated, ended, started)]
    assert [body["event"] for body in told] == ["conversation.escalated", "session.ended", "session.started"]

    data = told[2]["data"]
    assert set(data) == {"session_id", "user_id", "metadata", "created_at"} and re.fullmatch(TIME, data["created_at"])
    assert (data["user_id"], data["metadata"]) == ("user_456", metadata)
    data = told[1]["data"]
    assert data == {
        "session_id": session, "reason": "user_ended", "ended_at": ended_at, "message_count": 6, "usage": usage,
    }
    data = told[0]["data"]
    assert set(data) == {"session_id", "reason", "context"} and data["reason"] == "user_requested"
    context = data["context"]
    assert set(context) == {"agent", "summary", "last_messages", "metadata"}
    assert (context["agent"], context["metadata"]) == ("support_agent", metadata)
    assert context["summary"] == "Ünïcödé \u2028 </script> \U0001f600"
    assert all(set(message) == {"role", "content"} for message in context["last_messages"])
    assert [message["content"] for message in context["last_messages"]][:3] == ["hello", "You said: hello", ORDER]

    wait_for(lambda: documented.output().count("\n") >= 4, what="three events at the documented receiver")
    assert sorted(documented.output().split("\n")[1:-1]) == [f"accepted {body['event']}" for body in told]
    wrong = shown([ended], "whsec_" + "A" * 43 + "=")
    node.run("webhooks.mjs", environment=wrong, fails=True)


def test_a_receiver_with_another_secret_refuses_what_comes(app, documented):
    made = hook(app, documented.url + "/", secret="another secret")
    told = app.call("POST", f"/webhooks/{made['id']}/test")
    assert (told["delivered"], told["status_code"]) == (False, 400)
    assert "refused Invalid signature" in documented.output()


def test_a_session_that_a_message_begins_is_told_once(app, receiver):
    hook(app, receiver.url + "/ok")
    once = {"Idempotency-Key": "1"}
    began = [app.execute("hello", metadata={"user_id": "u"}, headers=once)["session_id"] for _ in range(2)][0]
    app.execute("and on", began)
    made = [app.call("POST", "/sessions", {}, 201, headers=once)["session_id"] for _ in range(2)][0]
    app.stream("/fail")
    app.end(made)
    app.end(made)
    arrived(receiver, 3)
    app.end(began)
    told = [(body["event"], body["data"]["session_id"]) for body in map(lambda request: json.loads(request.body), arrived(receiver, 4))]
    assert sorted(told) == sorted([
        ("session.started", began), ("session.started", made), ("session.ended", made), ("session.ended", began),
    ])
    first = next(body["data"] for body in receiver.events("/ok") if body["data"]["session_id"] == began)
    assert (first["user_id"], first["metadata"]) == ("u", {"user_id": "u"})


def test_escalations_tell_why_and_the_last_ten_messages(app, receiver):
    hook(app, receiver.url + "/ok", ["conversation.escalated"])
    session = app.begin()
    for number in range(8):
        app.execute(f"message {number}", session)
    app.execute("/tool handoff {\"agent\": \"billing_agent\"}", session)
    for reason in ("tool_failure", None, "user_requested"):
        app.execute(escalate(reason), session)
    refusal = app.execute(escalate("of my own"), session)
    assert "escalate_to_human failed" in refusal["response"]
    arrived(receiver, 3)
    told = [body["data"] for body in receiver.events("/ok")]
    assert sorted(data["reason"] for data in told) == ["agent_requested", "tool_failure", "user_requested"]
    assert {data["context"]["agent"] for data in told} == {"billing_agent"}
    assert all(len(data["context"]["last_messages"]) == 10 for data in told)
    first = next(data for data in told if data["reason"] == "tool_failure")["context"]["last_messages"]
    assert "You said: message 7" in [message["content"] for message in first]
    assert [message["role"] for message in first].count("user") >= 4


def test_webhooks_are_made_listed_read_changed_and_deleted(app, receiver):
    document = {"url": receiver.url + "/ok", "events": EVENTS, "secret": "whsec_xxxxx"}
    made = app.call("POST", "/webhooks", document, 201)
    assert set(made) == {"id", "url", "events", "enabled", "created_at", "updated_at", "secret"}
    assert re.fullmatch("wh_[0-9a-z]{20,}", made["id"])
    assert (made["url"], sorted(made["events"]), made["enabled"], made["secret"]) == (document["url"], sorted(EVENTS), True, "whsec_xxxxx")
    assert re.fullmatch(TIME, made["created_at"]) and re.fullmatch(TIME, made["updated_at"])
    other = hook(app, receiver.url + "/other", ["session.ended"])
    assert re.fullmatch(r"whsec_[A-Za-z0-9+/]{43}=", other["secret"])
    seen = {name: value for name, value in made.items() if name != "secret"}
    assert app.call("GET", f"/webhooks/{made['id']}") == seen
    assert app.call("GET", "/webhooks") == {"webhooks": [seen, {k: v for k, v in other.items() if k != "secret"}]}

    changed = app.call("PATCH", f"/webhooks/{made['id']}", {"events": ["session.started"], "url": receiver.url + "/new"})
    assert (changed["events"], changed["url"]) == (["session.started"], receiver.url + "/new")
    assert app.call("PATCH", f"/webhooks/{made['id']}", {}) | {"updated_at": 0} == changed | {"updated_at": 0}
    session = app.execute("hello")["session_id"]
    (request,) = arrived(receiver, 1, "/new")
    assert request.headers["x-kore-signature"] == signature("whsec_xxxxx", request.body)
    assert app.call("PATCH", f"/webhooks/{made['id']}", {"enabled": False})["enabled"] is False
    app.begin()
    assert app.call("DELETE", f"/webhooks/{made['id']}") == {"webhook_id": made["id"], "deleted": True}
    for method, path in [("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/secret"), ("POST", "/test"), ("GET", "/deliveries")]:
        told = refused(app.send(method, f"/webhooks/{made['id']}{path}", {} if method in ("POST", "PATCH") else None), 404, "not_found")
        assert told["details"] == {"webhook_id": made["id"]}
    app.end(session)
    arrived(receiver, 1, "/other")
    assert [body["event"] for body in receiver.events("/new") + receiver.events("/other")] == ["session.started", "session.ended"]


def test_webhooks_are_each_apps_own(app, receiver):
    other = Client(app.server, "other")
    mine, theirs = hook(app, receiver.url + "/mine"), hook(other, receiver.url + "/theirs")
    refused(app.send("GET", f"/webhooks/{theirs['id']}"), 404, "not_found")
    refused(app.send("DELETE", f"/webhooks/{theirs['id']}"), 404, "not_found")
    other.execute("hello")
    arrived(receiver, 1, "/theirs")
    (delivery,) = other.call("GET", f"/webhooks/{theirs['id']}/deliveries")["deliveries"]
    for path in (f"/webhooks/{mine['id']}/deliveries/{delivery['id']}/redeliver", f"/webhooks/{theirs['id']}/deliveries/{delivery['id']}/redeliver"):
        refused(app.send("POST", path), 404, "not_found")
    assert receiver.at("/mine") == []


@pytest.mark.parametrize("change, field", [
    ({"url": None}, "url"), ({"url": "ftp://x.example"}, "url"), ({"url": "not a url"}, "url"), ({"url": ""}, "url"),
    ({"url": "https://169.254.169.254/latest/meta-data/"}, "url"), ({"url": "https://10.0.0.1/"}, "url"),
    ({"url": "https://user:secret@127.0.0.1/"}, "url"), ({"url": "https://127.0.0.1/" + "x" * 2_000}, "url"),
    ({"events": None}, "events"), ({"events": []}, "events"), ({"events": ["message_sent"]}, "events"),
    ({"events": "session.ended"}, "events"), ({"secret": "short"}, "secret"), ({"secret": "x" * 201}, "secret"),
    ({"secret": 7}, "secret"), ({"enabled": "yes"}, "enabled"),
])
def test_what_is_no_webhook_is_refused(team, change, field):
    body = {"url": "http://127.0.0.1:9/x", "events": EVENTS} | change
    told = refused(team.send("POST", "/webhooks", body), 400, "invalid_request")
    assert [name.split(".")[0] for name in told["details"]] == [field], told


def test_an_app_has_twenty_webhooks_at_most(app, receiver):
    for number in range(20):
        hook(app, f"{receiver.url}/{number}")
    refused(app.send("POST", "/webhooks", {"url": receiver.url, "events": EVENTS}), 409, "invalid_request")
    assert len(app.call("GET", "/webhooks")["webhooks"]) == 20


def test_a_test_event_tells_what_came_back(app, receiver):
    made = hook(app, receiver.url + "/500")
    told = app.call("POST", f"/webhooks/{made['id']}/test")
    assert set(told) == {"delivered", "at", "duration_ms", "status_code", "response"}
    assert (told["delivered"], told["status_code"], told["response"]) == (False, 500, "thanks")
    (request,) = receiver.at("/500")
    body = json.loads(request.body)
    assert set(body) == {"event", "timestamp", "data"} and body["event"] == "test" and re.fullmatch(TIME, body["timestamp"])
    assert request.headers["x-kore-signature"] == signature(made["secret"], request.body)
    assert app.call("GET", f"/webhooks/{made['id']}/deliveries") == {"deliveries": []}
    gone = app.call("PATCH", f"/webhooks/{made['id']}", {"url": "http://127.0.0.1:9/"})
    told = app.call("POST", f"/webhooks/{gone['id']}/test")
    assert told["delivered"] is False and "status_code" not in told and told["error"]


def deliveries(app, made, **query):
    return app.call("GET", f"/webhooks/{made['id']}/deliveries", params=query)


def test_deliveries_are_told_page_by_page_and_sent_again(app, receiver):
    made = hook(app, receiver.url + "/ok", ["session.started"])
    sessions = [app.begin() for _ in range(5)]

    def all_done():
        found = deliveries(app, made)["deliveries"]
        return found if [one["status"] for one in found] == ["delivered"] * 5 else None

    found = wait_for(all_done, what="five deliveries")
    assert set(found[0]) == {"id", "event", "status", "created_at", "attempts"} and found[0]["event"] == "session.started"
    (attempt,) = found[0]["attempts"]
    assert set(attempt) == {"at", "duration_ms", "status_code", "response"} and attempt["status_code"] == 200
    assert [one["created_at"] for one in found] == sorted((one["created_at"] for one in found), reverse=True)
    paged, before = [], None
    while before is not None or not paged:
        page = deliveries(app, made, limit=2, **({"before": before} if before else {}))
        paged += page["deliveries"]
        before = page.get("next_cursor")
    assert paged == found
    ids = {request.headers["x-kore-delivery"] for request in receiver.at("/ok")}
    assert ids == {one["id"] for one in found} and len(sessions) == 5
    again = app.call("POST", f"/webhooks/{made['id']}/deliveries/{found[0]['id']}/redeliver")
    assert again["id"] == found[0]["id"]
    wait_for(lambda: len(receiver.at("/ok")) == 6, what="the event again")
    first, second = [request for request in receiver.at("/ok") if request.headers["x-kore-delivery"] == again["id"]]
    assert first.body == second.body
    for query in ("limit=0", "limit=101", "limit=x"):
        refused(app.send("GET", f"/webhooks/{made['id']}/deliveries?{query}"), 400, "invalid_request")
    refused(app.send("POST", f"/webhooks/{made['id']}/deliveries/evt_none/redeliver"), 404, "not_found")
    app.call("PATCH", f"/webhooks/{made['id']}", {"enabled": False})
    refused(app.send("POST", f"/webhooks/{made['id']}/deliveries/{again['id']}/redeliver"), 409, "invalid_request")


def test_an_event_that_is_not_taken_is_sent_again_under_its_id(app, receiver):
    made = hook(app, receiver.url + "/500", ["session.started"])
    app.begin()

    def attempted():
        found = deliveries(app, made)["deliveries"]
        return found[0] if found and found[0]["attempts"] else None

    one = wait_for(attempted, what="an attempt")
    assert one["status"] == "pending" and re.fullmatch(TIME, one["next_attempt_at"])
    app.call("PATCH", f"/webhooks/{made['id']}", {"url": receiver.url + "/ok"})
    app.call("POST", f"/webhooks/{made['id']}/deliveries/{one['id']}/redeliver")
    (request,) = arrived(receiver, 1)
    assert request.headers["x-kore-delivery"] == one["id"] and request.body == receiver.at("/500")[0].body


def test_a_receiver_that_is_gone_is_switched_off(app, receiver):
    made = hook(app, receiver.url + "/410", ["session.started"])
    app.begin()
    found = wait_for(lambda: (one := app.call("GET", f"/webhooks/{made['id']}"))["enabled"] is False and one, what="its end")
    assert found["disabled_reason"] and re.fullmatch(TIME, found["disabled_at"])
    back = app.call("PATCH", f"/webhooks/{made['id']}", {"enabled": True})
    assert back["enabled"] and "disabled_at" not in back


def test_after_a_rotation_both_secrets_verify_and_the_new_one_signs(app, receiver):
    made = hook(app, receiver.url + "/ok", ["session.started"], secret=SECRET)
    rotated = app.call("POST", f"/webhooks/{made['id']}/secret")
    assert set(rotated) == {"secret", "previous_secret_expires_at"} and rotated["secret"] != SECRET
    assert app.call("GET", f"/webhooks/{made['id']}")["previous_secret_expires_at"] == rotated["previous_secret_expires_at"]
    app.begin()
    (request,) = arrived(receiver, 1)
    for secret in (SECRET, rotated["secret"]):
        standardwebhooks.Webhook(secret).verify(request.body, request.headers)
    assert request.headers["x-kore-signature"] == signature(rotated["secret"], request.body)
    own = app.call("POST", f"/webhooks/{made['id']}/secret", {"secret": "a secret of my own", "overlap_seconds": 0})
    assert own["secret"] == "a secret of my own"
    app.begin()
    last = max(arrived(receiver, 2), key=lambda request: request.at)
    assert last.headers["x-kore-signature"] == signature("a secret of my own", last.body)
    with pytest.raises(Exception, match="(?i)signature"):
        standardwebhooks.Webhook(rotated["secret"]).verify(last.body, last.headers)
    stored = app.server.database_bytes()
    assert all(secret.encode() not in stored for secret in (SECRET, rotated["secret"], own["secret"]))


def test_no_other_api_tells_an_apps_receivers(app, receiver):
    hook(app, receiver.url + "/ok")
    server = app.server
    body = {"message": escalate("user_requested")}
    assert app.http.post(server.webhook("support_agent"), headers=server.bearer("support_agent"), json=body).status_code == 200
    app.execute("the only one")
    arrived(receiver, 1)
    time.sleep(1)
    assert [body["event"] for body in receiver.events("/ok")] == ["session.started"]
