"""The inbound webhook: plain HTTP clients, signatures over raw bytes, sessions, metadata, retried requests."""

import concurrent.futures
import hashlib
import hmac
import http.server
import json
import subprocess
import threading
import time
import uuid

import httpx
import pytest
import requests

SECRET = "your_webhook_secret"


def post(orrery, agent="echo", headers=None, **body):
    return httpx.post(orrery.webhook(agent), headers=orrery.bearer(agent) | (headers or {}), json=body, timeout=30)


def answer(response):
    assert response.status_code == 200, response.text
    return response.json()["response"]


def details(response):
    assert response.status_code == 400, response.text
    body = response.json()
    assert body["error"] == "Invalid request body"
    return body["details"]


def test_the_documented_python_example_works(orrery):
    response = requests.post(
        orrery.webhook("echo"),
        headers={"Authorization": f"Bearer {orrery.plain_key('echo')}", "Content-Type": "application/json"},
        json={"message": "What's the status of order #12345?", "metadata": {"orderId": "12345"}},
    )
    data = response.json()
    assert "order #12345" in data["response"] and data["ai_generated"] is True
    assert data["metrics"]["inputTokens"] > 0 and data["metrics"]["outputTokens"] > 0
    assert data["metrics"]["toolCallCount"] == 0


def test_the_key_may_stand_in_the_query(orrery):
    response = httpx.post(orrery.webhook("echo"), params={"key": orrery.plain_key("echo")}, json={"message": "Hello"})
    assert "Hello" in answer(response)


def test_tool_calls_are_made_and_counted(orrery):
    response = post(orrery, message='/tool add {"a": 19, "b": 23}\n/tool reverse {"text": "stressed"}')
    assert "42" in answer(response) and "desserts" in answer(response)
    assert response.json()["metrics"]["toolCallCount"] == 2


@pytest.mark.parametrize("call", ["/tool explode {}", "/tool spin {}", '/tool add {"a": "x"}', "/tool nobody {}"])
def test_a_failing_tool_ends_as_an_answer(orrery, call):
    assert answer(post(orrery, message=call))


def test_other_requests_go_on_while_tools_burn(orrery):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        burning = [pool.submit(post, orrery, message="/tool spin {}") for _ in range(6)]
        times = []
        while not all(call.done() for call in burning):
            started = time.monotonic()
            assert post(orrery, message="Hello").status_code == 200
            times.append(time.monotonic() - started)
            time.sleep(0.1)
        assert all(call.result().status_code == 200 for call in burning)
    assert len(times) > 3 and sorted(times)[len(times) // 2] < 2


@pytest.mark.parametrize("host", [
    "127.0.0.1", "localhost", "[::1]", "0x7f000001", "2130706433", "0177.0.0.1", "127.1", "[::ffff:127.0.0.1]", "0.0.0.0",
])
def test_a_tool_cannot_reach_this_machine(orrery, own_address, host):
    address, visits = own_address
    call = "/tool web_fetch " + json.dumps({"url": f"http://{host}:{address}/secret"})
    assert "the-secret-page" not in answer(post(orrery, message=call))
    assert visits == []


@pytest.fixture
def own_address():
    """A web server on a port of this machine: the port, and the paths that were asked for."""
    visits = []

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            visits.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"the-secret-page")

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1], visits
    server.shutdown()
    server.server_close()


# Signatures


def sign(body, secret=SECRET):
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


@pytest.fixture(scope="module")
def webhook_id(orrery):
    return orrery.command("webhook", "create", "--agent", "signed", "--secret", SECRET)["id"]


def post_raw(orrery, body, signature=None, agent="signed"):
    headers = orrery.bearer(agent) | {"Content-Type": "application/json"}
    if signature is not None:
        headers["X-Webhook-Signature"] = signature
    return httpx.post(orrery.webhook(agent), headers=headers, content=body, timeout=30)


def signed_body(webhook_id, text="Hello"):
    # Spaces, a field that nobody knows and an odd order: only the bytes as sent have this signature.
    return f'{{"unknown": 1,  "message": "{text}", "webhookId": "{webhook_id}" }}\n'.encode()


def test_w1_the_documented_openssl_line_signs_the_bytes_that_are_sent(orrery, webhook_id):
    body = f'{{"message": "Hello", "webhookId": "{webhook_id}"}}'
    line = f"echo -n '{body}' | openssl dgst -sha256 -hmac \"{SECRET}\" | cut -d' ' -f2"
    signature = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True).stdout.strip()
    assert "Hello" in answer(post_raw(orrery, body.encode(), signature))


def test_w1_the_published_vector_is_the_plain_hmac():
    assert sign(b'{"message":"Hello"}').startswith("8d152790") and sign(b'{"message":"Hello"}').endswith("8583")


def test_w1_the_signature_covers_the_raw_bytes(orrery, webhook_id):
    body = signed_body(webhook_id)
    assert answer(post_raw(orrery, body, sign(body)))
    compact = json.dumps(json.loads(body), separators=(",", ":")).encode()
    assert post_raw(orrery, body, sign(compact)).status_code == 401


@pytest.mark.parametrize(
    "signature",
    [None, "", "0" * 64, "z" * 64, sign(b"other"), "é" * 64, "ÿ" * 32, "a", "sha256="],
    ids=["missing", "empty", "zeros", "not hex", "of another body", "not ascii", "latin-1", "short", "prefix only"],
)
def test_w1_a_wrong_or_missing_signature_is_a_401(orrery, webhook_id, signature):
    encoded = signature.encode() if signature is not None else None
    response = post_raw(orrery, signed_body(webhook_id), encoded)
    assert response.status_code == 401 and response.json()["error"]


def test_w1_the_secret_cannot_be_passed_by_leaving_the_webhook_out(orrery, webhook_id):
    assert post_raw(orrery, b'{"message":"Hello"}').status_code == 401
    assert post_raw(orrery, b'{"message":"Hello","webhookId":null}').status_code in (400, 401)
    assert answer(post_raw(orrery, b'{"message":"Hello"}', sign(b'{"message":"Hello"}')))


def test_an_unknown_webhook_is_a_404(orrery, webhook_id):
    body = signed_body("wh_" + "0" * 26)
    response = post_raw(orrery, body, sign(body))
    assert response.status_code == 404 and response.json()["error"]


def test_another_agents_webhook_is_a_404(orrery, webhook_id):
    body = signed_body(webhook_id)
    assert post_raw(orrery, body, sign(body), agent="echo").status_code == 404


# Sessions and metadata


def test_a_session_carries_the_conversation(orrery):
    first = post(orrery, message="My name is Alice")
    session = first.json()["sessionId"]
    assert "Alice" in answer(post(orrery, message="/history", sessionId=session))
    assert "Alice" not in answer(post(orrery, message="/history"))


def test_a_session_is_its_agents_own(orrery):
    session = post(orrery, message="The password is swordfish").json()["sessionId"]
    assert "swordfish" not in post(orrery, agent="other", message="/history", sessionId=session).text


def test_a_session_lives_over_a_restart(own_orrery):
    server = own_orrery()
    session = post(server, message="My name is Alice").json()["sessionId"]
    server.restart()
    assert "Alice" in answer(post(server, message="/history", sessionId=session))


def test_metadata_is_context_and_not_the_users_words(orrery):
    metadata = {"tier": "gold-7351", "nested": {"list": [1, None, "x"]}}
    assert "gold-7351" in answer(post(orrery, message="/context", metadata=metadata))
    assert "gold-7351" not in answer(post(orrery, message="Hello", metadata=metadata))


# Retried requests


def test_a_retried_request_is_answered_and_not_repeated(orrery):
    session = post(orrery, message="first").json()["sessionId"]
    key = {"Idempotency-Key": str(uuid.uuid4())}
    once = post(orrery, headers=key, message="second", sessionId=session)
    again = post(orrery, headers=key, message="second", sessionId=session)
    assert once.status_code == again.status_code == 200 and once.json() == again.json()
    assert answer(post(orrery, message="/history", sessionId=session)).count("second") == 1


def test_a_key_that_is_used_for_another_body_is_a_422(orrery):
    key = {"Idempotency-Key": str(uuid.uuid4())}
    assert post(orrery, headers=key, message="one").status_code == 200
    response = post(orrery, headers=key, message="two")
    assert response.status_code == 422 and response.json()["error"]


def test_a_request_that_still_runs_is_a_409(orrery):
    key = {"Idempotency-Key": str(uuid.uuid4())}
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(post, orrery, headers=key, message="/slow 1500") for _ in range(2)]
        assert sorted(call.result().status_code for call in calls) == [200, 409]
    assert post(orrery, headers=key, message="/slow 1500").status_code == 200


# Validation


def test_a_message_may_have_10000_characters_and_no_more(orrery):
    assert post(orrery, message="x" * 10_000).status_code == 200
    assert details(post(orrery, message="x" * 10_001)) == ["message: String must contain at most 10000 character(s)"]


def test_an_empty_message_is_refused_in_the_documented_words(orrery):
    assert details(post(orrery, message="")) == ["message: String must contain at least 1 character(s)"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, "message: Required"),
        ({"message": 5}, "message: Expected string, received number"),
        ({"message": None}, "message: Expected string, received null"),
        ({"message": "x", "metadata": []}, "metadata: Expected object, received array"),
        ({"message": "x", "sessionId": 1}, "sessionId: Expected string, received number"),
        ({"message": "x", "webhookId": True}, "webhookId: Expected string, received boolean"),
    ],
)
def test_wrong_types_are_named(orrery, body, expected):
    assert expected in details(post(orrery, **body))


def test_all_faults_of_a_body_are_named_at_once(orrery):
    assert len(details(post(orrery, message="", metadata=1, sessionId=2))) == 3


@pytest.mark.parametrize("body", [b"", b"{", b"hello", b'{"message":"x"', b"\xff\xfe"])
def test_bad_json_is_a_400(orrery, body):
    response = post_raw(orrery, body, agent="echo")
    assert response.status_code == 400 and response.json()["error"]


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"5", b"null"])
def test_a_body_that_is_no_object_is_a_400(orrery, body):
    assert post_raw(orrery, body, agent="echo").status_code == 400


def test_refusals_have_the_documented_status_and_shape(orrery):
    url = orrery.webhook("echo")
    cases = [
        (httpx.post(url, json={"message": "x"}), 401),
        (httpx.post(url, headers={"Authorization": "Bearer kpn_wrong"}, json={"message": "x"}), 401),
        (httpx.post(url, headers=orrery.bearer("other"), json={"message": "x"}), 403),
        (httpx.get(url, headers=orrery.bearer("echo")), 405),
        (post(orrery, message="/fail"), 500),
    ]
    for response, status in cases:
        assert response.status_code == status, response.text
        assert isinstance(response.json()["error"], str)
    assert cases[-1][0].json()["error"] == "Agent execution failed"


def test_health_answers_in_the_documented_shape(http):
    body = http.get("/api/health").json()
    assert body["status"] == "ok" and body["timestamp"].endswith("Z") and len(body["timestamp"]) == 24
