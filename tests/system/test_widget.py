"""The widget's stream, its origins, its public key, its settings and its script."""

import gzip
import json
import pathlib

import httpx
import httpx_sse
import pytest

import node
import sse

DOCUMENTED = pathlib.Path(__file__).parent / "documented" / "widget.mjs"
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}


def post(orrery, agent="echo", origin=None, headers=None, **body):
    headers = orrery.bearer(agent, "widget") | ({"Origin": origin} if origin else {}) | (headers or {})
    return httpx.post(orrery.widget, headers=headers, json=body, timeout=30)


def events(response):
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].split(";")[0] == "text/event-stream"
    return sse.widget_events(response.text)


def test_w3_the_stream_follows_the_event_table(orrery):
    stream = events(post(orrery, message='/tool add {"a": 2, "b": 3}\n/tool explode {}'))
    names = [name for name, _ in stream]
    assert names[0] == "status" and stream[0][1]["status"] == "thinking"
    assert names[-1] == "done" and names.count("done") == 1 and "error" not in names
    assert set(names) <= {"status", "token", "tool_start", "tool_end", "done"}
    started = [data["name"] for name, data in stream if name == "tool_start"]
    ended = {data["name"]: data["isError"] for name, data in stream if name == "tool_end"}
    assert sorted(started) == ["add", "explode"] and ended == {"add": False, "explode": True}
    metrics = stream[-1][1]["metrics"]
    assert metrics["inputTokens"] > 0 and metrics["outputTokens"] > 0 and metrics["estimatedCost"] >= 0
    assert "5" in sse.widget_text(stream)


def test_w3_every_event_also_has_the_documents_other_shape(orrery):
    for name, data in events(post(orrery, message='/tool add {"a": 2, "b": 3}')):
        assert data["type"] == name
        bare = {key: value for key, value in data.items() if key not in ("type", "data")}
        assert data["data"] == bare and bare


def test_w3_the_documented_javascript_prints_the_answer(orrery, tmp_path):
    source = DOCUMENTED.read_text()
    script = tmp_path / "widget.mjs"
    script.write_text(source.replace("https://kopern.ai", orrery.url).replace("kpn_your_key", orrery.plain_key("echo", "widget")))
    output = node.run(script)
    assert "Hello!" in output and "Done: {" in output and "inputTokens" in output


def test_a_strict_reader_of_event_streams_is_content(orrery):
    text = "Zażółć 日本語 👩‍👩‍👧‍👦 " * 10
    with httpx.Client(timeout=30) as client:
        request = {"json": {"message": text}, "headers": orrery.bearer("echo", "widget")}
        with httpx_sse.connect_sse(client, "POST", orrery.widget, **request) as source:
            stream = [(event.event, event.json()) for event in source.iter_sse()]
    assert text.strip() in sse.widget_text(stream) and stream[-1][0] == "done"


def test_a_failure_ends_the_stream_with_an_error_and_no_done(orrery):
    for message in ("/cut", "/fail"):
        response = post(orrery, message=message)
        stream = events(response)
        assert stream[-1][0] == "error" and stream[-1][1]["message"]
        assert "done" not in [name for name, _ in stream]


def test_a_session_carries_the_conversation(orrery):
    first = events(post(orrery, message="My name is Alice"))
    session = first[-1][1]["sessionId"]
    assert "Alice" in sse.widget_text(events(post(orrery, message="/history", sessionId=session)))


def test_the_history_that_a_page_sends_is_used(orrery):
    history = [{"role": "user", "content": "My name is Bob"}, {"role": "assistant", "content": "Hello Bob"}]
    assert "Bob" in sse.widget_text(events(post(orrery, message="/history", history=history)))


@pytest.mark.parametrize(
    ("body", "start"),
    [
        ({}, "message: Required"),
        ({"message": ""}, "message: String must contain at least 1 character(s)"),
        ({"message": "x" * 10_001}, "message: String must contain at most 10000 character(s)"),
        ({"message": "x", "history": [{"role": "system", "content": "x"}]}, "history.0.role: Invalid enum value"),
        ({"message": "x", "history": [{"role": "user"}]}, "history.0.content: Required"),
        ({"message": "x", "history": [{"role": "user", "content": "x"}] * 51}, "history: Array must contain at most 50 element(s)"),
        ({"message": "x", "history": "x"}, "history: Expected array, received string"),
    ],
)
def test_a_bad_body_is_a_400_in_the_documented_words(orrery, body, start):
    response = post(orrery, origin="https://page.example", **body)
    assert response.status_code == 400 and response.headers["access-control-allow-origin"]
    body = response.json()
    assert body["error"] == "Invalid request body"
    assert any(detail.startswith(start) for detail in body["details"]), body


# Origins


def test_w4_a_preflight_needs_no_key(orrery):
    response = httpx.options(orrery.widget, headers=PREFLIGHT | {"Origin": "https://page.example"})
    assert response.status_code == 204 and response.content == b""
    assert response.headers["access-control-allow-origin"] in ("*", "https://page.example")
    assert "POST" in response.headers["access-control-allow-methods"]
    allowed = response.headers["access-control-allow-headers"].lower()
    assert "authorization" in allowed and "content-type" in allowed


def test_w4_any_origin_may_use_an_agent_that_names_none(orrery):
    response = post(orrery, origin="https://anywhere.example", message="Hello")
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] in ("*", "https://anywhere.example")


def test_w4_an_allowed_origin_is_echoed_with_vary(orrery):
    for body, status in (({"message": "Hello"}, 200), ({"message": ""}, 400)):
        response = post(orrery, agent="shop", origin="https://shop.example", **body)
        assert response.status_code == status
        assert response.headers["access-control-allow-origin"] == "https://shop.example"
        assert "origin" in response.headers["vary"].lower()


@pytest.mark.parametrize("origin", [
    "https://evil.example", "http://shop.example", "https://shop.example:8443", "https://shop.example.evil.example",
    "https://evilshop.example", "null",
])
def test_w4_a_foreign_origin_is_refused_and_gets_no_cors_headers(orrery, origin):
    response = post(orrery, agent="shop", origin=origin, message="Hello")
    assert response.status_code == 403 and isinstance(response.json()["error"], str)
    assert "access-control-allow-origin" not in response.headers


def test_w4_every_error_can_be_read_by_the_page(orrery):
    origin = {"Origin": "https://page.example"}
    good = orrery.bearer("echo", "widget")
    cases = [
        (httpx.post(orrery.widget, headers=origin, json={"message": "x"}), 401),
        (httpx.post(orrery.widget, headers=origin | {"Authorization": "Bearer kpn_wrong"}, json={"message": "x"}), 401),
        (httpx.post(orrery.widget, headers=origin | good, content=b"{"), 400),
        (httpx.get(orrery.widget, headers=origin | good), 405),
        (post(orrery, agent="closed", origin="https://page.example", message="x"), 403),
    ]
    for response, status in cases:
        assert response.status_code == status, response.text
        assert isinstance(response.json()["error"], str)
        assert response.headers.get("access-control-allow-origin") in ("*", "https://page.example"), status


# Its key is public


def test_a_widget_key_opens_no_other_route(orrery):
    widget_key = orrery.bearer("echo", "widget")
    body = {"message": "x", "messages": [{"role": "user", "content": "x"}]}
    calls = [
        httpx.post(orrery.openai("echo") + "/chat/completions", headers=widget_key, json=body),
        httpx.get(orrery.openai("echo") + "/models", headers=widget_key),
        httpx.post(orrery.webhook("echo"), headers=widget_key, json=body),
        httpx.post(orrery.webhook("echo"), params={"key": orrery.plain_key("echo", "widget")}, json=body),
    ]
    for response in calls:
        assert response.status_code in (401, 403), response.text
        assert json.loads(response.text)["error"]


def test_a_key_of_a_page_works_from_that_page_only(orrery):
    key = orrery.new_key("echo", "--kind", "widget", "--origin", "https://one.example")["key"]
    bearer = {"Authorization": f"Bearer {key}"}
    body = {"message": "Hello"}
    assert httpx.post(orrery.widget, headers=bearer | {"Origin": "https://one.example"}, json=body).status_code == 200
    assert httpx.post(orrery.widget, headers=bearer | {"Origin": "https://two.example"}, json=body).status_code == 403


# Its looks, and the widget itself


def test_the_settings_are_the_documented_fields_and_more(orrery):
    config = orrery.url + "/api/widget/config"
    response = httpx.get(config, params={"key": orrery.plain_key("echo", "widget")}, headers={"Origin": "https://page.example"})
    assert response.status_code == 200 and response.headers["access-control-allow-origin"] == "https://page.example"
    expected = {"welcomeMessage": "Hi! How can I help you?", "position": "bottom-right", "showPoweredBy": True, "agentName": "echo"}
    assert response.json() == expected | {"theme": {"scheme": "auto", "colors": {}}}
    assert httpx.get(config, headers=orrery.bearer("echo", "widget")).json() == response.json()
    assert httpx.get(config, headers=orrery.bearer("echo")).status_code == 403
    assert httpx.get(config, headers=orrery.bearer("closed", "widget")).json()["code"] == "widget_disabled"


def test_a_revoked_key_reads_no_settings(orrery):
    key = orrery.new_key("echo", "--kind", "widget")
    config = {"url": orrery.url + "/api/widget/config", "params": {"key": key["key"]}}
    assert httpx.get(**config).status_code == 200
    orrery.command("key", "revoke", key["id"])
    assert httpx.get(**config).status_code == 401


def test_the_script_is_kept_by_caches_and_asked_for_again(orrery):
    script = orrery.url + "/api/widget/script"
    response = httpx.get(script, params={"key": orrery.plain_key("echo", "widget")})
    assert response.status_code == 200 and len(response.content) > 10_000
    assert response.headers["content-type"] == "text/javascript; charset=utf-8"
    assert len(gzip.compress(response.content)) <= 15_000
    etag = response.headers["etag"]
    again = httpx.get(script, headers={"If-None-Match": etag})
    assert again.status_code == 304 and again.content == b"" and again.headers["etag"] == etag
    versioned = httpx.get(script, params={"v": etag.strip('"')})
    assert "immutable" in versioned.headers["cache-control"] and "immutable" not in response.headers["cache-control"]
    assert httpx.head(script).headers["etag"] == etag
