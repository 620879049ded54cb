"""`orrery serve` answers as its description says: schemathesis makes requests from `GET /openapi.json`."""

import os
import subprocess

import httpx
import pytest

from apps import ORDER, PROJECTS, Client
from fake import Platform
from orrery import ROOT, Orrery, wait_for

PROGRAM = ROOT / "target" / "tools" / "schemathesis" / "bin" / "schemathesis"
SCHEMATHESIS = os.environ.get("ORRERY_SCHEMATHESIS", PROGRAM)
AGENT = """---
name: fuzzed
model: demo/echo
limits: { requests_per_minute: { openai: 1000000, webhook: 1000000, widget: 1000000 } }
widget: { enabled: true }
---
You repeat what is said.
"""
# What a schema cannot tell is refused all the same: messages of which none is a user's, an Idempotency-Key that comes
# again with another body.
NOT_CHECKED = "positive_data_acceptance"
# What an agent's owner alone may do.
OWNED = "^/api/agents/[^/]*/(chat$|sessions/|webhooks)|^/api/(telegram|whatsapp|slack)/"


class Stranger(Platform):
    """A Telegram and a Graph API that know nobody."""

    def is_message(self, *_):
        return False

    def answer(self, *_):
        telegram = {"ok": False, "error_code": 401, "description": "Unauthorized"}
        return 401, {**telegram, "error": {"code": 190, "message": "Invalid OAuth access token."}}


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory):
    agents = tmp_path_factory.mktemp("agents")
    (agents / "fuzzed.md").write_text(AGENT)
    stranger = Stranger()
    environment = {
        "TELEGRAM_BASE_URL": stranger.url, "GRAPH_BASE_URL": stranger.url, "WHATSAPP_APP_SECRET": "0123456789abcdef",
        "ORRERY_PUBLIC_URL": "https://bots.example", "SLACK_CLIENT_ID": "11.22",
    }
    server = Orrery(tmp_path_factory.mktemp("orrery"), agents, environment)
    server.start()
    yield server
    server.stop()
    stranger.stop()


def run(server, folder, key, *options, document="/openapi.json", **parameters):
    parameters = parameters or {"agent_id": server.agent_id("fuzzed")}
    config = folder / "schemathesis.toml"
    config.write_text("[parameters]\n" + "".join(f'"path.{name}" = "{value}"\n' for name, value in parameters.items()))
    command = [
        SCHEMATHESIS, "--config-file", config, "run", server.url + document,
        "--header", f"Authorization: Bearer {key}", "--checks", "all", "--exclude-checks", NOT_CHECKED,
        "--phases", "examples,coverage,fuzzing", "--max-examples", "30", "--seed", "1", *options,
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_server_keys_open_answers_as_described(fuzzed, tmp_path):
    owned = "^/api/widget/|^/api/mcp/keys|" + OWNED
    run(fuzzed, tmp_path, fuzzed.plain_key("fuzzed"), "--exclude-path-regex", owned)


def test_what_widget_keys_open_answers_as_described(fuzzed, tmp_path):
    run(fuzzed, tmp_path, fuzzed.plain_key("fuzzed", "widget"), "--include-path-regex", "^/api/widget/")


def test_what_id_tokens_open_answers_as_described(fuzzed, tmp_path):
    run(fuzzed, tmp_path, fuzzed.command("token")["token"], "--include-path-regex", "^/api/mcp/keys|" + OWNED)


@pytest.fixture(scope="module")
def fuzzed_app(tmp_path_factory):
    server = Orrery(tmp_path_factory.mktemp("apps"), PROJECTS)
    server.start()
    server.command("tenant", "plan", "enterprise", "--requests-per-minute", "1000000", "--requests-per-day", "100000000")
    yield Client(server, "team")
    server.stop()


def run_app(app, folder, *options, **parameters):
    run(app.server, folder, app.key["key"], *options, document="/openapi/app.json", app_id=app.id, **parameters)


def test_what_an_apps_keys_open_answers_as_described(fuzzed_app, tmp_path):
    run_app(fuzzed_app, tmp_path)


def test_sessions_and_traces_that_there_are_answer_as_described(fuzzed_app, tmp_path):
    answer = fuzzed_app.execute(ORDER + '\n/tool escalate_to_human {"summary": "x"}')
    known = {name: answer[name] for name in ("session_id", "trace_id")}
    run_app(fuzzed_app, tmp_path, "--include-path-regex", "/(sessions/|traces/|analytics/)", **known)


def test_webhooks_that_there_are_answer_as_described(fuzzed_app, tmp_path):
    hook = {"url": "http://127.0.0.1:9/", "events": ["session.started"]}
    webhook = fuzzed_app.call("POST", "/webhooks", hook, 201)["id"]
    fuzzed_app.begin()

    def delivered():
        return fuzzed_app.call("GET", f"/webhooks/{webhook}/deliveries")["deliveries"]

    delivery = wait_for(delivered, what="a delivery")[0]["id"]
    options = ["--include-path-regex", "/webhooks/", "--exclude-method", "DELETE"]
    run_app(fuzzed_app, tmp_path, *options, webhook_id=webhook, delivery_id=delivery)


def test_the_description_is_the_committed_one_and_can_be_read_as_a_page(fuzzed):
    committed = (ROOT / "docs" / "openapi" / "kopern.json").read_text()
    served = httpx.get(fuzzed.url + "/openapi.json")
    assert served.text == committed and served.headers["content-type"] == "application/json"
    page = httpx.get(fuzzed.url + "/docs/")
    assert page.status_code == 200 and "swagger" in page.text.lower()
    apps = httpx.get(fuzzed.url + "/openapi/app.json")
    assert apps.text == (ROOT / "docs" / "openapi" / "app.json").read_text()
