"""The documents' own snippets, word for word: only keys and ids are put in, and where the API is by the environment."""

import json
import os
import re
import shutil
import subprocess
import sys

import httpx
import pytest

import node
from apps import Client, events
from orrery import ROOT, Orrery, binary

SNIPPETS = {"js": ROOT / "sdks" / "js" / "test" / "support" / "snippet.mjs", "python": ROOT / "sdks" / "python" / "tests" / "snippet.py"}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """The example project."""
    server = Orrery(tmp_path_factory.mktemp("shop"), ROOT / "agents")
    server.start()
    yield Client(server, "shop")
    server.stop()


def filled(path, shop, session):
    text = path.read_text()
    for placeholder, value in {"sk-app-xxxxx": shop.key["key"], "app_123": shop.id, "sess_abc123": session}.items():
        assert text.count(placeholder) == 1
        text = text.replace(placeholder, value)
    return text


def test_the_documents_javascript_runs(shop, tmp_path):
    assert (ROOT / "sdks" / "js" / "dist").is_dir(), "sdks/test builds it"
    session = shop.begin(user_id="user_456")
    script = tmp_path / "snippet.mjs"
    script.write_text(filled(SNIPPETS["js"], shop, session))
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "orrery-agent-platform").symlink_to(ROOT / "sdks" / "js")
    assert node.run(script, environment={"ORRERY_BASE_URL": shop.server.url}) == "You said: What's my order status?\n"
    assert len(shop.talk(session)) == 2


def test_the_documents_python_runs(shop, tmp_path):
    session = shop.begin(user_id="user_456")
    script = tmp_path / "snippet.py"
    script.write_text(filled(SNIPPETS["python"], shop, session))
    environment = {**os.environ, "ORRERY_BASE_URL": shop.server.url, "PYTHONPATH": str(ROOT / "sdks" / "python" / "src")}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, env=environment)
    assert (done.returncode, done.stdout) == (0, "You said: What's my order status?\n"), done.stderr
    assert len(shop.talk(session)) == 2


def test_the_documents_requests_are_answered(shop):
    """By plain HTTP, under the base URL `…/v1`."""
    base, headers = shop.server.url + "/v1", {"Authorization": f"Bearer {shop.key['key']}", "Content-Type": "application/json"}

    def post(path, body):
        return httpx.post(f"{base}/apps/{shop.id}{path}", headers=headers, content=body, timeout=30)

    made = post("/sessions", '{"user_id": "user_456", "metadata": {"channel": "mobile_app", "language": "en"}}')
    assert made.status_code == 201
    session = made.json()["session_id"]
    answer = post("/execute", f'''{{
  "message": "What's my order status?",
  "session_id": "{session}",
  "metadata": {{
    "user_id": "user_456",
    "channel": "web"
  }}
}}''')
    assert answer.json()["response"] == "You said: What's my order status?"
    told = events(post("/execute/stream", f'{{"message": "Explain your return policy", "session_id": "{session}"}}').text)
    assert [name for name, _ in told][:2] == ["start", "token"] and told[-1][0] == "done"
    profile = '{"name": "John", "tier": "premium", "preferences": {"language": "en", "notifications": true}}'
    greeted = post("/execute", f'{{"message": "/context", "session_id": "{session}", "metadata": {{"userProfile": {profile}}}}}')
    assert "Their name, where it is known:\nJohn." in greeted.json()["response"]
    hook = {"url": "http://127.0.0.1:9/webhooks/kore", "events": ["session.started", "session.ended", "conversation.escalated"], "secret": "whsec_xxxxx"}
    assert post("/webhooks", json.dumps(hook)).status_code == 201


def test_the_guides_first_commands_work(shop, tmp_path):
    """docs/apps.md, from nothing to an answer, by a shell."""
    if not shutil.which("curl"):
        pytest.skip("there is no curl")
    guide = (ROOT / "docs" / "apps.md").read_text()
    (commands,) = [block for block in re.findall(r"```sh\n(.*?)```", guide, re.DOTALL) if "curl" in block]
    assert commands.count("cargo orrery") == 3 and commands.count("http://127.0.0.1:3000") == 1
    own = f"orrery() {{ '{binary()}' \"$@\" --data '{shop.server.data}'; }}\ncd '{ROOT}'\n"
    script = own + commands.replace("cargo orrery", "orrery").replace("http://127.0.0.1:3000", shop.server.url)
    done = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["response"] == "You said: Where is order 12345?"


def test_the_guides_webhook_is_taken(shop):
    guide = (ROOT / "docs" / "apps.md").read_text()
    (body,) = [block for block in re.findall(r"```json\n(.*?)```", guide, re.DOTALL) if "whsec_xxxxx" in block]
    hook = json.loads(body) | {"url": "http://127.0.0.1:9/webhooks/kore"}
    assert shop.call("POST", "/webhooks", hook, 201)["secret"] == "whsec_xxxxx"
