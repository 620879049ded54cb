"""`orrery serve` answers as its description says: schemathesis makes requests from `GET /openapi.json`."""

import os
import subprocess

import httpx
import pytest

from fake import Platform
from orrery import ROOT, Orrery

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


def run(server, folder, key, *options):
    config = folder / "schemathesis.toml"
    config.write_text(f'[parameters]\n"path.agent_id" = "{server.agent_id("fuzzed")}"\n')
    command = [
        SCHEMATHESIS, "--config-file", config, "run", server.url + "/openapi.json",
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


def test_the_description_is_the_committed_one_and_can_be_read_as_a_page(fuzzed):
    committed = (ROOT / "docs" / "openapi" / "kopern.json").read_text()
    served = httpx.get(fuzzed.url + "/openapi.json")
    assert served.text == committed and served.headers["content-type"] == "application/json"
    page = httpx.get(fuzzed.url + "/docs/")
    assert page.status_code == 200 and "swagger" in page.text.lower()
