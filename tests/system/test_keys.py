"""Keys over HTTP: an identity provider of its own (PyJWT), every forgery, and keys that are used on the real chat."""

import base64
import concurrent.futures
import hashlib
import hmac
import http.server
import json
import stat
import threading
import time

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from orrery import AGENTS, Orrery

AUDIENCE = "dashboard"


class Issuer:
    """An identity provider with an RSA and an EC key."""

    def __init__(self):
        self.keys = {"rsa-1": rsa.generate_private_key(65537, 2048), "ec-1": ec.generate_private_key(ec.SECP256R1())}
        self.published = list(self.keys)
        self.is_up = True
        self.asked = 0
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                documents = {
                    "/.well-known/openid-configuration": {"issuer": issuer.url, "jwks_uri": issuer.url + "/keys"},
                    "/keys": {"keys": [issuer.jwk(name) for name in issuer.published]},
                }
                issuer.asked += self.path == "/keys"
                found = documents.get(self.path) if issuer.is_up else None
                body = json.dumps(found).encode()
                self.send_response(200 if found else 503)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def jwk(self, name):
        algorithm = jwt.algorithms.RSAAlgorithm if name.startswith("rsa") else jwt.algorithms.ECAlgorithm
        return {**algorithm.to_jwk(self.keys[name].public_key(), as_dict=True), "kid": name, "use": "sig"}

    def claims(self, subject="ada", **changes):
        now = int(time.time())
        claims = {"iss": self.url, "aud": AUDIENCE, "sub": subject, "iat": now, "exp": now + 3600}
        return {name: value for name, value in {**claims, **changes}.items() if value is not None}

    def token(self, subject="ada", key="rsa-1", kid=None, algorithm=None, **changes):
        algorithm = algorithm or ("RS256" if key.startswith("rsa") else "ES256")
        return jwt.encode(self.claims(subject, **changes), self.keys[key], algorithm, headers={"kid": kid or key})


class User:
    """A user of the dashboard, with agents of their own."""

    def __init__(self, server, issuer, subject, plan="enterprise"):
        self.server, self.subject = server, subject
        self.headers = {"Authorization": f"Bearer {issuer.token(subject)}"}
        applied = server.command("apply", AGENTS / "echo.md", AGENTS / "other.md", "--owner", subject)
        self.agent, self.other_agent = [agent["id"] for agent in applied]
        server.command("tenant", "plan", plan, "--owner", subject)

    def call(self, method, body=None, **query):
        url = self.server.url + "/api/mcp/keys"
        return httpx.request(method, url, headers=self.headers, json=body, params=query or None, timeout=30)

    def create(self, **fields):
        return self.call("POST", {"agentId": self.agent, "name": "Production", **fields})

    def rotate(self, server_id, **fields):
        return self.call("PUT", {"agentId": self.agent, "serverId": server_id, **fields})

    def delete(self, server_id):
        return self.call("DELETE", agentId=self.agent, serverId=server_id)

    def list(self):
        response = self.call("GET", agentId=self.agent)
        assert response.status_code == 200, response.text
        return response.json()["keys"]

    def chat(self, key):
        """The status of a chat with this key."""
        url = f"{self.server.url}/api/agents/{self.agent}/v1/chat/completions"
        body = {"messages": [{"role": "user", "content": "Hello"}]}
        return httpx.post(url, headers={"Authorization": f"Bearer {key}"}, json=body, timeout=30).status_code


@pytest.fixture(scope="module")
def issuer():
    issuer = Issuer()
    yield issuer
    issuer.server.shutdown()


@pytest.fixture(scope="module")
def server(tmp_path_factory, issuer):
    environment = {"ORRERY_OIDC_ISSUER": issuer.url, "ORRERY_OIDC_AUDIENCE": f"other, {AUDIENCE}"}
    server = Orrery(tmp_path_factory.mktemp("keys"), AGENTS, environment)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def user(server, issuer, request):
    """A user of the test's own: rate limits are by user."""
    return User(server, issuer, f"user of {request.node.name}"[:255])


def made(response):
    assert response.status_code == 200, response.text
    return response.json()


def test_the_documented_requests_have_the_documented_replies(user):
    created = user.create(description="The shop's backend", rateLimitPerMinute=60)
    key = made(created)
    assert set(key) == {"serverId", "apiKey", "apiKeyPrefix"}
    assert key["apiKey"].startswith("kpn_") and key["apiKey"].startswith(key["apiKeyPrefix"]) and len(key["apiKeyPrefix"]) == 8
    assert created.headers["x-ratelimit-limit"] == "60" and created.headers["x-request-id"]
    rotated = made(user.rotate(key["serverId"]))
    assert set(rotated) == {"apiKey", "apiKeyPrefix"} and rotated["apiKey"] != key["apiKey"]
    assert made(user.delete(key["serverId"])) == {"success": True}


def test_rotation_and_deletion_take_effect_on_the_very_next_request(user):
    key = made(user.create())
    assert user.chat(key["apiKey"]) == 200
    for _ in range(5):
        rotated = made(user.rotate(key["serverId"]))
        assert (user.chat(key["apiKey"]), user.chat(rotated["apiKey"])) == (401, 200)
        key["apiKey"] = rotated["apiKey"]
    made(user.delete(key["serverId"]))
    assert user.chat(key["apiKey"]) == 401
    assert user.rotate(key["serverId"]).status_code == 404


def test_with_a_grace_both_keys_work_until_it_ends(user):
    key = made(user.create())
    rotated = made(user.rotate(key["serverId"], graceSeconds=2))
    assert (user.chat(key["apiKey"]), user.chat(rotated["apiKey"])) == (200, 200)
    time.sleep(2.1)
    assert (user.chat(key["apiKey"]), user.chat(rotated["apiKey"])) == (401, 200)


def test_twenty_rotations_at_once_leave_one_key_that_works(user):
    key = made(user.create())
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        replies = list(pool.map(lambda _: user.rotate(key["serverId"]), range(20)))
    assert {reply.status_code for reply in replies} <= {200, 409}
    keys = [reply.json()["apiKey"] for reply in replies if reply.status_code == 200]
    assert sum(user.chat(one) == 200 for one in keys) == 1 and user.chat(key["apiKey"]) == 401
    assert sum(one["enabled"] for one in user.list()) == 1


def test_the_list_tells_a_keys_history_and_never_the_key(user):
    key = made(user.create(description="d", expiresAt="2030-01-31T00:00:00Z", rateLimitPerMinute=7))
    assert user.chat(key["apiKey"]) == 200
    rotated = made(user.rotate(key["serverId"]))
    made(user.delete(key["serverId"]))
    response = user.call("GET", agentId=user.agent)
    assert key["apiKey"] not in response.text and rotated["apiKey"] not in response.text
    first, second = response.json()["keys"]
    assert (first["name"], first["description"], first["kind"], first["prefix"]) == ("Production", "d", "server", key["apiKeyPrefix"])
    assert first["serverId"] == second["serverId"] == key["serverId"]
    assert first["rotatedTo"] == second["id"] and first["rotatedAt"] and first["lastUsedAt"] and not first["revokedAt"]
    assert second["revokedAt"] and not second["rotatedTo"] and not second["lastUsedAt"]
    assert not first["enabled"] and not second["enabled"]
    assert first["expiresAt"] == second["expiresAt"] == "2030-01-31T00:00:00.000Z" and first["rateLimitPerMinute"] == 7
    assert key["apiKey"].encode() not in user.server.database_bytes()


def test_a_keys_own_limit_is_enforced(user):
    key = made(user.create(rateLimitPerMinute=3))["apiKey"]
    assert [user.chat(key) for _ in range(4)] == [200, 200, 200, 429]


def test_a_widgets_key_works_on_the_widget_alone(user):
    key = made(user.create(kind="widget", allowedOrigins=["https://shop.example"]))["apiKey"]
    assert user.chat(key) == 403


def test_users_are_kept_apart(server, issuer, user):
    stranger = User(server, issuer, "stranger to " + user.subject)
    key = made(user.create())
    foreign = {"agentId": user.agent, "serverId": key["serverId"], "name": "x"}
    for reply in [
        stranger.call("GET", agentId=user.agent), stranger.call("POST", foreign), stranger.call("PUT", foreign),
        stranger.call("DELETE", agentId=user.agent, serverId=key["serverId"]),
        stranger.call("PUT", foreign | {"agentId": stranger.agent}),
        stranger.call("DELETE", agentId=stranger.agent, serverId=key["serverId"]),
        user.call("PUT", foreign | {"agentId": user.other_agent}),
        user.call("DELETE", agentId=user.other_agent, serverId=key["serverId"]),
    ]:
        assert reply.status_code == 404 and reply.json()["error"], reply.text
    assert user.chat(key["apiKey"]) == 200


def test_what_is_wrong_is_told_field_by_field(user):
    def details(response, status=400):
        assert response.status_code == status, response.text
        return response.json()["details"]

    assert details(user.call("POST", {})) == ["agentId: Required", "name: Required"]
    assert details(user.create(rateLimitPerMinute=1001)) == ["rateLimitPerMinute: Number must be less than or equal to 1000"]
    assert details(user.create(rateLimitPerMinute=0)) == ["rateLimitPerMinute: Number must be greater than or equal to 1"]
    assert details(user.create(expiresAt="2020-01-01T00:00:00Z")) == ["expiresAt: Date must be in the future"]
    assert details(user.call("PUT", {})) == ["agentId: Required", "serverId: Required"]
    assert details(user.call("DELETE")) == ["agentId: Required", "serverId: Required"]
    assert details(user.call("GET")) == ["agentId: Required"]


def test_a_plan_has_room_for_so_many_keys(server, issuer):
    for plan, room in [("free", 1), ("pro", 3)]:
        user = User(server, issuer, f"user on {plan}", plan)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            replies = list(pool.map(lambda _: user.create(), range(8)))
        assert sorted(reply.status_code for reply in replies) == [200] * room + [403] * (8 - room)
        refused = next(reply for reply in replies if reply.status_code == 403)
        assert refused.json()["error"] == f"Connector limit reached ({room})"
        kept = next(reply for reply in replies if reply.status_code == 200).json()
        made(user.rotate(kept["serverId"]))
        assert user.create().status_code == 403
        made(user.delete(kept["serverId"]))
        made(user.create())


def test_the_61st_request_of_a_minute_is_refused(user):
    started = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: user.call("GET", agentId=user.agent).status_code, range(75)))
    assert statuses.count(429) >= 15 - (time.monotonic() - started) - 1 and statuses.count(200) >= 60
    refused = next(reply for reply in iter(lambda: user.call("GET", agentId=user.agent), None) if reply.status_code == 429)
    assert refused.json()["error"] == "Too many requests. Please try again later."
    assert int(refused.headers["retry-after"]) >= 1 and refused.headers["x-ratelimit-remaining"] == "0"


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def hs256_with_the_public_key(issuer):
    """By hand: PyJWT refuses to make it."""
    from cryptography.hazmat.primitives import serialization

    public = issuer.keys["rsa-1"].public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    message = b64(json.dumps({"alg": "HS256", "kid": "rsa-1"}).encode()) + "." + b64(json.dumps(issuer.claims()).encode())
    return message + "." + b64(hmac.new(public, message.encode(), hashlib.sha256).digest())


def tampered(issuer):
    header, _, signature = issuer.token().split(".")
    return ".".join([header, b64(json.dumps(issuer.claims("eve")).encode()), signature])


FORGERIES = {
    "missing": lambda issuer: None,
    "garbage": lambda issuer: "garbage",
    "an API key": lambda issuer: "kpn_" + "0" * 64,
    "other claims under the signature": tampered,
    "expired": lambda issuer: issuer.token(iat=int(time.time()) - 7200, exp=int(time.time()) - 61),
    "made in the future": lambda issuer: issuer.token(iat=int(time.time()) + 120),
    "not yet valid": lambda issuer: issuer.token(nbf=int(time.time()) + 120),
    "no expiry": lambda issuer: issuer.token(exp=None),
    "no subject": lambda issuer: issuer.token(subject=None),
    "another audience": lambda issuer: issuer.token(aud="somebody"),
    "another issuer": lambda issuer: issuer.token(iss="https://securetoken.google.com/other"),
    "a Cognito access token": lambda issuer: issuer.token(token_use="access"),
    "alg none": lambda issuer: jwt.encode(issuer.claims(), None, "none", headers={"kid": "rsa-1"}),
    "HS256 with the public key": hs256_with_the_public_key,
    "HS256 with a guess": lambda issuer: jwt.encode(issuer.claims(), "secret" * 8, "HS256", headers={"kid": "rsa-1"}),
    "RS512": lambda issuer: issuer.token(algorithm="RS512"),
    "PS256": lambda issuer: issuer.token(algorithm="PS256"),
    "an unknown key": lambda issuer: issuer.token(kid="rsa-9"),
    "ES256 under an RSA key's name": lambda issuer: issuer.token(key="ec-1", kid="rsa-1"),
    "another's RSA key": lambda issuer: jwt.encode(
        issuer.claims(), rsa.generate_private_key(65537, 2048), "RS256", headers={"kid": "rsa-1"}
    ),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_no_forged_token_opens_it(server, issuer, forgery):
    token = FORGERIES[forgery](issuer)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    reply = httpx.get(server.url + "/api/mcp/keys", params={"agentId": "a"}, headers=headers)
    assert reply.status_code == 401, reply.text
    assert reply.headers["www-authenticate"] == "Bearer" and set(reply.json()) == {"error", "code"}


@pytest.mark.parametrize("key", ["rsa-1", "ec-1"])
def test_tokens_of_either_algorithm_open_it(server, issuer, key):
    reply = httpx.get(
        server.url + "/api/mcp/keys", params={"agentId": "a"},
        headers={"Authorization": f"Bearer {issuer.token('both', key)}"},
    )
    assert reply.status_code == 404 and reply.json()["code"] == "agent_not_found"


def test_unknown_keys_do_not_make_it_ask_its_issuer_all_the_time(own_orrery):
    issuer = Issuer()
    server = own_orrery(ORRERY_OIDC_ISSUER=issuer.url, ORRERY_OIDC_AUDIENCE=AUDIENCE)

    def status(token):
        url = server.url + "/api/mcp/keys"
        return httpx.get(url, params={"agentId": "a"}, headers={"Authorization": f"Bearer {token}"}).status_code

    issuer.is_up = False
    assert status(issuer.token()) == 503
    issuer.is_up = True
    time.sleep(2.1)
    assert status(issuer.token()) == 404
    asked = issuer.asked
    assert [status(issuer.token(kid=f"rsa-{number}")) for number in range(10, 30)] == [401] * 20
    assert issuer.asked == asked
    issuer.is_up = False
    assert status(issuer.token()) == 404, "known keys need no issuer"
    issuer.server.shutdown()


def test_without_an_issuer_of_its_own_this_machine_is_one(own_orrery):
    server = own_orrery()
    token = server.run("token", "--quiet")[1].strip()
    stranger = server.run("token", "--quiet", "--subject", "bob")[1].strip()
    agent = server.agent_id("echo")

    def create(token):
        body = {"agentId": agent, "name": "mine"}
        return httpx.post(server.url + "/api/mcp/keys", headers={"Authorization": f"Bearer {token}"}, json=body)

    key = made(create(token))["apiKey"]
    assert create(stranger).status_code == 404
    chat = {"messages": [{"role": "user", "content": "Hello"}]}
    answer = httpx.post(server.openai("echo") + "/chat/completions", headers={"Authorization": f"Bearer {key}"}, json=chat)
    assert answer.status_code == 200

    discovery = httpx.get(server.url + "/local-issuer/.well-known/openid-configuration").json()
    signer = jwt.PyJWKClient(discovery["jwks_uri"]).get_signing_key_from_jwt(token)
    claims = jwt.decode(token, signer.key, ["ES256"], audience="orrery", issuer=discovery["issuer"])
    assert claims["sub"] == "owner" and claims["exp"] - claims["iat"] == 3600
    for path in ("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"):
        reply = httpx.get(server.url + path)
        assert reply.status_code == 404 and reply.json() == {"error": "Not found"}

    file = server.data / "issuer-key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    before = server.url
    server.restart()
    assert server.url != before
    made(create(token))
