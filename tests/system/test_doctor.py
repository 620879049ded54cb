"""`orrery doctor` against a Slack, a Telegram and a Graph API: silent content where all is well, and each fault by its name."""

import json

import pytest

from fake import owner
from graph_fake import Graph
from orrery import Orrery
from slack import CLIENT_SECRET, SIGNING_SECRET, Slack
from telegram_fake import Telegram

AGENT = """---
name: clerk
model: demo/echo
---
You are the clerk of a bookshop.
"""
OTHER = "00000000000000000000000000000000"


class Ward:
    """A server with a connection on each platform, and what the doctor says of it."""

    def __init__(self, server, slack, telegram, graph):
        self.server, self.slack, self.telegram, self.graph = server, slack, telegram, graph
        graph.server = server
        agent = server.agent_id("clerk")
        with owner(server) as client:
            slack.install(client, agent)
            assert client.post("/api/telegram/setup", json={"agentId": agent, "botToken": telegram.TOKEN}).status_code == 200
            number = {
                "agentId": agent, "phoneNumberId": graph.PHONE, "accessToken": graph.TOKEN,
                "businessAccountId": graph.ACCOUNT,
            }
            assert client.post("/api/whatsapp/setup", json=number).status_code == 200
        # Platforms take https alone; behind the tunnel that they call is this server.
        for webhook, name in [(telegram.webhook, "url"), (graph.callback, "override_callback_uri")]:
            webhook[name] = webhook[name].replace("https://bots.example", server.url)

    def examine(self, *arguments, environment=None, url=None):
        """The exit code, the lines, and the findings as JSON."""
        before = dict(self.server.environment)
        self.server.environment.update(environment or {})
        for name in [name for name, value in self.server.environment.items() if value is None]:
            del self.server.environment[name]
        arguments = ["doctor", *arguments, "--public-url", url or self.server.url]
        code, told, errors = self.server.run(*arguments)
        _, data, _ = self.server.run(*arguments, "--json")
        self.server.environment = before
        for secret in [
            "xoxb-", CLIENT_SECRET, SIGNING_SECRET, self.telegram.TOKEN.split(":")[1], self.graph.TOKEN, self.graph.SECRET,
            "the-path-of-another",
        ]:
            assert secret not in told + errors + data
        findings = json.loads(data)
        assert len(findings) == len(told.splitlines())
        assert (code == 1) == any(finding["state"] == "wrong" for finding in findings), errors
        return code, told, findings

    def wrong(self, *arguments, **more):
        """The one line about what is wrong."""
        code, told, findings = self.examine(*arguments, **more)
        lines = [line for line in told.splitlines() if line.startswith("✗")]
        assert code == 1 and len(lines) == 1, told
        assert all(finding["remedy"] for finding in findings if finding["state"] == "wrong")
        return lines[0]


@pytest.fixture
def ward(own_orrery, tmp_path):
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "clerk.md").write_text(AGENT)
    slack, telegram, graph = Slack(), Telegram(), Graph()
    environment = {**slack.environment(), **telegram.environment(), **graph.environment()}
    yield Ward(own_orrery(tmp_path / "agents", **environment), slack, telegram, graph)
    for fake in (slack, telegram, graph):
        fake.stop()
        assert fake.violations == []


def test_all_is_well(ward):
    code, told, findings = ward.examine()
    assert code == 0, told
    assert {finding["check"] for finding in findings if finding["subject"].startswith("slack")} == {
        "setting", "door", "token", "scopes",
    }
    for line in [
        "✓ sealing keys: they are there",
        "✓ slack: SLACK_SIGNING_SECRET is set",
        f"✓ slack: {ward.server.url}/api/slack/events takes what is signed",
        "✓ slack T0TEAM Books for clerk: the token speaks as U0BOT",
        "✓ slack T0TEAM Books for clerk: it may do all that is needed",
        "✓ telegram 110201543 @orrery_test_bot for clerk: the token is @orrery_test_bot's",
        f"✓ telegram 110201543 @orrery_test_bot for clerk: Telegram sends its messages to {ward.server.url}",
        "✓ telegram 110201543 @orrery_test_bot for clerk: no message waits",
        "✓ whatsapp: WHATSAPP_APP_SECRET is set",
        f"✓ whatsapp {ward.graph.PHONE} +1 555-078-3881 for clerk: the token opens +1 555-078-3881",
        f"✓ whatsapp {ward.graph.PHONE} +1 555-078-3881 for clerk: an app gets what comes to the business account",
        f"✓ whatsapp {ward.graph.PHONE} +1 555-078-3881 for clerk: Meta sends its messages to {ward.server.url}",
        f"✓ whatsapp {ward.graph.PHONE} +1 555-078-3881 for clerk: "
        f"{ward.server.url}/api/whatsapp/webhook?connection={ward.graph.PHONE} takes what is signed",
        "– webhooks: there are none",
        "✓ queue channels: no message was given up",
        "✓ queue deliveries: nothing waits",
    ]:
        assert line in told.splitlines(), told
    assert "✗" not in told
    assert ward.examine("queues", "--agent", "clerk")[1].splitlines()[1].startswith("✓ queue channels")


def test_nothing_said_at_a_door_is_answered(ward):
    ward.examine()
    assert ward.telegram.stays_at(0) and ward.graph.sent == [] and not ward.slack.channels
    assert ward.server.command("queue", "list") == []


@pytest.mark.parametrize("code", ["token_revoked", "account_inactive", "invalid_auth"])
def test_slack_refuses_the_token(ward, code):
    ward.slack.fail("auth.test", ("ok", code), ("ok", code))
    line = ward.wrong("slack")
    assert f"Slack refuses the token with {code}" in line and "install the app again" in line


def test_slack_grants_too_little(ward):
    ward.slack.scopes = ward.slack.scopes.replace("reactions:write", "users:read").replace("groups:history,", "")
    assert "the token lacks groups:history, reactions:write" in ward.wrong("slack")


def test_slack_is_out_of_reach(ward):
    assert "try again" in ward.wrong("slack", environment={"SLACK_BASE_URL": "http://127.0.0.1:9/api"})
    ward.slack.fail("auth.test", ("status", 429, "30"), ("status", 503))
    assert "Slack asks to come again later" in ward.wrong("slack")


@pytest.mark.parametrize("name", ["SLACK_CLIENT_ID", "SLACK_CLIENT_SECRET", "SLACK_SIGNING_SECRET"])
def test_a_setting_of_slacks_is_missing(ward, name):
    assert f"{name} is not set" in ward.wrong("slack", environment={name: None})


def test_the_deployments_signing_secret_is_another_apps(ward):
    line = ward.wrong("slack", environment={"SLACK_SIGNING_SECRET": OTHER})
    assert "/api/slack/events refuses our signature" in line and "signing secret" in line.lower().replace("_", " ")


def test_the_public_address_is_not_the_deployments(ward):
    assert "/stage/api/slack/events answers 404" in ward.wrong("slack", url=ward.server.url + "/stage")
    assert "http://127.0.0.1:9/api/slack/events is not reached" in ward.wrong("slack", url="http://127.0.0.1:9")


def test_a_deployment_without_a_signing_secret(ward, tmp_path):
    bare = Orrery(tmp_path / "bare", tmp_path / "agents")
    bare.start()
    line = ward.wrong("slack", url=bare.url)
    bare.stop()
    assert "is not configured" in line and "set SLACK_SIGNING_SECRET there" in line


def test_telegram_does_not_know_the_token(ward):
    ward.telegram.TOKEN = "110201543:" + "x" * 35
    assert "does not know the token any more" in ward.wrong("telegram")


def test_the_bots_messages_go_nowhere_or_elsewhere(ward):
    webhook = ward.telegram.webhook
    ward.telegram.webhook = {}
    assert "Telegram sends its messages nowhere" in ward.wrong("telegram")
    ward.telegram.webhook = {**webhook, "url": "https://other.example/the-path-of-another"}
    assert "to https://other.example, not to " in ward.wrong("telegram")


@pytest.mark.parametrize("words, remedy", [
    ("Wrong response from the webhook: 401 Unauthorized", "the webhook's secret is not ours"),
    ("Connection refused", "see that Telegram reaches the address"),
])
def test_telegrams_deliveries_fail(ward, words, remedy):
    ward.telegram.trouble = {"pending_update_count": 3, "last_error_date": 1774449000, "last_error_message": words}
    line = ward.wrong("telegram")
    assert f"3 messages wait: Telegram was told \"{words}\" at 2026-03-25T14:30:00Z" in line and remedy in line
    ward.telegram.trouble["pending_update_count"] = 0
    assert ward.examine("telegram")[0] == 0, "what has failed came through since"


def test_metas_token_does_not_hold_or_sees_too_little(ward):
    ward.graph.TOKEN, token = "EAAG" + "1" * 28, ward.graph.TOKEN
    assert "the access token does not hold any more" in ward.wrong("whatsapp")
    ward.graph.TOKEN, ward.graph.PHONE = token, "1"
    code, told, _ = ward.examine("whatsapp")
    assert code == 1 and "both permissions" in told


def test_no_app_gets_what_comes_to_the_account(ward):
    ward.graph.subscribed.clear()
    assert "no app gets what comes to the business account" in ward.wrong("whatsapp")


def test_the_numbers_messages_go_nowhere_or_elsewhere(ward):
    callback = ward.graph.callback
    ward.graph.callback = None
    assert "Meta sends its messages nowhere" in ward.wrong("whatsapp")
    ward.graph.callback = {**callback, "override_callback_uri": "https://other.example/the-path-of-another"}
    assert "to https://other.example, not to " in ward.wrong("whatsapp")


def test_the_app_secret_is_missing_or_another_apps(ward):
    assert "WHATSAPP_APP_SECRET is not set" in ward.wrong("whatsapp", environment={"WHATSAPP_APP_SECRET": None})
    assert "refuses our signature" in ward.wrong("whatsapp", environment={"WHATSAPP_APP_SECRET": OTHER})


def test_the_sealing_keys_are_gone_or_others(ward):
    path = ward.server.data / "sealing-keys"
    keys = path.read_text()
    path.unlink()
    line = ward.wrong()
    assert line.startswith("✗ sealing keys: the file of the sealing keys cannot be read") and not path.exists()
    path.write_text("0" * 64)
    code, told, _ = ward.examine()
    path.write_text(keys)
    shut = [line for line in told.splitlines() if "it is sealed with the key" in line]
    assert code == 1 and len(shut) == 3 and all("connect it again" in line for line in shut), told
    assert ward.examine()[0] == 0
