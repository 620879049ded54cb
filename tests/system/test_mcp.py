"""The MCP server on the wire: what clients send that broke others, and what they must get."""

import json
import threading
import time

import httpx
import pytest

from orrery import wait_for
from sse import frames

BOTH = {"Accept": "application/json, text/event-stream"}


def call(method, params=None, id=1):
    return {"jsonrpc": "2.0", "id": id, "method": method, "params": params or {}}


def chat(message, **meta):
    params = {"name": "kopern_chat", "arguments": {"message": message}}
    return call("tools/call", {**params, "_meta": meta} if meta else params)


@pytest.fixture
def client(orrery):
    with httpx.Client(base_url=orrery.url, headers=orrery.bearer("echo") | BOTH, timeout=30) as client:
        yield client


def post(client, body, **headers):
    return client.post("/api/mcp/server", json=body, headers={name.replace("_", "-"): value for name, value in headers.items()})


def test_m1_initialize_agrees_on_a_version_that_both_know(client):
    for asked, agreed in [("2024-11-05", "2024-11-05"), ("2025-11-25", "2025-11-25"), ("1.0", "2025-11-25")]:
        result = post(client, call("initialize", {"protocolVersion": asked, "capabilities": {}})).json()["result"]
        assert result == {
            "protocolVersion": agreed, "capabilities": {"tools": {}}, "serverInfo": {"name": "kopern-mcp", "version": "1.0.0"},
        }


def test_m2_get_and_delete_are_405_at_once_with_a_key_or_without(orrery, client):
    with httpx.Client(base_url=orrery.url, timeout=5) as stranger:
        for who in (client, stranger):
            for method in ("GET", "DELETE"):
                reply = who.request(method, "/api/mcp/server", headers={"Accept": "text/event-stream"})
                assert (reply.status_code, reply.headers["allow"]) == (405, "POST")
                assert reply.json()["jsonrpc"] == "2.0"


def test_m3_notifications_and_answers_are_202_without_a_body(client):
    for body in (
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}},
        {"jsonrpc": "2.0", "id": 1, "result": {}},
    ):
        reply = post(client, body)
        assert (reply.status_code, reply.content) == (202, b"")


def test_m4_m5_replies_are_json_whatever_is_accepted_and_no_session_is_given(client):
    for accept in ("application/json, text/event-stream", "text/event-stream,application/json;q=0.5", "application/json", "*/*"):
        reply = post(client, call("tools/list"), Accept=accept, Mcp_Session_Id="of-another-server")
        assert (reply.status_code, reply.headers["content-type"]) == (200, "application/json")
        assert "mcp-session-id" not in reply.headers


def test_m6_an_unknown_version_in_the_header_is_400_but_for_initialize(client):
    reply = post(client, call("tools/list"), MCP_Protocol_Version="1999-01-01")
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, -32022)
    reply = post(client, call("initialize", {"protocolVersion": "2025-06-18"}), MCP_Protocol_Version="1999-01-01")
    assert reply.json()["result"]["protocolVersion"] == "2025-06-18"
    assert post(client, call("server/discover")).status_code == 400


def test_m7_pages_of_this_machine_may_call_and_others_may_not(client, own_orrery):
    for origin, status in [("http://localhost:6274", 200), ("http://127.0.0.1:1", 200), ("https://evil.example", 403), ("null", 403)]:
        reply = post(client, call("ping"), Origin=origin)
        assert reply.status_code == status
        assert reply.headers.get("access-control-allow-origin") == (origin if status == 200 else None)
    assert post(client, call("ping"), Host="evil.example").status_code == 403
    server = own_orrery(ORRERY_MCP_ALLOWED_ORIGINS="https://ide.example")
    reply = httpx.post(server.mcp, json=call("ping"), headers=server.bearer("echo") | {"Origin": "https://ide.example"})
    assert (reply.status_code, reply.headers["access-control-allow-origin"]) == (200, "https://ide.example")


def test_m8_without_a_key_it_is_401_and_there_is_no_authorization_server(orrery):
    reply = httpx.post(orrery.mcp, json=call("initialize"), headers=BOTH)
    assert (reply.status_code, reply.headers["www-authenticate"]) == (401, "Bearer")
    assert reply.json()["error"]["code"] == -32000 and reply.json()["id"] is None
    for method, path in [
        ("GET", "/.well-known/oauth-protected-resource"),
        ("GET", "/.well-known/oauth-protected-resource/api/mcp/server"),
        ("GET", "/.well-known/oauth-authorization-server"),
        ("GET", "/.well-known/oauth-authorization-server/api/mcp/server"),
        ("GET", "/.well-known/openid-configuration"),
        ("GET", "/api/mcp/server/.well-known/openid-configuration"),
        ("POST", "/register"),
    ]:
        reply = httpx.request(method, orrery.url + path, headers=orrery.bearer("echo"))
        assert (reply.status_code, reply.headers["content-type"]) == (404, "application/json"), path
        assert reply.json()


def test_m9_errors_have_their_codes_and_ids_come_back_unchanged(client):
    for id in (0, -1, 2**53 + 1, "", "☀", "x" * 200):
        assert post(client, call("ping", id=id)).json() == {"jsonrpc": "2.0", "id": id, "result": {}}
    for body, code in [
        (call("no/such"), -32601), (call("prompts/list"), -32601), (call("resources/list"), -32601),
        (call("tools/call", {"name": "rm"}), -32602), (call("tools/call"), -32602),
    ]:
        reply = post(client, body)
        assert (reply.status_code, reply.json()["error"]["code"], reply.json()["id"]) == (200, code, 1)
    reply = client.post("/api/mcp/server", content=b"{not json")
    assert (reply.status_code, reply.json()["error"]["code"], reply.json()["id"]) == (400, -32700, None)


def test_m10_a_failing_agent_is_a_result_and_batches_belong_to_one_version(client):
    result = post(client, chat("/fail")).json()["result"]
    assert result["isError"] and result["content"][0]["text"]
    batch = [call("ping", id="a"), {"jsonrpc": "2.0", "method": "notifications/initialized"}, call("tools/list", id="b")]
    assert [one["id"] for one in post(client, batch, MCP_Protocol_Version="2025-03-26").json()] == ["a", "b"]
    reply = post(client, batch, MCP_Protocol_Version="2025-06-18")
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, -32600)


def test_m11_a_long_call_says_nothing_before_its_answer(client):
    started = time.monotonic()
    with client.stream("POST", "/api/mcp/server", json=chat("/slow 1500")) as reply:
        assert time.monotonic() - started > 1.4, "the headers come with the body"
        assert (reply.headers["content-type"], json.loads(reply.read())["id"]) == ("application/json", 1)


def test_m11_progress_comes_while_the_agent_works_and_only_with_a_token(own_orrery):
    server = own_orrery(ORRERY_DEMO_DELAY_MS="120")
    headers = server.bearer("echo") | BOTH
    arrived = []
    with httpx.stream("POST", server.mcp, json=chat("/long 25", progressToken="p"), headers=headers, timeout=30) as reply:
        assert reply.headers["content-type"] == "text/event-stream"
        for piece in reply.iter_text():
            arrived += [(time.monotonic(), json.loads(data)) for _, data in frames(piece)]
    *notes, (end, last) = arrived
    assert len(notes) >= 2 and last["id"] == 1 and len(last["result"]["content"][0]["text"].split()) == 25
    assert end - notes[0][0] > 0.5, "progress is told before the end"
    assert [note["params"]["progress"] for _, note in notes] == list(range(1, len(notes) + 1))
    assert {note["params"]["progressToken"] for _, note in notes} == {"p"}


def test_m11_the_limit_is_429_with_the_time_to_wait(own_orrery):
    server = own_orrery()
    with httpx.Client(base_url=server.url, headers=server.bearer("limited"), timeout=30) as client:
        statuses = []
        while 429 not in statuses and len(statuses) < 60:
            reply = post(client, call("tools/call", {"name": "kopern_agent_info"}))
            statuses.append(reply.status_code)
        assert 30 <= statuses.index(429) and reply.headers["x-ratelimit-limit"] == "30"
        assert int(reply.headers["retry-after"]) >= 1 and reply.json()["error"]["code"] == -32000
        assert post(client, call("tools/list")).status_code == 200, "who only looks is not refused"


def test_a_caller_who_hangs_up_stops_the_turn(own_orrery):
    server = own_orrery()
    for body in (chat("/slow 60000"), chat("/slow 60000", progressToken=1)):
        offset = server.log.stat().st_size
        with pytest.raises(httpx.TimeoutException):
            httpx.post(server.mcp, json=body, headers=server.bearer("echo") | BOTH, timeout=0.5)
        server.process.wait_for_line("given up by its caller", offset)


def test_a_retried_call_is_answered_and_not_repeated(orrery, client):
    replies = []
    threads = [threading.Thread(target=lambda: replies.append(post(client, chat("/slow 300"), Idempotency_Key="mcp-1"))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(reply.status_code for reply in replies) == [200, 409, 409]
    answers = {post(client, chat("/slow 300"), Idempotency_Key="mcp-1").text for _ in range(2)}
    assert answers == {reply.text for reply in replies if reply.status_code == 200}


def test_no_message_and_no_key_is_logged(own_orrery):
    server = own_orrery(ORRERY_LOG="trace")
    headers = server.bearer("echo") | BOTH
    httpx.post(server.mcp, json=chat("needle-in-the-message"), headers=headers)
    httpx.post(f"{server.mcp}?key={server.plain_key('echo')}", json=call("needle-in-the-method"))
    wait_for(lambda: "/api/mcp/server" in server.process.output(), 5, "the request's line")
    told = server.process.output()
    assert "needle" not in told and told.count(server.plain_key("echo")) == 0
