"""The app dialect over HTTP, field by field as its document has it; who is let in, and what is refused."""

import datetime
import json
import re
import time

import pytest

from apps import ORDER, PROJECTS, Client, error, events, refused
from orrery import ROOT

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
DESCRIPTION = json.loads((ROOT / "docs" / "openapi" / "app.json").read_text())["paths"]
ENDPOINTS = [(method.upper(), path) for path, methods in DESCRIPTION.items() for method in methods]
METADATA = {"user_id": "user_456", "channel": "web"}


def seconds(text):
    assert re.fullmatch(TIME, text), text
    return datetime.datetime.fromisoformat(text).timestamp()


def assert_headers(reply):
    """What every reply to a caller who was let in has."""
    limit, left = int(reply.headers["x-ratelimit-limit"]), int(reply.headers["x-ratelimit-remaining"])
    assert 0 <= left <= limit
    now = time.time()
    assert now - 2 <= int(reply.headers["x-ratelimit-reset"]) <= now + 60, "in seconds"
    assert reply.headers["x-request-id"]
    assert "access-control-allow-origin" not in reply.headers


def test_execute_answers_as_documented(team):
    session = team.begin()
    reply = team.send("POST", "/execute", {"message": ORDER, "session_id": session, "metadata": METADATA})
    assert (reply.status_code, reply.headers["content-type"]) == (200, "application/json")
    assert_headers(reply)
    body = reply.json()
    assert set(body) == {"response", "session_id", "trace_id", "agent", "tools_used", "usage"}
    assert "shipped" in body["response"] and body["session_id"] == session
    assert re.fullmatch("trace_[0-9a-z]{20,}", body["trace_id"])
    assert (body["agent"], body["tools_used"]) == ("support_agent", ["get_order_status"])
    assert set(body["usage"]) == {"input_tokens", "output_tokens"}
    assert all(isinstance(count, int) and count > 0 for count in body["usage"].values())


def test_a_message_without_a_session_begins_one(team):
    first = team.execute("one")
    assert re.fullmatch("sess_[0-9a-z]{20,}", first["session_id"]) and first["tools_used"] == []
    second = team.execute("two", first["session_id"])
    assert second["session_id"] == first["session_id"] and second["trace_id"] != first["trace_id"]
    assert team.execute("three")["session_id"] != first["session_id"]


def test_tools_are_told_once_in_the_order_of_their_first_calls(team):
    answer = team.execute(f'/tool repeat {{"text": "x"}}\n{ORDER}\n/then\n/tool repeat {{"text": "y"}}\n/tool broken {{}}')
    assert answer["tools_used"] == ["repeat", "get_order_status", "broken"]


def test_a_stream_has_the_documented_frames_in_their_order(team):
    session = team.begin()
    body = {"message": ORDER + "\n/tool broken {}\n/then\nOur return policy allows it", "session_id": session}
    reply = team.send("POST", "/execute/stream", body)
    assert reply.status_code == 200 and reply.headers["content-type"].split(";")[0] == "text/event-stream"
    assert reply.headers["x-accel-buffering"] == "no" and reply.headers["cache-control"] == "no-cache, no-transform"
    assert_headers(reply)
    for frame in reply.text.removesuffix("\n\n").split("\n\n"):
        assert re.fullmatch(r"event: (start|token|tool_call|done)\ndata: \{.*\}", frame), frame
    told = events(reply.text)
    calls = [data for name, data in told if name == "tool_call"]
    tokens = [data for name, data in told if name == "token"]
    assert [name for name, _ in told] == ["start"] + ["tool_call"] * 4 + ["token"] * len(tokens) + ["done"]
    start, done = told[0][1], told[-1][1]
    assert set(start) == {"trace_id", "session_id"} and start["session_id"] == session
    assert all(set(call) == {"tool", "status"} for call in calls)
    for tool, end in [("get_order_status", "completed"), ("broken", "failed")]:
        assert [call["status"] for call in calls if call["tool"] == tool] == ["started", end]
    assert all(set(token) == {"content"} for token in tokens) and len(tokens) > 3
    assert "".join(token["content"] for token in tokens) == "You said: Our return policy allows it"
    assert set(done) == {"usage", "session_id", "trace_id", "agent", "tools_used"}
    assert (done["session_id"], done["trace_id"]) == (session, start["trace_id"])
    assert (done["agent"], done["tools_used"]) == ("support_agent", ["get_order_status", "broken"])
    assert set(done["usage"]) == {"input_tokens", "output_tokens"} and min(done["usage"].values()) > 0


def test_both_ways_to_execute_tell_the_same(team):
    told = team.stream(ORDER, metadata=METADATA)
    whole = team.execute(ORDER, metadata=METADATA)
    done = told[-1][1]
    assert {name: done[name] for name in ("agent", "tools_used", "usage")} == {
        name: whole[name] for name in ("agent", "tools_used", "usage")
    }
    assert "".join(data["content"] for name, data in told if name == "token") == whole["response"]
    assert team.talk(done["session_id"]) == team.talk(whole["session_id"])


@pytest.mark.parametrize("body", [
    {"user_id": "user_456", "metadata": {"channel": "mobile_app", "language": "en"}}, {"metadata": {}}, {}, None,
])
def test_a_session_is_created_as_documented(team, body):
    reply = team.send("POST", "/sessions", body)
    assert (reply.status_code, reply.headers["content-type"]) == (201, "application/json")
    assert_headers(reply)
    made = reply.json()
    assert set(made) == {"session_id", "created_at", "expires_at"}
    assert re.fullmatch("sess_[0-9a-z]{20,}", made["session_id"])
    assert seconds(made["expires_at"]) - seconds(made["created_at"]) == 3600
    assert abs(seconds(made["created_at"]) - time.time()) < 60
    there = team.http.get(reply.url.join(reply.headers["location"]), headers=team.bearer)
    assert there.json() == {"session_id": made["session_id"], "messages": []}


def test_a_history_is_told_as_documented(team):
    session = team.begin(user_id="user_456")
    team.execute("What's my order status?", session)
    team.execute(ORDER, session)
    reply = team.send("GET", f"/sessions/{session}/history")
    assert (reply.status_code, reply.headers["content-type"]) == (200, "application/json")
    assert_headers(reply)
    body = reply.json()
    assert set(body) == {"session_id", "messages"} and body["session_id"] == session
    for index, message in enumerate(body["messages"]):
        assert message["role"] == ["user", "assistant"][index % 2]
        assert set(message) == {"role", "content", "timestamp"} | ({"agent"} if index % 2 else set())
        assert abs(seconds(message["timestamp"]) - time.time()) < 60
        assert message.get("agent", "support_agent") == "support_agent"
    times = [message["timestamp"] for message in body["messages"]]
    assert times == sorted(times) and len(times) == 4
    assert body["messages"][0]["content"] == "What's my order status?"
    assert body["messages"][3]["content"].startswith("get_order_status answered: ")


@pytest.fixture(scope="module")
def long_session(team):
    """A session of 101 turns."""
    session = team.begin()
    for number in range(101):
        team.execute(f"message {number}", session)
    return session


@pytest.mark.parametrize("limit", [7, 10, 33, 199, 200])
def test_a_history_is_read_page_by_page(team, long_session, limit):
    said, before, pages = [], None, 0
    while before is not None or not pages:
        page = team.history(long_session, limit=limit, **({"before": before} if before else {}))
        said = page["messages"] + said
        before, pages = page.get("next_cursor"), pages + 1
        assert len(page["messages"]) == (limit if before else (202 - 1) % limit + 1)
    assert pages == -(-202 // limit)
    assert [message["content"] for message in said[::2]] == [f"message {number}" for number in range(101)]
    assert [message["content"] for message in said[1::2]] == [f"You said: message {number}" for number in range(101)]


def test_the_newest_200_messages_are_told_where_nothing_is_said(team, long_session):
    newest = team.history(long_session, limit=1)
    assert [message["content"] for message in newest["messages"]] == ["You said: message 100"]
    whole = team.history(long_session)
    assert len(whole["messages"]) == 200 and whole["messages"][0]["content"] == "message 1"
    assert [message["content"] for message in team.history(long_session, before=whole["next_cursor"])["messages"]] == [
        "message 0", "You said: message 0",
    ]


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=x", "limit=", "limit=-1", "before=x", "before=1.2"])
def test_what_is_no_page_is_refused(team, query):
    told = refused(team.send("GET", f"/sessions/{team.begin()}/history?{query}"), 400, "invalid_request")
    assert list(told["details"]) == [query.split("=")[0]]


def test_a_session_ends_once_and_can_be_read_afterwards(team):
    session = team.execute("hello")["session_id"]
    first = team.send("DELETE", f"/sessions/{session}")
    assert first.status_code == 200 and set(first.json()) == {"session_id", "status", "ended_at"}
    assert_headers(first)
    assert (first.json()["session_id"], first.json()["status"]) == (session, "ended")
    assert abs(seconds(first.json()["ended_at"]) - time.time()) < 60
    time.sleep(1.1)  # another second than that of its end
    assert team.send("DELETE", f"/sessions/{session}").content == first.content
    for path in ("/execute", "/execute/stream"):
        assert refused(team.send("POST", path, team.said("x", session)), 400, "invalid_request") == {
            "code": "invalid_request", "message": "Session has ended", "details": {"session_id": session},
        }
    assert team.talk(session) == [("user", "hello"), ("assistant", "You said: hello")]


def test_a_session_that_a_body_names_is_invalid_and_one_that_a_path_names_is_not_found(team):
    for path in ("/execute", "/execute/stream"):
        reply = team.send("POST", path, {"message": "x", "session_id": "sess_invalid"})
        assert reply.status_code == 400 and reply.json() == {"error": {
            "code": "invalid_request", "message": "Session not found", "details": {"session_id": "sess_invalid"},
        }}
        assert_headers(reply)
    for method, path in [("GET", "/sessions/sess_invalid/history"), ("DELETE", "/sessions/sess_invalid")]:
        reply = team.send(method, path)
        told = refused(reply, 404, "not_found")
        assert (told["message"], told["details"]) == ("Session not found", {"session_id": "sess_invalid"})
        assert_headers(reply)


@pytest.mark.parametrize("body, fields", [
    ({}, {"message"}),
    ({"message": ""}, {"message"}),
    ({"message": " \n\t"}, {"message"}),
    ({"message": 7}, {"message"}),
    ({"message": None}, {"message"}),
    ({"message": "x" * 10_001}, {"message"}),
    ({"message": 7, "session_id": "", "metadata": []}, {"message", "session_id", "metadata"}),
    ({"message": "x", "session_id": 7}, {"session_id"}),
    ({"message": "x", "session_id": None}, {"session_id"}),
    ({"message": "x", "metadata": "x"}, {"metadata"}),
    ({"message": "x", "metadata": {"x": "y" * 16_384}}, {"metadata"}),
    ({"message": "x", "metadata": {"k" * 129: 1}}, {"metadata"}),
    ({"message": "x", "metadata": {"1": {"2": {"3": {"4": {"5": {"6": {"7": {"8": 1 and {}}}}}}}}}}, {"metadata"}),
    ({"message": "x", "metadata": {"user_id": 7}}, {"metadata.user_id"}),
    ([], {"body"}),
    (b"{", {"body"}),
    (b"\xff", {"body"}),
    (b"", {"body"}),
])
def test_everything_that_is_wrong_with_a_message_is_told_by_field(team, body, fields):
    for path in ("/execute", "/execute/stream"):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        reply = team.send("POST", path, content=content, headers={"Content-Type": "application/json"})
        told = refused(reply, 400, "invalid_request")
        assert set(told["details"]) == fields, told


def test_the_longest_message_and_unknown_fields_are_taken(team):
    message = "ü" * 9_999 + "."
    body = {"message": message, "unknown": [1], "metadata": {"1": {"2": {"3": {"4": {"5": {"6": {"7": 8}}}}}}}}
    assert team.call("POST", "/execute", body)["response"] == f"You said: {message}"


def test_metadata_stays_within_what_a_session_holds(team):
    session = team.begin(metadata={"a": "x" * 16_000})
    team.execute("one", session, {"b": "x" * 16_000})
    told = refused(team.send("POST", "/execute", team.said("two", session, {"c": "x" * 1_000})), 400, "invalid_request")
    assert list(told["details"]) == ["metadata"]
    team.execute("three", session, {"a": None, "c": "x" * 1_000})
    assert len(team.talk(session)) == 4


def test_a_session_has_one_user(team):
    session = team.begin(user_id="user_456")
    team.execute("one", session, METADATA)
    told = refused(team.send("POST", "/execute", team.said("two", session, {"user_id": "user_789"})), 400, "invalid_request")
    assert list(told["details"]) == ["user_id"]
    refused(team.send("POST", "/sessions", {"user_id": "a", "metadata": {"user_id": "b"}}), 400, "invalid_request")
    team.execute("three", session)


def concrete(path, client, session):
    return path.format(
        app_id=client.id, session_id=session, trace_id="trace_none", webhook_id="wh_none", delivery_id="evt_none"
    )


@pytest.mark.parametrize("method, path", ENDPOINTS)
def test_every_endpoint_is_closed_to_other_keys(team, stranger, method, path):
    session = team.execute("mine")["session_id"]
    url = team.server.url + concrete(path, team, session)
    body = {"message": "x", "url": "https://example.com", "events": ["session.ended"]} if method in ("POST", "PATCH") else None

    def ask(authorization, where=url):
        headers = {"Authorization": authorization} if authorization else {}
        return team.http.request(method, where, json=body, headers=headers)

    foreign = ask(stranger.bearer["Authorization"])
    assert set(refused(foreign, 404, "not_found")) == {"code", "message"}
    assert ask(team.bearer["Authorization"], url.replace(team.id, "app_123")).json() == foreign.json()
    plain = team.key["key"]
    agents = team.server.plain_key("support_agent")
    for authorization in [
        None, "Bearer", "Basic dTpw", plain, f"bearer{plain}", "Bearer sk-app-xxxxxxxxxxxxx", f"Bearer {plain}x",
        "Bearer sk-app-" + "A" * 43, f"Bearer {agents}", f"Bearer {plain.replace('sk-app-', 'kpn_')}",
    ]:
        reply = ask(authorization)
        assert refused(reply, 401, "authentication_error") == {"code": "authentication_error", "message": "Invalid API key"}
        assert reply.headers["www-authenticate"] == "Bearer" and "x-ratelimit-limit" not in reply.headers
    by_query = team.http.request(method, url, json=body, params={"key": plain})
    refused(by_query, 401, "authentication_error")
    assert team.talk(session) == [("user", "mine"), ("assistant", "You said: mine")]


def test_another_apps_session_does_not_exist(team, stranger):
    session = stranger.execute("theirs")["session_id"]
    told = refused(team.send("POST", "/execute", team.said("x", session)), 400, "invalid_request")
    assert told["message"] == "Session not found"
    refused(team.send("GET", f"/sessions/{session}/history"), 404, "not_found")
    refused(team.send("DELETE", f"/sessions/{session}"), 404, "not_found")
    assert stranger.execute("goes on", session)["session_id"] == session


def test_an_apps_key_opens_nothing_else(team):
    server = team.server
    for method, url in [
        ("POST", server.webhook("support_agent")), ("POST", server.openai("support_agent") + "/chat/completions"),
        ("GET", server.openai("support_agent") + "/models"), ("POST", server.mcp), ("POST", server.widget),
        ("GET", f"{server.url}/api/widget/config"), ("GET", f"{server.url}/api/mcp/keys"),
        ("GET", f"{server.url}/api/agents/{server.agent_id('support_agent')}/webhooks"),
    ]:
        body = {"message": "x", "messages": [{"role": "user", "content": "x"}]} if method == "POST" else None
        reply = team.http.request(method, url, headers=team.bearer, json=body)
        assert reply.status_code == 401, f"{url}: {reply.status_code} {reply.text}"


@pytest.mark.parametrize("path", DESCRIPTION)
def test_other_methods_are_told_which_ones_there_are(team, path):
    url = team.server.url + concrete(path, team, "sess_x")
    reply = team.http.put(url, headers=team.bearer, json={})
    refused(reply, 405, "invalid_request")
    told = {method.strip() for method in reply.headers["allow"].split(",")}
    assert told == {method.upper() for method in DESCRIPTION[path]}


@pytest.mark.parametrize("path", ["/v1/models", "/v1/apps", "/v1/apps/{}", "/v1/apps/{}/x", "/v1/apps/{}/execute/x"])
def test_other_paths_are_not_found_in_the_dialects_shape(team, path):
    for method in ("GET", "POST"):
        reply = team.http.request(method, team.server.url + path.format(team.id), headers=team.bearer)
        assert refused(reply, 404, "not_found") == {"code": "not_found", "message": "Resource not found"}


@pytest.mark.parametrize("method, path", [endpoint for endpoint in ENDPOINTS if endpoint[0] in ("POST", "PATCH")])
def test_large_bodies_and_other_types_are_refused(team, method, path):
    webhook = team.call("POST", "/webhooks", {"url": "http://127.0.0.1:9/x", "events": ["session.ended"]}, 201)["id"]
    url = team.server.url + concrete(path, team, "sess_x").replace("wh_none", webhook)
    json_type = {**team.bearer, "Content-Type": "application/json"}
    huge = team.http.request(method, url, headers=json_type, content=b'{"message":"' + b"x" * 1024 * 1024 + b'"}')
    refused(huge, 413, "invalid_request")
    if "415" in DESCRIPTION[path][method.lower()]["responses"]:
        for kind in ("text/plain", "application/x-www-form-urlencoded", "application/jsonx"):
            text = team.http.request(method, url, headers={**team.bearer, "Content-Type": kind}, content=b'{"message":"x"}')
            refused(text, 415, "invalid_request")
    team.call("DELETE", f"/webhooks/{webhook}")


def test_a_model_that_fails_is_an_internal_error_and_leaves_nothing(team):
    session = team.execute("before")["session_id"]
    before = team.talk(session)
    for message in ("/fail", "/cut"):
        reply = team.send("POST", "/execute", team.said(message, session))
        told = refused(reply, 500, "internal_error")
        assert "told to fail" not in told["message"]
        assert_headers(reply)
        refused(team.send("POST", "/execute", team.said(message)), 500, "internal_error")
        streamed = team.stream(message, session)
        names = [name for name, _ in streamed]
        assert names[0] == "start" and names[-1] == "error" and "done" not in names
        assert set(streamed[-1][1]) == {"error"} and streamed[-1][1]["error"]["code"] == "internal_error"
        new = team.stream(message)
        assert new[-1][0] == "error"
        refused(team.send("GET", f"/sessions/{new[0][1]['session_id']}/history"), 404, "not_found")
        refused(team.send("GET", f"/traces/{new[0][1]['trace_id']}"), 404, "not_found")
    assert team.talk(session) == before
    assert team.execute("after", session)["response"] == "You said: after"


def exhausted(client, most):
    """The first refusal of a client that does not stop to ask, and how many requests came before."""
    for count in range(most):
        reply = client.send("GET", "/analytics/usage")
        if reply.status_code != 200:
            return reply, count
    raise AssertionError(f"no refusal within {most} requests")


def test_a_plans_limits_hold_for_all_keys_of_an_app_and_for_no_other(own_orrery):
    server = own_orrery(PROJECTS)
    server.command("tenant", "plan", "free")
    first, second, other = Client(server, "team"), Client(server, "team"), Client(server, "other")
    reply = first.send("POST", "/execute", {"message": "x"})
    assert (reply.headers["x-ratelimit-limit"], reply.headers["x-ratelimit-remaining"]) == ("60", "59")
    assert_headers(reply)
    # A token comes back each second: those that do while this asks may be used up by either key.
    counts = []
    for key in (second, first):
        refusal, count = exhausted(key, 400)
        counts.append(count)
        assert refused(refusal, 429, "rate_limited")["details"] == {"limit": "minute"}
        assert (refusal.headers["x-ratelimit-limit"], refusal.headers["x-ratelimit-remaining"]) == ("60", "0")
        assert refusal.headers["retry-after"] == "1"
    assert counts[0] >= 59 > 30 > counts[1]
    assert other.send("GET", "/analytics/usage").headers["x-ratelimit-remaining"] == "59"
    server.command("tenant", "plan", "pro")
    assert second.send("GET", "/analytics/usage").headers["x-ratelimit-limit"] == "600"


def test_a_days_limit_is_told_where_it_is_nearer(own_orrery):
    server = own_orrery(PROJECTS)
    server.command("tenant", "plan", "enterprise", "--requests-per-minute", "5000", "--requests-per-day", "100")
    client = Client(server, "team")
    refusal, count = exhausted(client, 110)
    assert count == 100
    assert refused(refusal, 429, "rate_limited")["details"] == {"limit": "day"}
    # One more comes every 864 s.
    assert refusal.headers["x-ratelimit-limit"] == "100" and 700 <= int(refusal.headers["retry-after"]) <= 864
    assert time.time() < int(refusal.headers["x-ratelimit-reset"])


def test_a_plan_that_is_used_up_is_told(own_orrery):
    server = own_orrery(PROJECTS)
    server.command("tenant", "plan", "free")
    client = Client(server, "team")
    for _ in range(3):
        client.execute("/long 4000")
    told = refused(client.send("POST", "/execute", {"message": "x"}), 429, "rate_limited")
    assert told["details"] == {"limit": "monthly_tokens"}
    assert client.send("GET", "/analytics/usage").status_code == 200
